/* The courier's main: options, narrowing, wiring, run, unwind.
 *
 * Core connects to courier.sock (fd 3) and says hello; git clients come over HTTP (fd 4, behind
 * the edge). Without core nothing is allowed: git clients get 503. */
#include "courier/courier.h"
#include <stdio.h>
#include <sys/stat.h>
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "courier/courier_priv.h"
#include "courier/outside.h"
#include "io/narrow_role.h"

#define END_MS 10000      /* what runs at SIGTERM may take this long */
#define END_LOOK_MS 20    /* how often we look */
#define POOL_THREADS "32" /* above the sum of the job classes' limits */

/* Also private files. git's own limits are set on each child. */
static int narrow(struct err *err)
{
    if (narrow_role(NARROW_PROGRAMS, err) < 0)
        return err_wrap(err, "narrowing");
    (void)umask(077);
    if (setenv("UV_THREADPOOL_SIZE", POOL_THREADS, 1) < 0)
        return FAIL_SYS(err, "cannot size the thread pool");
    return 0;
}

/* --- core ----------------------------------------------------------------------------------- */

static void on_channel(void *context, struct channel *channel)
{
    (void)context;
    (void)channel; /* it counts once it has said hello */
}

static void on_close(void *context, struct channel *channel)
{
    struct courier *c = context;
    if (c->core != channel)
        return;
    c->core = NULL;
    log_warn("core is gone, refusing git clients until it is back");
}

static struct channel *core_of(void *context)
{
    struct courier *c = context;
    return c->core;
}

static void on_pushed(void *context, const char *app, const char *user, json_t *refs)
{
    struct courier *c = context;
    upkeep_note(c, app);
    log_info("repository changed", F_STR("app", app), F_STR("user", user),
             F_INT("refs", json_array_size(refs)));
    if (!c->core)
        return; /* it reads the tips when it is back */
    json_t *args = json_object();
    json_put_text(args, "app", app);
    json_put_text(args, "user", user);
    json_put(args, "refs", json_incref(refs));
    channel_notify(c->core, "repo.changed", args, NULL, 0);
}

/* --- life ----------------------------------------------------------------------------------- */

static int open_store(struct courier *c, struct err *err)
{
    AUTO_FREE char *root = settings_data(c->settings, "git");
    AUTO_JSON *args = json_object();
    AUTO_JSON *reply = NULL;
    if (git_store_open(root, &c->store, err) < 0)
        return -1;
    c->store.disk_reserve = c->settings->disk_reserve;
    json_put_bool(args, "start", true);
    if (git_version(&c->git_version, err) < 0)
        return -1;
    return git_sweep(&(struct git_ask){.store = &c->store, .args = args, .fd = -1}, &reply, err);
}

static int courier_open(struct courier *c, const char *settings_path, struct err *err)
{
    uid_t uid;
    gid_t gid;
    map_init(&c->caches);
    map_init(&c->upkeep);
    if (settings_load(settings_path, &c->settings, err) < 0)
        return -1;
    log_setup("courier", log_level_from_name(c->settings->log_level));
    outside_setup(c->settings);
    check_setup("courier", settings_data(c->settings, "panic/courier")); /* kept */
    if (settings_uid(c->settings->user_core, &uid, &gid, err) < 0 || open_store(c, err) < 0)
        return -1;
    struct channel_handlers handlers = {.verbs = courier_verbs,
                                        .verb_count = courier_verb_count,
                                        .on_close = on_close,
                                        .context = c};
    c->listener = channel_listen(ROLE_FD_LISTENER, &uid, 1, &handlers, on_channel);
    struct git_hosting_options options = {
        .store = &c->store, .core = core_of, .on_pushed = on_pushed, .context = c};
    c->hosting = git_hosting_new(ROLE_FD_SECOND, &options);
    job_background(c, git_sweep, json_object());
    return 0;
}

static void courier_close(struct courier *c)
{
    channel_free(TAKE(c->core));
    upkeep_done(c);
    for (size_t i = 0; i < c->caches.count; i++)
        git_cache_free(c->caches.entries[i].value);
    map_done(&c->caches);
    git_store_done(&c->store);
    free(c->git_version);
    settings_free(c->settings);
}

static void look_whether_idle(void *context)
{
    struct courier *c = context;
    bool late = clock_mono_ms(clock_system()) > c->ending_ms + END_MS;
    if (job_count(c) > 0 && !late)
        return;
    timer_free(&c->ending);
    loop_stop();
}

static void on_terminate(void *context)
{
    struct courier *c = context;
    if (c->ending)
        return;
    log_info("ending");
    c->ending_ms = clock_mono_ms(clock_system());
    channel_listener_free(TAKE(c->listener));
    git_hosting_free(TAKE(c->hosting));
    timer_start(&c->ending, END_LOOK_MS, END_LOOK_MS, look_whether_idle, c);
}

int courier_main(int argc, char **argv)
{
    struct courier c = {0};
    struct err err = ERR_INIT;
    log_setup("courier", LOG_INFO);
    const char *path = settings_argument(argc, argv);
    if (!path) {
        (void)fprintf(stderr, "usage: slipway courier --settings FILE\n");
        return 2;
    }
    if (narrow(&err) < 0 || courier_open(&c, path, &err) < 0) {
        log_error("cannot start", F_ERR(&err));
        return 1;
    }
    if (narrow_landlock() < NARROW_LANDLOCK_NEEDED)
        log_warn("this kernel cannot keep git to its own repository (no Landlock before 5.19), "
                 "going on without");
    log_info("started", F_STR("repositories", c.store.root));
    loop_run(on_terminate, &c);
    if (job_count(&c) > 0)
        _exit(0); /* a job is stuck: its git ends when its pipes close */
    courier_close(&c);
    return 0;
}
