/* Ticks: what an input wrote is kept or undone with its after-calls, and these run when it is
 * durable, in order. */
#include "core/tick/tick.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/tap.h"
#include "io/until.h"

TAP_MAIN()

static const struct store_migration migrations[] = {
    {1, "things", "CREATE TABLE thing(id INTEGER PRIMARY KEY, bytes BLOB);"}};

static struct store *store;
static struct tick *tick;
static struct buf told;

static void setup(void)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/store.db", tap_dir());
    (void)loop_get();
    if (store_open(path, migrations, ARRAY_SIZE(migrations), &store, &err) < 0)
        IS_STR(err.text, "");
    tick = tick_new(store);
    buf_init(&told, 0);
}

static void teardown(void)
{
    tick_free(tick);
    until_quiet();
    store_free(store);
    buf_done(&told);
}

static const char *said(void)
{
    return told.length ? told.data : "";
}

static void note(void *context, const struct err *error)
{
    (void)buf_add_format(&told, "%s%s ", (char *)context, error ? "!" : "");
    free(context);
}

static void note_drop(void *context)
{
    (void)buf_add_format(&told, "%s- ", (char *)context);
    free(context);
}

static void after(const char *name)
{
    tick_after(tick, note, note_drop, mem_strdup(name));
}

static int64_t rows(void)
{
    struct err err = ERR_INIT;
    int64_t count = -1;
    if (store_one_int(store, &count, &err, "SELECT count(*) FROM thing", "") < 0)
        IS_STR(err.text, "");
    return count;
}

struct put {
    int64_t id;
    const char *name; /* of the after-call; NULL: none */
    bool fail;
    bool large;
    int (*nested)(void *context, struct err *err);
};

static int put_run(void *context, struct err *err)
{
    const struct put *p = context;
    if (store_run(store, err, "INSERT INTO thing(id, bytes) VALUES($1, zeroblob($2))", "ii", p->id,
                  (int64_t)(p->large ? 1000000 : 1)) < 0)
        return -1;
    if (p->name)
        after(p->name);
    if (p->nested && tick_input(tick, "nested", p->nested, NULL, err) < 0)
        return -1;
    return p->fail ? FAIL(err, E_INTERNAL, "asked to fail") : 0;
}

static int put(struct put p)
{
    struct err err = ERR_INIT;
    return tick_input(tick, "put", put_run, &p, &err);
}

TEST(after_calls_wait_until_durable)
{
    setup();
    IS_INT(put((struct put){.id = 1, .name = "a"}), 0);
    IS_INT(put((struct put){.id = 2, .name = "b"}), 0);
    after("c"); /* outside an input, while a batch is open */
    IS_STR(said(), "");
    until_quiet();
    IS_STR(said(), "a b c ");
    after("d"); /* nothing open: at once */
    IS_STR(said(), "a b c d ");
    IS_INT(rows(), 2);
    teardown();
}

TEST(an_input_that_fails_is_undone_alone)
{
    setup();
    IS_INT(put((struct put){.id = 1, .name = "a"}), 0);
    IS_INT(put((struct put){.id = 2, .name = "b", .fail = true}), -1);
    IS_STR(said(), "b- ");
    IS_INT(put((struct put){.id = 3, .name = "c"}), 0);
    until_quiet();
    IS_STR(said(), "b- a c ");
    IS_INT(rows(), 2);
    teardown();
}

static int nested_put(void *context, struct err *err)
{
    (void)context;
    struct put inner = {.id = 20, .name = "in"};
    return put_run(&inner, err);
}

TEST(inputs_within_inputs_share_their_fate)
{
    setup();
    IS_INT(put((struct put){.id = 1, .name = "out", .nested = nested_put, .fail = true}), -1);
    until_quiet();
    IS_STR(said(), "out- in- ");
    IS_INT(rows(), 0);
    IS_INT(put((struct put){.id = 1, .name = "out", .nested = nested_put}), 0);
    until_quiet();
    IS_STR(said(), "out- in- out in ");
    IS_INT(rows(), 2);
    teardown();
}

static void chain(void *context, const struct err *error)
{
    (void)context;
    OK(!error);
    IS_INT(put((struct put){.id = 2, .name = "second"}), 0);
    IS_STR(said(), "");
}

TEST(an_after_call_may_open_the_next_batch)
{
    setup();
    IS_INT(put((struct put){.id = 1}), 0);
    tick_after(tick, chain, NULL, NULL);
    after("first");
    until_quiet();
    IS_STR(said(), "first second ");
    IS_INT(rows(), 2);
    teardown();
}

TEST(a_full_disk_is_told_to_everybody_of_the_turn)
{
    struct err err = ERR_INIT;
    setup();
    IS_INT(store_run(store, &err, "PRAGMA max_page_count=8", ""), 0);
    IS_INT(put((struct put){.id = 1, .name = "a"}), 0);
    IS_INT(put((struct put){.id = 2, .name = "b", .large = true}), -1);
    IS_INT(put((struct put){.id = 3, .name = "c"}), -1);
    until_quiet();
    IS_STR(said(), "a! ");
    IS_INT(rows(), 0);
    IS_INT(put((struct put){.id = 4, .name = "d"}), 0);
    until_quiet();
    IS_STR(said(), "a! d ");
    IS_INT(rows(), 1);
    teardown();
}

static void set(void *context)
{
    *(bool *)context = true;
}

TEST(it_is_tried_again_after_a_failed_turn)
{
    struct err err = ERR_INIT;
    bool again = false;
    setup();
    tick_on_again(tick, set, &again);
    IS_INT(store_run(store, &err, "PRAGMA max_page_count=8", ""), 0);
    IS_INT(put((struct put){.id = 1, .name = "a"}), 0);
    IS_INT(put((struct put){.id = 2, .large = true}), -1);
    OK(until(until_set, &again));
    IS_STR(said(), "a! ");
    teardown();
}

TEST(ending_makes_what_is_open_durable)
{
    setup();
    IS_INT(put((struct put){.id = 1}), 0);
    tick_after(tick, chain, NULL, NULL);
    tick_free(tick);
    IS_STR(said(), "second ");
    until_quiet();
    IS_INT(rows(), 2);
    store_free(store);
    buf_done(&told);
}
