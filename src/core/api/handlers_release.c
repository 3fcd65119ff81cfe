/* Plans, builds, releases, rollouts. What needs the source asks the courier first; then one input
 * does it all. */
#include "core/api/handlers.h"
#include "core/branch/source.h"
#include "core/build/build.h"
#include "core/finding/finding.h"
#include "core/link/link.h"
#include "core/release/release.h"

/* ---- the request of a plan or a rollout ---- */

struct wanted { /* a copy of the body's words, as rollout.c wants them */
    struct rollout_request request;
    bool same_artifact;
    struct app_env from; /* promote: whose ticked set or release */
    const char *commit;  /* of what would be released, as far as it is known; of the source */
};

static int read_kind(const json_t *body, struct wanted *w, struct err *err)
{
    const char *kind = json_text_or(body, "kind", "deploy");
    const char *strategy = json_text(body, "strategy");
    if (text_is(kind, "deploy"))
        w->request.kind = ROLLOUT_DEPLOY;
    else if (text_is(kind, "promote"))
        w->request.kind = ROLLOUT_PROMOTE;
    else if (text_is(kind, "rollback"))
        w->request.kind = ROLLOUT_ROLLBACK;
    else if (text_is(kind, "stop"))
        w->request.kind = ROLLOUT_STOP;
    else
        return FAIL(err, E_FIELD_INVALID, "'kind' is one of deploy, promote, rollback, stop");
    if (strategy && !text_is(strategy, "rolling") && !text_is(strategy, "all-at-once"))
        return FAIL(err, E_FIELD_INVALID, "'strategy' is one of rolling, all-at-once");
    w->request.strategy = strategy;
    w->request.batches = json_int(body, "batches", 0);
    w->request.release = json_int(body, "release", 0);
    w->same_artifact = json_bool(body, "same_artifact", false);
    return 0;
}

/* The set to plan or release with, in place of the ticked one; NULL: that. */
static const json_t *asked_branches(const struct api_call *call)
{
    const json_t *names = json_object_get(call->body, "branches");
    return json_is_array(names) ? names : NULL;
}

/* As when they are ticked. */
static int check_branches(const struct api_call *call, const struct wanted *w, struct err *err)
{
    const json_t *names = asked_branches(call);
    size_t i;
    json_t *name;
    if (names && (w->request.kind != ROLLOUT_DEPLOY || w->request.release))
        return FAIL(err, E_FIELD_INVALID, "'branches' goes with a deploy of the ticked set only");
    json_array_foreach(names, i, name)
    {
        if (!json_is_string(name) || !str_is_branch(str_of(json_string_value(name))))
            return FAIL(err, E_REF_INVALID, "a branch name in the list is not valid");
        if (text_is(json_string_value(name), call->app.trunk))
            return FAIL(err, E_FIELD_INVALID,
                        "'%s' is the trunk: it is always in, tick feature branches",
                        call->app.trunk);
    }
    return 0;
}

static int read_wanted(struct api_call *call, struct wanted *w, struct err *err)
{
    memset(w, 0, sizeof(*w));
    if (read_kind(call->body, w, err) < 0 || check_branches(call, w, err) < 0)
        return -1;
    const char *from = json_text(call->body, "from");
    if (w->request.kind != ROLLOUT_PROMOTE)
        return from ? FAIL(err, E_FIELD_INVALID, "'from' goes with a promotion only") : 0;
    if (!from)
        return FAIL(err, E_FIELD_INVALID, "say 'from': the env to promote from");
    if (app_env_find(call->core, call->app.name, from, &w->from, err) < 0 ||
        access_check(call->core, &call->who, PERMISSION_VIEW, w->from.app_id, w->from.env_id, false,
                     err) < 0)
        return -1;
    if (w->from.id == call->ae.id)
        return FAIL(err, E_FIELD_INVALID, "'from' is the env itself");
    if (!w->from.live_release)
        return FAIL(err, E_STATE_CONFLICT, "nothing is live in %s to promote", w->from.env);
    if (w->from.is_try && w->same_artifact) /* its commit goes with the try */
        return FAIL(err, E_STATE_CONFLICT,
                    "%s is a try: what it runs is built anew elsewhere, promote without "
                    "'same_artifact'",
                    w->from.env);
    return 0;
}

/* The list without repetitions, in its order. */
static json_t *names_once(const json_t *list)
{
    AUTO_JSON *seen = json_object();
    json_t *names = json_array(), *name;
    size_t i;
    json_array_foreach(list, i, name)
    {
        if (json_object_get(seen, json_string_value(name)))
            continue;
        json_put_bool(seen, json_string_value(name), true);
        json_push(names, json_incref(name));
    }
    return names;
}

/* What was used where it was built. */
static int pin_resolutions(struct core *core, const json_t *release, json_t *pins, struct err *err)
{
    AUTO_JSON *used = NULL;
    size_t i;
    json_t *one;
    if (build_resolutions(core, json_text_or(release, "commit", ""), &used, err) < 0)
        return -1;
    json_array_foreach(used, i, one)
        json_put_text(pins, json_text_or(one, "branch", ""), json_text(one, "tip"));
    return 0;
}

/* The branches that go in: this env's ticked set; promoting, the set that is live in the env
 * before, at the commits that run there unless the latest are asked for. Trunk is taken as it is
 * now: the env may run a newer one than the env before. */
static int wanted_branches(struct api_call *call, const struct wanted *w, json_t **ret_names,
                           json_t **ret_pins, struct err *err)
{
    AUTO_JSON *names = json_array();
    AUTO_JSON *pins = json_object();
    AUTO_JSON *rows = NULL;
    AUTO_JSON *release = NULL;
    bool pinned = w->request.kind == ROLLOUT_PROMOTE && !json_bool(call->body, "latest", false);
    if (asked_branches(call)) {
        *ret_names = names_once(asked_branches(call));
        *ret_pins = TAKE(pins);
        return 0;
    }
    if (w->request.kind != ROLLOUT_PROMOTE) {
        if (ticks_list(call->core, call->ae.id, &rows, err) < 0)
            return -1;
    } else {
        if (release_row(call->core, w->from.id, w->from.live_release, &release, err) < 0)
            return -1;
        rows = json_incref(json_list(release, "branches"));
    }
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const char *name = json_text_or(row, "branch", "");
        json_push(names, json_string(name));
        if (pinned)
            json_put_text(pins, name, json_text(row, "tip"));
    }
    if (pinned && pin_resolutions(call->core, release, pins, err) < 0)
        return -1;
    *ret_names = TAKE(names);
    *ret_pins = TAKE(pins);
    return 0;
}

/* ---- what ends in one input ---- */

static json_t *steps_for_people(const json_t *steps)
{
    json_t *list = json_array();
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        json_t *item = json_object();
        json_put_int(item, "index", (int64_t)i);
        json_put(item, "kind", json_incref(json_object_get(step, "kind")));
        json_put(item, "text", json_incref(json_object_get(step, "text")));
        json_put(item, "args", json_incref(json_object_get(step, "args")));
        json_push(list, item);
    }
    return list;
}

static int make_plan(struct api_call *call, const struct wanted *w, struct err *err)
{
    AUTO_JSON *steps = NULL;
    if (rollout_plan(call->core, &call->ae, &w->request, &steps, err) < 0)
        return -1;
    call->reply = json_object();
    json_put(call->reply, "steps", steps_for_people(steps));
    json_put_int(call->reply, "live_release", call->ae.live_release);
    if (w->request.source)
        json_put(call->reply, "ticks", json_incref(json_object_get(w->request.source, "ticks")));
    if (w->request.source)
        json_put(call->reply, "left_out", json_deep_copy(json_list(w->request.source, "left_out")));
    if (w->request.source)
        json_put(call->reply, "resolutions",
                 json_deep_copy(json_list(w->request.source, "resolutions")));
    if (w->commit)
        json_put_text(call->reply, "commit", w->commit);
    return 0;
}

/* What is promoted, built anew or not, is ticked here, so that both envs say what they hold. */
static int take_over_ticks(struct api_call *call, const struct wanted *w, struct err *err)
{
    AUTO_JSON *set = json_array();
    AUTO_JSON *release = NULL;
    size_t i;
    json_t *tick;
    if (!w->request.source &&
        release_row(call->core, w->from.id, w->from.live_release, &release, err) < 0)
        return -1;
    const json_t *ticks =
        release ? json_list(release, "branches") : json_list(w->request.source, "ticks");
    json_array_foreach(ticks, i, tick) json_push(set, json_incref(json_object_get(tick, "branch")));
    json_array_foreach(json_list(w->request.source, "left_out"), i, tick)
        json_push(set, json_incref(json_object_get(tick, "branch")));
    return ticks_change(call->core, &call->who, &call->ae, NULL, NULL, set, err);
}

/* Somebody looked at a plan and said yes to that one: branches, tips, trunk and what it replaces
 * must be the same. The commit of an integration stands for all of its inputs. */
static int refuse_other_than_planned(const struct api_call *call, const struct wanted *w,
                                     struct err *err)
{
    const char *commit = json_text(call->body, "expect_commit");
    int64_t live = json_int(call->body, "expect_live", call->ae.live_release);
    if ((!commit || text_is(commit, w->commit)) && live == call->ae.live_release)
        return 0;
    return FAIL(err, E_STATE_CONFLICT,
                "what would be released or replaced in %s is another one than was planned: look at "
                "the plan again",
                call->ae.subject);
}

/* The named branches become the ticked set, in the same input as the rollout. */
static int tick_named(struct api_call *call, struct err *err)
{
    const json_t *names = asked_branches(call);
    if (!names)
        return 0;
    if (access_check(call->core, &call->who, PERMISSION_TICK, call->ae.app_id, call->ae.env_id,
                     true, err) < 0)
        return -1;
    AUTO_JSON *once = names_once(names);
    return ticks_change(call->core, &call->who, &call->ae, NULL, NULL, once, err);
}

static int make_rollout(struct api_call *call, const struct wanted *w, struct err *err)
{
    int64_t id = 0;
    json_t *row = NULL;
    if (refuse_other_than_planned(call, w, err) < 0 || tick_named(call, err) < 0 ||
        (w->request.kind == ROLLOUT_PROMOTE && take_over_ticks(call, w, err) < 0))
        return -1;
    if (rollout_create(call->core, &call->who, &call->ae, &w->request, &id, err) < 0 ||
        rollout_row(call->core, call->ae.id, id, &row, err) < 0)
        return -1;
    call->reply = json_object();
    json_put(call->reply, "rollout", row);
    return 0;
}

/* What testers found in an env before may keep its branches out of this one. Going back is always
 * free. */
static int refuse_by_findings(struct api_call *call, const struct wanted *w, struct err *err)
{
    AUTO_JSON *release = NULL;
    const json_t *branches = json_list(w->request.source, "ticks");
    if (w->request.kind != ROLLOUT_PROMOTE && !w->request.source)
        return 0;
    if (!w->request.source) {
        if (release_row(call->core, w->from.id, w->from.live_release, &release, err) < 0)
            return -1;
        branches = json_list(release, "branches");
    }
    return finding_gate(call->core, &call->ae, branches, err);
}

struct finishing {
    struct wanted *wanted;
    int (*make)(struct api_call *call, const struct wanted *w, struct err *err);
};

static int run_make(struct api_call *call, void *context, struct err *err)
{
    const struct finishing *f = context;
    struct app_env fresh; /* the app-env may have moved while the courier worked */
    if (app_env_load(call->core, call->ae.id, &fresh, err) < 0)
        return -1;
    call->ae = fresh;
    if (f->make == make_rollout && f->wanted->request.kind == ROLLOUT_ROLLBACK &&
        access_check(call->core, &call->who, PERMISSION_ROLLBACK, call->ae.app_id, call->ae.env_id,
                     true, err) < 0)
        return -1;
    if (f->make == make_rollout && f->wanted->request.kind != ROLLOUT_ROLLBACK &&
        access_check(call->core, &call->who, PERMISSION_DEPLOY, call->ae.app_id, call->ae.env_id,
                     true, err) < 0)
        return -1;
    if (refuse_by_findings(call, f->wanted, err) < 0)
        return -1;
    return f->make(call, f->wanted, err);
}

struct asking {
    struct api_call *call;
    int (*make)(struct api_call *call, const struct wanted *w, struct err *err);
};

static void finish(struct api_call *call, struct wanted *w,
                   int (*make)(struct api_call *, const struct wanted *, struct err *))
{
    struct finishing f = {w, make};
    api_finish_input(call, run_make, &f);
}

static void on_source(void *context, json_t *source, const struct err *error)
{
    struct asking *a = context;
    struct api_call *call = a->call;
    struct err err = ERR_INIT;
    struct wanted w;
    if (error || read_wanted(call, &w, &err) < 0) {
        api_fail_detail(call, error ? error : &err, error ? source : NULL);
        free(a);
        return;
    }
    w.commit = json_text(source, "commit");
    if (w.same_artifact) {
        AUTO_JSON *release = NULL;
        int found =
            store_row(call->core->store, &release, &err,
                      "SELECT id FROM release WHERE app_env_id=$1 AND number=$2 AND "
                      "commit_id=$3",
                      "iit", w.from.id, w.from.live_release, json_text_or(source, "commit", ""));
        if (found == STORE_NONE)
            (void)FAIL(&err, E_STATE_CONFLICT, "%s changed meanwhile: try again", w.from.subject);
        w.request.artifact_of = json_int(release, "id", 0);
        w.request.config = json_dict(source, "config");
        if (found == 0)
            finish(call, &w, a->make);
        else
            api_fail(call, &err);
    } else {
        w.request.source = source;
        w.request.release = 0;
        finish(call, &w, a->make);
    }
    free(a);
}

/* Same artifact: this env's configuration as it stands in the commit that was built. */
static int ask_same_config(struct api_call *call, const struct wanted *w, struct asking *a,
                           struct err *err)
{
    AUTO_JSON *release = NULL;
    if (release_row(call->core, w->from.id, w->from.live_release, &release, err) < 0)
        return -1;
    source_config_at(call->core, &call->ae, json_text_or(release, "commit", ""), on_source, a);
    return 0;
}

static int ask_source(struct api_call *call, const struct wanted *w,
                      int (*make)(struct api_call *, const struct wanted *, struct err *),
                      struct err *err)
{
    struct asking *a = mem_alloc(sizeof(*a));
    *a = (struct asking){api_ref(call), make};
    json_t *names = NULL;
    json_t *pins = NULL;
    int result = w->same_artifact ? ask_same_config(call, w, a, err)
                                  : wanted_branches(call, w, &names, &pins, err);
    if (result < 0) {
        api_unref(call);
        free(a);
        return -1;
    }
    if (!w->same_artifact)
        source_resolve(call->core, &call->ae, names, pins, on_source, a);
    return API_LATER;
}

static int plan_or_rollout(struct api_call *call,
                           int (*make)(struct api_call *, const struct wanted *, struct err *),
                           struct err *err)
{
    struct wanted w;
    if (read_wanted(call, &w, err) < 0)
        return -1;
    if (w.request.kind == ROLLOUT_PROMOTE ||
        (w.request.kind == ROLLOUT_DEPLOY && !w.request.release))
        return ask_source(call, &w, make, err);
    finish(api_ref(call), &w, make); /* an existing release needs nobody else */
    return API_LATER;
}

/* Integrating costs the courier something: any set is for who may tick or release it. */
int api_may_try(struct api_call *call, struct err *err)
{
    struct err ignored = ERR_INIT;
    if (access_check(call->core, &call->who, PERMISSION_DEPLOY, call->ae.app_id, call->ae.env_id,
                     false, &ignored) == 0)
        return 0;
    return access_check(call->core, &call->who, PERMISSION_TICK, call->ae.app_id, call->ae.env_id,
                        false, err);
}

API_HANDLER(api_plan)
{
    if (asked_branches(call) && api_may_try(call, err) < 0)
        return -1;
    return plan_or_rollout(call, make_plan, err);
}

/* Refuse early, before the courier works for nothing. */
static int refuse_early(struct api_call *call, struct err *err)
{
    bool rollback = text_is(json_text(call->body, "kind"), "rollback");
    return access_check(call->core, &call->who, rollback ? PERMISSION_ROLLBACK : PERMISSION_DEPLOY,
                        call->ae.app_id, call->ae.env_id, true, err);
}

API_HANDLER(api_rollout_add)
{
    if (refuse_early(call, err) < 0)
        return -1;
    return plan_or_rollout(call, make_rollout, err);
}

API_HANDLER(api_rollouts)
{
    int64_t after = 0;
    int64_t limit = 0;
    json_t *rows = NULL;
    if (api_query_page(call, &after, &limit, err) < 0 ||
        rollout_list(call->core, call->ae.id, after, limit, &rows, err) < 0)
        return -1;
    call->reply = api_page(rows, "id", limit);
    return 0;
}

API_HANDLER(api_rollout_get)
{
    int64_t id = 0;
    if (api_param_int(call, "rollout", &id, err) < 0)
        return -1;
    return rollout_row(call->core, call->ae.id, id, &call->reply, err);
}

API_HANDLER(api_rollout_cancel)
{
    int64_t id = 0;
    AUTO_JSON *row = NULL;
    if (api_param_int(call, "rollout", &id, err) < 0 ||
        rollout_row(call->core, call->ae.id, id, &row, err) < 0 ||
        rollout_cancel(call->core, &call->who, id, err) < 0)
        return -1;
    return rollout_row(call->core, call->ae.id, id, &call->reply, err);
}

/* ---- builds ---- */

static int run_build_add(struct api_call *call, void *context, struct err *err)
{
    struct build b;
    json_t *row = NULL;
    if (build_create(call->core, &call->who, &call->ae, context, &b, err) < 0 ||
        build_row(call->core, b.id, &row, err) < 0)
        return -1;
    call->reply = json_object();
    json_put(call->reply, "build", row);
    return 0;
}

static void on_build_source(void *context, json_t *source, const struct err *error)
{
    struct api_call *call = context;
    if (error)
        api_fail_detail(call, error, source);
    else
        api_finish_input(call, run_build_add, source);
}

API_HANDLER(api_build_add)
{
    struct wanted w = {0};
    json_t *names = NULL;
    json_t *pins = NULL;
    if (wanted_branches(call, &w, &names, &pins, err) < 0)
        return -1;
    source_resolve(call->core, &call->ae, names, pins, on_build_source, api_ref(call));
    return API_LATER;
}

API_HANDLER(api_builds)
{
    int64_t after = 0;
    int64_t limit = 0;
    json_t *rows = NULL;
    if (api_query_page(call, &after, &limit, err) < 0 ||
        build_list(call->core, call->ae.id, after, limit, &rows, err) < 0)
        return -1;
    call->reply = api_page(rows, "number", limit);
    return 0;
}

static int find_build(struct api_call *call, struct build *ret_build, struct err *err)
{
    int64_t number = 0;
    if (api_param_int(call, "build", &number, err) < 0)
        return -1;
    return build_find(call->core, call->ae.id, number, ret_build, err);
}

API_HANDLER(api_build_get)
{
    struct build b;
    if (find_build(call, &b, err) < 0)
        return -1;
    return build_row(call->core, b.id, &call->reply, err);
}

API_HANDLER(api_build_cancel)
{
    struct build b;
    if (find_build(call, &b, err) < 0 || build_cancel(call->core, &call->who, &b, err) < 0)
        return -1;
    return build_row(call->core, b.id, &call->reply, err);
}

static void on_output(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    if (error)
        api_fail(call, error);
    else
        api_reply(call, 200, json_deep_copy(ok));
}

API_HANDLER(api_build_output)
{
    struct build b;
    int64_t offset = 0;
    if (find_build(call, &b, err) < 0 ||
        api_query_int(call, "offset", 0, INT64_MAX / 2, 0, &offset, err) < 0)
        return -1;
    json_t *args = json_object();
    AUTO_FREE char *name = build_wire_name(&call->ae, b.number);
    json_put_text(args, "build", name);
    json_put_int(args, "offset", offset);
    link_call(call->core->host, "build.output", args, 20000, on_output, api_ref(call));
    return API_LATER;
}

/* ---- releases ---- */

API_HANDLER(api_releases)
{
    int64_t after = 0;
    int64_t limit = 0;
    json_t *rows = NULL;
    if (api_query_page(call, &after, &limit, err) < 0 ||
        release_list(call->core, call->ae.id, after, limit, &rows, err) < 0)
        return -1;
    call->reply = api_page(rows, "number", limit);
    return 0;
}

API_HANDLER(api_release_get)
{
    int64_t number = 0;
    if (api_param_int(call, "release", &number, err) < 0)
        return -1;
    return release_row(call->core, call->ae.id, number, &call->reply, err);
}

API_HANDLER(api_release_provenance)
{
    int64_t number = 0;
    AUTO_JSON *row = NULL;
    if (api_param_int(call, "release", &number, err) < 0 ||
        release_row(call->core, call->ae.id, number, &row, err) < 0)
        return -1;
    json_t *args = json_object();
    json_put_text(args, "artifact", json_text(row, "artifact"));
    link_call(call->core->host, "artifact.provenance", args, 20000, on_output, api_ref(call));
    return API_LATER;
}
