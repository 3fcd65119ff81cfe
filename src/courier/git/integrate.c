/* integrate: trunk's tip and the tips of the ticked branches become one commit.
 *
 * Each branch is merged onto the result of those before it by `git merge-tree` (no work tree), and
 * the merge commit is written by us: author and committer are fixed, its date is that of the newest
 * input so far, so equal inputs give an equal commit. A branch whose tip is already contained is
 * skipped. New objects go to a quarantine; when all is merged they move into the repository as one
 * fsynced pack.
 *
 * At the first conflict we stop and say against whom: the branch is tried alone against trunk and
 * each branch before it; when no pair conflicts, the smallest prefix of the ticked branches that
 * conflicts names the one that completes it.
 *
 * What was merged is remembered in the app's cache by (result so far, tip, name), and after a
 * conflict the quarantine too: asking again with one branch left out or moved repeats only what
 * comes after it. Remembered commits are used when the last of them still exists. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "courier/git/merge.h"

#define TICKS_MAX 100
#define CACHE_MAX 20000             /* entries of the app's cache */
#define QUARANTINE_KEY "quarantine" /* in the cache: its path */
#define WHO "Slipway <slipway@localhost>"

struct tick {
    const char *branch;
    const char *tip;
    int64_t date;
    bool merged;         /* a merge commit of its own */
    char chain[GIT_OID]; /* the chain's tip after this branch */
};
struct memo { /* a step of the chain done earlier */
    char tip[GIT_OID];
    char tree[GIT_OID];
    int64_t date;
    bool merged;
};
struct integration {
    const char *dir;
    const struct git_store *store;
    struct map *cache; /* may be NULL */
    const char *trunk;
    char *quarantine;          /* an object folder */
    struct git_process *merge; /* the resident merge-tree; NULL: not started */
    struct tick ticks[TICKS_MAX];
    size_t count;
    char base[GIT_OID];
    char tip[GIT_OID];  /* of the chain so far */
    char tree[GIT_OID]; /* its tree */
    int64_t date;       /* the newest of the inputs so far */
    int64_t merged;
    size_t next;  /* the branch whose turn it is */
    bool changed; /* the quarantine holds something to keep */
};

/* --- input ---------------------------------------------------------------------------------- */

static int parse_tick(const json_t *value, struct tick *ret_tick, struct err *err)
{
    static const struct json_field fields[] = {
        {"branch", JSON_FIELD_STRING, true, 1, 200},
        {"tip", JSON_FIELD_STRING, true, 40, 40},
    };
    struct tick t = {0};
    if (!json_is_object(value))
        return FAIL(err, E_FIELD_INVALID, "a tick is no object");
    if (json_check(value, fields, ARRAY_SIZE(fields), err) < 0)
        return -1;
    t.branch = json_text(value, "branch");
    t.tip = json_text(value, "tip");
    if (repo_check_branch(t.branch, err) < 0 || repo_check_commit(t.tip, "the tip", err) < 0)
        return -1;
    *ret_tick = t;
    return 0;
}

static int parse_input(struct integration *in, const json_t *args, struct err *err)
{
    const json_t *ticks = json_list(args, "ticks");
    const char *base = json_text(args, "base");
    in->trunk = json_text(args, "trunk");
    in->count = json_array_size(ticks);
    if (in->count > TICKS_MAX)
        return FAIL(err, E_TOO_MANY, "more than %d branches", TICKS_MAX);
    if (repo_check_branch(in->trunk, err) < 0 || repo_check_commit(base, "the base", err) < 0)
        return -1;
    (void)snprintf(in->base, GIT_OID, "%s", base);
    (void)snprintf(in->tip, GIT_OID, "%s", base);
    for (size_t i = 0; i < in->count; i++)
        if (parse_tick(json_array_get(ticks, i), &in->ticks[i], err) < 0)
            return -1;
    return 0;
}

/* --- what is remembered --------------------------------------------------------------------- */

static char *memo_key(const struct integration *in, const struct tick *t)
{
    return mem_format("merge %s %s %s %s", in->tip, t->tip, t->branch, in->trunk);
}

static void memo_keep(struct integration *in, const char *key, bool merged)
{
    if (!in->cache || in->cache->count >= CACHE_MAX)
        return;
    struct memo *m = mem_alloc(sizeof(*m));
    memcpy(m->tip, in->tip, GIT_OID);
    memcpy(m->tree, in->tree, GIT_OID);
    m->date = in->date;
    m->merged = merged;
    free(map_put(in->cache, key, m));
}

static void step(struct integration *in, struct tick *t, const struct memo *m)
{
    memcpy(in->tip, m->tip, GIT_OID);
    memcpy(in->tree, m->tree, GIT_OID);
    memcpy(t->chain, m->tip, GIT_OID);
    in->date = m->date;
    in->merged += m->merged;
    t->merged = m->merged;
}

/* Go as far as we have been before. */
static void memo_walk(struct integration *in)
{
    for (; in->cache && in->next < in->count; in->next++) {
        struct tick *t = &in->ticks[in->next];
        AUTO_FREE char *key = memo_key(in, t);
        const struct memo *m = map_get(in->cache, key);
        if (!m)
            return;
        step(in, t, m);
    }
}

/* The remembered commits are gone (a sweep, or upkeep dropped what no ref reaches): from the start,
 * without what was remembered. */
static void memo_forget(struct integration *in)
{
    git_cache_clear(in->cache);
    in->next = 0;
    in->merged = 0;
    memcpy(in->tip, in->base, GIT_OID);
    for (size_t i = 0; i < in->count; i++)
        in->ticks[i].merged = false;
}

/* Do all inputs exist, and how old are they? */
static int read_inputs(struct integration *in, struct err *err)
{
    const char *ids[TICKS_MAX + 2] = {in->base};
    struct repo_commit found[TICKS_MAX + 2];
    size_t absent = 0;
    for (size_t i = 0; i < in->count; i++)
        ids[i + 1] = in->ticks[i].tip;
    memo_walk(in);
    ids[in->count + 1] = in->tip;
    int r = repo_commits(in->dir, in->quarantine, ids, in->count + 2, found, &absent, err);
    if (r == REPO_ABSENT && absent == in->count + 1)
        memo_forget(in);
    else if (r == REPO_ABSENT)
        return FAIL(err, E_BRANCH_UNKNOWN, "commit '%s' of '%s' does not exist", ids[absent],
                    absent ? in->ticks[absent - 1].branch : in->trunk);
    if (r < 0)
        return -1;
    if (in->next == 0) {
        in->date = found[0].date;
        memcpy(in->tree, found[0].tree, GIT_OID);
    }
    for (size_t i = 0; i < in->count; i++)
        in->ticks[i].date = found[i + 1].date;
    return 0;
}

/* The one that a conflict left, or a fresh one. */
static int take_quarantine(struct integration *in, struct err *err)
{
    in->quarantine = in->cache ? map_remove(in->cache, QUARANTINE_KEY) : NULL;
    /* Touched, so that no sweep takes it meanwhile. */
    if (in->quarantine && utimensat(AT_FDCWD, in->quarantine, NULL, 0) == 0) {
        in->changed = true;
        return 0;
    }
    free(in->quarantine);
    in->quarantine = repo_fresh_path(in->store->scratch, "merge");
    if (mkdir(in->quarantine, 0700) < 0)
        return FAIL_SYS(err, "cannot make '%s'", in->quarantine);
    return 0;
}

/* Removing some hundred small files can wait until the answer is out. */
static void integration_done(struct integration *in)
{
    git_process_free(in->merge);
    if (in->quarantine) {
        AUTO_FREE char *away = repo_fresh_path(in->store->trash, "merge");
        (void)rename(in->quarantine, away); /* else a sweep finds it in scratch */
    }
    free(in->quarantine);
}

/* --- merging -------------------------------------------------------------------------------- */

static int merge_two(struct integration *in, const char *ours, const char *theirs,
                     struct merge_answer *ret_answer, struct err *err)
{
    merge_answer_init(ret_answer);
    if (!in->merge && merge_start(in->dir, in->quarantine, &in->merge, err) < 0)
        return -1;
    int r = merge_ask(in->merge, ours, theirs, ret_answer, err);
    if (r != MERGE_UNRELATED)
        return r;
    git_process_free(TAKE(in->merge));
    (void)buf_add_text(&ret_answer->text, "they share no history");
    return 0; /* not clean */
}

#define NOT_CONTAINED 1
static int is_contained(const struct integration *in, const struct tick *t, struct err *err)
{
    AUTO_GIT call;
    struct git_outcome outcome;
    git_call_init(&call, in->dir);
    git_verb(&call, "merge-base");
    git_arg(&call, "--is-ancestor");
    git_end(&call);
    git_arg(&call, t->tip);
    git_arg(&call, in->tip);
    git_quarantine(&call, in->dir, in->quarantine);
    if (git_capture(&call, (struct str){0}, NULL, &outcome, err) < 0)
        return -1;
    return outcome.exit_code == 1 ? NOT_CONTAINED : git_outcome_check(&call, &outcome, err);
}

static int write_commit(struct integration *in, const struct tick *t, struct err *err)
{
    AUTO_BUF text = BUF_INIT(4096);
    (void)buf_add_format(&text,
                         "tree %s\nparent %s\nparent %s\nauthor " WHO " %lld +0000\ncommitter " WHO
                         " %lld +0000\n\nMerge '%s' into '%s'\n",
                         in->tree, in->tip, t->tip, (long long)in->date, (long long)in->date,
                         t->branch, in->trunk);
    ASSERT(!text.failed);
    return object_write(in->quarantine, "commit", buf_str(&text), in->tip, err);
}

#define CONFLICT 1
static int merge_one(struct integration *in, struct tick *t, struct merge_answer *answer,
                     struct err *err)
{
    AUTO_FREE char *key = memo_key(in, t);
    if (merge_two(in, in->tip, t->tip, answer, err) < 0)
        return -1;
    if (!answer->clean)
        return CONFLICT;
    /* Only a contained branch, or one that changes nothing, leaves the tree as it is. */
    int r = text_is(answer->tree, in->tree) ? is_contained(in, t, err) : NOT_CONTAINED;
    if (r < 0)
        return -1;
    if (r == NOT_CONTAINED) {
        (void)snprintf(in->tree, GIT_OID, "%s", answer->tree);
        in->date = t->date > in->date ? t->date : in->date;
        in->merged++;
        in->changed = true;
        t->merged = true;
        if (write_commit(in, t, err) < 0)
            return -1;
    }
    memcpy(t->chain, in->tip, GIT_OID);
    memo_keep(in, key, t->merged);
    return 0;
}

/* --- conflicts ------------------------------------------------------------------------------ */

/* Names of those among trunk and the branches before `k` that conflict with branch k alone. */
static int against_pairs(struct integration *in, size_t k, json_t *against, struct err *err)
{
    for (size_t i = 0; i <= k; i++) { /* 0: trunk */
        const struct tick *other = i ? &in->ticks[i - 1] : NULL;
        AUTO_MERGE answer = {0};
        if (other && !other->merged)
            continue;
        if (merge_two(in, other ? other->tip : in->base, in->ticks[k].tip, &answer, err) < 0)
            return -1;
        if (!answer.clean)
            json_push(against, json_str_value(str_of(other ? other->branch : in->trunk)));
    }
    return 0;
}

/* No pair conflicts: the first branch of the chain whose arrival makes it conflict. */
static int against_chain(struct integration *in, size_t k, json_t *against, struct err *err)
{
    for (size_t i = 0; i < k; i++) {
        AUTO_MERGE answer = {0};
        if (!in->ticks[i].merged)
            continue;
        if (merge_two(in, in->ticks[i].chain, in->ticks[k].tip, &answer, err) < 0)
            return -1;
        if (answer.clean)
            continue;
        json_push(against, json_str_value(str_of(in->ticks[i].branch)));
        return 0;
    }
    return 0;
}

static void conflict_text(struct buf *text, const struct tick *t, const json_t *against,
                          bool together, const struct merge_answer *answer)
{
    size_t count = json_array_size(against);
    const char *first = json_string_value(json_array_get(answer->files, 0));
    (void)buf_add_format(text, "'%s' cannot be merged", t->branch);
    for (size_t i = 0; i < count; i++)
        (void)buf_add_format(text, "%s'%s'", i ? ", " : ": it conflicts with ",
                             json_string_value(json_array_get(against, i)));
    if (together)
        (void)buf_add_text(text, " together with the branches ticked before that");
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

static json_t *conflict_json(struct integration *in, size_t k, struct merge_answer *answer)
{
    AUTO_BUF text = BUF_INIT(64u << 10);
    struct err err = ERR_INIT;
    json_t *against = json_array();
    int r = against_pairs(in, k, against, &err);
    bool together = r == 0 && json_array_size(against) == 0;
    if (together)
        r = against_chain(in, k, against, &err);
    if (r < 0) /* the conflict stands; only its explanation is missing */
        log_warn("cannot tell whom a branch conflicts with, answering without", F_ERR(&err));
    conflict_text(&text, &in->ticks[k], against, together, answer);
    json_t *conflict = json_object();
    json_put_text(conflict, "branch", in->ticks[k].branch);
    json_put(conflict, "against", against);
    json_put(conflict, "files", json_incref(answer->files));
    json_put_str(conflict, "text", buf_str(&text));
    json_t *reply = json_object();
    json_put(reply, "conflict", conflict);
    return reply;
}

/* --- keeping -------------------------------------------------------------------------------- */

static void list_folder(const char *objects, const char *two, struct buf *names)
{
    AUTO_FREE char *path = mem_format("%s/%s", objects, two);
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (strlen(e->d_name) == 38)
            (void)buf_add_format(names, "%s%s\n", two, e->d_name);
    (void)closedir(d); /* read-only */
}

/* Everything in the quarantine becomes one pack of the repository; git fsyncs it. */
static int keep_objects(const struct integration *in, struct err *err)
{
    AUTO_GIT call;
    AUTO_BUF names = BUF_INIT(64u << 20);
    AUTO_BUF out = BUF_INIT(4096);
    for (unsigned i = 0; i < 256; i++) {
        char two[3];
        (void)snprintf(two, sizeof(two), "%02x", i);
        list_folder(in->quarantine, two, &names);
    }
    if (names.failed)
        return FAIL(err, E_REPO_TOO_LARGE, "the integration has too many objects");
    git_call_init(&call, in->dir);
    git_verb(&call, "pack-objects");
    git_arg(&call, "-q");
    git_arg(&call, "--window=0");
    git_arg_format(&call, "%s/objects/pack/pack", in->dir);
    git_quarantine(&call, in->dir, in->quarantine);
    FAULT("integrate.keep");
    return git_run(&call, buf_str(&names), &out, err);
}

static json_t *merged_json(const struct integration *in, int64_t started_us)
{
    json_t *reply = json_object();
    json_t *skipped = json_array();
    for (size_t i = 0; i < in->count; i++)
        if (!in->ticks[i].merged)
            json_push(skipped, json_str_value(str_of(in->ticks[i].branch)));
    json_put_text(reply, "commit", in->tip);
    json_put_text(reply, "tree", in->tree);
    json_put_int(reply, "merged", in->merged);
    json_put(reply, "skipped", skipped);
    json_put_int(reply, "ms", (clock_mono_us() - started_us) / 1000);
    return reply;
}

static int merge_all(struct integration *in, json_t **ret_conflict, struct err *err)
{
    for (; in->next < in->count; in->next++) {
        AUTO_MERGE answer = {0};
        struct tick *t = &in->ticks[in->next];
        int r = merge_one(in, t, &answer, err);
        if (r < 0)
            return err_wrap(err, "cannot merge '%s'", t->branch);
        if (r == CONFLICT) {
            *ret_conflict = conflict_json(in, in->next, &answer);
            return 0;
        }
    }
    return 0;
}

static int integrate(struct integration *in, json_t **ret_reply, struct err *err)
{
    AUTO_JSON *conflict = NULL;
    int64_t started_us = clock_mono_us();
    if (take_quarantine(in, err) < 0 || read_inputs(in, err) < 0 ||
        merge_all(in, &conflict, err) < 0)
        return -1;
    if (conflict && in->cache)
        (void)map_put(in->cache, QUARANTINE_KEY, TAKE(in->quarantine)); /* was taken out above */
    else if (in->changed && keep_objects(in, err) < 0)
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
    in->dir = dir;
    in->store = ask->store;
    in->cache = ask->cache;
    int result = parse_input(in, ask->args, err);
    if (result == 0)
        result = integrate(in, ret_reply, err);
    integration_done(in);
    free(in);
    return result;
}
