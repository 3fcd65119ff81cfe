/* Two commits alone: whether they merge, and which commits made it so that they do not. Both depend
 * on nothing but the two, so each answer is remembered in the app's cache. */
#include <stdio.h>
#include "base/json.h"
#include "base/str.h"
#include "courier/git/conflict.h"
#include "courier/git/history.h"

#define SIDE_MAX 2000 /* commits of a side that are looked through */

/* --- what is remembered --------------------------------------------------------------------- */

static char *pair_key(const char *what, const char *a, const char *b)
{
    return mem_format("%s %s %s", what, a, b);
}

/* A text of JSON; "" is NULL. */
static bool recall(const struct pairs *p, const char *key, json_t **ret_value)
{
    struct err err = ERR_INIT;
    const char *text = p->cache ? map_get(p->cache, key) : NULL;
    *ret_value = NULL;
    if (!text)
        return false;
    if (*text && json_parse(str_of(text), ret_value, &err) < 0)
        return false; /* it is asked again */
    return true;
}

static void keep(struct pairs *p, const char *key, const json_t *value)
{
    git_cache_put(p->cache, key, value ? json_print(value) : mem_strdup(""));
}

/* --- whether they merge --------------------------------------------------------------------- */

static int ask_clean(struct pairs *p, const char *a, const char *b, bool *ret_clean,
                     struct err *err)
{
    AUTO_MERGE answer = {0};
    p->asked++;
    if (merger_ask(p->merger, a, b, &answer, err) < 0)
        return -1;
    *ret_clean = answer.clean;
    return 0;
}

int pairs_ask(struct pairs *p, const char *a, const char *b, json_t **ret_conflict, struct err *err)
{
    AUTO_FREE char *key = pair_key("pair", a, b);
    AUTO_MERGE answer = {0};
    if (recall(p, key, ret_conflict))
        return 0;
    p->asked++;
    if (merger_ask(p->merger, a, b, &answer, err) < 0)
        return -1;
    if (!answer.clean)
        *ret_conflict = conflict_tell(p->merger, &answer);
    keep(p, key, *ret_conflict);
    return 0;
}

int pairs_clean(struct pairs *p, const char *a, const char *b, bool *ret_clean, struct err *err)
{
    AUTO_FREE char *key = pair_key("pair", a, b);
    AUTO_JSON *conflict = NULL;
    if (!recall(p, key, &conflict))
        return ask_clean(p, a, b, ret_clean, err);
    *ret_clean = !conflict;
    return 0;
}

/* --- since when ----------------------------------------------------------------------------- */

/* Commits of `a` that `b` has not, the oldest first. */
static int side(const struct merger *m, const char *a, const char *b, struct buf *ids,
                struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, m->dir);
    git_verb(&call, "rev-list");
    git_arg(&call, "--first-parent");
    git_arg(&call, "--reverse");
    git_arg_format(&call, "--max-count=%d", SIDE_MAX);
    git_end(&call);
    git_arg(&call, a);
    git_arg_format(&call, "^%s", b);
    return git_run(&call, (struct str){0}, ids, err);
}

/* The first of these commits that conflicts with `other`; the last one does. UNKNOWN: all do that
 * are listed, and there are older ones. */
#define UNKNOWN 1
static int first_of(struct pairs *p, struct str ids, const char *other, char ret_id[GIT_OID],
                    struct err *err)
{
    size_t low = 0, high = ids.length / GIT_OID, count = high; /* a line each */
    if (high == 0)
        return FAIL(err, E_CORRUPT, "a side of a conflict has no commits");
    for (high--; low < high;) {
        size_t middle = (low + high) / 2;
        bool clean = true;
        (void)snprintf(ret_id, GIT_OID, "%.40s", ids.data + middle * GIT_OID);
        if (ask_clean(p, ret_id, other, &clean, err) < 0)
            return -1;
        if (clean)
            low = middle + 1;
        else
            high = middle;
    }
    (void)snprintf(ret_id, GIT_OID, "%.40s", ids.data + low * GIT_OID);
    return low == 0 && count >= SIDE_MAX ? UNKNOWN : 0;
}

static int find_origin(struct pairs *p, const char *a, const char *b, json_t **ret_commits,
                       struct err *err)
{
    char first[2][GIT_OID];
    const char *ids[2] = {first[0], first[1]};
    AUTO_BUF ours = BUF_INIT(1u << 20), theirs = BUF_INIT(1u << 20);
    if (side(p->merger, a, b, &ours, err) < 0 || side(p->merger, b, a, &theirs, err) < 0)
        return -1;
    int r = first_of(p, buf_str(&ours), b, first[0], err);
    if (r == 0)
        r = first_of(p, buf_str(&theirs), first[0], first[1], err);
    if (r < 0)
        return -1;
    if (r == UNKNOWN) {
        *ret_commits = json_array();
        return 0;
    }
    return history_tell(p->merger->dir, ids, 2, ret_commits, err);
}

int pairs_origin(struct pairs *p, const char *a, const char *b, json_t **ret_commits,
                 struct err *err)
{
    AUTO_FREE char *key = pair_key("origin", a, b);
    if (recall(p, key, ret_commits) && *ret_commits)
        return 0;
    if (find_origin(p, a, b, ret_commits, err) < 0)
        return -1;
    keep(p, key, *ret_commits);
    return 0;
}
