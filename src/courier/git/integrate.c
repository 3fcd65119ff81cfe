/* integrate: trunk's tip and the tips of the ticked branches become one commit.
 *
 * Each branch is merged onto the result of those before it by `git merge-tree` (no work tree), and
 * the merge commit is written by us: author and committer are fixed, its date is that of the newest
 * input so far, so equal inputs give an equal commit. A branch whose tip is already contained is
 * skipped. New objects go to a quarantine; when all is merged they move into the repository as one
 * fsynced pack.
 *
 * Resolutions that can be used here are merged first, as branches are; one that conflicts is left
 * out, whatever the policy says.
 *
 * At a conflict the policy decides: `stop` ends there, and says against whom (explain.c); `skip`
 * leaves the branch out and goes on; `last-good` tries the tip that was merged the last time before
 * it does so.
 *
 * What was merged is remembered in the app's cache by (result so far, tip, name), and after a
 * conflict the quarantine too: asking again with one branch left out or moved repeats only what
 * comes after it. Remembered commits are used when the last of them still exists. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "courier/git/conflict.h"
#include "courier/git/resolution.h"

#define QUARANTINE_KEY "quarantine" /* in the cache: its path */

enum policy { POLICY_STOP, POLICY_SKIP, POLICY_LAST_GOOD };
struct done {
    bool merged; /* a merge commit of its own */
    bool out;    /* it conflicts */
};
struct memo { /* a step of the chain done earlier */
    struct chain chain;
    bool merged;
};
struct integration {
    struct map *cache; /* may be NULL */
    struct merger merger;
    struct merger explainer;      /* what it makes is not kept; begun when it is needed */
    struct tick ticks[STEPS_MAX]; /* the resolutions that can be used, then the branches */
    struct done done[STEPS_MAX];
    size_t count;
    json_t *resolutions; /* and what became of them */
    enum policy policy;
    const char *trunk, *base;
    json_t *out;        /* those left out, and why */
    struct chain start; /* trunk alone */
    struct chain chain;
    int64_t merged;
    size_t next;  /* the branch whose turn it is */
    bool changed; /* the quarantine holds something to keep */
};

static int parse_policy(const char *name, enum policy *ret_policy, struct err *err)
{
    static const char *const names[] = {"stop", "skip", "last-good"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!text_is(name ? name : "stop", names[i]))
            continue;
        *ret_policy = (enum policy)i;
        return 0;
    }
    return FAIL(err, E_FIELD_INVALID, "'%.40s' is no policy: stop, skip or last-good", name);
}

static int parse_input(struct integration *in, const json_t *args, struct err *err)
{
    in->trunk = json_text(args, "trunk");
    in->base = json_text(args, "base");
    if (repo_check_branch(in->trunk, err) < 0 || repo_check_commit(in->base, "the base", err) < 0)
        return -1;
    return ticks_parse(json_list(args, "ticks"), in->ticks, &in->count, err) < 0
               ? -1
               : parse_policy(json_text(args, "policy"), &in->policy, err);
}

/* --- what is remembered --------------------------------------------------------------------- */

static char *memo_key(const struct integration *in, const char *tip, const struct tick *t)
{
    return mem_format("merge %s %s %s %s", tip, t->tip, t->branch, in->trunk);
}

static void memo_keep(struct integration *in, const char *key, bool merged)
{
    struct memo *m = mem_alloc(sizeof(*m));
    *m = (struct memo){in->chain, merged};
    m->chain.trunk = NULL; /* the request's */
    git_cache_put(in->cache, key, m);
}

static void note_done(struct integration *in, bool merged)
{
    in->done[in->next++].merged = merged;
    in->merged += merged;
}

/* Go as far as we have been before. */
static void memo_walk(struct integration *in)
{
    (void)snprintf(in->chain.tip, GIT_OID, "%s", in->base);
    while (in->cache && in->next < in->count) {
        AUTO_FREE char *key = memo_key(in, in->chain.tip, &in->ticks[in->next]);
        const struct memo *m = map_get(in->cache, key);
        if (!m)
            return;
        in->chain = m->chain;
        in->chain.trunk = in->trunk;
        note_done(in, m->merged);
    }
}

/* Do all inputs exist, and how old are they? Remembered commits may be gone (a sweep, or upkeep
 * dropped what no ref reaches): then from the start, without what was remembered. */
static int read_inputs(struct integration *in, const json_t *args, struct err *err)
{
    struct resolutions_ask resolutions = {&in->merger, in->cache, json_list(args, "resolutions"),
                                          in->base};
    struct repo_commit base;
    struct ticks_ask ask = {in->merger.dir, in->trunk, in->base, in->merger.quarantine, NULL};
    if (resolutions_put(&resolutions, in->ticks, &in->count, &in->resolutions, err) < 0)
        return -1;
    memo_walk(in);
    ask.also = in->chain.tip;
    int r = ticks_read(&ask, in->ticks, in->count, &base, err);
    if (r == REPO_ABSENT) {
        git_cache_clear(in->cache);
        in->next = 0;
        in->merged = 0;
    }
    if (r < 0)
        return -1;
    chain_begin(&in->start, in->trunk, in->base, &base);
    if (in->next == 0)
        in->chain = in->start;
    return 0;
}

/* The one that a conflict left, or a fresh one. */
static int take_quarantine(struct integration *in, const char *dir, const struct git_store *store,
                           struct err *err)
{
    char *kept = in->cache ? map_remove(in->cache, QUARANTINE_KEY) : NULL;
    /* Touched, so that no sweep takes it meanwhile. */
    in->changed = kept && utimensat(AT_FDCWD, kept, NULL, 0) == 0;
    if (!in->changed) {
        free(kept);
        kept = NULL;
    }
    return merger_init(&in->merger, dir, store, kept, err);
}

#define CONFLICT 1
static int merge_next(struct integration *in, struct merge_answer *answer, struct err *err)
{
    const struct tick *t = &in->ticks[in->next];
    AUTO_FREE char *key = memo_key(in, in->chain.tip, t);
    int r = chain_add(&in->chain, &in->merger, t, answer, err);
    if (r < 0 || r == CHAIN_CONFLICT)
        return r < 0 ? -1 : CONFLICT;
    in->changed |= r != CHAIN_CONTAINED;
    memo_keep(in, key, r != CHAIN_CONTAINED);
    note_done(in, r != CHAIN_CONTAINED);
    return 0;
}

/* --- conflicts ------------------------------------------------------------------------------ */

static void conflict_text(struct buf *text, const struct tick *t, const json_t *why,
                          const struct merge_answer *answer)
{
    const json_t *against = json_list(why, "against");
    size_t count = json_array_size(against);
    const char *first = json_string_value(json_array_get(answer->files, 0));
    (void)buf_add_format(text, "'%s' cannot be merged", t->branch);
    for (size_t i = 0; i < count; i++)
        (void)buf_add_format(text, "%s'%s'", i ? ", " : ": it conflicts with ",
                             json_string_value(json_array_get(against, i)));
    if (text_is(json_text(why, "why"), "together"))
        (void)buf_add_text(text, count ? " together" : " together with those before it");
    if (first)
        (void)buf_add_format(text, " in '%s'", first);
    if (answer->file_count > 1)
        (void)buf_add_format(text, " and %zu more files", answer->file_count - 1);
    struct str said = buf_str(&answer->text);
    while (said.length > 0 && said.data[said.length - 1] == '\n')
        said.length--;
    if (said.length > 0)
        (void)buf_add_format(text, "\n%.*s", (int)said.length, said.data);
}

static json_t *explain_next(struct integration *in)
{
    struct pairs pairs = {.merger = &in->explainer, .cache = in->cache};
    bool joined[STEPS_MAX];
    struct err err = ERR_INIT;
    json_t *why = NULL;
    for (size_t i = 0; i < in->next; i++)
        joined[i] = in->done[i].merged;
    struct explain x = {.pairs = &pairs,
                        .base = in->base,
                        .start = &in->start,
                        .ticks = in->ticks,
                        .in = joined,
                        .count = in->count,
                        .k = in->next};
    if ((in->explainer.quarantine ||
         merger_init(&in->explainer, in->merger.dir, in->merger.store, NULL, &err) == 0) &&
        explain(&x, &why, &err) == 0)
        return why;
    /* the conflict stands; only its explanation is missing */
    log_warn("cannot tell whom a branch conflicts with, answering without", F_ERR(&err));
    return json_object();
}

static json_t *conflict_row(struct integration *in, const struct merge_answer *answer)
{
    AUTO_BUF text = BUF_INIT(64u << 10);
    AUTO_JSON *why = explain_next(in);
    const struct tick *t = &in->ticks[in->next];
    conflict_text(&text, t, why, answer);
    json_t *conflict = json_object();
    json_put_text(conflict, "branch", t->branch);
    json_put_text(conflict, "why", json_text_or(why, "why", "unknown"));
    json_put(conflict, "against", json_deep_copy(json_list(why, "against")));
    json_put(conflict, "files", json_incref(answer->files));
    json_put_str(conflict, "text", buf_str(&text));
    return conflict;
}

/* The tip that was merged the last time, when it still exists and is another one. */
static bool try_last_good(struct integration *in)
{
    struct tick t = in->ticks[in->next];
    struct repo_commit base;
    struct err ignored = ERR_INIT;
    struct ticks_ask ask = {in->merger.dir, in->trunk, in->base, NULL, NULL};
    AUTO_MERGE answer = {0};
    if (in->policy != POLICY_LAST_GOOD || !t.good || text_is(t.good, t.tip))
        return false;
    t.tip = t.good;
    if (ticks_read(&ask, &t, 1, &base, &ignored) < 0)
        return false;
    int r = chain_add(&in->chain, &in->merger, &t, &answer, &ignored);
    if (r < 0 || r == CHAIN_CONFLICT)
        return false;
    in->ticks[in->next] = t;
    in->changed |= r != CHAIN_CONTAINED;
    note_done(in, r != CHAIN_CONTAINED);
    return true;
}

static json_t *conflict_reply(struct integration *in, const struct merge_answer *answer)
{
    json_t *reply = json_object();
    json_put(reply, "conflict", conflict_row(in, answer));
    return reply;
}

/* A branch of which a resolution has brought an older commit is in at that one, and without what is
 * new. */
static bool is_in_by_resolution(struct integration *in)
{
    struct tick *t = &in->ticks[in->next];
    for (size_t i = 0; i < in->next; i++) {
        const json_t *sides = in->ticks[i].sides;
        if (!in->done[i].merged || !tick_resolves(&in->ticks[i], t->branch))
            continue;
        for (size_t k = 0; k < json_array_size(sides); k++)
            if (text_is(json_text(json_array_get(sides, k), "branch"), t->branch))
                t->tip = json_text(json_array_get(sides, k), "tip");
        return true;
    }
    return false;
}

static void leave_out(struct integration *in, const struct merge_answer *answer)
{
    const struct tick *t = &in->ticks[in->next];
    json_t *row = conflict_row(in, answer);
    json_put_text(row, "tip", t->tip);
    if (t->sides)
        resolution_conflicts(in->resolutions, t->branch, row);
    else
        json_push(in->out, json_incref(row));
    json_decref(row);
    in->done[in->next].out = !is_in_by_resolution(in);
    note_done(in, false);
}

/* --- the reply ------------------------------------------------------------------------------ */

/* What is in, at the tips that are in. */
static json_t *ticks_of(const struct integration *in)
{
    json_t *ticks = json_array();
    for (size_t i = 0; i < in->count; i++) {
        if (in->done[i].out || in->ticks[i].sides)
            continue;
        json_t *tick = json_object();
        json_put_text(tick, "branch", in->ticks[i].branch);
        json_put_text(tick, "tip", in->ticks[i].tip);
        json_push(ticks, tick);
    }
    return ticks;
}

static json_t *merged_json(const struct integration *in, int64_t started_us)
{
    json_t *reply = json_object();
    json_t *skipped = json_array();
    for (size_t i = 0; i < in->count; i++)
        if (!in->done[i].merged && !in->done[i].out && !in->ticks[i].sides &&
            !resolution_used(in->resolutions, in->ticks[i].branch))
            json_push(skipped, json_str_value(str_of(in->ticks[i].branch)));
    json_put_text(reply, "commit", in->chain.tip);
    json_put_text(reply, "tree", in->chain.tree);
    json_put_int(reply, "merged", in->merged);
    json_put(reply, "skipped", skipped);
    json_put(reply, "out", json_incref(in->out));
    json_put(reply, "ticks", ticks_of(in));
    json_put(reply, "resolutions", json_incref(in->resolutions));
    json_put_int(reply, "ms", (clock_mono_us() - started_us) / 1000);
    return reply;
}

static int merge_all(struct integration *in, json_t **ret_conflict, struct err *err)
{
    while (in->next < in->count) {
        AUTO_MERGE answer = {0};
        int r = merge_next(in, &answer, err);
        if (r < 0)
            return err_wrap(err, "cannot merge '%s'", in->ticks[in->next].branch);
        if (r == CONFLICT && in->policy == POLICY_STOP && !in->ticks[in->next].sides) {
            *ret_conflict = conflict_reply(in, &answer);
            return 0;
        }
        if (r == CONFLICT && !try_last_good(in))
            leave_out(in, &answer);
    }
    return 0;
}

static int integrate(struct integration *in, const json_t *args, json_t **ret_reply,
                     struct err *err)
{
    AUTO_JSON *conflict = NULL;
    int64_t started_us = clock_mono_us();
    if (read_inputs(in, args, err) < 0 || merge_all(in, &conflict, err) < 0)
        return -1;
    if (conflict && in->cache)
        (void)map_put(in->cache, QUARANTINE_KEY, TAKE(in->merger.quarantine)); /* none is there */
    else if (in->changed && merger_keep(&in->merger, err) < 0)
        return -1;
    *ret_reply = conflict ? TAKE(conflict) : merged_json(in, started_us);
    return 0;
}

int git_integrate(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    if (repo_open(ask, &dir, err) < 0)
        return -1;
    struct integration *in = mem_alloc(sizeof(*in));
    in->cache = ask->cache;
    in->out = json_array();
    int result = parse_input(in, ask->args, err);
    if (result == 0)
        result = take_quarantine(in, dir, ask->store, err);
    if (result == 0)
        result = integrate(in, ask->args, ret_reply, err);
    merger_done(&in->merger);
    merger_done(&in->explainer);
    json_decref(in->out);
    json_decref(in->resolutions);
    free(in);
    return result;
}
