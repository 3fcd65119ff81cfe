/* Why a branch cannot join the others. A chain is the judge; this says whom to talk to. */
#include <stdio.h>
#include "base/json.h"
#include "base/str.h"
#include "courier/git/conflict.h"

static int with_trunk(const struct explain *x, bool *ret_conflicts, struct err *err)
{
    bool clean = false;
    if (pairs_clean(x->pairs, x->base, x->ticks[x->k].tip, &clean, err) < 0)
        return -1;
    *ret_conflicts = !clean;
    return 0;
}

/* Each once, and never the branch itself. */
static void push_name(const struct explain *x, json_t *against, const char *name)
{
    for (size_t i = 0; i < json_array_size(against); i++)
        if (text_is(json_string_value(json_array_get(against, i)), name))
            return;
    if (!text_is(x->ticks[x->k].branch, name))
        json_push(against, json_string(name));
}

/* Of a resolution, its branches: nobody has ticked it. Those that conflict alone, or else all. */
static int blame_sides(const struct explain *x, const struct tick *resolution, json_t *against,
                       struct err *err)
{
    size_t before = json_array_size(against);
    for (size_t i = 0; i < x->count; i++) {
        bool clean = true;
        if (i == x->k || !tick_resolves(resolution, x->ticks[i].branch))
            continue;
        if (pairs_clean(x->pairs, x->ticks[i].tip, x->ticks[x->k].tip, &clean, err) < 0)
            return -1;
        if (!clean)
            push_name(x, against, x->ticks[i].branch);
    }
    if (json_array_size(against) > before)
        return 0;
    for (size_t i = 0; i < json_array_size(resolution->sides); i++)
        push_name(x, against, json_text(json_array_get(resolution->sides, i), "branch"));
    return 0;
}

static int blame(const struct explain *x, size_t i, json_t *against, struct err *err)
{
    if (x->ticks[i].sides)
        return blame_sides(x, &x->ticks[i], against, err);
    push_name(x, against, x->ticks[i].branch);
    return 0;
}

static int with_pairs(const struct explain *x, json_t *against, struct err *err)
{
    for (size_t i = 0; i < x->k; i++) {
        bool clean = false;
        if (!x->in[i])
            continue;
        if (pairs_clean(x->pairs, x->ticks[i].tip, x->ticks[x->k].tip, &clean, err) < 0)
            return -1;
        if (!clean && blame(x, i, against, err) < 0)
            return -1;
    }
    return 0;
}

/* --- together ------------------------------------------------------------------------------- */

struct search {
    const struct explain *x;
    size_t chosen[STEPS_MAX]; /* members of the set found so far */
    size_t count;
    struct chain chain;
};

static int conflicts_now(struct search *s, bool *ret_conflicts, struct err *err)
{
    AUTO_MERGE answer = {0};
    if (merger_ask(s->x->pairs->merger, s->chain.tip, s->x->ticks[s->x->k].tip, &answer, err) < 0)
        return -1;
    *ret_conflicts = !answer.clean;
    return 0;
}

#define JOINS 0
#define JOINS_NOT 1
static int join(struct search *s, size_t member, struct err *err)
{
    AUTO_MERGE answer = {0};
    int r = chain_add(&s->chain, s->x->pairs->merger, &s->x->ticks[member], &answer, err);
    return r < 0 ? -1 : r == CHAIN_CONFLICT ? JOINS_NOT : JOINS;
}

/* The chain of trunk and the chosen ones alone. NOBODY: they do not merge without the others, so
 * nothing can be said of them. */
#define NOBODY 1
static int start_chain(struct search *s, struct err *err)
{
    s->chain = *s->x->start;
    for (size_t i = 0; i < s->count; i++) {
        int r = join(s, s->chosen[i], err);
        if (r != JOINS)
            return r < 0 ? -1 : NOBODY;
    }
    return 0;
}

static bool is_chosen(const struct search *s, size_t member)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->chosen[i] == member)
            return true;
    return false;
}

/* Add the others one by one until it conflicts: who completes it is chosen. */
static int choose(struct search *s, struct err *err)
{
    for (size_t i = 0; i < s->x->k; i++) {
        bool conflicts = false;
        if (!s->x->in[i] || is_chosen(s, i))
            continue;
        int r = join(s, i, err);
        if (r < 0 || (r == JOINS && conflicts_now(s, &conflicts, err) < 0))
            return -1;
        if (!conflicts)
            continue;
        s->chosen[s->count++] = i;
        return 0;
    }
    return NOBODY;
}

/* Each round finds one member that the others found so far need; with it before all others, fewer
 * of these are needed the next time. Ends when the chosen ones alone conflict with it. */
static int together(const struct explain *x, json_t *against, struct err *err)
{
    struct search *s = mem_alloc(sizeof(*s));
    bool conflicts = false;
    int r = 0;
    s->x = x;
    while (r == 0) {
        r = start_chain(s, err);
        if (r == 0)
            r = conflicts_now(s, &conflicts, err);
        if (r != 0 || conflicts)
            break;
        r = choose(s, err);
    }
    for (size_t i = 0; r >= 0 && conflicts && i < s->count; i++)
        if (blame(x, s->chosen[i], against, err) < 0)
            r = -1;
    free(s);
    return r < 0 ? -1 : 0;
}

int explain(const struct explain *x, json_t **ret_why, struct err *err)
{
    AUTO_JSON *reply = json_object();
    json_t *against = json_array();
    const char *why = "trunk";
    bool trunk = false;
    json_put(reply, "against", against);
    if (with_trunk(x, &trunk, err) < 0)
        return -1;
    if (trunk) {
        json_push(against, json_string(x->start->trunk));
    } else {
        why = "pair";
        if (with_pairs(x, against, err) < 0)
            return -1;
        if (json_array_size(against) == 0) {
            why = "together";
            if (together(x, against, err) < 0)
                return -1;
        }
    }
    json_put_text(reply, "why", why);
    *ret_why = TAKE(reply);
    return 0;
}
