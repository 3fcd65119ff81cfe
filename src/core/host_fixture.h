/* For unit tests of core: host and courier in this process, behind their real sockets. Requests are
 * queued; the test answers them one by one in an order of its own, lets some fail, and takes the
 * roles away. What must never happen (traffic routed to nothing, an instance stopped that may get
 * requests, another state under the same version) is noted in `violations`. */
#pragma once
#include <sys/socket.h>
#include <sys/un.h>
#include "base/buf.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/tap.h"
#include "io/message.h"
#include "wire/courier.h"
#include "wire/host.h"
#include "wire/settings.h"

#define FAKE_CHANNELS 16
#define FAKE_ASKED 256

enum fake_state { FAKE_STARTING, FAKE_READY, FAKE_STOPPING };
struct fake_instance {
    enum fake_state state;
    bool sick; /* will never be ready, whoever asks */
    char address[46];
};
struct fake_asked {
    struct ticket *ticket;
    char verb[40];
    json_t *args;
    enum err_kind error; /* decided when it came; E_OK: none */
};
struct fake_host {
    const struct settings *settings;
    struct channel_listener *listeners[2]; /* host, courier */
    struct channel *channels[FAKE_CHANNELS];
    struct fake_asked asked[FAKE_ASKED];
    size_t asked_count;
    struct map instances; /* name -> struct fake_instance */
    json_t *edge;         /* app-env -> {"version","state"} */
    json_t *built;        /* builds that ended: name -> artifact */
    json_t *cancelled;    /* names of builds */
    int64_t epoch;
    int64_t addresses;
    int64_t heads; /* journal heads told */
    int64_t commits;
    const char *yaml; /* NULL: the smallest */
    /* the script */
    int64_t fail_start;      /* the nth start from now is never ready; 0: none */
    int64_t refuse_edge;     /* the nth edge.apply from now is refused ... */
    int64_t refuse_count;    /* ... and so many after it */
    bool tips_stay;          /* until the test counts `commits` up */
    enum err_kind fail_land; /* of the next landing; E_OK: none */
    int64_t fail_build;      /* the nth build from now */
    int64_t fail_prepare;
    size_t start_most; /* asked for more at once, all starts miss their deadline; 0: any */
    json_t *starts;    /* names, in the order in which their starts were asked for */
    bool lenient;      /* an edge that refuses may be left with what it has */
    struct buf violations;
};

static inline void fake_violation(struct fake_host *f, const char *what, const char *name)
{
    log_debug("violation", F_STR("what", what), F_STR("name", name));
    (void)buf_add_format(&f->violations, "%s '%s'; ", what, name);
}

/* ---- the edge ---- */

static inline const json_t *fake_edge_state(const struct fake_host *f, const char *app_env)
{
    return json_dict(json_dict(f->edge, app_env), "state");
}

static inline bool fake_routed(const json_t *state, const char *slot)
{
    const char *live = json_text_or(state, "live", "");
    return *live && (text_is(live, slot) || json_int(state, "share", 0) > 0);
}

/* May this server (r1.1) get new requests? */
static inline bool fake_gets_requests(const json_t *state, const char *server)
{
    static const char *const slots[] = {"a", "b"};
    for (size_t n = 0; n < ARRAY_SIZE(slots); n++) {
        size_t i;
        json_t *item;
        json_array_foreach(json_list(json_dict(state, "slots"), slots[n]), i, item)
        {
            if (text_is(json_text(item, "name"), server) && !json_bool(item, "drain", false) &&
                fake_routed(state, slots[n]))
                return true;
        }
    }
    return false;
}

static inline void fake_check_server(struct fake_host *f, const char *app_env, const json_t *server)
{
    AUTO_FREE char *name = mem_format("%s.%s", app_env, json_text_or(server, "name", ""));
    const struct fake_instance *i = map_get(&f->instances, name);
    if (!i || i->state == FAKE_STARTING)
        fake_violation(f, "at the edge, but not ready:", name);
    else if (!text_is(json_text(server, "address"), i->address))
        fake_violation(f, "at the edge with another address:", name);
}

static inline void fake_check_edge(struct fake_host *f, const char *app_env, const json_t *state)
{
    static const char *const names[] = {"a", "b"};
    const char *live = json_text_or(state, "live", "");
    int64_t open = 0;
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        size_t i;
        json_t *server;
        json_array_foreach(json_list(json_dict(state, "slots"), names[n]), i, server)
        {
            fake_check_server(f, app_env, server);
            open += text_is(names[n], live) && !json_bool(server, "drain", false);
        }
    }
    if (*live && open == 0)
        fake_violation(f, "traffic is routed to nothing:", app_env);
}

static inline enum err_kind fake_edge_apply(struct fake_host *f, const json_t *args)
{
    const char *name = json_text_or(args, "app_env", "");
    const json_t *before = json_dict(f->edge, name);
    int64_t version = json_int(args, "version", 0);
    if (version < json_int(before, "version", 0))
        return E_EPOCH_STALE;
    if (f->refuse_edge > 0 && --f->refuse_edge == 0) {
        f->refuse_edge = f->refuse_count > 0 ? 1 : 0;
        f->refuse_count -= f->refuse_count > 0;
        return E_EDGE_REFUSED;
    }
    if (version == json_int(before, "version", 0) &&
        !json_equal(json_dict(before, "state"), json_dict(args, "state")))
        fake_violation(f, "another state under the same version:", name);
    fake_check_edge(f, name, json_dict(args, "state"));
    json_t *now = json_object();
    json_put_int(now, "version", version);
    json_put(now, "state", json_deep_copy(json_dict(args, "state")));
    json_put(f->edge, name, now);
    return E_OK;
}

static inline enum err_kind fake_edge_drained(const struct fake_host *f, const json_t *args)
{
    const json_t *state = fake_edge_state(f, json_text_or(args, "app_env", ""));
    size_t i;
    json_t *name;
    json_array_foreach(json_list(args, "servers"), i, name)
    {
        if (fake_gets_requests(state, json_string_value(name)))
            return E_STATE_CONFLICT;
    }
    return E_OK;
}

/* ---- instances ---- */

static inline void fake_forget(struct fake_host *f, const char *name)
{
    free(map_remove(&f->instances, name));
}

/* They share the processors: with this one, so many are under way that none is ready in time. */
static inline bool fake_starts_too_many(struct fake_host *f)
{
    size_t count = 1;
    for (size_t n = 0; n < f->asked_count; n++)
        count += text_is(f->asked[n].verb, "instance.start") && !f->asked[n].error;
    if (!f->start_most || count <= f->start_most)
        return false;
    for (size_t n = 0; n < f->asked_count; n++) {
        if (!text_is(f->asked[n].verb, "instance.start"))
            continue;
        f->asked[n].error = E_INSTANCE_NOT_READY;
        fake_forget(f, json_text_or(f->asked[n].args, "instance", ""));
    }
    return true;
}

static inline enum err_kind fake_start(struct fake_host *f, const json_t *args)
{
    const char *name = json_text_or(args, "instance", "");
    struct fake_instance *i = map_get(&f->instances, name);
    json_push(f->starts, json_string(name));
    if (fake_starts_too_many(f))
        return E_INSTANCE_NOT_READY;
    if (i && i->state == FAKE_STOPPING)
        return E_STATE_CONFLICT;
    if (i)
        return E_OK;
    i = mem_alloc(sizeof(*i));
    f->addresses++;
    (void)snprintf(i->address, sizeof(i->address), "10.213.%d.%d", (int)(f->addresses / 250),
                   (int)(f->addresses % 250) + 2);
    (void)map_put(&f->instances, name, i);
    i->sick = f->fail_start > 0 && --f->fail_start == 0;
    return E_OK;
}

static inline enum err_kind fake_stop(struct fake_host *f, const json_t *args)
{
    const char *name = json_text_or(args, "instance", "");
    struct fake_instance *i = map_get(&f->instances, name);
    AUTO_FREE char *app_env = mem_strdup(name);
    char *dot = strchr(app_env, '.');
    dot = dot ? strchr(dot + 1, '.') : NULL;
    if (!i)
        return E_OK;
    if (dot)
        *dot = '\0';
    if (dot && !f->lenient && fake_gets_requests(fake_edge_state(f, app_env), dot + 1))
        fake_violation(f, "stopped while it may get requests:", name);
    i->state = FAKE_STOPPING;
    for (size_t n = 0; n < f->asked_count; n++) /* who waits for its start hears so */
        if (text_is(f->asked[n].verb, "instance.start") &&
            text_is(json_text(f->asked[n].args, "instance"), name))
            f->asked[n].error = E_CANCELLED;
    return E_OK;
}

static inline json_t *fake_list(const struct fake_host *f)
{
    static const char *const states[] = {"starting", "ready", "stopping"};
    json_t *ok = json_object();
    json_t *list = json_array();
    for (size_t n = 0; n < f->instances.count; n++) {
        const struct fake_instance *i = f->instances.entries[n].value;
        json_t *item = json_object();
        json_put_text(item, "instance", f->instances.entries[n].key);
        json_put_text(item, "state", states[i->state]);
        json_put_text(item, "address", i->address);
        json_put_int(item, "port", 3000);
        json_push(list, item);
    }
    json_put(ok, "instances", list);
    return ok;
}

/* The end of a stop; there may be a new one of that name when it was asked for twice. */
static inline void fake_gone(struct fake_host *f, const char *name)
{
    const struct fake_instance *i = map_get(&f->instances, name);
    if (i && i->state == FAKE_STOPPING)
        fake_forget(f, name);
}

static inline json_t *fake_started(struct fake_host *f, const char *name)
{
    struct fake_instance *i = map_get(&f->instances, name);
    if (i && i->sick)
        fake_forget(f, name);
    if (!i || !map_get(&f->instances, name))
        return NULL;
    i->state = FAKE_READY;
    json_t *ok = json_object();
    json_put_text(ok, "address", i->address);
    json_put_int(ok, "port", 3000);
    return ok;
}

/* ---- builds ---- */

static inline enum err_kind fake_build(struct fake_host *f, const struct message *m)
{
    const char *name = json_text_or(m->args, "build", "");
    if (json_object_get(f->built, name))
        return E_OK;
    if (json_object_size(json_dict(m->args, "spec")) == 0)
        return E_NOT_FOUND;
    if (f->fail_build > 0 && --f->fail_build == 0)
        return E_BUILD_FAILED;
    AUTO_FREE char *artifact = mem_format("sha256:%064lld", (long long)++f->addresses);
    json_put_text(f->built, name, artifact);
    return E_OK;
}

static inline enum err_kind fake_cancel(struct fake_host *f, const json_t *args)
{
    const char *name = json_text_or(args, "build", "");
    json_push(f->cancelled, json_string(name));
    for (size_t n = 0; n < f->asked_count; n++)
        if (text_is(f->asked[n].verb, "build.run") &&
            text_is(json_text(f->asked[n].args, "build"), name))
            f->asked[n].error = E_CANCELLED;
    return E_OK;
}

/* ---- what comes in ---- */

static inline enum err_kind fake_decide(struct fake_host *f, const struct message *m)
{
    if (text_is(m->verb, "edge.apply"))
        return fake_edge_apply(f, m->args);
    if (text_is(m->verb, "edge.drained"))
        return fake_edge_drained(f, m->args);
    if (text_is(m->verb, "instance.start"))
        return fake_start(f, m->args);
    if (text_is(m->verb, "instance.stop"))
        return fake_stop(f, m->args);
    if (text_is(m->verb, "build.run"))
        return fake_build(f, m);
    if (text_is(m->verb, "build.cancel"))
        return fake_cancel(f, m->args);
    if (text_is(m->verb, "ref.land")) {
        enum err_kind kind = f->fail_land;
        f->fail_land = E_OK;
        return kind;
    }
    if (text_is(m->verb, "release.prepare") && f->fail_prepare > 0 && --f->fail_prepare == 0)
        return E_DIGEST_MISMATCH;
    return E_OK;
}

static inline void fake_queue(void *context, struct message *m)
{
    struct fake_host *f = context;
    ASSERT(f->asked_count < FAKE_ASKED);
    struct fake_asked *a = &f->asked[f->asked_count];
    *a = (struct fake_asked){.args = json_incref(m->args)};
    (void)snprintf(a->verb, sizeof(a->verb), "%s", m->verb);
    a->error = fake_decide(f, m);
    AUTO_FREE char *text = json_print(m->args);
    log_debug("asked", F_STR("verb", m->verb), F_STR("args", text),
              F_STR("will", err_name(a->error)));
    a->ticket = message_ticket(m);
    f->asked_count++;
}

static inline void fake_hello(void *context, struct message *m)
{
    struct fake_host *f = context;
    struct err err = ERR_INIT;
    int64_t epoch = json_int(m->args, "epoch", 0);
    if (epoch < f->epoch) {
        (void)FAIL(&err, E_EPOCH_STALE, "a newer core was here");
        message_fail(m, &err);
        return;
    }
    f->epoch = epoch;
    message_ok(m, json_pack("{s:i}", "protocol", WIRE_PROTOCOL));
}

static inline void fake_head(void *context, struct message *m)
{
    struct fake_host *f = context;
    f->heads++;
    message_ok(m, NULL);
}

/* Every branch but those that begin with "no" exists. */
static inline json_t *fake_tips(struct fake_host *f, const json_t *args)
{
    json_t *ok = json_object();
    json_t *tips = json_object();
    size_t i;
    json_t *name;
    json_array_foreach(json_list(args, "names"), i, name)
    {
        AUTO_FREE char *tip = mem_format(
            "%040lld", f->tips_stay ? (long long)strlen(json_string_value(name)) + f->commits * 1000
                                    : (long long)++f->commits);
        bool known = !text_starts(json_string_value(name), "no");
        json_put_text(tips, json_string_value(name), known ? tip : NULL);
    }
    json_put(ok, "tips", tips);
    return ok;
}

/* All merge. */
static inline void fake_facts(json_t *ok, const json_t *args)
{
    static const char *const lists[] = {"contained", "out", "frees", "pairs", "trunk", "live"};
    json_t *in = json_array(), *tick;
    size_t i;
    for (size_t n = 0; n < ARRAY_SIZE(lists); n++)
        json_put(ok, lists[n], json_array());
    json_array_foreach(json_list(args, "ticks"), i, tick)
        json_push(in, json_incref(json_object_get(tick, "branch")));
    json_put(ok, "in", in);
}

static inline json_t *fake_result(struct fake_host *f, const struct fake_asked *a)
{
    const char *name = json_text_or(a->args, "instance", "");
    if (text_is(a->verb, "instance.start"))
        return fake_started(f, name);
    if (text_is(a->verb, "instance.list"))
        return fake_list(f);
    if (text_is(a->verb, "instance.stop"))
        fake_gone(f, name);
    if (text_is(a->verb, "edge.remove"))
        (void)json_object_del(f->edge, json_text_or(a->args, "app_env", ""));
    if (text_is(a->verb, "branch.tips"))
        return fake_tips(f, a->args);
    json_t *ok = json_object();
    if (text_is(a->verb, "build.run"))
        json_put_text(ok, "artifact", json_text(f->built, json_text_or(a->args, "build", "")));
    if (text_is(a->verb, "integrate")) {
        json_put_text(ok, "commit", json_text(a->args, "base"));
        json_put(ok, "ticks", json_deep_copy(json_list(a->args, "ticks")));
    }
    if (text_is(a->verb, "merge.facts"))
        fake_facts(ok, a->args);
    if (text_is(a->verb, "ref.land")) {
        json_put_bool(ok, "moved", true);
        json_put_text(ok, "from", json_text(a->args, "commit"));
    }
    if (text_is(a->verb, "file.read"))
        json_put_text(ok, "text", f->yaml ? f->yaml : "run: node server.js\n");
    return ok;
}

/* Answer the nth that waits. */
static inline void fake_answer(struct fake_host *f, size_t index)
{
    struct fake_asked a = f->asked[index];
    struct err err = ERR_INIT;
    f->asked_count--;
    log_debug("answering", F_STR("verb", a.verb), F_STR("name", json_text(a.args, "instance")));
    for (size_t n = index; n < f->asked_count; n++)
        f->asked[n] = f->asked[n + 1];
    json_t *ok = a.error == E_OK ? fake_result(f, &a) : NULL;
    if (!ok) {
        enum err_kind kind = a.error ? a.error : E_INSTANCE_NOT_READY;
        (void)FAIL(&err, kind, "the script says: %s", a.verb);
        ticket_fail(a.ticket, &err);
    } else {
        ticket_ok(a.ticket, ok);
    }
    json_decref(a.args);
}

/* ---- coming and going ---- */

static const struct message_verb fake_verbs[] = {
    {WIRE("hello", host_hello), 0, fake_hello},
    {WIRE("base.ensure", host_base_ensure), 0, fake_queue},
    {WIRE("build.run", host_build_run), 0, fake_queue},
    {WIRE("build.source", host_build_source), 1, fake_queue},
    {WIRE("build.cancel", host_build_cancel), 0, fake_queue},
    {WIRE("app_env.forget", host_app_env_forget), 0, fake_queue},
    {WIRE("release.prepare", host_release_prepare), 0, fake_queue},
    {WIRE("retention", host_retention), 0, fake_queue},
    {WIRE("instance.start", host_instance_start), 0, fake_queue},
    {WIRE("instance.stop", host_instance_stop), 0, fake_queue},
    {WIRE("instance.list", host_instance_list), 0, fake_queue},
    {WIRE("edge.apply", host_edge_apply), 0, fake_queue},
    {WIRE("edge.remove", host_edge_remove), 0, fake_queue},
    {WIRE("edge.drained", host_edge_drained), 0, fake_queue},
    {WIRE("journal.head", host_journal_head), 0, fake_head},
    {WIRE("ref.publish", courier_ref_publish), 0, fake_queue},
    {WIRE("ref.land", courier_ref_land), 0, fake_queue},
    {WIRE("merge.facts", courier_merge_facts), 0, fake_queue},
    {WIRE("ref.retain", courier_ref_retain), 0, fake_queue},
    {WIRE("export", courier_export), 1, fake_queue},
    {WIRE("repo.create", courier_repo_create), 0, fake_queue},
    {WIRE("repo.delete", courier_repo_delete), 0, fake_queue},
    {WIRE("branch.tips", courier_branch_tips), 0, fake_queue},
    {WIRE("integrate", courier_integrate), 0, fake_queue},
    {WIRE("file.read", courier_file_read), 0, fake_queue},
};

static inline void fake_closed(void *context, struct channel *c)
{
    struct fake_host *f = context;
    for (size_t n = 0; n < FAKE_CHANNELS; n++)
        if (f->channels[n] == c)
            f->channels[n] = NULL;
}

static inline void fake_met(void *context, struct channel *c)
{
    struct fake_host *f = context;
    for (size_t n = 0; n < FAKE_CHANNELS; n++)
        if (!f->channels[n]) {
            f->channels[n] = c;
            return;
        }
    PANIC("more channels than expected");
}

static inline int fake_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    (void)unlink(path); /* absent is fine */
    OK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
       listen(fd, 16) == 0);
    return fd;
}

static inline void fake_host_come(struct fake_host *f)
{
    static const char *const names[] = {"host.sock", "courier.sock"};
    const struct channel_handlers handlers = {fake_verbs, ARRAY_SIZE(fake_verbs), fake_closed, f};
    for (size_t n = 0; n < f->instances.count; n++) { /* what was starting has started meanwhile */
        struct fake_instance *i = f->instances.entries[n].value;
        i->state = i->state == FAKE_STARTING && !i->sick ? FAKE_READY : i->state;
    }
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        AUTO_FREE char *path = settings_run(f->settings, names[n]);
        f->listeners[n] = channel_listen(fake_socket(path), NULL, 0, &handlers, fake_met);
    }
}

/* The roles' channels break; what instances do goes on without us. */
static inline void fake_host_go(struct fake_host *f)
{
    log_debug("host goes");
    for (size_t n = 0; n < ARRAY_SIZE(f->listeners); n++) {
        channel_listener_free(f->listeners[n]);
        f->listeners[n] = NULL;
    }
    for (size_t n = 0; n < FAKE_CHANNELS; n++)
        channel_free(TAKE(f->channels[n]));
    for (size_t n = 0; n < f->asked_count; n++) {
        if (text_is(f->asked[n].verb, "instance.stop"))
            fake_gone(f, json_text_or(f->asked[n].args, "instance", ""));
        ticket_ok(f->asked[n].ticket, NULL); /* dropped */
        json_decref(f->asked[n].args);
    }
    f->asked_count = 0;
}

static inline void fake_lose_instances(struct fake_host *f)
{
    log_debug("host has lost its instances");
    while (f->instances.count)
        fake_forget(f, f->instances.entries[0].key);
}

static inline void fake_host_init(struct fake_host *f, const struct settings *settings)
{
    *f = (struct fake_host){.settings = settings};
    map_init(&f->instances);
    f->edge = json_object();
    f->built = json_object();
    f->cancelled = json_array();
    f->starts = json_array();
    fake_host_come(f);
}

static inline void fake_host_done(struct fake_host *f)
{
    fake_host_go(f);
    fake_lose_instances(f);
    map_done(&f->instances);
    json_decref(f->edge);
    json_decref(f->built);
    json_decref(f->cancelled);
    json_decref(f->starts);
    buf_done(&f->violations);
}
