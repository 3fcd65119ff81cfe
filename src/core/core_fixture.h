/* For unit tests of core: a whole core without roles and without API, with a real store and real
 * settings in the test's folder, and a clock that may be moved forward. */
#pragma once
#include <fcntl.h>
#include <uv.h>
#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/tap.h"
#include "core/access/access.h"
#include "core/automation/automation.h"
#include "core/build/build.h"
#include "core/culprit/culprit.h"
#include "core/env/env.h"
#include "core/facts/facts.h"
#include "core/feed/feed.h"
#include "core/journal/journal.h"
#include "core/land/land.h"
#include "core/link/link.h"
#include "core/release/release.h"
#include "core/secret/secret.h"
#include "core/tick/tick.h"
#include "io/until.h"
#include "wire/settings.h"

#define FINE(call) is_fine((call), &err, __FILE__, __LINE__)
static inline bool is_fine(int result, const struct err *err, const char *file, int line)
{
    if (result == 0)
        return true;
    (void)tap_is_str(result < 0 ? err->text : "a named outcome", "", file, line);
    return false;
}
#define IS_REFUSED(call, kind_)                                                                    \
    do {                                                                                           \
        err = (struct err)ERR_INIT;                                                                \
        IS_INT((call), -1);                                                                        \
        IS_STR(err_name(err.kind), err_name(kind_));                                               \
    } while (0)
#define IS_JSON(value, want)                                                                       \
    do {                                                                                           \
        AUTO_FREE char *json_text_ = json_print(value);                                            \
        IS_STR(json_text_, (want));                                                                \
    } while (0)

static int64_t fixture_skipped; /* ms by which the clock was moved */

static int64_t fixture_wall(void *context)
{
    (void)context;
    return clock_wall_ms(clock_system()) + fixture_skipped;
}

static int64_t fixture_mono(void *context)
{
    (void)context;
    return clock_mono_ms(clock_system()) + fixture_skipped;
}

static void fixture_random(void *context, void *bytes, size_t count)
{
    (void)context;
    clock_random(clock_system(), bytes, count);
}

static struct settings *fixture_settings(void)
{
    struct err err = ERR_INIT;
    struct settings *settings = NULL;
    const char *dir = tap_dir();
    AUTO_FREE char *path = mem_format("%s/slipway.conf", dir);
    AUTO_FREE char *text = mem_format("data_dir = %s/data\nrun_dir = %s/run\n", dir, dir);
    AUTO_FREE char *data = mem_format("%s/data/core", dir);
    AUTO_FREE char *run = mem_format("%s/run", dir);
    FINE(file_make_dirs(data, 0700, &err));
    FINE(file_make_dirs(run, 0700, &err));
    FINE(file_write(path, str_of(text), 0600, &err));
    FINE(settings_load(path, &settings, &err));
    return settings;
}

static int fixture_key(const struct settings *settings)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = settings_data(settings, "master.key");
    FINE(file_write(path, STR("0123456789abcdef0123456789abcdef"), 0600, &err));
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The same core again and again: what its modules keep of it stays true over a restart. */
static struct core fixture_core;

static inline struct core *fixture_start(struct settings *settings)
{
    static const struct clock clock = {fixture_wall, fixture_mono, fixture_random, NULL};
    struct core *core = &fixture_core;
    struct err err = ERR_INIT;
    AUTO_FREE char *path = settings_data(settings, "core/store.db");
    *core = (struct core){.settings = settings, .clock = &clock, .epoch = core->epoch + 1};
    (void)loop_get();
    FINE(core_store_open(path, &core->store, &err));
    core->tick = tick_new(core->store);
    core->feed = feed_new(core->epoch * 1000000000 + 1);
    core->facts = facts_new(core);
    core->automation = automation_new(core);
    core->culprits = culprits_new(core);
    FINE(secret_box_open(fixture_key(settings), &core->secrets, &err));
    FINE(release_init(core, &err));
    return core;
}

static inline void fixture_stop(struct core *core)
{
    struct link *links[] = {core->host, core->courier, core->signals};
    core->host = core->courier = core->signals = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        link_free(links[i]);
    release_done();
    facts_free(core->facts);
    automation_free(core->automation);
    culprits_free(core->culprits);
    landing_done(core);
    tick_free(core->tick);
    until_quiet(); /* what was deferred, and the handles that close */
    feed_free(core->feed);
    secret_box_free(core->secrets);
    store_free(core->store);
    core->store = NULL;
}

static inline struct core *fixture_open(void)
{
    return fixture_start(fixture_settings());
}

static inline void fixture_close(struct core *core)
{
    fixture_stop(core);
    settings_free((struct settings *)(uintptr_t)core->settings);
}

static inline int64_t fixture_count(struct core *core, const char *sql)
{
    struct err err = ERR_INIT;
    int64_t count = -1;
    if (store_one_int(core->store, &count, &err, sql, "") < 0)
        IS_STR(err.text, "");
    return count;
}

static inline void fixture_run(struct core *core, const char *sql)
{
    struct err err = ERR_INIT;
    FINE(store_run(core->store, &err, sql, ""));
}

/* An input of one call, made durable. */
static inline void fixture_durable(void)
{
    until_quiet();
}
