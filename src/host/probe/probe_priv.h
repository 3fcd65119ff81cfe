/* What goes over the socketpair (SOCK_SEQPACKET, one struct a packet; both ends are this binary),
 * and the pure parts of the child. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_FD 3
#define PROBE_PATH_MAX 1024
#define PROBE_TEXT_MAX 48
#define PROBE_ANSWER_BYTES 512 /* of a response, at most */

enum probe_operation { PROBE_WATCH = 1, PROBE_FORGET };
struct probe_order {
    uint32_t operation;
    uint32_t id;
    uint32_t address;
    uint32_t port;
    uint32_t interval_ms;
    uint32_t timeout_ms;
    uint32_t liveness_ms;
    char path[PROBE_PATH_MAX]; /* NUL-terminated */
};
struct probe_answer {
    uint32_t id;
    uint32_t ready;
    char text[PROBE_TEXT_MAX];
};

/* The status of a response that begins with these bytes; 0: not enough yet; -1: no HTTP. */
int probe_status(const char *bytes, size_t length);

/* What one result does to a target. Pure. */
enum probe_health { PROBE_NEW, PROBE_READY, PROBE_FAILING, PROBE_UNREADY };
struct probe_state {
    enum probe_health health;
    uint32_t delay_ms; /* until the next probe */
    bool tell;         /* the host must hear of it */
    uint32_t usual_ms; /* how long a good answer takes: the slowest of late, forgotten by and by */
};
enum probe_result { PROBE_GOOD, PROBE_BAD, PROBE_LATE };
void probe_next(struct probe_state *state, enum probe_result result, uint32_t interval_ms,
                uint32_t liveness_ms);
/* A good answer took so long. */
void probe_took(struct probe_state *state, uint32_t took_ms);
/* How long the next one may take. */
uint32_t probe_patience(const struct probe_state *state, uint32_t timeout_ms);
