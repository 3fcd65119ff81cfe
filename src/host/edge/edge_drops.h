/* Lines of the request log that HAProxy could not send, by time: its counter only grows while one
 * process runs and begins anew with the next, and what was lost long ago needs nobody. Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define EDGE_DROPS_MS (5 * 60000) /* how far back "lately" reaches */
#define EDGE_DROPS_KEPT 16

struct edge_drops {
    bool known; /* there was a look before: the counter's past is past */
    int64_t seen;
    struct {
        int64_t at_ms; /* mono */
        int64_t count;
    } kept[EDGE_DROPS_KEPT];
    unsigned next;
};
void edge_drops_note(struct edge_drops *d, int64_t counter, int64_t now_ms);
int64_t edge_drops_lately(const struct edge_drops *d, int64_t now_ms);
