/* merge.facts: what is to be known of a set of branches before anybody clicks: which of them merge
 * onto trunk one after the other and why the others do not, who conflicts with whom, with trunk and
 * with what the last env runs, since which commits, and whom leaving one out would let in.
 *
 * The pairs depend on two commits each and are remembered, so after a push only the row of the
 * branch that moved is asked anew. Nothing is kept in the repository. */
#include <pthread.h>
#include <stdio.h>
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "courier/git/conflict.h"
#include "courier/git/resolution.h"

#define PAIRS_MAX 300   /* conflicting pairs that are told; the rest is counted */
#define LEFT_OUT_MAX 12 /* branches of which it is tried what leaving them out would free */

enum joined { JOINED, JOINED_BEFORE /* contained */, LEFT_OUT };
struct set {
    struct chain chain;
    enum joined joined[STEPS_MAX];
};
struct memo { /* one step of a chain */
    struct chain chain;
    enum joined joined;
};
struct facts {
    struct pairs pairs;
    struct merger merger;
    struct tick ticks[STEPS_MAX];    /* the resolutions that can be used, then the branches */
    size_t first, count;             /* the first branch; all */
    json_t *resolutions;             /* and what became of them */
    const char *trunk, *base, *live; /* live: NULL: nothing runs there */
    struct chain start;
    struct set set;
    struct map memo;         /* "TIP TIP BRANCH" -> struct memo, owned */
    const struct map *known; /* of the set itself, while two look at others; else NULL */
    json_t *reply;
};

/* --- who merges ----------------------------------------------------------------------------- */

static int join(struct facts *f, struct chain *c, const struct tick *t, enum joined *ret_joined,
                struct err *err)
{
    static const enum joined kinds[] = {
        [0] = JOINED, [CHAIN_CONTAINED] = JOINED_BEFORE, [CHAIN_CONFLICT] = LEFT_OUT};
    AUTO_FREE char *key = mem_format("%s %s %s", c->tip, t->tip, t->branch);
    AUTO_MERGE answer = {0};
    struct memo *m = f->known ? map_get(f->known, key) : NULL;
    if (!m)
        m = map_get(&f->memo, key);
    if (!m) {
        f->pairs.asked++;
        int r = chain_add(c, &f->merger, t, &answer, err);
        if (r < 0)
            return -1;
        m = mem_alloc(sizeof(*m));
        *m = (struct memo){*c, kinds[r]};
        (void)map_put(&f->memo, key, m);
    }
    *c = m->chain;
    *ret_joined = m->joined;
    return 0;
}

/* One after the other; who conflicts is left out, as is the branch `without` (count: none), and
 * with it the resolutions of what it conflicts with. */
static int make_set(struct facts *f, size_t without, struct set *ret_set, struct err *err)
{
    ret_set->chain = f->start;
    for (size_t i = 0; i < f->count; i++) {
        ret_set->joined[i] = LEFT_OUT;
        bool absent = i == without ||
                      (without < f->count && tick_resolves(&f->ticks[i], f->ticks[without].branch));
        if (!absent && join(f, &ret_set->chain, &f->ticks[i], &ret_set->joined[i], err) < 0)
            return err_wrap(err, "cannot merge '%s'", f->ticks[i].branch);
    }
    return 0;
}

/* A branch that a resolution has brought is in by it. */
static enum joined joined_as(const struct facts *f, size_t i)
{
    bool by = resolution_used(f->resolutions, f->ticks[i].branch);
    return by && f->set.joined[i] == JOINED_BEFORE ? JOINED : f->set.joined[i];
}

static json_t *names_of(const struct facts *f, enum joined joined)
{
    json_t *names = json_array();
    for (size_t i = f->first; i < f->count; i++)
        if (joined_as(f, i) == joined)
            json_push(names, json_string(f->ticks[i].branch));
    return names;
}

static int tell_out(struct facts *f, size_t k, json_t *out, struct err *err)
{
    bool in[STEPS_MAX];
    for (size_t i = 0; i < k; i++)
        in[i] = f->set.joined[i] == JOINED;
    struct explain x = {.pairs = &f->pairs,
                        .base = f->base,
                        .start = &f->start,
                        .ticks = f->ticks,
                        .in = in,
                        .count = f->count,
                        .k = k};
    json_t *row = NULL;
    if (explain(&x, &row, err) < 0)
        return -1;
    json_put_text(row, "branch", f->ticks[k].branch);
    json_put_text(row, "tip", f->ticks[k].tip);
    if (f->ticks[k].sides) {
        resolution_conflicts(f->resolutions, f->ticks[k].branch, row);
        json_decref(row);
    } else {
        json_push(out, row);
    }
    return 0;
}

static int tell_set(struct facts *f, struct err *err)
{
    json_t *out = json_array();
    json_put(f->reply, "out", out);
    if (make_set(f, f->count, &f->set, err) < 0)
        return -1;
    for (size_t k = 0; k < f->count; k++)
        if (f->set.joined[k] == LEFT_OUT && tell_out(f, k, out, err) < 0)
            return -1;
    json_put(f->reply, "in", names_of(f, JOINED));
    json_put(f->reply, "contained", names_of(f, JOINED_BEFORE));
    json_put_text(f->reply, "tree", f->set.chain.tree);
    return 0;
}

/* --- whom leaving one out would free -------------------------------------------------------- */

static bool is_blamed(const json_t *out, const char *branch)
{
    size_t i, j;
    json_t *row, *name;
    json_array_foreach((json_t *)out, i, row)
    {
        json_array_foreach(json_list(row, "against"), j, name)
        {
            if (text_is(json_string_value(name), branch))
                return true;
        }
    }
    return false;
}

static int frees_of(struct facts *f, size_t k, json_t **ret_row, struct err *err)
{
    struct set other;
    if (make_set(f, k, &other, err) < 0)
        return -1;
    json_t *freed = json_array(), *costs = json_array();
    for (size_t i = f->first; i < f->count; i++) {
        bool was_out = f->set.joined[i] == LEFT_OUT, is_out = other.joined[i] == LEFT_OUT;
        if (i != k && was_out != is_out)
            json_push(was_out ? freed : costs, json_string(f->ticks[i].branch));
    }
    json_t *row = json_object();
    json_put_text(row, "branch", f->ticks[k].branch);
    json_put(row, "frees", freed);
    json_put(row, "costs", costs);
    *ret_row = row;
    return 0;
}

/* They are most of the work after a push, and each is a chain of its own: two look, each at every
 * second one, with a merge-tree of its own. What the set itself came to both know, and change no
 * more. */
struct look {
    struct facts *f;
    const size_t *ks; /* branches */
    json_t **rows;    /* of each of them */
    size_t begin, count;
    int result;
    struct err err;
};

static void *look(void *context)
{
    struct look *l = context;
    for (size_t i = l->begin; i < l->count && l->result == 0; i += 2)
        l->result = frees_of(l->f, l->ks[i], &l->rows[i], &l->err);
    return NULL;
}

/* The same facts with a merge-tree and a memory of its own; the quarantine is shared. */
static struct facts *second(struct facts *f)
{
    struct facts *other = mem_alloc(sizeof(*other));
    *other = *f;
    other->merger.process = other->merger.reader = NULL;
    other->pairs = (struct pairs){.merger = &other->merger};
    other->known = &f->memo;
    map_init(&other->memo);
    return other;
}

static void second_free(struct facts *other)
{
    git_process_free(other->merger.process);
    git_cache_clear(&other->memo);
    map_done(&other->memo);
    free(other);
}

static int look_by_two(struct facts *f, const size_t *ks, json_t **rows, size_t count,
                       struct err *err)
{
    struct facts *halves[2] = {second(f), second(f)};
    struct look looks[2] = {{halves[0], ks, rows, 0, count, 0, ERR_INIT},
                            {halves[1], ks, rows, 1, count, 0, ERR_INIT}};
    pthread_t thread;
    /* one of them goes on with the process that is there */
    halves[0]->merger.process = TAKE(f->merger.process);
    bool two = count > 1 && pthread_create(&thread, NULL, look, &looks[1]) == 0;
    (void)look(&looks[0]);
    if (two)
        (void)pthread_join(thread, NULL); /* it is there, and not us */
    else
        (void)look(&looks[1]);
    for (size_t i = 0; i < 2; i++) {
        f->pairs.asked += halves[i]->pairs.asked;
        second_free(halves[i]);
    }
    const struct look *bad = looks[0].result < 0 ? &looks[0] : &looks[1];
    if (bad->result < 0)
        *err = bad->err;
    return bad->result;
}

static int tell_frees(struct facts *f, struct err *err)
{
    const json_t *out = json_list(f->reply, "out");
    json_t *frees = json_array(), *rows[LEFT_OUT_MAX] = {NULL};
    size_t ks[LEFT_OUT_MAX], count = 0;
    json_put(f->reply, "frees", frees);
    for (size_t k = f->first; k < f->count && count < LEFT_OUT_MAX; k++)
        if (joined_as(f, k) == JOINED && is_blamed(out, f->ticks[k].branch))
            ks[count++] = k;
    int result = count ? look_by_two(f, ks, rows, count, err) : 0;
    for (size_t i = 0; i < count; i++) {
        if (result == 0)
            json_push(frees, TAKE(rows[i]));
        json_decref(rows[i]);
    }
    return result;
}

/* --- pairs ---------------------------------------------------------------------------------- */

/* Where it began is nice to have: a history that cannot be told leaves it empty. */
static json_t *first_commits(struct facts *f, const char *a, const char *b, const json_t *conflict)
{
    struct err err = ERR_INIT;
    json_t *first = NULL;
    if (text_is(json_text(conflict, "text"), MERGE_NO_HISTORY))
        return json_array();
    if (pairs_origin(&f->pairs, a, b, &first, &err) == 0)
        return first;
    log_warn("cannot tell since when two branches conflict, going on", F_ERR(&err));
    return json_array();
}

/* A row of a conflict of two commits, with where it began; NULL: they merge. */
static int conflict_row(struct facts *f, const char *a, const char *b, json_t **ret_row,
                        struct err *err)
{
    AUTO_JSON *conflict = NULL;
    *ret_row = NULL;
    if (pairs_ask(&f->pairs, a, b, &conflict, err) < 0)
        return -1;
    if (conflict)
        json_put(conflict, "first", first_commits(f, a, b, conflict));
    *ret_row = TAKE(conflict);
    return 0;
}

/* Each branch alone on one commit. */
static int tell_alone(struct facts *f, const char *what, const char *commit, struct err *err)
{
    json_t *rows = json_array();
    json_put(f->reply, what, rows);
    for (size_t i = f->first; commit && i < f->count; i++) {
        json_t *row = NULL;
        if (conflict_row(f, commit, f->ticks[i].tip, &row, err) < 0)
            return -1;
        if (!row)
            continue;
        json_put_text(row, "branch", f->ticks[i].branch);
        json_push(rows, row);
    }
    return 0;
}

static int tell_pairs(struct facts *f, struct err *err)
{
    json_t *rows = json_array();
    int64_t count = 0;
    json_put(f->reply, "pairs", rows);
    for (size_t i = f->first; i < f->count; i++) {
        for (size_t j = i + 1; j < f->count; j++) {
            json_t *row = NULL;
            bool clean = true;
            if (count < PAIRS_MAX
                    ? conflict_row(f, f->ticks[i].tip, f->ticks[j].tip, &row, err) < 0
                    : pairs_clean(&f->pairs, f->ticks[i].tip, f->ticks[j].tip, &clean, err) < 0)
                return -1;
            count += row || !clean;
            if (!row)
                continue;
            json_put_text(row, "a", f->ticks[i].branch);
            json_put_text(row, "b", f->ticks[j].branch);
            json_push(rows, row);
        }
    }
    json_put_int(f->reply, "pair_count", count);
    return 0;
}

/* Which pairs are resolved is known when the set is made. */
static void tell_resolved(const struct facts *f)
{
    size_t i;
    json_t *pair;
    json_array_foreach(json_list(f->reply, "pairs"), i, pair)
        json_put_text(pair, "resolved",
                      resolution_of_pair(f->resolutions, json_text_or(pair, "a", ""),
                                         json_text_or(pair, "b", "")));
}

/* --- the verb ------------------------------------------------------------------------------- */

static int parse_input(struct facts *f, const json_t *args, struct err *err)
{
    f->trunk = json_text(args, "trunk");
    f->base = json_text(args, "base");
    f->live = json_text(args, "live");
    if (repo_check_branch(f->trunk, err) < 0 || repo_check_commit(f->base, "the base", err) < 0 ||
        (f->live && repo_check_commit(f->live, "what is live", err) < 0))
        return -1;
    return ticks_parse(json_list(args, "ticks"), f->ticks, &f->count, err);
}

static int read_inputs(struct facts *f, const json_t *args, struct err *err)
{
    struct resolutions_ask resolutions = {&f->merger, f->pairs.cache,
                                          json_list(args, "resolutions"), f->base};
    struct repo_commit base;
    struct ticks_ask ask = {f->merger.dir, f->trunk, f->base, NULL, f->live};
    size_t branches = f->count;
    if (resolutions_put(&resolutions, f->ticks, &f->count, &f->resolutions, err) < 0)
        return -1;
    f->first = f->count - branches;
    int r = ticks_read(&ask, f->ticks, f->count, &base, err);
    if (r < 0)
        return -1;
    if (r == REPO_ABSENT)
        f->live = NULL; /* its history was pushed over and collected */
    chain_begin(&f->start, f->trunk, f->base, &base);
    return 0;
}

static int tell(struct facts *f, const json_t *args, struct err *err)
{
    int64_t started_us = clock_mono_us();
    /* the pairs first: what they find is remembered, and explains the rest */
    if (read_inputs(f, args, err) < 0 || tell_pairs(f, err) < 0 ||
        tell_alone(f, "trunk", f->base, err) < 0 || tell_alone(f, "live", f->live, err) < 0 ||
        tell_set(f, err) < 0 || tell_frees(f, err) < 0)
        return -1;
    tell_resolved(f);
    json_put(f->reply, "resolutions", json_incref(f->resolutions));
    json_put_int(f->reply, "merges", f->pairs.asked);
    json_put_int(f->reply, "ms", (clock_mono_us() - started_us) / 1000);
    return 0;
}

static void facts_free(struct facts *f)
{
    merger_done(&f->merger);
    git_cache_clear(&f->memo);
    map_done(&f->memo);
    json_decref(f->resolutions);
    json_decref(f->reply);
    free(f);
}

int git_merge_facts(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    if (repo_open(ask, &dir, err) < 0)
        return -1;
    struct facts *f = mem_alloc(sizeof(*f));
    map_init(&f->memo);
    f->reply = json_object();
    f->pairs = (struct pairs){.merger = &f->merger, .cache = ask->cache};
    int result = parse_input(f, ask->args, err);
    if (result == 0)
        result = merger_init(&f->merger, dir, ask->store, NULL, err);
    if (result == 0)
        result = tell(f, ask->args, err);
    if (result == 0)
        *ret_reply = TAKE(f->reply);
    facts_free(f);
    return result;
}
