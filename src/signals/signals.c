/* The signals role: options, wiring, run, unwind. Who does what:
 *   request.c  request lines of the edge      source.c   output files of instances
 *   app_env.c  what is known of one app-env   query.c    questions and followers
 *   ring.c     lines within a ceiling         series.c   counts per second */
#include "signals/signals.h"
#include <stdio.h>
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "io/loop.h"
#include "io/narrow_role.h"
#include "signals/query.h"
#include "signals/request.h"
#include "signals/source.h"
#include "wire/settings.h"
#include "wire/signals.h"

#define TRIM_MS 60000

static void verb_hello(void *context, struct message *m)
{
    json_t *ok = json_object();
    (void)context;
    json_put_int(ok, "protocol", WIRE_PROTOCOL);
    message_ok(m, ok);
}

static void verb_log_open(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    struct source_new n = {.instance = json_text(m->args, "instance"),
                           .app_env = json_text(m->args, "app_env"),
                           .release = json_int(m->args, "release", 0),
                           .fd = TAKE_FD(m->fds[0])};
    (void)context;
    if (source_open(&n, &err) < 0) {
        log_warn("output not followed", F_STR("instance", n.instance), F_ERR(&err));
        message_fail(m, &err);
        return;
    }
    message_ok(m, NULL);
}

static void verb_log_close(void *context, struct message *m)
{
    (void)context;
    source_close(json_text(m->args, "instance"));
    message_ok(m, NULL);
}

static json_t *app_env_dump(const struct app_env *a)
{
    json_t *value = json_object();
    json_put_int(value, "lines_bytes", (int64_t)a->lines.bytes);
    json_put_int(value, "lines_dropped", a->lines.dropped);
    json_put_int(value, "requests_bytes", (int64_t)a->requests.bytes);
    json_put_int(value, "requests_dropped", a->requests.dropped);
    return value;
}

static void verb_dump(void *context, struct message *m)
{
    json_t *ok = json_object();
    json_t *dump = json_object();
    json_t *app_envs = json_object();
    const struct request_totals *totals = request_totals();
    (void)context;
    for (size_t i = 0; i < app_env_count(); i++)
        json_put(app_envs, app_env_at(i)->name, app_env_dump(app_env_at(i)));
    json_put_int(dump, "request_lines", totals->lines);
    json_put_int(dump, "foreign_lines", totals->foreign);
    json_put_int(dump, "request_batches", totals->batches);
    json_put_int(dump, "sources", (int64_t)source_count());
    json_put_int(dump, "followers", (int64_t)query_follower_count());
    json_put_int(dump, "ring_bytes", (int64_t)ring_all_bytes());
    json_put(dump, "app_envs", app_envs);
    json_put(ok, "dump", dump);
    message_ok(m, ok);
}

static const struct message_verb verbs[] = {
    {WIRE("hello", signals_hello), .handle = verb_hello},
    {WIRE("log.open", signals_log_open), .fd_count = 1, .handle = verb_log_open},
    {WIRE("log.close", signals_log_close), .handle = verb_log_close},
    {WIRE("logs", signals_logs), .handle = query_verb_logs},
    {WIRE("requests", signals_requests), .handle = query_verb_requests},
    {WIRE("more", signals_more), .handle = query_verb_more},
    {WIRE("cancel", signals_cancel), .handle = query_verb_cancel},
    {WIRE("logs.cancel", signals_cancel), .handle = query_verb_cancel},
    {WIRE("requests.cancel", signals_cancel), .handle = query_verb_cancel},
    {WIRE("top", signals_top), .handle = query_verb_top},
    {WIRE("dump", signals_dump), .handle = verb_dump},
};

/* Channels belong to the io library once they are open; they close themselves. */
static void channel_opened(void *context, struct channel *c)
{
    (void)context;
    log_debug("channel opened", F_INT("uid", channel_peer_uid(c)));
}

static void channel_closed(void *context, struct channel *c)
{
    (void)context;
    query_channel_closed(c);
}

static void trim(void *context)
{
    (void)context;
    app_env_trim_all(clock_wall_ms(clock_system()) / 1000);
}

static void terminate(void *context)
{
    (void)context;
    log_info("signals ends");
    loop_stop();
}

static int signals_run(const struct settings *settings, struct err *err)
{
    struct channel_handlers handlers = {
        .verbs = verbs, .verb_count = ARRAY_SIZE(verbs), .on_close = channel_closed};
    struct timer *trimmer = NULL;
    uid_t core;
    gid_t group;
    if (settings_uid(settings->user_core, &core, &group, err) < 0)
        return -1;
    (void)loop_get();
    source_start(&(struct source_listener){query_fresh, query_is_followed, query_is_behind});
    request_start(ROLE_FD_SECOND, query_fresh);
    struct channel_listener *listener =
        channel_listen(ROLE_FD_LISTENER, &core, 1, &handlers, channel_opened);
    timer_start(&trimmer, TRIM_MS, TRIM_MS, trim, NULL);
    log_info("signals is up");
    loop_run(terminate, NULL);
    channel_listener_free(listener);
    timer_free(&trimmer);
    query_stop();
    request_stop();
    source_stop();
    app_env_done_all();
    return 0;
}

int signals_main(int argc, char **argv)
{
    struct settings *settings = NULL;
    struct err err = ERR_INIT;
    const char *path = settings_argument(argc, argv);
    log_setup("signals", LOG_INFO);
    if (!path) {
        (void)fprintf(stderr, "usage: slipway signals --settings FILE\n");
        return err_exit_code(E_USAGE);
    }
    if (settings_load(path, &settings, &err) < 0) {
        log_error("signals cannot start", F_ERR(&err));
        return err_exit_code(err.kind);
    }
    log_setup("signals", log_level_from_name(settings->log_level));
    check_setup("signals", settings_data(settings, "panic/signals")); /* kept */
    int result = narrow_role(NARROW_SERVICE, &err);
    if (result == 0)
        result = signals_run(settings, &err);
    if (result < 0)
        log_error("signals cannot start", F_ERR(&err));
    settings_free(settings);
    return result < 0 ? err_exit_code(err.kind) : 0;
}
