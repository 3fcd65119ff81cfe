/* The courier asks who may fetch and push. */
#include "core/api/api_priv.h"
#include "base/log.h"
#include "core/branch/pushed.h"
#include "core/forge/forge.h"
#include "core/tick/tick.h"
#include "io/message.h"

static const char zero[] = "0000000000000000000000000000000000000000";

static bool is_trunk(const struct app *app, const json_t *ref)
{
    AUTO_FREE char *trunk = mem_format("refs/heads/%s", app->trunk);
    return text_is(json_text(ref, "ref"), trunk);
}

/* The right that one ref of a push needs. A branch other than trunk is its developers' own: they
 * make, rewind and delete it. A tag is made by them, and stays where it is: others trust it. */
static enum permission ref_permission(const struct app *app, const json_t *ref)
{
    struct str name = str_of(json_text_or(ref, "ref", ""));
    if (str_starts(name, "refs/heads/") && !is_trunk(app, ref))
        return PERMISSION_BRANCH;
    if (str_starts(name, "refs/tags/") && text_is(json_text(ref, "old"), zero))
        return PERMISSION_BRANCH;
    return PERMISSION_TRUNK;
}

static int check_push(struct core *core, const struct person *who, const struct app *app,
                      const json_t *refs, struct err *err)
{
    size_t i;
    json_t *ref;
    json_array_foreach(refs, i, ref)
    {
        enum permission needed = ref_permission(app, ref);
        if (access_check(core, who, needed, app->id, 0, true, err) == 0)
            continue;
        return err_wrap(err, "%s", json_text_or(ref, "ref", "?"));
    }
    return 0;
}

/* The token tells who it is; the user name beside it is for git's credential store only. */
static int authorize(struct core *core, const json_t *args, struct person *who, struct err *err)
{
    struct app app;
    const char *secret = json_text(args, "secret");
    if (!secret || !*secret)
        return FAIL(err, E_UNAUTHENTICATED, "sign in first: run 'slipway login'");
    if (access_authenticate(core, str_of(secret), who, err) < 0)
        return -1;
    if (app_load(core, json_text_or(args, "app", ""), &app, err) < 0)
        return -1;
    if (access_check(core, who, PERMISSION_VIEW, app.id, 0, false, err) < 0)
        return -1;
    if (!text_is(json_text(args, "service"), "push"))
        return 0;
    if (access_check(core, who, PERMISSION_BRANCH, app.id, 0, true, err) < 0 ||
        origin_refuse_push(core, app.id, err) < 0)
        return -1;
    return check_push(core, who, &app, json_list(args, "refs"), err);
}

/* Trunk is rewound only by who may push it at all; without trunk in it, a push may rewind. */
static bool may_force(struct core *core, const struct person *who, const json_t *args)
{
    struct app app;
    struct err ignored = ERR_INIT;
    const json_t *refs = json_list(args, "refs");
    bool trunk = json_array_size(refs) == 0; /* not known yet */
    size_t i;
    json_t *ref;
    if (app_load(core, json_text_or(args, "app", ""), &app, &ignored) < 0)
        return false;
    json_array_foreach((json_t *)refs, i, ref) trunk |= is_trunk(&app, ref);
    return access_check(core, who, trunk ? PERMISSION_TRUNK : PERMISSION_BRANCH, app.id, 0, true,
                        &ignored) == 0;
}

void api_git_authorize(void *context, struct message *m)
{
    struct core *core = context;
    struct err err = ERR_INIT;
    struct person who;
    if (authorize(core, m->args, &who, &err) < 0) {
        /* git asks without a token first: that is no try */
        if (err.kind == E_UNAUTHENTICATED && *json_text_or(m->args, "secret", ""))
            refused_count(err.kind);
        message_fail(m, &err);
        return;
    }
    json_t *ok = json_object();
    json_put_bool(ok, "allowed", true);
    json_put_text(ok, "user", who.name);
    /* whether a push is forced only git can tell: it refuses unless we say that this person may */
    json_put_bool(ok, "force", may_force(core, &who, m->args));
    message_ok(m, ok);
}

struct pushed {
    struct core *core;
    const json_t *args;
};

static int note_push(void *context, struct err *err)
{
    const struct pushed *p = context;
    struct app app;
    const json_t *refs = json_list(p->args, "refs");
    if (app_load(p->core, json_text_or(p->args, "app", ""), &app, err) < 0)
        return -1;
    const char *user = json_text_or(p->args, "user", "");
    AUTO_FREE char *actor =
        str_is_name(str_of(user)) ? mem_format("user:%s", user) : mem_strdup("courier");
    return pushed_note(p->core, app.name, actor, refs, (int64_t)json_array_size(refs), err);
}

void api_repo_changed(void *context, struct message *m)
{
    struct core *core = context;
    struct err err = ERR_INIT;
    struct app app;
    struct pushed p = {core, m->args};
    if (tick_input(core->tick, "a push", note_push, &p, &err) < 0)
        log_error("cannot note a push in the journal", F_ERR(&err));
    if (app_load(core, json_text_or(m->args, "app", ""), &app, &err) == 0)
        env_publish_repo(core, app.id, m->args);
}
