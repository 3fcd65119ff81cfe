/* The store with a real file: what goes in comes out, one input is undone alone, a turn as a whole,
 * and a file that is not ours is left alone. */
#include "core/store/store.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/tap.h"
#include "io/loop.h"

TAP_MAIN()

static const struct store_migration things[] = {
    {1, "things",
     "CREATE TABLE thing(id INTEGER PRIMARY KEY, name TEXT UNIQUE, data TEXT, flag BIGINT, bytes "
     "BLOB);"}};
static const struct store_migration newer[] = {
    {1, "things", "CREATE TABLE thing(id INTEGER PRIMARY KEY);"},
    {2, "more", "CREATE TABLE more(id INTEGER PRIMARY KEY);"},
};
static const struct store_migration second_broken[] = {
    {1, "things", ""}, /* applied long ago */
    {2, "more", "CREATE TABLE more(id INTEGER PRIMARY KEY); INSERT INTO nothing VALUES(1);"},
};
static const struct store_migration second[] = {
    {1, "things", ""},
    {2, "more", "CREATE TABLE more(id INTEGER PRIMARY KEY);"},
};
static const struct store_migration broken[] = {
    {1, "broken", "CREATE TABLE one(id INTEGER PRIMARY KEY); CREATE TABLE one(id BIGINT);"}};

static char *db_path(void)
{
    return mem_format("%s/store.db", tap_dir());
}

static struct store *open_with(const struct store_migration *migrations, size_t count)
{
    struct err err = ERR_INIT;
    struct store *s = NULL;
    AUTO_FREE char *path = db_path();
    (void)loop_get();
    if (store_open(path, migrations, count, &s, &err) < 0)
        IS_STR(err.text, "");
    return s;
}

static int refused_with(const struct store_migration *migrations, size_t count, struct err *err)
{
    struct store *s = NULL;
    AUTO_FREE char *path = db_path();
    return store_open(path, migrations, count, &s, err);
}

#define OPEN() open_with(things, ARRAY_SIZE(things))

static int64_t number(struct store *s, const char *sql)
{
    struct err err = ERR_INIT;
    int64_t value = -1;
    if (store_one_int(s, &value, &err, sql, "") < 0)
        IS_STR(err.text, "");
    return value;
}

static void run(struct store *s, const char *sql)
{
    struct err err = ERR_INIT;
    if (store_run(s, &err, sql, "") < 0)
        IS_STR(err.text, "");
}

TEST(a_null_loses_the_ending_of_its_name_too)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    AUTO_JSON *row = NULL;
    IS_INT(
        store_row(s, &row, &err, "SELECT NULL AS data_json, NULL AS flag_bool, NULL AS name", ""),
        0);
    AUTO_FREE char *text = json_print(row);
    IS_STR(text, "{\"data\":null,\"flag\":null,\"name\":null}");
    store_free(s);
}

TEST(values_come_back_as_they_went)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    AUTO_JSON *data = json_pack("{s:i}", "a", 1);
    struct str bytes = {"x\0y", 3};
    IS_INT(store_run(s, &err,
                     "INSERT INTO thing(id, name, data, flag, bytes) VALUES($1,$2,$3,$4,$5)",
                     "itoib", INT64_C(9007199254740993), "it's $1", data, (int64_t)1, bytes),
           0);
    IS_INT(store_changes(s), 1);
    AUTO_QUERY q = {0};
    IS_INT(store_query(s, &q, &err, "SELECT id, name, bytes, NULL FROM thing WHERE name=$1", "s",
                       STR("it's $1")),
           0);
    IS_INT(query_next(&q, &err), 1);
    IS_INT(query_int(&q, 0), INT64_C(9007199254740993));
    IS_STR(query_text(&q, 1), "it's $1");
    OK(str_equal(query_blob(&q, 2), bytes));
    OK(query_is_null(&q, 3) && query_text(&q, 3) == NULL);
    IS_INT(query_next(&q, &err), 0);
    query_done(&q);
    query_done(&q);
    store_free(s);
}

TEST(nulls_are_given_as_null)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    IS_INT(store_run(s, &err, "INSERT INTO thing(id, name, data) VALUES(1,$1,$2)", "to",
                     (char *)NULL, (json_t *)NULL),
           0);
    IS_INT(number(s, "SELECT count(*) FROM thing WHERE name IS NULL AND data IS NULL"), 1);
    store_free(s);
}

TEST(rows_become_json)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    AUTO_JSON *rows = NULL, *row = NULL;
    run(s, "INSERT INTO thing VALUES(1,'a','{\"k\":[1]}',1,NULL),(2,'b','not json',0,NULL)");
    IS_INT(store_rows(s, &rows, &err,
                      "SELECT id, name, data AS data_json, flag AS flag_bool, bytes FROM thing "
                      "ORDER BY id",
                      ""),
           0);
    AUTO_FREE char *text = json_print(rows);
    IS_STR(text, "[{\"id\":1,\"name\":\"a\",\"data\":{\"k\":[1]},\"flag\":true,\"bytes\":null},"
                 "{\"id\":2,\"name\":\"b\",\"data\":null,\"flag\":false,\"bytes\":null}]");
    IS_INT(store_row(s, &row, &err, "SELECT id FROM thing WHERE id=$1", "i", (int64_t)9),
           STORE_NONE);
    IS_INT(store_row(s, &row, &err, "SELECT id FROM thing WHERE id=$1", "i", (int64_t)2), 0);
    IS_INT(json_int(row, "id", 0), 2);
    int64_t value = 7;
    IS_INT(store_one_int(s, &value, &err, "SELECT id FROM thing WHERE id=3", ""), STORE_NONE);
    IS_INT(value, 7);
    store_free(s);
}

TEST(the_same_statement_may_run_within_itself)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    run(s, "INSERT INTO thing(id) VALUES(1),(2),(3)");
    static const char sql[] = "SELECT id FROM thing WHERE id>$1 ORDER BY id";
    AUTO_QUERY outer = {0};
    int64_t seen = 0;
    IS_INT(store_query(s, &outer, &err, sql, "i", (int64_t)0), 0);
    while (query_next(&outer, &err) > 0) {
        AUTO_QUERY inner = {0};
        IS_INT(store_query(s, &inner, &err, sql, "i", query_int(&outer, 0)), 0);
        while (query_next(&inner, &err) > 0)
            seen += 10 * query_int(&outer, 0) + query_int(&inner, 0);
    }
    IS_INT(seen, 12 + 13 + 23);
    query_done(&outer);
    store_free(s);
}

TEST(an_insert_returns_its_id_and_counts)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    int64_t id = 0;
    IS_INT(store_one_int(s, &id, &err, "INSERT INTO thing(name) VALUES($1) RETURNING id", "t", "a"),
           0);
    IS_INT(id, 1);
    run(s, "DELETE FROM thing WHERE id=5");
    IS_INT(store_changes(s), 0);
    store_free(s);
}

TEST(what_exists_is_named)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    run(s, "INSERT INTO thing(id, name) VALUES(1,'a')");
    IS_INT(store_run(s, &err, "INSERT INTO thing(name) VALUES('a')", ""), -1);
    IS_STR(err_name(err.kind), "exists");
    err = (struct err)ERR_INIT;
    IS_INT(store_run(s, &err, "INSERT INTO nothing VALUES(1)", ""), -1);
    IS_STR(err_name(err.kind), "store_failed");
    store_free(s);
}

static void note_result(void *context, const struct err *error)
{
    *(int *)context = error ? (int)error->kind : 1000;
}

TEST(one_input_is_undone_alone)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    int result = 0;
    IS_INT(store_begin(s, &err), 0);
    OK(!store_dirty(s));
    IS_INT(store_savepoint(s, &err), 0);
    run(s, "INSERT INTO thing(id) VALUES(1)");
    store_savepoint_end(s, true);
    IS_INT(store_savepoint(s, &err), 0);
    run(s, "INSERT INTO thing(id) VALUES(2)");
    store_savepoint_end(s, false);
    OK(store_dirty(s));
    store_commit(s, note_result, &result);
    IS_INT(result, 1000);
    OK(!store_dirty(s));
    IS_INT(number(s, "SELECT sum(id) FROM thing"), 1);
    store_free(s);
}

/* SQLite ends the whole transaction when the disk is full: what comes after it in the same turn
 * must not become durable alone. */
TEST(a_full_disk_fails_the_turn_as_a_whole)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    int result = 0;
    run(s, "PRAGMA max_page_count=8");
    IS_INT(store_begin(s, &err), 0);
    IS_INT(store_savepoint(s, &err), 0);
    run(s, "INSERT INTO thing(id) VALUES(1)");
    store_savepoint_end(s, true);
    IS_INT(store_savepoint(s, &err), 0);
    IS_INT(store_run(s, &err, "INSERT INTO thing(id, bytes) VALUES(2, zeroblob(1000000))", ""), -1);
    IS_STR(err_name(err.kind), "disk_full");
    store_savepoint_end(s, false);
    err = (struct err)ERR_INIT;
    IS_INT(store_savepoint(s, &err), -1);
    IS_STR(err_name(err.kind), "disk_full");
    IS_INT(store_run(s, &err, "INSERT INTO thing(id) VALUES(3)", ""), -1);
    store_commit(s, note_result, &result);
    IS_INT(result, E_DISK_FULL);
    IS_INT(number(s, "SELECT count(*) FROM thing"), 0);
    run(s, "PRAGMA max_page_count=1000");
    IS_INT(store_begin(s, &err), 0);
    run(s, "INSERT INTO thing(id) VALUES(4)");
    store_commit(s, note_result, &result);
    IS_INT(result, 1000);
    IS_INT(number(s, "SELECT id FROM thing"), 4);
    store_free(s);
}

/* Its savepoint is gone, so that it cannot be undone: what it wrote must not ride along. */
TEST(an_input_that_cannot_be_undone_fails_the_turn)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    int result = 0;
    IS_INT(store_begin(s, &err), 0);
    IS_INT(store_savepoint(s, &err), 0);
    run(s, "INSERT INTO thing(id) VALUES(1)");
    store_savepoint_end(s, true);
    IS_INT(store_savepoint(s, &err), 0);
    run(s, "INSERT INTO thing(id) VALUES(2)");
    run(s, "RELEASE input");
    store_savepoint_end(s, false);
    IS_INT(store_savepoint(s, &err), -1);
    store_commit(s, note_result, &result);
    IS_INT(result, E_STORE_FAILED);
    IS_INT(number(s, "SELECT count(*) FROM thing"), 0);
    IS_INT(store_begin(s, &err), 0);
    run(s, "INSERT INTO thing(id) VALUES(3)");
    store_commit(s, note_result, &result);
    IS_INT(result, 1000);
    IS_INT(number(s, "SELECT id FROM thing"), 3);
    store_free(s);
}

TEST(what_is_not_committed_is_gone)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    IS_INT(store_begin(s, &err), 0);
    run(s, "INSERT INTO thing(id) VALUES(1)");
    store_free(s);
    s = OPEN();
    IS_INT(number(s, "SELECT count(*) FROM thing"), 0);
    IS_INT(number(s, "PRAGMA user_version"), 1);
    OK(store_size(s) > 0);
    store_free(s);
}

TEST(a_second_core_is_refused)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    IS_INT(refused_with(things, ARRAY_SIZE(things), &err), -1);
    IS_STR(err_name(err.kind), "unavailable");
    store_free(s);
    s = OPEN();
    OK(s != NULL);
    store_free(s);
}

/* B097: an older program leaves a newer store as it is. */
TEST(a_newer_schema_is_refused_unchanged)
{
    struct err err = ERR_INIT;
    struct store *s = open_with(newer, ARRAY_SIZE(newer));
    AUTO_BUF before = BUF_INIT(0), after = BUF_INIT(0);
    AUTO_FREE char *path = db_path();
    store_free(s);
    IS_INT(file_read(path, 1 << 20, &before, &err), 0);
    IS_INT(refused_with(things, ARRAY_SIZE(things), &err), -1);
    IS_STR(err_name(err.kind), "schema_newer");
    err = (struct err)ERR_INIT;
    IS_INT(file_read(path, 1 << 20, &after, &err), 0);
    OK(str_equal(buf_str(&before), buf_str(&after)));
    s = open_with(newer, ARRAY_SIZE(newer));
    OK(s != NULL);
    store_free(s);
}

TEST(a_migration_that_fails_leaves_nothing)
{
    struct err err = ERR_INIT;
    IS_INT(refused_with(broken, ARRAY_SIZE(broken), &err), -1);
    OK(strstr(err.text, "migration 'broken'") != NULL);
    struct store *s = OPEN();
    IS_INT(number(s, "SELECT count(*) FROM sqlite_master WHERE name='one'"), 0);
    store_free(s);
}

TEST(before_a_migration_a_copy_is_made)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN();
    AUTO_FREE char *path = db_path(), *copy = mem_format("%s.v1", path);
    run(s, "INSERT INTO thing(name) VALUES('kept')");
    OK(!file_exists(copy)); /* the first schema has nothing before it */
    store_free(s);

    IS_INT(refused_with(second_broken, ARRAY_SIZE(second_broken), &err), -1);
    s = OPEN();
    IS_INT(number(s, "SELECT count(*) FROM thing WHERE name='kept'"), 1);
    IS_INT(number(s, "SELECT count(*) FROM sqlite_master WHERE name='more'"), 0);
    IS_INT(number(s, "PRAGMA user_version"), 1);
    store_free(s);

    s = open_with(second, ARRAY_SIZE(second));
    IS_INT(number(s, "SELECT count(*) FROM more"), 0);
    store_free(s);
    IS_INT(store_open_copy(copy, &s, &err), 0);
    IS_INT(number(s, "PRAGMA user_version"), 1);
    IS_INT(number(s, "SELECT count(*) FROM thing WHERE name='kept'"), 1);
    store_free(s);
}

TEST(a_copy_is_of_what_is_committed)
{
    struct err err = ERR_INIT;
    struct store *s = OPEN(), *copied = NULL;
    AUTO_FREE char *path = db_path(), *copy = mem_format("%s/copy.db", tap_dir());
    run(s, "INSERT INTO thing(name) VALUES('committed')");
    IS_INT(store_begin(s, &err), 0);
    run(s, "INSERT INTO thing(name) VALUES('not yet')");
    IS_INT(store_copy(path, copy, &err), 0);
    IS_INT(store_open_copy(copy, &copied, &err), 0);
    IS_INT(number(copied, "SELECT count(*) FROM thing"), 1);
    store_free(copied);
    store_free(s);
    IS_INT(store_copy("/nowhere/store.db", copy, &err), -1);
    IS_STR(err_name(err.kind), "not_found");
}
