/* For unit tests of access and secret: a core with a real store in the test's folder, four envs,
 * two apps, and a clock that stands still until it is moved. Calls run outside an input: each
 * statement is durable at once. */
#pragma once
#include <uv.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/tap.h"
#include "core/access/access.h"
#include "core/feed/feed.h"
#include "core/journal/journal.h"
#include "core/secret/secret.h"
#include "core/tick/tick.h"
#include "io/loop.h"

enum { ENV_DEV = 1, ENV_TEST, ENV_PRE, ENV_PROD };
enum { APP_SHOP = 1, APP_BLOG };

static int64_t fixture_now;

static int64_t fixture_wall(void *context)
{
    (void)context;
    return fixture_now;
}

static void fixture_random(void *context, void *bytes, size_t count)
{
    (void)context;
    clock_random(clock_system(), bytes, count);
}

static struct core *fixture_open(void)
{
    static struct core core;
    static struct clock clock = {fixture_wall, fixture_wall, fixture_random, NULL};
    static const char objects[] =
        "CREATE TABLE app(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
        "CREATE TABLE env(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, position BIGINT, "
        "try_of BIGINT);"
        "INSERT INTO app VALUES(1,'shop'),(2,'blog');"
        "INSERT INTO env (id, name, position) "
        "VALUES(1,'dev',1),(2,'test',2),(3,'pre',3),(4,'prod',4);";
    const struct store_migration migrations[] = {{1, "objects", objects},
                                                 {2, "journal", journal_schema},
                                                 {3, "access", access_schema},
                                                 {4, "secret", secret_schema}};
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/store.db", tap_dir());
    fixture_now = 1700000000000;
    core = (struct core){.clock = &clock};
    (void)loop_get();
    if (store_open(path, migrations, ARRAY_SIZE(migrations), &core.store, &err) < 0)
        IS_STR(err.text, "");
    core.tick = tick_new(core.store);
    core.feed = feed_new(1);
    return &core;
}

static void fixture_close(struct core *core)
{
    tick_free(core->tick);
    feed_free(core->feed);
    secret_box_free(core->secrets);
    store_free(core->store);
}

/* Turn the loop until nothing is left to do. */
static inline void fixture_run_loop(void)
{
    (void)uv_run(loop_get(), UV_RUN_DEFAULT);
}

static inline int64_t fixture_count(struct core *core, const char *sql)
{
    struct err err = ERR_INIT;
    int64_t count = -1;
    if (store_one_int(core->store, &count, &err, sql, "") < 0)
        IS_STR(err.text, "");
    return count;
}
