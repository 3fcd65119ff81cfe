/* resolve.open: branches that conflict become one commit with the conflict in it, on a branch of
 * its own, ready to be edited. resolve.fold: what was resolved goes into the side that is left.
 * resolve.states: what can be used.
 *
 * The opening commit is written by us and depends on its inputs alone, so asking again finds it.
 * Refs move last, all of them or none. */
#include "base/fault.h"
#include "base/json.h"
#include "base/str.h"
#include "courier/git/history.h"
#include "courier/git/remote.h"
#include "courier/git/resolution.h"

#define OPENED_BY "Slipway"       /* author of an opening commit, */
#define OPENED_SUBJECT "Resolve " /* and how its message begins */
#define FILES_IN_MESSAGE 20

/* --- opening -------------------------------------------------------------------------------- */

struct opening {
    const struct git_ask *ask;
    struct merger merger;
    const char *name;
    char *ref;
    struct tick sides[RESOLUTION_SIDES_MAX];
    size_t count;
    struct map tips; /* of the ref and the sides */
};

static int read_side(struct opening *o, const char *branch, struct err *err)
{
    AUTO_FREE char *ref = mem_format("refs/heads/%s", branch);
    const char *tip = map_get(&o->tips, ref);
    for (size_t i = 0; i < o->count; i++)
        if (text_is(o->sides[i].branch, branch))
            return FAIL(err, E_FIELD_INVALID, "'%s' is named twice", branch);
    if (!tip)
        return FAIL(err, E_BRANCH_UNKNOWN, "branch '%s' does not exist", branch);
    o->sides[o->count++] = (struct tick){.branch = branch, .tip = tip};
    return 0;
}

static int read_sides(struct opening *o, const json_t *args, struct err *err)
{
    const json_t *names = json_list(args, "sides");
    size_t count = json_array_size(names), i;
    AUTO_JSON *texts = json_array();
    const char *refs[RESOLUTION_SIDES_MAX + 1];
    json_t *name;
    o->name = json_text(args, "name");
    if (repo_check_branch(o->name, err) < 0)
        return -1;
    if (count < 2 || count > RESOLUTION_SIDES_MAX)
        return FAIL(err, E_FIELD_INVALID, "two branches resolve a conflict, or up to %d",
                    RESOLUTION_SIDES_MAX);
    o->ref = mem_format("refs/heads/%s", o->name);
    refs[0] = o->ref;
    json_array_foreach((json_t *)(uintptr_t)names, i, name)
    {
        if (repo_check_branch(json_string_value(name), err) < 0)
            return -1;
        AUTO_FREE char *ref = mem_format("refs/heads/%s", json_string_value(name));
        json_push(texts, json_string(ref));
        refs[i + 1] = json_string_value(json_array_get(texts, i));
    }
    if (repo_tips(o->merger.dir, refs, count + 1, &o->tips, err) < 0)
        return -1;
    json_array_foreach((json_t *)(uintptr_t)names, i, name)
    {
        if (read_side(o, json_string_value(name), err) < 0)
            return -1;
    }
    return 0;
}

/* All but the last merge; with the last they conflict. */
static int make_conflict(struct opening *o, struct chain *c, struct merge_answer *answer,
                         struct err *err)
{
    struct ticks_ask ask = {o->merger.dir, o->sides[0].branch, o->sides[0].tip, NULL, NULL};
    struct repo_commit first;
    const struct tick *last = &o->sides[o->count - 1];
    if (ticks_read(&ask, o->sides, o->count, &first, err) < 0)
        return -1;
    chain_begin(c, o->sides[0].branch, o->sides[0].tip, &first);
    for (size_t i = 1; i + 1 < o->count; i++) {
        AUTO_MERGE ignored = {0};
        int r = chain_add(c, &o->merger, &o->sides[i], &ignored, err);
        if (r == CHAIN_CONFLICT)
            return FAIL(err, E_STATE_CONFLICT,
                        "'%s' conflicts with those before it already: resolve these alone",
                        o->sides[i].branch);
        if (r < 0)
            return -1;
    }
    if (merger_ask(&o->merger, c->tip, last->tip, answer, err) < 0)
        return -1;
    if (answer->clean)
        return FAIL(err, E_STATE_CONFLICT, "they merge: there is nothing to resolve");
    if (str_is(str_trim(buf_str(&answer->text)), MERGE_NO_HISTORY))
        return FAIL(err, E_STATE_CONFLICT, MERGE_NO_HISTORY ": rebase one onto the other");
    if (answer->file_count > MERGE_FILES_MAX)
        return FAIL(err, E_TOO_MANY, "%zu files conflict: merge one into the other by hand",
                    answer->file_count);
    for (size_t i = 0; i < json_array_size(answer->files); i++)
        if (strstr(json_string_value(json_array_get(answer->files, i)), "\xef\xbf\xbd"))
            return FAIL(err, E_STATE_CONFLICT,
                        "a file that conflicts has a name that is no UTF-8: merge by hand");
    memcpy(c->tree, answer->tree, GIT_OID);
    c->date = last->date > c->date ? last->date : c->date;
    return 0;
}

static int write_opening(struct opening *o, struct chain *c, const struct merge_answer *answer,
                         struct err *err)
{
    AUTO_BUF text = BUF_INIT(0);
    (void)buf_add_text(&text, OPENED_SUBJECT);
    for (size_t i = 0; i < o->count; i++)
        (void)buf_add_format(&text, "%s'%s'", i ? " + " : "", o->sides[i].branch);
    (void)buf_add_text(&text, "\n\nTake the conflict markers out of these files, commit and push "
                              "this branch:\n\n");
    for (size_t i = 0; i < json_array_size(answer->files) && i < FILES_IN_MESSAGE; i++)
        (void)buf_add_format(&text, "  %s\n", json_string_value(json_array_get(answer->files, i)));
    if (answer->file_count > FILES_IN_MESSAGE)
        (void)buf_add_format(&text, "  and %zu more\n", answer->file_count - FILES_IN_MESSAGE);
    (void)buf_add_char(&text, '\0');
    return chain_commit(c, &o->merger, o->sides[o->count - 1].tip, text.data, err);
}

/* An opening that nobody has worked on: its sides have moved since, or core never heard of it. */
static int is_untouched(const struct opening *o, const char *tip, bool *ret_is, struct err *err)
{
    AUTO_JSON *rows = NULL;
    if (history_tell(o->merger.dir, &tip, 1, &rows, err) < 0)
        return -1;
    const json_t *row = json_array_get(rows, 0);
    *ret_is = text_is(json_text(row, "author"), OPENED_BY) &&
              text_starts(json_text_or(row, "subject", ""), OPENED_SUBJECT "'");
    return 0;
}

static int publish_opening(struct opening *o, const char *opened, struct err *err)
{
    const char *now = map_get(&o->tips, o->ref);
    bool untouched = true;
    if (text_is(now, opened))
        return 0;
    if (now && is_untouched(o, now, &untouched, err) < 0)
        return -1;
    if (!untouched)
        return FAIL(err, E_EXISTS, "branch '%s' exists already", o->name);
    if (merger_keep(&o->merger, err) < 0)
        return -1;
    FAULT("resolve.ref");
    struct repo_move made = {o->ref, opened, now ? now : GIT_ZERO};
    return repo_publish(o->ask, o->merger.dir, &made, 1, err);
}

static json_t *opening_json(const struct opening *o, const char *opened,
                            const struct merge_answer *answer)
{
    json_t *reply = json_object(), *sides = json_array();
    for (size_t i = 0; i < o->count; i++) {
        json_t *side = json_object();
        json_put_text(side, "branch", o->sides[i].branch);
        json_put_text(side, "tip", o->sides[i].tip);
        json_push(sides, side);
    }
    json_put_text(reply, "branch", o->name);
    json_put_text(reply, "tip", opened);
    json_put(reply, "sides", sides);
    json_put(reply, "files", json_incref(answer->files));
    json_put_int(reply, "file_count", (int64_t)answer->file_count);
    return reply;
}

static int open_resolution(struct opening *o, const json_t *args, json_t **ret_reply,
                           struct err *err)
{
    AUTO_MERGE answer = {0};
    struct chain c;
    if (read_sides(o, args, err) < 0 || make_conflict(o, &c, &answer, err) < 0 ||
        write_opening(o, &c, &answer, err) < 0 || publish_opening(o, c.tip, err) < 0)
        return -1;
    *ret_reply = opening_json(o, c.tip, &answer);
    return 0;
}

int git_resolve_open(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    struct opening o = {.ask = ask};
    if (repo_open(ask, &dir, err) < 0)
        return -1;
    map_init(&o.tips);
    int r = merger_init(&o.merger, dir, ask->store, NULL, err);
    if (r == 0)
        r = open_resolution(&o, ask->args, ret_reply, err);
    merger_done(&o.merger);
    repo_tips_done(&o.tips);
    free(o.ref);
    return r;
}

/* --- folding -------------------------------------------------------------------------------- */

struct folding {
    const struct git_ask *ask;
    struct merger merger;
    const char *branch, *tip, *into; /* tip: of the resolution */
    char *branch_ref, *into_ref;
    struct map tips;
    struct chain chain; /* what `into` becomes */
    bool moves;
};

static int check_work(struct folding *f, const json_t *row, struct err *err)
{
    struct resolutions_ask ask = {.merger = &f->merger};
    AUTO_FREE char *missing = NULL;
    if (resolution_work(&ask, row, &missing, err) < 0)
        return -1;
    return missing ? FAIL(err, E_STATE_CONFLICT, "it is not resolved yet: %s", missing) : 0;
}

static int read_folding(struct folding *f, const json_t *args, struct err *err)
{
    const json_t *row = json_dict(args, "resolution");
    f->into = json_text(args, "into");
    if (check_work(f, row, err) < 0 || repo_check_branch(f->into, err) < 0)
        return -1;
    f->branch = json_text(row, "branch");
    f->tip = json_text(row, "tip");
    f->branch_ref = mem_format("refs/heads/%s", f->branch);
    f->into_ref = mem_format("refs/heads/%s", f->into);
    const char *refs[] = {f->branch_ref, f->into_ref};
    if (repo_tips(f->merger.dir, refs, 2, &f->tips, err) < 0)
        return -1;
    const char *now = map_get(&f->tips, f->branch_ref);
    if (now && !text_is(now, f->tip))
        return FAIL(err, E_REF_CHANGED, "branch '%s' has moved meanwhile", f->branch);
    if (!map_get(&f->tips, f->into_ref))
        return FAIL(err, E_BRANCH_UNKNOWN, "branch '%s' does not exist", f->into);
    return 0;
}

/* Forward when it can, else by a merge. */
static int make_folded(struct folding *f, struct err *err)
{
    AUTO_MERGE answer = {0};
    struct tick t = {.branch = f->branch, .tip = f->tip};
    const char *now = map_get(&f->tips, f->into_ref);
    struct ticks_ask ask = {f->merger.dir, f->into, now, NULL, NULL};
    struct repo_commit base;
    if (ticks_read(&ask, &t, 1, &base, err) < 0)
        return -1;
    chain_begin(&f->chain, f->into, now, &base);
    int r = repo_is_ancestor(f->merger.dir, NULL, f->tip, now, err);
    if (r != REPO_NO_ANCESTOR)
        return r; /* it has it */
    f->moves = true;
    r = repo_is_ancestor(f->merger.dir, NULL, now, f->tip, err);
    if (r == 0)
        (void)snprintf(f->chain.tip, GIT_OID, "%s", f->tip);
    if (r != REPO_NO_ANCESTOR)
        return r;
    r = chain_add(&f->chain, &f->merger, &t, &answer, err);
    if (r == CHAIN_CONFLICT)
        return FAIL(err, E_MERGE_CONFLICT,
                    "'%s' conflicts with '%s' by now: merge it by hand, and push", f->into,
                    f->branch);
    return r < 0 ? -1 : merger_keep(&f->merger, err);
}

static int move_folded(struct folding *f, struct err *err)
{
    struct repo_move moves[2];
    size_t count = 0;
    if (f->moves)
        moves[count++] =
            (struct repo_move){f->into_ref, f->chain.tip, map_get(&f->tips, f->into_ref)};
    if (map_get(&f->tips, f->branch_ref))
        moves[count++] = (struct repo_move){f->branch_ref, NULL, f->tip};
    FAULT("resolve.fold");
    return repo_publish(f->ask, f->merger.dir, moves, count, err);
}

static int fold(struct folding *f, const json_t *args, json_t **ret_reply, struct err *err)
{
    if (read_folding(f, args, err) < 0 || make_folded(f, err) < 0 || move_folded(f, err) < 0)
        return -1;
    *ret_reply = json_object();
    json_put_text(*ret_reply, "tip", f->chain.tip);
    json_put_bool(*ret_reply, "moved", f->moves);
    return 0;
}

int git_resolve_fold(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    struct folding f = {.ask = ask};
    if (repo_open(ask, &dir, err) < 0)
        return -1;
    map_init(&f.tips);
    int r = merger_init(&f.merger, dir, ask->store, NULL, err);
    if (r == 0)
        r = fold(&f, ask->args, ret_reply, err);
    merger_done(&f.merger);
    repo_tips_done(&f.tips);
    free(f.branch_ref);
    free(f.into_ref);
    return r;
}

/* --- states --------------------------------------------------------------------------------- */

int git_resolve_states(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    struct merger merger = {0};
    struct tick none[STEPS_MAX];
    size_t count = 0;
    json_t *states = NULL;
    struct resolutions_ask r = {&merger, ask->cache, json_list(ask->args, "resolutions"),
                                json_text(ask->args, "base")};
    if (repo_open(ask, &dir, err) < 0 || repo_check_commit(r.base, "the base", err) < 0)
        return -1;
    int result = merger_init(&merger, dir, ask->store, NULL, err);
    if (result == 0)
        result = resolutions_put(&r, none, &count, &states, err);
    merger_done(&merger);
    if (result < 0)
        return -1;
    *ret_reply = json_object();
    json_put(*ret_reply, "resolutions", states);
    return 0;
}
