/* ref.land: what was released becomes trunk.
 *
 * An integration is merge commits on top of a trunk tip, so trunk moves forward onto it: what is on
 * trunk afterwards is the very commit that was built and tried, and not a second merge of the same
 * branches. That needs all of trunk in it. A tag says which release it was; where another life of
 * this app has used that name, it gets the commit's number besides. Asking again after it was done
 * finds it done.
 *
 * Elsewhere people may have squashed or rebased it onto trunk. Then trunk has all of it when
 * merging it would change nothing any more. */
#include <stdio.h>
#include "base/fault.h"
#include "base/json.h"
#include "base/str.h"
#include "courier/git/chain.h"
#include "courier/git/remote.h"

struct land {
    const struct git_ask *ask;
    const char *dir, *trunk, *commit, *tag;
    const json_t *branches; /* names of which the tips are told */
    char *trunk_ref, *tag_ref;
    char *other_tag_ref; /* when tag_ref is taken */
    struct map tips;     /* of trunk, the tags and the branches */
    bool squashed;       /* trunk has what is in the commit, not the commit */
};

static void land_done(struct land *l)
{
    repo_tips_done(&l->tips);
    free(l->trunk_ref);
    free(l->tag_ref);
    free(l->other_tag_ref);
}

static int check_input(struct land *l, const json_t *args, struct err *err)
{
    size_t i;
    json_t *name;
    l->trunk = json_text(args, "trunk");
    l->commit = json_text(args, "commit");
    l->tag = json_text(args, "tag");
    l->branches = json_list(args, "branches");
    if (repo_check_branch(l->trunk, err) < 0 || (l->tag && repo_check_branch(l->tag, err) < 0) ||
        repo_check_commit(l->commit, "the commit", err) < 0)
        return -1;
    json_array_foreach((json_t *)(uintptr_t)l->branches, i, name)
    {
        if (repo_check_branch(json_string_value(name), err) < 0)
            return -1;
    }
    l->trunk_ref = mem_format("refs/heads/%s", l->trunk);
    if (l->tag) {
        l->tag_ref = mem_format("refs/tags/%s", l->tag);
        l->other_tag_ref = mem_format("%s-%.7s", l->tag_ref, l->commit);
    }
    return 0;
}

static int read_tips(struct land *l, struct err *err)
{
    size_t count = json_array_size(l->branches);
    AUTO_JSON *texts = json_array();
    size_t own = l->tag ? 3 : 1;
    const char **refs = mem_array(count + own, sizeof(*refs));
    refs[0] = l->trunk_ref;
    if (l->tag) {
        refs[1] = l->tag_ref;
        refs[2] = l->other_tag_ref;
    }
    for (size_t i = 0; i < count; i++) {
        AUTO_FREE char *ref =
            mem_format("refs/heads/%s", json_string_value(json_array_get(l->branches, i)));
        json_push(texts, json_string(ref));
        refs[i + own] = json_string_value(json_array_get(texts, i));
    }
    int result = repo_tips(l->dir, refs, count + own, &l->tips, err);
    free(refs);
    return result;
}

/* Would merging the commit into trunk change nothing? */
static int is_squashed(const struct land *l, const char *now, bool *ret_squashed, struct err *err)
{
    AUTO_MERGE answer = {0};
    struct repo_commit trunk = {0};
    struct merger m;
    size_t absent = 0;
    *ret_squashed = false;
    if (repo_commits(l->dir, NULL, &now, 1, &trunk, &absent, err) < 0)
        return -1;
    int result = merger_init(&m, l->dir, l->ask->store, NULL, err);
    if (result == 0)
        result = merger_ask(&m, now, l->commit, &answer, err);
    if (result == 0)
        *ret_squashed = answer.clean && text_is(answer.tree, trunk.tree);
    merger_done(&m);
    return result;
}

static int choose_tag(struct land *l, struct err *err)
{
    const char *tagged = l->tag ? map_get(&l->tips, l->tag_ref) : NULL;
    if (!tagged || text_is(tagged, l->commit))
        return 0;
    tagged = map_get(&l->tips, l->other_tag_ref);
    if (tagged && !text_is(tagged, l->commit))
        return FAIL(err, E_EXISTS, "tag '%s' exists already, for another commit", l->tag);
    free(l->tag_ref);
    l->tag_ref = TAKE(l->other_tag_ref);
    return 0;
}

#define LANDED 1
/* 0: trunk can move onto it; LANDED: trunk has it; E_REF_CHANGED: trunk has more. */
static int look(struct land *l, struct err *err)
{
    struct repo_commit found;
    size_t absent = 0;
    const char *now = map_get(&l->tips, l->trunk_ref);
    if (!now)
        return FAIL(err, E_BRANCH_UNKNOWN, "the repository has no branch '%s'", l->trunk);
    int r = repo_commits(l->dir, NULL, &l->commit, 1, &found, &absent, err);
    if (r != 0)
        return r < 0
                   ? -1
                   : FAIL(err, E_BRANCH_UNKNOWN, "commit '%s' does not exist any more", l->commit);
    if (choose_tag(l, err) < 0)
        return -1;
    if ((r = repo_is_ancestor(l->dir, NULL, l->commit, now, err)) != REPO_NO_ANCESTOR)
        return r < 0 ? -1 : LANDED;
    if (json_bool(l->ask->args, "look", false)) {
        if (is_squashed(l, now, &l->squashed, err) < 0)
            return -1;
        return l->squashed ? LANDED : FAIL(err, E_STATE_CONFLICT, "it is not merged yet");
    }
    if ((r = repo_is_ancestor(l->dir, NULL, now, l->commit, err)) != REPO_NO_ANCESTOR)
        return r;
    return FAIL(err, E_REF_CHANGED,
                "trunk '%s' has commits that were not released: release them, too, then land",
                l->trunk);
}

/* Both refs at once. */
static int move(struct land *l, bool landed, struct err *err)
{
    struct repo_move moves[2];
    size_t count = 0;
    if (!landed)
        moves[count++] =
            (struct repo_move){l->trunk_ref, l->commit, map_get(&l->tips, l->trunk_ref)};
    if (l->tag && !map_get(&l->tips, l->tag_ref))
        moves[count++] = (struct repo_move){l->tag_ref, l->commit, GIT_ZERO};
    FAULT("land.refs");
    if (repo_publish(l->ask, l->dir, moves, count, err) < 0)
        return -1;
    FAULT("land.moved");
    return 0;
}

static json_t *reply_of(const struct land *l, bool landed)
{
    json_t *reply = json_object(), *tips = json_object(), *name;
    size_t i;
    json_put_text(reply, "from", map_get(&l->tips, l->trunk_ref));
    json_put_bool(reply, "moved", !landed);
    json_put_bool(reply, "squashed", l->squashed);
    json_put_text(reply, "tag", l->tag ? l->tag_ref + strlen("refs/tags/") : NULL);
    json_array_foreach((json_t *)(uintptr_t)l->branches, i, name)
    {
        AUTO_FREE char *ref = mem_format("refs/heads/%s", json_string_value(name));
        json_put_text(tips, json_string_value(name), map_get(&l->tips, ref));
    }
    json_put(reply, "tips", tips);
    return reply;
}

int git_ref_land(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    struct land l = {.ask = ask};
    if (repo_open(ask, &dir, err) < 0)
        return -1;
    l.dir = dir;
    map_init(&l.tips);
    int r = check_input(&l, ask->args, err);
    if (r == 0)
        r = read_tips(&l, err);
    if (r == 0)
        r = look(&l, err);
    bool landed = r == LANDED;
    if (r >= 0)
        r = move(&l, landed, err);
    if (r >= 0)
        *ret_reply = reply_of(&l, landed);
    land_done(&l);
    return r < 0 ? -1 : 0;
}
