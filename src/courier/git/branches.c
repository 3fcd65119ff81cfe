/* branch.list: the branches with their last commit and their distance from trunk.
 *
 * git 2.39 cannot count ahead/behind against one ref for many. It can for each branch's upstream:
 * so the branches whose counts are not cached get an upstream, trunk, in the settings of that one
 * call, and one process counts them all (a process each would cost 3 ms more a branch). Counts
 * are cached by (tip, trunk tip), which never go stale. */
#include <stdio.h>
#include "base/json.h"
#include "base/str.h"
#include "courier/git/repo.h"

#define LIST_DEFAULT 1000
#define LIST_TEXT_MAX (32u << 20)

struct distance {
    int64_t ahead;
    int64_t behind;
};
struct branch {
    struct str name, tip, author, email, at, subject; /* views of the listing */
    struct distance distance;
    bool known;
};
/* Where the last page ended: "SECONDS:NAME". It holds when that branch is gone, too. */
struct cursor {
    int64_t seconds;
    struct str name; /* data NULL: from the start */
};
struct listing {
    const char *dir;
    const char *trunk; /* name */
    char *trunk_tip;   /* NULL: no such branch (an empty repository) */
    struct buf text;
    struct branch *branches;
    size_t count;
    bool more;
    struct cursor after;
};

static void listing_done(struct listing *l)
{
    free(l->trunk_tip);
    free(l->branches);
    buf_done(&l->text);
}

static int listing_read(struct listing *l, struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, l->dir);
    git_verb(&call, "for-each-ref");
    git_arg(&call, "--sort=-committerdate");
    git_arg(&call, "--format=%(refname:lstrip=2)%00%(objectname)%00%(authorname)%00"
                   "%(authoremail:trim)%00%(committerdate:unix)%00%(contents:subject)%00");
    git_end(&call);
    git_arg(&call, "refs/heads");
    return git_run(&call, (struct str){0}, &l->text, err);
}

static bool branch_parse(struct str *text, struct branch *ret_branch)
{
    struct branch b = {0};
    struct str *fields[] = {&b.name, &b.tip, &b.author, &b.email, &b.at, &b.subject};
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        *fields[i] = str_cut(text, '\0');
    (void)str_cut(text, '\n');
    *ret_branch = b;
    return b.name.length > 0 && str_is_commit(b.tip);
}

static bool name_matches(struct str name, const char *match)
{
    return !match || !*match || memmem(name.data, name.length, match, strlen(match));
}

/* A commit without a readable date is shown as very old. */
static int64_t branch_seconds(const struct branch *b)
{
    struct err ignored = ERR_INIT;
    int64_t seconds = 0;
    return str_to_int(b->at, 0, INT64_MAX / 1000, "date", &seconds, &ignored) < 0 ? 0 : seconds;
}

static int cursor_read(struct listing *l, const char *text, struct err *err)
{
    struct str rest = str_of(text ? text : "");
    if (rest.length == 0)
        return 0;
    struct str seconds = str_cut(&rest, ':');
    struct err ignored = ERR_INIT;
    if (!rest.data ||
        str_to_int(seconds, 0, INT64_MAX / 1000, "after", &l->after.seconds, &ignored) < 0)
        return FAIL(err, E_FIELD_INVALID, "'after' is not the 'next' of a page");
    l->after.name = rest;
    return 0;
}

static char *cursor_text(const struct branch *b)
{
    return mem_format("%lld:%.*s", (long long)branch_seconds(b), (int)b->name.length, b->name.data);
}

static int name_order(struct str a, struct str b)
{
    int order = memcmp(a.data, b.data, a.length < b.length ? a.length : b.length);
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

/* Trunk stands on the first page, wherever its date would put it. */
static bool is_behind_cursor(const struct listing *l, const struct branch *b)
{
    int64_t seconds = branch_seconds(b);
    if (!l->after.name.data)
        return true;
    if (str_is(b->name, l->trunk))
        return false;
    if (str_is(l->after.name, l->trunk))
        return true;
    return seconds < l->after.seconds ||
           (seconds == l->after.seconds && name_order(b->name, l->after.name) > 0);
}

static void listing_add(struct listing *l, const struct branch *b, size_t limit)
{
    bool is_trunk = str_is(b->name, l->trunk);
    if (l->count == limit && !is_trunk) {
        l->more = true;
        return;
    }
    if (l->count % 64 == 0)
        l->branches = mem_resize(l->branches, l->count + 65, sizeof(*l->branches));
    l->branches[l->count++] = *b;
    if (!is_trunk)
        return;
    memmove(l->branches + 1, l->branches, (l->count - 1) * sizeof(*l->branches));
    l->branches[0] = *b;
    if (l->count > limit) {
        l->count = limit;
        l->more = true;
    }
}

static void listing_parse(struct listing *l, const char *match, size_t limit)
{
    struct str text = buf_str(&l->text);
    struct branch b;
    while (text.length > 0 && branch_parse(&text, &b)) {
        if (str_is(b.name, l->trunk))
            l->trunk_tip = str_dup(b.tip);
        if (name_matches(b.name, match) && is_behind_cursor(l, &b))
            listing_add(l, &b, limit);
    }
}

/* --- distances ------------------------------------------------------------------------------ */

static char *cache_key(const struct listing *l, const struct branch *b)
{
    return mem_format("%.*s %s", (int)b->tip.length, b->tip.data, l->trunk_tip);
}

static size_t distances_from_cache(struct listing *l, const struct map *cache)
{
    size_t unknown = 0;
    for (size_t i = 0; i < l->count; i++) {
        struct branch *b = &l->branches[i];
        AUTO_FREE char *key = cache_key(l, b);
        const struct distance *d = cache ? map_get(cache, key) : NULL;
        if (d)
            b->distance = *d;
        b->known = d || str_is(b->tip, l->trunk_tip);
        unknown += !b->known;
    }
    return unknown;
}

static void distances_to_cache(const struct listing *l, struct map *cache)
{
    if (cache->count > GIT_CACHE_MAX)
        git_cache_clear(cache);
    for (size_t i = 0; i < l->count; i++) {
        struct distance *d = mem_alloc(sizeof(*d));
        AUTO_FREE char *key = cache_key(l, &l->branches[i]);
        *d = l->branches[i].distance;
        free(map_put(cache, key, d));
    }
}

/* Trunk becomes the upstream of a branch, for this call. */
static void upstream_add(struct git_call *call, size_t at, struct str name, const char *trunk)
{
    git_env_format(call, "GIT_CONFIG_KEY_%zu=branch.%.*s.remote", 2 * at, (int)name.length,
                   name.data);
    git_env_format(call, "GIT_CONFIG_VALUE_%zu=.", 2 * at);
    git_env_format(call, "GIT_CONFIG_KEY_%zu=branch.%.*s.merge", 2 * at + 1, (int)name.length,
                   name.data);
    git_env_format(call, "GIT_CONFIG_VALUE_%zu=refs/heads/%s", 2 * at + 1, trunk);
    git_arg_format(call, "refs/heads/%.*s", (int)name.length, name.data);
}

/* "ahead 3, behind 4", either alone, or nothing. */
static struct distance distance_parse(struct str text)
{
    struct distance d = {0};
    struct err ignored = ERR_INIT; /* what is no number counts as 0 */
    while (text.length > 0) {
        struct str part = str_trim(str_cut(&text, ','));
        struct str word = str_cut(&part, ' ');
        int64_t *value = str_is(word, "ahead") ? &d.ahead : &d.behind;
        if (str_to_int(part, 0, INT64_MAX, "count", value, &ignored) < 0)
            *value = 0;
    }
    return d;
}

/* The answers come in the order of names; ours are few enough to look each up in a map. */
static void distances_parse(struct listing *l, struct str text)
{
    struct map by_name;
    map_init(&by_name);
    for (size_t i = 0; i < l->count; i++) {
        AUTO_FREE char *name = str_dup(l->branches[i].name);
        (void)map_put(&by_name, name, &l->branches[i]);
    }
    while (text.length > 0) {
        struct str line = str_cut(&text, '\n');
        struct str counts = str_cut(&line, '\t');
        AUTO_FREE char *name = str_dup(line);
        struct branch *b = map_get(&by_name, name);
        if (b)
            b->distance = distance_parse(counts);
    }
    map_done(&by_name);
}

/* Count the branches [from, to) that are not known. */
static int distances_count(struct listing *l, size_t from, size_t to, struct err *err)
{
    AUTO_GIT(call);
    AUTO_BUF out = BUF_INIT(1u << 20);
    size_t count = 0;
    git_call_init(&call, l->dir);
    git_verb(&call, "for-each-ref");
    git_arg(&call, "--format=%(upstream:track,nobracket)%09%(refname:lstrip=2)");
    git_end(&call);
    for (size_t i = from; i < to; i++)
        if (!l->branches[i].known)
            upstream_add(&call, count++, l->branches[i].name, l->trunk);
    if (count == 0)
        return 0;
    git_env_format(&call, "GIT_CONFIG_COUNT=%zu", 2 * count);
    if (git_run(&call, (struct str){0}, &out, err) < 0)
        return -1;
    distances_parse(l, buf_str(&out));
    return 0;
}

static int distances(struct listing *l, const struct git_ask *ask, struct err *err)
{
    if (!l->trunk_tip || distances_from_cache(l, ask->cache) == 0)
        return 0;
    for (size_t i = 0; i < l->count; i += GIT_REFS_A_CALL) {
        size_t end = i + GIT_REFS_A_CALL < l->count ? i + GIT_REFS_A_CALL : l->count;
        if (distances_count(l, i, end, err) < 0)
            return -1;
    }
    if (ask->cache)
        distances_to_cache(l, ask->cache);
    return 0;
}

/* --- the verb ------------------------------------------------------------------------------- */

static json_t *branch_json(const struct branch *b)
{
    json_t *row = json_object();
    json_put_str(row, "name", b->name);
    json_put_str(row, "tip", b->tip);
    json_put_str(row, "author", b->author);
    json_put_str(row, "email", b->email);
    json_put_int(row, "at", branch_seconds(b) * 1000);
    json_put_str(row, "subject", b->subject);
    json_put_int(row, "ahead", b->distance.ahead);
    json_put_int(row, "behind", b->distance.behind);
    return row;
}

static json_t *listing_json(const struct listing *l)
{
    json_t *reply = json_object();
    json_t *rows = json_array();
    json_put_text(reply, "trunk", l->trunk_tip);
    for (size_t i = 0; i < l->count; i++)
        json_push(rows, branch_json(&l->branches[i]));
    json_put(reply, "branches", rows);
    json_put_bool(reply, "more", l->more);
    AUTO_FREE char *next = l->more ? cursor_text(&l->branches[l->count - 1]) : NULL;
    json_put_text(reply, "next", next);
    return reply;
}

int git_branch_list(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    struct listing l = {.trunk = json_text(ask->args, "trunk"), .text = BUF_INIT(LIST_TEXT_MAX)};
    if (repo_open(ask, &dir, err) < 0 || repo_check_branch(l.trunk, err) < 0 ||
        cursor_read(&l, json_text(ask->args, "after"), err) < 0)
        return -1;
    l.dir = dir;
    int result = listing_read(&l, err);
    if (result == 0) {
        listing_parse(&l, json_text(ask->args, "match"),
                      (size_t)json_int(ask->args, "limit", LIST_DEFAULT));
        result = distances(&l, ask, err);
    }
    if (result == 0)
        *ret_reply = listing_json(&l);
    listing_done(&l);
    return result;
}
