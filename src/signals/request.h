/* The edge's request lines (wire/edge_log.h): read in batches from the datagram socket, counted,
 * and kept. Loop thread. */
#pragma once
#include "base/str.h"
#include "signals/app_env.h"
#include "wire/edge_log.h"

struct request_line {
    struct str fields[EDGE_LOG_FIELD_COUNT];
    int64_t at_us;
    int64_t took_us;
    int64_t status;
    int64_t bytes;
    bool error; /* 5xx, or lost by the edge or the app */
};
/* False: not a line of ours. */
bool request_scan(struct str line, struct request_line *ret_line);
/* Scan, count and keep one. */
void request_take(struct str line);
/* The text kept in the ring is the line from its BACKEND field on. */
bool request_scan_kept(struct str text, struct request_line *ret_line);

void request_start(int fd, void (*on_fresh)(void)); /* the fd stays the caller's */
void request_stop(void);
struct request_totals {
    int64_t lines;
    int64_t foreign; /* HAProxy's own messages and other text */
    int64_t batches;
};
const struct request_totals *request_totals(void);
