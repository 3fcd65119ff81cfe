/* May a resolution be used here, and if not, why not? */
#include "courier/git/resolution.h"
#include "base/json.h"
#include "base/str.h"
#include "courier/git/conflict.h"

struct resolution {
    const struct resolutions_ask *ask;
    const json_t *row;
    const char *branch, *tip, *opened; /* tip: NULL: the branch is gone */
    const json_t *sides;               /* [{"branch","tip": when it was opened,"now"}] */
    json_t *told;
};

/* --- input ---------------------------------------------------------------------------------- */

static int parse_side(const json_t *value, struct err *err)
{
    static const struct json_field fields[] = {
        {"branch", JSON_FIELD_STRING, true, 1, 200},
        {"tip", JSON_FIELD_STRING, true, 40, 40},
        {"now", JSON_FIELD_STRING, false, 40, 40},
    };
    const char *now = json_text(value, "now");
    if (!json_is_object(value))
        return FAIL(err, E_FIELD_INVALID, "a side of a resolution is no object");
    if (json_check(value, fields, ARRAY_SIZE(fields), err) < 0 ||
        repo_check_branch(json_text(value, "branch"), err) < 0 ||
        repo_check_commit(json_text(value, "tip"), "a side's tip", err) < 0)
        return -1;
    return now ? repo_check_commit(now, "a side's tip now", err) : 0;
}

static int parse(struct resolution *r, struct err *err)
{
    static const struct json_field fields[] = {
        {"branch", JSON_FIELD_STRING, true, 1, 200},
        {"tip", JSON_FIELD_STRING, false, 40, 40},
        {"opened", JSON_FIELD_STRING, true, 40, 40},
        {"files", JSON_FIELD_ARRAY, true, 0, MERGE_FILES_MAX},
        {"sides", JSON_FIELD_ARRAY, true, 2, RESOLUTION_SIDES_MAX},
    };
    size_t i;
    json_t *side;
    if (!json_is_object(r->row))
        return FAIL(err, E_FIELD_INVALID, "a resolution is no object");
    if (json_check(r->row, fields, ARRAY_SIZE(fields), err) < 0)
        return -1;
    r->branch = json_text(r->row, "branch");
    r->tip = json_text(r->row, "tip");
    r->opened = json_text(r->row, "opened");
    r->sides = json_list(r->row, "sides");
    if (repo_check_branch(r->branch, err) < 0 ||
        (r->tip && repo_check_commit(r->tip, "the tip", err) < 0) ||
        repo_check_commit(r->opened, "what it was opened with", err) < 0)
        return -1;
    json_array_foreach((json_t *)(uintptr_t)r->sides, i, side)
    {
        if (parse_side(side, err) < 0)
            return -1;
    }
    return 0;
}

/* --- what is remembered --------------------------------------------------------------------- */

/* A commit that is collected, because its branch was pushed over, is nobody's ancestor. */
static int ask_ancestor(const struct resolution *r, const char *a, const char *b, bool *ret_is,
                        struct err *err)
{
    const char *both[2] = {a, b};
    struct repo_commit found[2];
    size_t absent = 0;
    struct err failed = ERR_INIT;
    int is = repo_is_ancestor(r->ask->merger->dir, NULL, a, b, &failed);
    *ret_is = is == 0;
    if (is >= 0)
        return 0;
    int there = repo_commits(r->ask->merger->dir, NULL, both, 2, found, &absent, err);
    if (there == 0)
        *err = failed;
    return there == REPO_ABSENT ? 0 : -1;
}

static int is_ancestor(const struct resolution *r, const char *a, const char *b, bool *ret_is,
                       struct err *err)
{
    AUTO_FREE char *key = mem_format("ancestor %s %s", a, b);
    const char *known = r->ask->cache ? map_get(r->ask->cache, key) : NULL;
    if (text_is(a, b) || known) {
        *ret_is = !known || *known;
        return 0;
    }
    if (ask_ancestor(r, a, b, ret_is, err) < 0)
        return -1;
    git_cache_put(r->ask->cache, key, mem_strdup(*ret_is ? "yes" : ""));
    return 0;
}

/* The first of the files that conflicted which still has markers: heap, or NULL. */
static int ask_marked(const struct resolution *r, char **ret_path, struct err *err)
{
    size_t i;
    json_t *file;
    json_array_foreach(json_list(r->row, "files"), i, file)
    {
        int64_t hunks = 0;
        const char *path = json_string_value(file);
        if (path && conflict_hunks(r->ask->merger, r->tip, path, &hunks, err) < 0)
            return -1;
        if (hunks == 0)
            continue;
        *ret_path = mem_strdup(path);
        return 0;
    }
    return 0;
}

static int marked(const struct resolution *r, char **ret_path, struct err *err)
{
    AUTO_FREE char *key = mem_format("marked %s %s", r->opened, r->tip);
    const char *known = r->ask->cache ? map_get(r->ask->cache, key) : NULL;
    *ret_path = known && *known ? mem_strdup(known) : NULL;
    if (known)
        return 0;
    if (ask_marked(r, ret_path, err) < 0)
        return -1;
    git_cache_put(r->ask->cache, key, mem_strdup(*ret_path ? *ret_path : ""));
    return 0;
}

/* --- the state ------------------------------------------------------------------------------ */

#define SAID 1 /* the state is known */
static int say(struct resolution *r, const char *state, const char *side, char *text)
{
    json_put_text(r->told, "state", state);
    json_put_text(r->told, "side", side);
    json_put_text(r->told, "text", text);
    free(text);
    return SAID;
}

/* Has one of its sides landed, or left what was resolved? */
static int look_at_sides(struct resolution *r, struct err *err)
{
    size_t i;
    json_t *side;
    json_array_foreach((json_t *)(uintptr_t)r->sides, i, side)
    {
        const char *name = json_text(side, "branch"), *tip = json_text(side, "tip");
        const char *now = json_text(side, "now");
        bool landed = false, holds = false;
        if (is_ancestor(r, tip, r->ask->base, &landed, err) < 0 ||
            (now && is_ancestor(r, tip, now, &holds, err) < 0))
            return -1;
        if (landed)
            return say(r, "landed", name, mem_format("'%s' is on trunk now", name));
        if (!now)
            return say(r, "moved_off", name, mem_format("'%s' is gone", name));
        if (!holds)
            return say(r, "moved_off", name,
                       mem_format("'%s' does not hold the commit any more that was resolved (%.9s)",
                                  name, tip));
    }
    return 0;
}

static int look_at_work(struct resolution *r, struct err *err)
{
    AUTO_FREE char *path = NULL;
    size_t i;
    json_t *side;
    if (text_is(r->tip, r->opened))
        return say(r, "waiting", NULL, mem_strdup("nobody has pushed to it yet"));
    json_array_foreach((json_t *)(uintptr_t)r->sides, i, side)
    {
        bool holds = false;
        const char *name = json_text(side, "branch");
        if (is_ancestor(r, json_text(side, "tip"), r->tip, &holds, err) < 0)
            return -1;
        if (!holds)
            return say(r, "waiting", name, mem_format("it does not hold '%s'", name));
    }
    if (marked(r, &path, err) < 0)
        return -1;
    if (path)
        return say(r, "waiting", NULL, mem_format("'%s' still has conflict markers", path));
    return 0;
}

/* A set may hold an older commit of a side than was resolved: it must not become newer by this.
 * What people merged into the resolution besides comes along, as with any branch. */
static int look_at_ticks(struct resolution *r, const struct tick *ticks, size_t count,
                         struct err *err)
{
    size_t i;
    json_t *side;
    if (count == 0)
        return say(r, "ready", NULL, NULL); /* nobody asks about a set */
    json_array_foreach((json_t *)(uintptr_t)r->sides, i, side)
    {
        const char *name = json_text(side, "branch");
        const struct tick *found = NULL;
        bool holds = false;
        for (size_t k = 0; k < count && !found; k++)
            if (!ticks[k].sides && text_is(ticks[k].branch, name))
                found = &ticks[k];
        if (!found)
            return say(r, "ready", name, mem_format("'%s' is not in this set", name));
        if (is_ancestor(r, json_text(side, "tip"), found->tip, &holds, err) < 0)
            return -1;
        if (!holds)
            return say(r, "ready", name, mem_format("this set holds an older '%s'", name));
    }
    return say(r, "used", NULL, NULL);
}

static int state_of(struct resolution *r, const struct tick *ticks, size_t count, struct err *err)
{
    int said = look_at_sides(r, err);
    if (said == 0 && !r->tip)
        return say(r, "gone", NULL, mem_strdup("its branch was deleted"));
    if (said == 0)
        said = look_at_work(r, err);
    return said == 0 ? look_at_ticks(r, ticks, count, err) : said;
}

/* --- all ------------------------------------------------------------------------------------ */

static json_t *tell(const struct resolution *r)
{
    json_t *told = json_object(), *names = json_array(), *side;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)r->sides, i, side)
        json_push(names, json_incref(json_object_get(side, "branch")));
    json_put_text(told, "branch", r->branch);
    json_put_text(told, "tip", r->tip);
    json_put(told, "sides", names);
    return told;
}

static void put_before(struct tick ticks[STEPS_MAX], size_t *count, size_t at,
                       const struct resolution *r)
{
    for (size_t i = (*count)++; i > at; i--)
        ticks[i] = ticks[i - 1];
    ticks[at] = (struct tick){.branch = r->branch, .tip = r->tip, .sides = r->sides};
}

int resolutions_put(const struct resolutions_ask *ask, struct tick ticks[STEPS_MAX], size_t *count,
                    json_t **ret_states, struct err *err)
{
    AUTO_JSON *states = json_array();
    size_t i, used = 0;
    json_t *row;
    if (json_array_size(ask->list) > RESOLUTIONS_MAX)
        return FAIL(err, E_TOO_MANY, "more than %d resolutions", RESOLUTIONS_MAX);
    json_array_foreach((json_t *)(uintptr_t)ask->list, i, row)
    {
        struct resolution r = {.ask = ask, .row = row};
        if (parse(&r, err) < 0)
            return -1;
        r.told = tell(&r);
        json_push(states, r.told);
        if (state_of(&r, ticks, *count, err) < 0)
            return err_wrap(err, "resolution '%s'", r.branch);
        if (text_is(json_text(r.told, "state"), "used"))
            put_before(ticks, count, used++, &r);
    }
    *ret_states = TAKE(states);
    return 0;
}

int resolution_work(const struct resolutions_ask *ask, const json_t *row, char **ret_text,
                    struct err *err)
{
    struct resolution r = {.ask = ask, .row = row};
    AUTO_JSON *told = json_object();
    *ret_text = NULL;
    if (parse(&r, err) < 0)
        return -1;
    if (!r.tip)
        return FAIL(err, E_BRANCH_UNKNOWN, "branch '%s' does not exist", r.branch);
    r.told = told;
    int said = look_at_work(&r, err);
    if (said == SAID)
        *ret_text = mem_strdup(json_text_or(told, "text", ""));
    return said < 0 ? -1 : 0;
}

void resolution_conflicts(json_t *states, const char *branch, const json_t *why)
{
    size_t i;
    json_t *row;
    json_array_foreach(states, i, row)
    {
        if (!text_is(json_text(row, "branch"), branch))
            continue;
        json_put_text(row, "state", "conflicts");
        json_put(row, "against", json_deep_copy(json_list(why, "against")));
        json_put_text(row, "text", "it conflicts itself: merge what it conflicts with into it");
    }
}

static bool has_side(const json_t *row, const char *branch)
{
    size_t i;
    json_t *name;
    json_array_foreach(json_list(row, "sides"), i, name)
    {
        if (text_is(json_string_value(name), branch))
            return true;
    }
    return false;
}

const char *resolution_of_pair(const json_t *states, const char *a, const char *b)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)states, i, row)
    {
        if (text_is(json_text(row, "state"), "used") && has_side(row, a) && has_side(row, b))
            return json_text(row, "branch");
    }
    return NULL;
}

bool resolution_used(const json_t *states, const char *branch)
{
    return resolution_of_pair(states, branch, branch) != NULL;
}
