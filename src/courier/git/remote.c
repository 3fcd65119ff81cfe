/* remote.look, remote.fetch, and the push before a change of ours: see remote.h.
 *
 * A look asks for the list of refs, one request. A fetch begins with the same; when the list says
 * what we have, that was all. Otherwise everything comes to refs that nobody sees, and from there
 * our branches and tags are moved, each only from where it was: what came by hand, was refused or
 * has an impossible name is never half there. What people there call a fork or a merge request is
 * not fetched: only branches and tags. */
#include "courier/git/remote.h"
#include <stdio.h>
#include "base/fault.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"
#include "courier/git/road.h"

#define INCOMING "refs/slipway/_origin/" /* no env is called so */
#define REFS_TEXT ((size_t)64 << 20)
#define REFS_MAX 100000 /* of a repository elsewhere */
#define REFS_TOLD 1000  /* that moved; more are counted */
#define SKIPPED_TOLD 5  /* names that we do not take */
#define LOOK_MS 60000
#define FETCH_MS 3600000
#define PUSH_MS 300000

/* --- refs as a map -------------------------------------------------------------------------- */

/* Full name to heap id. */
static void refs_put(struct map *refs, struct str name, struct str id)
{
    AUTO_FREE char *key = str_dup(name);
    free(map_put(refs, key, str_dup(id)));
}

/* A branch or a tag whose name we take. */
static bool is_taken(struct str ref)
{
    static const char *const prefixes[] = {"refs/heads/", "refs/tags/"};
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        size_t length = strlen(prefixes[i]);
        if (str_starts(ref, prefixes[i]))
            return str_is_branch((struct str){ref.data + length, ref.length - length});
    }
    return false;
}

struct listing {
    struct map refs; /* branches and tags */
    char *trunk;     /* what HEAD is: a branch; NULL: not said */
    json_t *skipped; /* names that we do not take */
    int64_t skipped_count;
};

static void listing_init(struct listing *l)
{
    *l = (struct listing){.skipped = json_array()};
    map_init(&l->refs);
}

static void listing_done(struct listing *l)
{
    repo_tips_done(&l->refs);
    free(l->trunk);
    json_decref(l->skipped);
}

/* "ref: refs/heads/main\tHEAD" or "ID\tREF". */
static void listing_line(struct listing *l, struct str line)
{
    struct str name = line, id = str_cut(&name, '\t');
    if (str_starts(id, "ref: refs/heads/") && str_is(name, "HEAD")) {
        free(l->trunk);
        l->trunk = str_dup((struct str){id.data + 16, id.length - 16});
        return;
    }
    if (!name.data || !str_is_commit(id) || str_ends(name, "^{}") || str_is(name, "HEAD"))
        return;
    if (is_taken(name)) {
        refs_put(&l->refs, name, id);
        return;
    }
    if (l->skipped_count++ < SKIPPED_TOLD)
        json_push(l->skipped, json_str_value(name));
}

static int listing_parse(struct listing *l, struct str text, struct err *err)
{
    while (text.length > 0)
        listing_line(l, str_cut(&text, '\n'));
    if (l->refs.count > REFS_MAX)
        return FAIL(err, E_REPO_TOO_LARGE,
                    "the repository there has more than %d branches and tags", REFS_MAX);
    return 0;
}

/* git failed there. */
static int failed(const struct road *road, const struct git_outcome *outcome, struct err *err)
{
    return road_explain(road, outcome->text[0] ? outcome->text : "it ended without a word", err);
}

static int list_there(const struct road *road, struct listing *l, struct err *err)
{
    AUTO_GIT(call);
    AUTO_BUF out = BUF_INIT(REFS_TEXT);
    struct git_outcome outcome;
    git_call_init(&call, NULL);
    call.deadline_ms = LOOK_MS;
    road_take(road, &call);
    git_verb(&call, "ls-remote");
    git_arg(&call, "--symref");
    git_end(&call);
    git_arg(&call, road->to.text);
    git_arg(&call, "HEAD");
    git_arg(&call, "refs/heads/*");
    git_arg(&call, "refs/tags/*");
    if (git_capture(&call, (struct str){0}, &out, &outcome, err) < 0)
        return -1;
    if (outcome.exit_code != 0)
        return failed(road, &outcome, err);
    return listing_parse(l, buf_str(&out), err);
}

/* Of our repository: those below `prefixes`, named without the first of them when `strip`. */
static int list_here(const char *dir, const char *format, const char *const *prefixes,
                     struct map *refs, struct err *err)
{
    AUTO_GIT(call);
    AUTO_BUF out = BUF_INIT(REFS_TEXT);
    git_call_init(&call, dir);
    git_verb(&call, "for-each-ref");
    git_arg_format(&call, "--format=%%(objectname) %s", format);
    git_end(&call);
    for (; *prefixes; prefixes++)
        git_arg(&call, *prefixes);
    if (git_run(&call, (struct str){0}, &out, err) < 0)
        return -1;
    for (struct str text = buf_str(&out); text.length > 0;) {
        struct str name = str_cut(&text, '\n'), id = str_cut(&name, ' ');
        if (name.data && is_taken(name))
            refs_put(refs, name, id);
    }
    return 0;
}

static int ours(const char *dir, struct map *refs, struct err *err)
{
    static const char *const prefixes[] = {"refs/heads/", "refs/tags/", NULL};
    return list_here(dir, "%(refname)", prefixes, refs, err);
}

static int incoming(const char *dir, struct map *refs, struct err *err)
{
    static const char *const prefixes[] = {INCOMING, NULL};
    return list_here(dir, "refs/%(refname:lstrip=3)", prefixes, refs, err);
}

/* --- remote.look ---------------------------------------------------------------------------- */

int git_remote_look(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_ROAD road = {0};
    struct listing l;
    int64_t branches = 0;
    if (road_open(ask, json_dict(ask->args, "remote"), &road, err) < 0)
        return -1;
    listing_init(&l);
    int result = list_there(&road, &l, err);
    for (size_t i = 0; i < l.refs.count; i++)
        branches += text_starts(l.refs.entries[i].key, "refs/heads/");
    if (result == 0) {
        *ret_reply = json_object();
        json_put_text(*ret_reply, "url", road.to.text);
        json_put_text(*ret_reply, "trunk", l.trunk);
        json_put_int(*ret_reply, "branches", branches);
        json_put_int(*ret_reply, "tags", (int64_t)l.refs.count - branches);
    }
    listing_done(&l);
    return result;
}

/* --- remote.fetch --------------------------------------------------------------------------- */

static void fetch_settings(struct git_call *call)
{
    static const char *const settings[] = {
        "fetch.unpackLimit=1", /* always a pack: one fsync, no loose objects */
        "fetch.fsckObjects=true",
        "fetch.fsck.zeroPaddedFilemode=warn", /* old histories have these, and they harm nobody */
        "fetch.fsck.badTimezone=warn",
        "fetch.fsck.missingSpaceBeforeDate=warn",
        "fetch.fsck.missingEmail=warn",
        "fetch.fsck.missingNameBeforeEmail=warn",
        "fetch.fsck.missingSpaceBeforeEmail=warn",
        "fetch.fsck.zeroPaddedDate=warn",
        "fetch.fsck.missingTaggerEntry=warn",
        "fetch.fsck.badTagName=warn",
        "fetch.fsck.emptyName=warn",
        "fetch.writeCommitGraph=false",
        "fetch.uriProtocols=",
        "transfer.bundleURI=false",
        "fetch.showForcedUpdates=false",
    };
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        git_config(call, settings[i]);
}

static int fetch(const struct git_ask *ask, const struct road *road, const char *dir,
                 struct err *err)
{
    const char *const options[] = {ask->progress ? "--progress" : "--quiet",
                                   "--force",
                                   "--prune",
                                   "--no-tags",
                                   "--no-write-fetch-head",
                                   "--no-auto-maintenance",
                                   "--no-recurse-submodules"};
    AUTO_GIT(call);
    struct git_outcome outcome;
    struct map partial;
    int64_t room = 0;
    if (repo_room(ask->store, dir, &room, err) < 0)
        return -1;
    git_call_init(&call, dir);
    call.deadline_ms = FETCH_MS;
    call.file_max = room;
    call.progress = ask->progress;
    fetch_settings(&call);
    road_take(road, &call);
    git_verb(&call, "fetch");
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        git_arg(&call, options[i]);
    git_end(&call);
    git_arg(&call, road->to.text);
    git_arg(&call, "+refs/heads/*:" INCOMING "heads/*");
    git_arg(&call, "+refs/tags/*:" INCOMING "tags/*");
    FAULT("remote.fetch");
    partial_packs_note(dir, &partial);
    int result = git_capture(&call, (struct str){0}, NULL, &outcome, err);
    if (result == 0 && outcome.exit_code != 0)
        result = failed(road, &outcome, err);
    if (result < 0 && strstr(err->text, "index-pack")) /* it cannot say that there was no room */
        (void)err_wrap(err, "there is room for %lld MiB here", (long long)(room >> 20));
    if (result < 0 && !git_upkeep_runs()) /* what came in part may be large, and come again */
        partial_packs_remove(dir, &partial);
    map_done(&partial);
    return result;
}

static bool same(const struct map *a, struct map *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!text_is(map_get(b, a->entries[i].key), a->entries[i].value))
            return false;
    return true;
}

struct moves {
    struct repo_move *items;
    size_t count;
};

static void add_move(struct moves *m, const char *ref, const char *to, const char *expect)
{
    m->items[m->count++] = (struct repo_move){ref, to, expect ? expect : GIT_ZERO};
}

/* What goes first, since a new name may need its room. */
static int move_all(const char *dir, struct map *before, struct map *now, struct moves *moved,
                    struct err *err)
{
    for (size_t i = 0; i < before->count; i++)
        if (!map_get(now, before->entries[i].key))
            add_move(moved, before->entries[i].key, NULL, before->entries[i].value);
    size_t gone = moved->count;
    for (size_t i = 0; i < now->count; i++) {
        const char *ref = now->entries[i].key, *to = now->entries[i].value;
        if (!text_is(map_get(before, ref), to))
            add_move(moved, ref, to, map_get(before, ref));
    }
    if (repo_move_refs(dir, moved->items, gone, err) < 0)
        return -1;
    FAULT("remote.moved_some");
    return repo_move_refs(dir, moved->items + gone, moved->count - gone, err);
}

static json_t *told(const struct moves *moved)
{
    json_t *list = json_array();
    for (size_t i = 0; i < moved->count && i < REFS_TOLD; i++) {
        const struct repo_move *m = &moved->items[i];
        json_t *row = json_object();
        json_put_text(row, "ref", m->ref);
        json_put_text(row, "old", m->expect);
        json_put_text(row, "new", m->to ? m->to : GIT_ZERO);
        json_push(list, row);
    }
    return list;
}

static int take_incoming(const char *dir, struct map *before, json_t *reply, struct err *err)
{
    struct map now;
    struct moves moved = {0};
    map_init(&now);
    int result = incoming(dir, &now, err);
    if (result == 0) {
        moved.items = mem_array(before->count + now.count + 1, sizeof(*moved.items));
        result = move_all(dir, before, &now, &moved, err);
    }
    json_put(reply, "refs", told(&moved));
    json_put_int(reply, "count", (int64_t)moved.count);
    free(moved.items);
    repo_tips_done(&now);
    return result;
}

static int fetch_when_other(const struct git_ask *ask, const struct road *road, const char *dir,
                            struct listing *there, json_t *reply, struct err *err)
{
    struct map before;
    map_init(&before);
    int result = ours(dir, &before, err);
    bool other = result == 0 && !same(&before, &there->refs);
    if (other)
        result = fetch(ask, road, dir, err);
    if (other && result == 0)
        result = take_incoming(dir, &before, reply, err);
    repo_tips_done(&before);
    return result;
}

int git_remote_fetch(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    AUTO_ROAD road = {0};
    AUTO_JSON *reply = json_object();
    struct listing there;
    if (repo_open(ask, &dir, err) < 0 ||
        road_open(ask, json_dict(ask->args, "remote"), &road, err) < 0)
        return -1;
    json_put(reply, "refs", json_array());
    json_put_int(reply, "count", 0);
    listing_init(&there);
    int result = list_there(&road, &there, err);
    if (result == 0)
        result = fetch_when_other(ask, &road, dir, &there, reply, err);
    if (result == 0) {
        json_put_text(reply, "trunk", there.trunk);
        json_put(reply, "skipped", json_incref(there.skipped));
        json_put_int(reply, "skipped_count", there.skipped_count);
        *ret_reply = TAKE(reply);
    }
    listing_done(&there);
    return result;
}

/* --- pushing what we change ----------------------------------------------------------------- */

/* "!\tFROM:TO\t[rejected] (stale info)" of what it prints: the first that says more than that
 * another one failed. */
static struct str reason_of(struct str out)
{
    struct str found = {0};
    while (out.length > 0) {
        struct str line = str_cut(&out, '\n'), flag = str_cut(&line, '\t');
        (void)str_cut(&line, '\t');
        if (!str_is(flag, "!") || !line.data)
            continue;
        AUTO_FREE char *text = str_dup(line);
        if (!found.data || !strstr(text, "atomic"))
            found = line;
        if (!strstr(text, "atomic"))
            break;
    }
    return found;
}

static int refused(const struct road *road, struct str out, const struct git_outcome *outcome,
                   const struct repo_move *first, struct err *err)
{
    AUTO_FREE char *reason = str_dup(reason_of(out));
    const char *host = road->to.url.host;
    if (strstr(reason, "stale info") || strstr(reason, "fetch first") ||
        strstr(reason, "non-fast-forward") || strstr(reason, "failed to update ref") ||
        strstr(reason, "cannot lock ref"))
        return FAIL(err, E_REF_CHANGED, "'%s' has moved at '%s' meanwhile: look again", first->ref,
                    host);
    if (strstr(reason, "remote rejected"))
        return FAIL(err, E_REF_PROTECTED, "'%s' does not let us change '%s': %.100s", host,
                    first->ref, reason);
    return failed(road, outcome, err);
}

/* It was refused because it is done: by us, before a crash, or by somebody with the same wish. */
static bool is_done(const struct road *road, const struct repo_move *moves, size_t count)
{
    struct listing there;
    struct err ignored = ERR_INIT;
    listing_init(&there);
    bool done = list_there(road, &there, &ignored) == 0;
    for (size_t i = 0; done && i < count; i++) {
        const char *now = map_get(&there.refs, moves[i].ref);
        done = moves[i].to ? text_is(now, moves[i].to) : !now;
    }
    listing_done(&there);
    return done;
}

static int push(const struct road *road, const char *dir, const struct repo_move *moves,
                size_t count, struct err *err)
{
    AUTO_GIT(call);
    AUTO_BUF out = BUF_INIT(1u << 20);
    struct git_outcome outcome;
    git_call_init(&call, dir);
    call.deadline_ms = PUSH_MS;
    road_take(road, &call);
    git_verb(&call, "push");
    git_arg(&call, "--porcelain");
    git_arg(&call, "--atomic");
    git_arg(&call, "--no-verify");
    git_arg(&call, "--no-signed");
    for (size_t i = 0; i < count; i++) {
        bool absent = text_is(moves[i].expect, GIT_ZERO);
        if (moves[i].expect)
            git_arg_format(&call, "--force-with-lease=%s:%s", moves[i].ref,
                           absent ? "" : moves[i].expect);
    }
    git_end(&call);
    git_arg(&call, road->to.text);
    for (size_t i = 0; i < count; i++)
        git_arg_format(&call, "%s:%s", moves[i].to ? moves[i].to : "", moves[i].ref);
    FAULT("remote.push");
    if (git_capture(&call, (struct str){0}, &out, &outcome, err) < 0)
        return -1;
    FAULT("remote.pushed");
    if (outcome.exit_code == 0 || refused(road, buf_str(&out), &outcome, &moves[0], err) == 0)
        return 0;
    if (err->kind != E_REF_CHANGED || !is_done(road, moves, count))
        return -1;
    *err = (struct err)ERR_INIT;
    return 0;
}

static bool is_here(const char *dir, const struct repo_move *moves, size_t count)
{
    struct map here;
    struct err ignored = ERR_INIT;
    map_init(&here);
    bool same = ours(dir, &here, &ignored) == 0;
    for (size_t i = 0; same && i < count; i++) {
        const char *now = map_get(&here, moves[i].ref);
        same = moves[i].to ? text_is(now, moves[i].to) : !now;
    }
    repo_tips_done(&here);
    return same;
}

int repo_publish(const struct git_ask *ask, const char *dir, const struct repo_move *moves,
                 size_t count, struct err *err)
{
    const json_t *remote = json_object_get(ask->args, "remote");
    AUTO_ROAD road = {0};
    if (count == 0)
        return 0;
    if (!json_is_object(remote))
        return repo_move_refs(dir, moves, count, err);
    if (road_open(ask, remote, &road, err) < 0 || push(&road, dir, moves, count, err) < 0)
        return -1;
    if (repo_move_refs(dir, moves, count, err) == 0)
        return 0;
    if (!is_here(dir, moves, count)) /* a fetch may have been first */
        return -1;
    *err = (struct err)ERR_INIT;
    return 0;
}
