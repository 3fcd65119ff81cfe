/* Lookups in checked state tables, and the checks themselves. Tables have tens of rows, so a linear
 * search is the whole index. */
#include "base/sm.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"

static const struct sm_row *sm_find(const struct sm *sm, int from, int event)
{
    for (size_t i = 0; i < sm->row_count; i++)
        if (sm->rows[i].from == from && sm->rows[i].event == event)
            return &sm->rows[i];
    return NULL;
}

static const char *sm_event_name(const struct sm *sm, int event)
{
    return event >= 0 && (size_t)event < sm->event_count ? sm->event_names[event] : "?";
}

int sm_next(const struct sm *sm, int from, int event, int *ret_to)
{
    check_step(sm->name, sm_state_name(sm, from), sm_event_name(sm, event));
    const struct sm_row *row = sm_find(sm, from, event);
    if (!row)
        return SM_REFUSED;
    *ret_to = row->to;
    return 0;
}

int sm_next_checked(const struct sm *sm, int from, int event, int *ret_to, struct err *err)
{
    if (sm_next(sm, from, event, ret_to) == SM_REFUSED)
        return FAIL(err, E_STATE_CONFLICT, "%s is '%s': cannot '%s'", sm->name,
                    sm_state_name(sm, from), sm_event_name(sm, event));
    return 0;
}

const char *sm_state_name(const struct sm *sm, int state)
{
    return state >= 0 && (size_t)state < sm->state_count ? sm->state_names[state] : "?";
}

int sm_state_from_name(const struct sm *sm, const char *name, int *ret_state, struct err *err)
{
    for (size_t i = 0; i < sm->state_count; i++)
        if (text_is(sm->state_names[i], name)) {
            *ret_state = (int)i;
            return 0;
        }
    return FAIL(err, E_CORRUPT, "%s has no state '%s'", sm->name, name ? name : "");
}

static int sm_check_names(const struct sm *sm, const char *what, const char *const *names,
                          size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!names[i] || !names[i][0])
            return FAIL(err, E_INTERNAL, "%s: %s %zu has no name", sm->name, what, i);
        for (size_t j = 0; j < i; j++)
            if (text_is(names[i], names[j]))
                return FAIL(err, E_INTERNAL, "%s: two of %s are called '%s'", sm->name, what,
                            names[i]);
    }
    return 0;
}

static bool sm_in(int value, size_t count)
{
    return value >= 0 && (size_t)value < count;
}

static int sm_check_rows(const struct sm *sm, struct err *err)
{
    for (size_t i = 0; i < sm->row_count; i++) {
        const struct sm_row *row = &sm->rows[i];
        if (!sm_in(row->from, sm->state_count) || !sm_in(row->to, sm->state_count) ||
            !sm_in(row->event, sm->event_count))
            return FAIL(err, E_INTERNAL, "%s: row %zu names what does not exist", sm->name, i);
        if (sm_find(sm, row->from, row->event) != row)
            return FAIL(err, E_INTERNAL, "%s: '%s' is listed twice in '%s'", sm->name,
                        sm->event_names[row->event], sm->state_names[row->from]);
    }
    return 0;
}

static int sm_check_reachable(const struct sm *sm, struct err *err)
{
    AUTO_FREE bool *reached = mem_array(sm->state_count, sizeof(*reached));
    reached[sm->initial] = true;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < sm->row_count; i++)
            if (reached[sm->rows[i].from] && !reached[sm->rows[i].to])
                changed = reached[sm->rows[i].to] = true;
    }
    for (size_t i = 0; i < sm->state_count; i++)
        if (!reached[i])
            return FAIL(err, E_INTERNAL, "%s: nothing leads to '%s'", sm->name, sm->state_names[i]);
    return 0;
}

int sm_check(const struct sm *sm, struct err *err)
{
    if (!sm->name || !sm->name[0])
        return FAIL(err, E_INTERNAL, "a state machine has no name");
    if (sm_check_names(sm, "states", sm->state_names, sm->state_count, err) < 0 ||
        sm_check_names(sm, "events", sm->event_names, sm->event_count, err) < 0)
        return -1;
    if (!sm_in(sm->initial, sm->state_count))
        return FAIL(err, E_INTERNAL, "%s: the initial state does not exist", sm->name);
    if (sm_check_rows(sm, err) < 0)
        return -1;
    return sm_check_reachable(sm, err);
}

int sm_is_final(const struct sm *sm, int state)
{
    for (size_t i = 0; i < sm->row_count; i++)
        if (sm->rows[i].from == state)
            return 0;
    return 1;
}

int sm_dot(const struct sm *sm, struct buf *out)
{
    (void)buf_add_format(out, "digraph %s {\n    rankdir=LR;\n    node [shape=box];\n", sm->name);
    for (size_t i = 0; i < sm->state_count; i++) {
        const char *look = (int)i == sm->initial     ? " [style=bold]"
                           : sm_is_final(sm, (int)i) ? " [peripheries=2]"
                                                     : "";
        (void)buf_add_format(out, "    \"%s\"%s;\n", sm->state_names[i], look);
    }
    for (size_t i = 0; i < sm->row_count; i++)
        (void)buf_add_format(out, "    \"%s\" -> \"%s\" [label=\"%s\"];\n",
                             sm_state_name(sm, sm->rows[i].from), sm_state_name(sm, sm->rows[i].to),
                             sm_event_name(sm, sm->rows[i].event));
    (void)buf_add_text(out, "}\n");
    return out->failed ? -1 : 0;
}
