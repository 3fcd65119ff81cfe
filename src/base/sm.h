/* Checked state tables. A machine is data: rows (from, event, to); what is not listed is refused.
 * The table is validated by sm_check (unit tests) and drawn by sm_dot (tools/docs). Any thread. */
#pragma once
#include <stddef.h>
#include "base/buf.h"
#include "base/err.h"

struct sm_row {
    int from;
    int event;
    int to;
};
struct sm {
    const char *name;
    const char *const *state_names; /* indexed by state, no NULL */
    size_t state_count;
    const char *const *event_names;
    size_t event_count;
    const struct sm_row *rows;
    size_t row_count;
    int initial;
};
/* 0 and *ret_to; SM_REFUSED when the pair is not listed. Pure, but that a panic
 * names the last steps. */
#define SM_REFUSED 1
int sm_next(const struct sm *sm, int from, int event, int *ret_to) MUST_CHECK;
/* As above, but a refusal is E_STATE_CONFLICT ("rollout is 'done': cannot 'cancel'"). */
int sm_next_checked(const struct sm *sm, int from, int event, int *ret_to,
                    struct err *err) MUST_CHECK;
const char *sm_state_name(const struct sm *sm, int state);
/* The state with that name; -1 with E_CORRUPT when there is none. */
int sm_state_from_name(const struct sm *sm, const char *name, int *ret_state,
                       struct err *err) MUST_CHECK;
/* Names set, no duplicate (from, event), every state reachable from the initial one. */
int sm_check(const struct sm *sm, struct err *err) MUST_CHECK;
/* A state without rows of its own. */
int sm_is_final(const struct sm *sm, int state);
int sm_dot(const struct sm *sm, struct buf *out); /* Graphviz text */
