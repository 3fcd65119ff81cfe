/* The core role: wiring, run, unwind. */
#include "core/core.h"

#include <sodium.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/access/access.h"
#include "core/api/api.h"
#include "core/api/clock_check.h"
#include "core/automation/automation.h"
#include "core/build/build.h"
#include "core/culprit/culprit.h"
#include "core/env/env.h"
#include "core/facts/facts.h"
#include "core/feed/feed.h"
#include "core/finding/finding.h"
#include "core/follow/follow.h"
#include "core/forge/forge.h"
#include "core/journal/journal.h"
#include "core/land/land.h"
#include "core/link/link.h"
#include "core/release/release.h"
#include "core/resolution/resolution.h"
#include "core/secret/secret.h"
#include "core/tick/tick.h"
#include "core/try/try.h"
#include "io/loop.h"
#include "io/narrow_role.h"
#include "wire/courier.h"
#include "wire/host.h"
#include "wire/settings.h"
#include "wire/signals.h"

static const char core_schema[] =
    "CREATE TABLE core_meta(id BIGINT PRIMARY KEY, epoch BIGINT NOT NULL);"
    "INSERT INTO core_meta(id, epoch) VALUES(1, 0);";
static const struct store_migration migrations[] = {
    {1, "core", core_schema},
    {2, "journal", journal_schema},
    {3, "env", env_schema},
    {4, "access", access_schema},
    {5, "secret", secret_schema},
    {6, "build", build_schema},
    {7, "release", release_schema},
    {8, "journal by actor", journal_actor_schema},
    {9, "builds by commit", build_commit_schema},
    {10, "rollouts by end", release_ended_schema},
    {11, "time of integration", build_integrate_schema},
    {12, "about envs", env_about_schema},
    {13, "landings", land_schema},
    {14, "automation", automation_schema},
    {15, "resolutions", resolution_schema},
    {16, "resolutions in builds", build_resolutions_schema},
    {17, "culprits", culprit_schema},
    {18, "findings", finding_schema},
    {19, "forges", forge_schema},
    {20, "envs that are tries", env_try_schema},
    {21, "tries", try_schema},
    {22, "pictures of findings", finding_picture_schema},
    {23, "ranges of user ids", env_range_schema},
    {24, "builds by end", build_ended_schema},
    {25, "searches by build", culprit_build_schema},
    {26, "releases by build", release_build_schema},
};

int core_store_open(const char *path, struct store **ret_store, struct err *err)
{
    return store_open(path, migrations, ARRAY_SIZE(migrations), ret_store, err);
}

/* ---- what other roles ask and tell ---- */

static void on_instance_changed(void *context, struct message *m)
{
    release_instance_changed(context, json_dict(m->args, "instance"));
}

static const struct message_verb host_verbs[] = {
    {WIRE("instance.changed", host_instance_changed), .handle = on_instance_changed}};
static const struct message_verb courier_verbs[] = {
    {WIRE("git.authorize", courier_git_authorize), .handle = api_git_authorize},
    {WIRE("repo.changed", courier_repo_changed), .handle = api_repo_changed},
};

/* What a link's coming up starts waits for the turn to be durable: the rows read then are those
 * that last. */
static void resume_all(void *context, const struct err *error)
{
    struct core *core = context;
    if (error)
        return; /* tick_again comes */
    journal_tell_head(core);
    env_forget_gone(core);
    release_resume(core);
    build_resume(core);
    culprits_resume(core);
    landing_resume(core);
    tries_resume(core->tries);
}

static void no_drop(void *context)
{
    (void)context; /* core itself */
}

static void on_host_up(struct core *core)
{
    tick_after(core->tick, resume_all, no_drop, core);
}

static void on_again(void *context)
{
    struct core *core = context;
    tick_after(core->tick, resume_all, no_drop, core);
}

static void resume_builds(void *context, const struct err *error)
{
    struct core *core = context;
    if (error)
        return;
    env_forget_gone(core);
    build_resume(core);
    facts_resume(core->facts);
    automation_resume(core->automation);
    culprits_resume(core);
    landing_resume(core);
    follow_resume(core->follow);
}

static void on_courier_up(struct core *core)
{
    tick_after(core->tick, resume_builds, no_drop, core);
}

/* After our epoch is durable: it is the first thing a role hears. */
static void start_links(void *context, const struct err *error)
{
    struct core *core = context;
    if (error) {
        log_error("core cannot start: its epoch could not be stored", F_ERR(error));
        loop_stop();
        return;
    }
    core->host = link_new(
        core, &(struct link_options){"host", host_verbs, ARRAY_SIZE(host_verbs), on_host_up});
    core->courier =
        link_new(core, &(struct link_options){"courier", courier_verbs, ARRAY_SIZE(courier_verbs),
                                              on_courier_up});
    core->signals = link_new(core, &(struct link_options){"signals", NULL, 0, NULL});
}

/* ---- start ---- */

static int next_epoch(void *context, struct err *err)
{
    struct core *core = context;
    return store_one_int(core->store, &core->epoch, err,
                         "UPDATE core_meta SET epoch=epoch+1 WHERE id=1 RETURNING epoch", "");
}

/* The link is written where root finds it: `up` prints it, nobody else can read it. The one that
 * was printed before a restart stays good. */
static int write_setup_link(void *context, struct err *err)
{
    struct core *core = context;
    struct err ignored = ERR_INIT;
    AUTO_FREE char *secret = NULL;
    AUTO_FREE char *path = settings_data(core->settings, ACCESS_SETUP_FILE);
    AUTO_BUF known = BUF_INIT(200);
    bool found = file_read(path, 200, &known, &ignored) == 0 && known.length > 0;
    if (access_setup_link(core, found ? known.data : NULL, &secret, err) < 0)
        return -1;
    if (!secret) {
        (void)unlink(path); /* absent is fine */
        return 0;
    }
    return file_write(path, str_of(secret), 0600, err);
}

static int check_key(void *context, struct err *err)
{
    return secret_check_key(context, err);
}

static int open_parts(struct core *core, struct err *err)
{
    AUTO_FREE char *path = settings_data(core->settings, "core/store.db");
    if (core_store_open(path, &core->store, err) < 0)
        return -1;
    core->tick = tick_new(core->store);
    tick_on_again(core->tick, on_again, core);
    if (tick_input(core->tick, "start", next_epoch, core, err) < 0)
        return -1;
    core->feed = feed_new(core->epoch * 1000000000 + 1); /* ids grow over restarts */
    core->facts = facts_new(core);
    core->automation = automation_new(core);
    core->culprits = culprits_new(core);
    core->follow = follow_new(core);
    core->tries = tries_new(core);
    landing_init(core);
    if (secret_box_open(ROLE_FD_KEY, &core->secrets, err) < 0 || release_init(core, err) < 0)
        return -1;
    if (tick_input(core->tick, "master key", check_key, core, err) < 0)
        return -1;
    return tick_input(core->tick, "set-up link", write_setup_link, core, err);
}

static int start(struct core *core, const char *settings_path, struct err *err)
{
    struct settings *settings = NULL;
    if (sodium_init() < 0)
        return FAIL(err, E_INTERNAL, "libsodium cannot be used");
    if (settings_load(settings_path, &settings, err) < 0)
        return -1;
    core->settings = settings;
    check_setup("core", settings_data(settings, "panic/core")); /* kept */
    core->clock = clock_system();
    clock_check_start(core->clock);
    if (narrow_role(NARROW_SERVICE, err) < 0)
        return err_wrap(err, "narrowing");
    if (open_parts(core, err) < 0)
        return -1;
    tick_after(core->tick, start_links, no_drop, core);
    return api_start(core, ROLE_FD_LISTENER, ROLE_FD_SECOND, err);
}

/* The links are gone for everybody before they end: what they fail may ask them again. */
static void stop_links(struct core *core)
{
    struct link *links[] = {core->host, core->courier, core->signals};
    core->host = core->courier = core->signals = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        link_free(links[i]);
}

static void stop(struct core *core)
{
    api_stop();
    stop_links(core);
    release_done();
    facts_free(core->facts);
    automation_free(core->automation);
    culprits_free(core->culprits);
    follow_free(core->follow);
    tries_free(core->tries);
    landing_done(core);
    env_gone_done();
    tick_free(core->tick);
    store_free(core->store);
    secret_box_free(core->secrets);
    feed_free(core->feed);
    settings_free((struct settings *)(uintptr_t)core->settings);
}

int core_main(int argc, char **argv)
{
    static struct core core;
    struct err err = ERR_INIT;
    const char *path = settings_argument(argc, argv);
    log_setup("core", LOG_INFO);
    (void)loop_get(); /* this thread owns the loop */
    if (!path || start(&core, path, &err) < 0) {
        if (!path)
            (void)FAIL(&err, E_USAGE, "usage: slipway core --settings FILE");
        log_error("core cannot start", F_ERR(&err));
        return err.kind == E_SCHEMA_NEWER || err.kind == E_KEY_WRONG ? ROLE_EXIT_NEVER
                                                                     : err_exit_code(err.kind);
    }
    log_setup("core", log_level_from_name(core.settings->log_level));
    log_info("core is up", F_INT("epoch", core.epoch));
    loop_run(NULL, NULL);
    stop(&core);
    return 0;
}
