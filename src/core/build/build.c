/* The walk of a build: publish its ref, let host run it, stream the tree from the
 * courier when host wants it, wait. Each action may be repeated: an event that comes late finds its
 * build ended and is a no-op.
 */
#include "core/build/build.h"

#include <fcntl.h>

#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "core/build/build_priv.h"
#include "core/config/config.h"
#include "core/feed/feed.h"
#include "core/journal/journal.h"
#include "core/link/link.h"
#include "core/secret/secret.h"
#include "core/tick/tick.h"

#define CANCEL_AGAIN_MS ((int64_t)2 * 3600 * 1000)

static int (*on_end)(struct core *core, const struct build *b, struct err *err);

void build_on_end(int (*fn)(struct core *core, const struct build *b, struct err *err))
{
    on_end = fn;
}

char *build_wire_name(const struct app_env *ae, int64_t number)
{
    return mem_format("%s.b%lld", ae->subject, (long long)number);
}

/* ---- events ---- */

struct build_input {
    struct core *core;
    int64_t id;
    int event;
    const json_t *result;      /* with SUCCEED and FAIL */
    const struct err *failure; /* with FAIL */
    const char *actor;
};

static void build_act(struct core *core, int64_t id);

static void publish_state(struct core *core, const struct build *b)
{
    json_t *data = json_object();
    json_put_int(data, "number", b->number);
    json_put_text(data, "state", sm_state_name(&build_sm, b->state));
    feed_publish_after(core, "build", b->app_env_id, data);
}

static int journal_state(const struct build_input *in, const struct build *b, struct err *err)
{
    struct app_env ae;
    AUTO_JSON *data = json_object();
    if (app_env_load(in->core, b->app_env_id, &ae, err) < 0)
        return -1;
    json_put_int(data, "build", b->number);
    if (in->failure)
        json_put(data, "error", json_from_err(in->failure));
    AUTO_FREE char *kind = mem_format("build.%s", sm_state_name(&build_sm, b->state));
    return journal_append(in->core, in->actor, kind, ae.subject, ae.id, data, err);
}

static int apply_event(void *context, struct err *err)
{
    const struct build_input *in = context;
    struct build b;
    int state = 0;
    if (build_load(in->core, in->id, &b, err) < 0)
        return -1;
    if (sm_next(&build_sm, b.state, in->event, &state) == SM_REFUSED) {
        log_info("late word of a build, ignoring", F_ID("build", in->id),
                 F_STR("state", sm_state_name(&build_sm, b.state)));
        return 0;
    }
    if (build_set_state(in->core, &b, state, err) < 0)
        return -1;
    AUTO_JSON *error = in->failure ? json_from_err(in->failure) : NULL;
    if (sm_is_final(&build_sm, state) &&
        build_set_result(in->core, &b, json_text(in->result, "artifact"), in->result, error, err) <
            0)
        return -1;
    if (build_load(in->core, in->id, &b, err) < 0 || journal_state(in, &b, err) < 0)
        return -1;
    if (sm_is_final(&build_sm, state) && on_end && on_end(in->core, &b, err) < 0)
        return -1;
    FAULT("build.event");
    publish_state(in->core, &b);
    tick_act(in->core->tick, build_act, in->core, b.id);
    return 0;
}

static void build_event(struct core *core, int64_t id, int event, const json_t *result,
                        const struct err *failure)
{
    struct build_input in = {core, id, event, result, failure, "core"};
    struct err err = ERR_INIT;
    if (tick_input(core->tick, "build event", apply_event, &in, &err) == 0)
        return;
    log_error("a build's event could not be stored, trying again", F_ID("build", id), F_ERR(&err));
    tick_again(core->tick);
}

/* ---- actions ---- */

struct export
{
    struct action *action; /* NULL when it ended meanwhile */
};

/* One action at a time for a build; in memory only, since an action can be repeated. */
struct action {
    struct core *core;
    int64_t id;
    struct app_env ae;
    json_t *row;           /* build_config */
    json_t *checks;        /* told so far: all that a failed build leaves of them ... */
    json_t *steps;         /* ... and of these */
    bool wants_source;     /* host has asked for the tree and not got it yet */
    struct export *export; /* the courier is writing it */
    struct action *next;
};
static struct action *actions;

static struct action *acting(int64_t id)
{
    for (struct action *a = actions; a; a = a->next) {
        if (a->id == id)
            return a;
    }
    return NULL;
}

static void action_end(struct action *a)
{
    for (struct action **at = &actions; *at; at = &(*at)->next) {
        if (*at == a) {
            *at = a->next;
            break;
        }
    }
    if (a->export)
        a->export->action = NULL;
    json_decref(a->row);
    json_decref(a->checks);
    json_decref(a->steps);
    free(a);
}

/* What a build that does not come to its artifact leaves. */
static json_t *told_so_far(const struct action *a)
{
    json_t *result = json_object();
    if (a) {
        json_put(result, "checks", json_deep_copy(a->checks));
        json_put(result, "steps", json_deep_copy(a->steps));
    }
    return result;
}

/* A role that went away is no failure of the build: it is acted on again when the role is back. */
static bool role_away(const struct err *error)
{
    return error->kind == E_ROLE_DOWN;
}

static void action_fail(struct action *a, const struct err *error)
{
    struct core *core = a->core;
    int64_t id = a->id;
    AUTO_JSON *result = told_so_far(a);
    action_end(a);
    if (!role_away(error))
        build_event(core, id, BUILD_EVENT_FAIL, result, error);
}

static void on_published(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    (void)ok;
    if (error) {
        action_fail(a, error);
        return;
    }
    struct core *core = a->core;
    int64_t id = a->id;
    action_end(a);
    build_event(core, id, BUILD_EVENT_START, NULL, NULL);
}

/* The hidden ref keeps the integration from being collected, and names it. */
static void act_publish(struct action *a)
{
    json_t *args = json_object();
    AUTO_FREE char *ref =
        mem_format("refs/slipway/%s/b%lld", a->ae.env, (long long)json_int(a->row, "number", 0));
    json_put_text(args, "app", a->ae.app);
    json_put_text(args, "ref", ref);
    json_put_text(args, "commit", json_text(a->row, "commit_id"));
    FAULT("build.publish");
    link_call(a->core->courier, "ref.publish", args, 30000, on_published, a);
}

static json_t *provenance(const struct action *a)
{
    json_t *p = json_object();
    json_put_text(p, "builder", "slipway " SLIPWAY_VERSION);
    json_put_text(p, "app", a->ae.app);
    json_put_text(p, "env", a->ae.env);
    json_put_int(p, "build", json_int(a->row, "number", 0));
    json_put_text(p, "commit", json_text(a->row, "commit_id"));
    json_put_text(p, "trunk_tip", json_text(a->row, "trunk_tip"));
    json_put(p, "ticks", json_deep_copy(json_list(a->row, "ticks")));
    json_put_text(p, "by", json_text(a->row, "built_by"));
    json_put_text(p, "git", json_text(link_hello(a->core->courier), "git"));
    json_put_text(p, "merge_rules", json_text(link_hello(a->core->courier), "merge_rules"));
    return p;
}

static json_t *run_args(struct action *a, bool whole, struct err *err)
{
    AUTO_JSON *args = json_object();
    AUTO_FREE char *name = build_wire_name(&a->ae, json_int(a->row, "number", 0));
    json_put_text(args, "build", name);
    json_put_text(args, "app", a->ae.app);
    json_put_text(args, "app_env", a->ae.subject);
    json_put_int(args, "app_env_id", a->ae.id);
    json_put_int(args, "id_range", a->ae.id_range);
    json_t *spec = whole ? config_build_spec(json_dict(a->row, "config")) : json_object();
    json_put(args, "spec", spec);
    if (whole) {
        json_t *secrets = NULL;
        if (secret_reveal(a->core, a->ae.id, NULL, NULL, &secrets, err) < 0)
            return NULL;
        json_put(spec, "secrets", secrets);
        json_put(spec, "provenance", provenance(a));
    }
    return TAKE(args);
}

/* ---- the source ----
 * Host says when it wants the tree; then a pipe is made, the courier gets one end and host the
 * other. Whoever of the two dies meanwhile costs time and no build: host asks again for what was
 * cut, and a host that is new asks for what it never got. */

static void ignore_reply(void *context, json_t *ok, const struct err *error)
{
    (void)ok;
    if (error)
        log_warn(context, F_ERR(error));
}

static void act_cancel(struct action *a)
{
    static const char sentence[] = "a build that ended could not be killed now, asking again when "
                                   "host reconnects";
    json_t *args = json_object();
    AUTO_FREE char *name = build_wire_name(&a->ae, json_int(a->row, "number", 0));
    json_put_text(args, "build", name);
    link_call(a->core->host, "build.cancel", args, 10000, ignore_reply, (void *)sentence);
}

static void source_send(struct action *a);

/* Host sees a cut archive only; the courier knows why. No reason is that one of the two went away,
 * or that host has had enough of the build. */
static void on_exported(void *context, json_t *ok, const struct err *error)
{
    struct export *e = context;
    struct action *a = e->action;
    (void)ok;
    free(e);
    if (!a)
        return;
    a->export = NULL;
    if (error && !role_away(error) && error->kind != E_CANCELLED) {
        struct err why = *error;
        AUTO_JSON *result = told_so_far(a);
        (void)err_wrap(&why, "the tree could not be exported");      /* -1 always */
        build_event(a->core, a->id, BUILD_EVENT_FAIL, result, &why); /* host is told by a cancel */
        return;
    }
    if (a->wants_source)
        source_send(a);
}

static void ask_export(struct action *a, int write_end)
{
    json_t *args = json_object();
    json_put_text(args, "app", a->ae.app);
    json_put_text(args, "commit", json_text(a->row, "commit_id"));
    a->export = mem_alloc(sizeof(*a->export));
    *a->export = (struct export){a};
    struct channel_request request = {.verb = "export",
                                      .args = args,
                                      .fds = {write_end},
                                      .fd_count = 1,
                                      .on_reply = on_exported,
                                      .context = a->export};
    link_request(a->core->courier, &request);
}

static void give_source(struct action *a, int read_end)
{
    static const char sentence[] = "host did not take a build's tree, it asks again";
    json_t *args = json_object();
    AUTO_FREE char *name = build_wire_name(&a->ae, json_int(a->row, "number", 0));
    json_put_text(args, "build", name);
    struct channel_request request = {.verb = "build.source",
                                      .args = args,
                                      .fds = {read_end},
                                      .fd_count = 1,
                                      .on_reply = ignore_reply,
                                      .context = (void *)sentence};
    link_request(a->core->host, &request);
}

/* The courier may be away, or still write to a reader that is gone: then it is done later. */
static void source_send(struct action *a)
{
    int ends[2];
    if (a->export || !link_up(a->core->courier))
        return;
    a->wants_source = false;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        struct err err = ERR_INIT;
        AUTO_JSON *result = told_so_far(a);
        (void)FAIL_SYS(&err, "cannot make a pipe");
        build_event(a->core, a->id, BUILD_EVENT_FAIL, result, &err);
        return;
    }
    AUTO_CLOSE int read_end = ends[0];
    AUTO_CLOSE int write_end = ends[1];
    FAULT("build.source");
    ask_export(a, write_end);
    give_source(a, read_end);
}

/* It is told when a step begins and when it ends; one is under way at a time. */
static void note_step(struct action *a, json_t *step)
{
    size_t count = json_array_size(a->steps);
    const json_t *last = json_array_get(a->steps, count - 1);
    if (count && text_is(json_text(last, "state"), "running"))
        (void)json_array_remove(a->steps, count - 1);
    json_push(a->steps, step);
}

static void take_steps(struct action *a, const json_t *steps)
{
    json_decref(a->steps);
    a->steps = json_deep_copy(steps);
}

/* What host says while it builds. Who attached again is told what he missed: that is for us, and
 * not for those who have seen it. */
static void on_build_event(void *context, const char *event, json_t *args)
{
    struct action *a = context;
    if (text_is(event, "source")) {
        a->wants_source = true;
        source_send(a);
        return;
    }
    json_t *data = json_copy(args);
    bool again = json_bool(data, "again", false);
    (void)json_object_del(data, "again"); /* absent is fine */
    if (text_is(event, "check"))
        json_push(a->checks, json_copy(data));
    else if (text_is(event, "step"))
        note_step(a, json_copy(data));
    else if (text_is(event, "steps") && json_is_array(json_object_get(data, "steps")))
        take_steps(a, json_list(data, "steps"));
    json_put_int(data, "number", json_int(a->row, "number", 0));
    json_put_text(data, "event", event);
    if (again)
        json_decref(data);
    else
        feed_publish(a->core->feed, text_is(event, "output") ? "output" : "build", a->ae.id, data);
}

static void on_built(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    if (error) {
        action_fail(a, error);
        return;
    }
    struct core *core = a->core;
    int64_t id = a->id;
    AUTO_JSON *result = json_incref(ok);
    if (!str_is_digest(str_of(json_text_or(ok, "artifact", "")))) {
        struct err err = ERR_INIT;
        (void)FAIL(&err, E_PROTOCOL, "host built, but named no artifact");
        action_fail(a, &err);
        return;
    }
    action_end(a);
    build_event(core, id, BUILD_EVENT_SUCCEED, result, NULL);
}

static void act_run_whole(struct action *a)
{
    struct err err = ERR_INIT;
    json_t *args = run_args(a, true, &err);
    if (!args) {
        action_fail(a, &err);
        return;
    }
    FAULT("build.run");
    struct channel_request run = {.verb = "build.run",
                                  .args = args,
                                  .on_event = on_build_event,
                                  .on_reply = on_built,
                                  .context = a};
    link_request(a->core->host, &run); /* may end the action at once */
}

/* It may have been cancelled while another role worked. */
static bool ended_meanwhile(const struct action *a)
{
    struct build b;
    struct err err = ERR_INIT;
    return build_load(a->core, a->id, &b, &err) < 0 || sm_is_final(&build_sm, b.state);
}

static void on_attached(void *context, json_t *ok, const struct err *error)
{
    struct action *a = context;
    if (error && error->kind == E_NOT_FOUND && ended_meanwhile(a))
        action_end(a);
    else if (error && error->kind == E_NOT_FOUND)
        act_run_whole(a);
    else
        on_built(context, ok, error);
}

/* Host may know this build already (we were restarted): ask before sending the tree again. */
static void act_run(struct action *a)
{
    struct err err = ERR_INIT;
    json_t *args = run_args(a, false, &err);
    struct channel_request attach = {.verb = "build.run",
                                     .args = args,
                                     .on_event = on_build_event,
                                     .on_reply = on_attached,
                                     .context = a};
    link_request(a->core->host, &attach);
}

static void build_act(struct core *core, int64_t id)
{
    struct err err = ERR_INIT;
    struct build b;
    struct action *a = mem_alloc(sizeof(*a));
    a->core = core;
    a->id = id;
    if (build_load(core, id, &b, &err) < 0 || build_config(core, id, &a->row, &err) < 0 ||
        app_env_load(core, b.app_env_id, &a->ae, &err) < 0) {
        log_error("a build cannot be read, it is left alone", F_ID("build", id), F_ERR(&err));
        json_decref(a->row);
        free(a);
        return;
    }
    if (b.state == BUILD_CANCELLED || b.state == BUILD_FAILED)
        act_cancel(a); /* a failed one may have failed here and not at host */
    struct action *present = acting(id);
    if (present && present->wants_source && !sm_is_final(&build_sm, b.state))
        source_send(present); /* the courier is back */
    if (sm_is_final(&build_sm, b.state) || present) {
        json_decref(a->row);
        free(a);
        return;
    }
    a->checks = json_array();
    a->steps = json_array();
    a->next = actions;
    actions = a;
    if (b.state == BUILD_QUEUED)
        act_publish(a);
    else
        act_run(a);
}

/* Those that ended here too, for as long as one can run: host may not have heard of it. */
void build_resume(struct core *core)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    if (store_rows(core->store, &rows, &err,
                   "SELECT id FROM build WHERE state IN ('queued','running') UNION SELECT id FROM "
                   "build WHERE state IN ('cancelled','failed') AND ended_at>$1 AND app_env_id IN "
                   "(SELECT id "
                   "FROM app_env) ORDER BY id",
                   "i", clock_wall_ms(core->clock) - CANCEL_AGAIN_MS) < 0) {
        log_error("cannot list the open builds", F_ERR(&err));
        return;
    }
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) build_act(core, json_int(row, "id", 0));
}

/* ---- what people ask for ---- */

int build_row(struct core *core, int64_t id, json_t **ret_row, struct err *err)
{
    AUTO_JSON *row = NULL;
    const struct action *a = acting(id);
    if (build_people_row(core, id, &row, err) < 0)
        return -1;
    const json_t *steps = a ? a->steps : json_list(json_dict(row, "result"), "steps");
    json_put(row, "steps", steps ? json_deep_copy(steps) : json_array());
    *ret_row = TAKE(row);
    return 0;
}

int build_create(struct core *core, const struct person *by, const struct app_env *ae,
                 const json_t *source, struct build *ret_build, struct err *err)
{
    int64_t id = 0;
    if (build_insert(core, by, ae, source, &id, err) < 0 ||
        build_load(core, id, ret_build, err) < 0)
        return -1;
    AUTO_JSON *data = json_object();
    json_put_int(data, "build", ret_build->number);
    json_put_text(data, "commit", ret_build->commit);
    json_put(data, "ticks", json_deep_copy(json_list(source, "ticks")));
    if (json_array_size(json_list(source, "left_out")))
        json_put(data, "left_out", json_deep_copy(json_list(source, "left_out")));
    if (json_array_size(json_list(source, "resolutions")))
        json_put(data, "resolutions", json_deep_copy(json_list(source, "resolutions")));
    if (journal_append(core, by->actor, "build.queued", ae->subject, ae->id, data, err) < 0)
        return -1;
    publish_state(core, ret_build);
    tick_act(core->tick, build_act, core, id);
    return 0;
}

int build_cancel(struct core *core, const struct person *by, const struct build *b, struct err *err)
{
    int state = 0;
    if (sm_next_checked(&build_sm, b->state, BUILD_EVENT_CANCEL, &state, err) < 0)
        return -1;
    struct err cancelled = ERR_INIT;
    (void)FAIL(&cancelled, E_CANCELLED, "cancelled by %s", by->name);
    AUTO_JSON *result = told_so_far(acting(b->id));
    struct build_input in = {core, b->id, BUILD_EVENT_CANCEL, result, &cancelled, by->actor};
    return apply_event(&in, err);
}
