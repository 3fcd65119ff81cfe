/* Inside core/follow. */
#pragma once
#include "base/map.h"
#include "base/time.h"
#include "core/follow/follow.h"
#include "io/loop.h"

#define DELIVERIES_KEPT 1024 /* ids of an app's last ones, by their hash */

struct fetch_waiter {
    void (*done)(void *context, json_t *ok, const struct err *error);
    void *context;
    struct fetch_waiter *next;
};
struct fetch { /* an app that follows */
    struct follow *f;
    int64_t app_id;
    bool asking;
    bool again;       /* somebody wanted it meanwhile */
    bool hooked;      /* a delivery came: we are told */
    bool hook_asking; /* its webhook is being made */
    bool untold;      /* a fetch moved refs, perhaps, and nobody heard of it */
    char *url;        /* that is asked now; else NULL */
    char stage[16];   /* how far that is, as the courier says; "": nothing is known */
    int64_t percent;
    int64_t moved;    /* refs, with the last good fetch */
    int64_t forge_id; /* of it the last time; 0: none */
    int64_t at_ms;    /* mono: not before */
    int64_t failures;
    int64_t fetched_at, moved_at; /* wall; 0: not since our start */
    int64_t deliveries, duplicates, refused;
    uint64_t *seen; /* DELIVERIES_KEPT; NULL: none came */
    size_t seen_next;
    struct fetch_waiter *waiters, *later; /* of what runs; of what comes after it */
};
struct forge_pause { /* a forge that is asked, or left alone */
    struct follow *f;
    int64_t forge_id;
    bool busy;
    int64_t until_ms; /* mono */
    int64_t failures;
};
struct follow {
    struct core *core;
    struct map fetches; /* app id -> struct fetch, owned */
    struct map pauses;  /* forge id and kind of work -> struct forge_pause, owned */
    size_t asking;
    struct timer *timer;
    struct timer *status_timer;
    struct feed_subscriber *subscriber;
    int64_t cursor;
};

/* fetch.c */
struct fetch *fetch_find(struct follow *f, int64_t app_id, bool make);
void fetch_soon(struct fetch *t, int64_t delay_ms);
void fetch_free(struct fetch *t);
/* delay for the nth failure in a row, with jitter; and any delay with a fifth of it. */
int64_t follow_backoff(struct follow *f, int64_t failures);
int64_t follow_jitter(struct follow *f, int64_t ms);

/* status.c. Each kind of work has a pause of its own: who may not set a status may yet make a hook.
 */
#define PAUSE_STATUS "status"
#define PAUSE_HOOK "hook"
struct forge_pause *pause_find(struct follow *f, int64_t forge_id, const char *work);
/* What an answer of a forge means for the next question. True: it is an answer about this question
 * (good, or it will never be); false: ask again after the pause. */
bool pause_answer(struct follow *f, struct forge_pause *p, const json_t *ok,
                  const struct err *error);
void status_resume(struct follow *f); /* what the rows say now, and what is not told yet */
void status_event(struct follow *f, const char *topic, int64_t app_env_id, const json_t *data);

/* webhook.c */
void webhook_ask(struct follow *f, int64_t app_id);
