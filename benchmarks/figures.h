/* What the load client has seen: requests begun, answered, lost and why; latencies; and per release
 * and instance when its first and last answer came. Two windows are kept: the whole run, and since
 * the last mark. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { FIGURES_LABELS = 512, FIGURES_SLOTS = 2048, FIGURES_STATUSES = 600 };

enum lost {               /* no complete and correct 2xx to a request begun */
            LOST_CONNECT, /* refused, or no connection at all */
            LOST_RESET,
            LOST_CLOSED, /* closed before the reply was complete */
            LOST_TIMEOUT,
            LOST_MALFORMED,
            LOST_WRONG,  /* complete, 2xx, but not the answer to this request */
            LOST_STATUS, /* complete, not 2xx */
            LOST_KINDS
};

struct label {
    char name[96];
    uint64_t count;
    int64_t first_us, last_us;           /* when its answers were complete */
    int64_t first_sent_us, last_sent_us; /* when those requests were begun */
};
struct labels {
    struct label rows[FIGURES_LABELS];
    int count;
    int latest; /* the row of the last hit */
};
struct window {
    int64_t since_us;
    uint64_t begun, ok, posts_ok;
    uint64_t lost[LOST_KINDS];
    uint64_t statuses[FIGURES_STATUSES];
    uint64_t latency[FIGURES_SLOTS];
    int64_t latency_max_us;
    struct labels releases, instances;
};
struct figures {
    struct window total, marked;
};
/* One answer, complete and correct. */
struct answered {
    const char *release, *instance;
    int64_t sent_us, answered_us, latency_us;
    bool post;
};

void figures_mark(struct figures *f, int64_t now_us);
void figures_begun(struct figures *f);
/* Returns true when this release is seen for the first time since the mark. */
bool figures_ok(struct figures *f, const struct answered *a);
void figures_lost(struct figures *f, enum lost kind, int status);
uint64_t window_lost(const struct window *w);
const char *lost_name(enum lost kind);
/* The members of a JSON object, without braces. */
void window_print(const struct window *w, FILE *out);
