/* The SQLite shim: prepared statements kept by their text, `$n` rewritten to `?n` (SQLite would
 * take `$2` for a name), savepoints per input, one COMMIT per turn of the loop. Errors are mapped
 * here and nowhere else. */
#include "core/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/store/store_priv.h"

#define STORE_CACHE_MAX 400 /* prepared statements kept */
#define STORE_EXIT_IO 75    /* EX_TEMPFAIL: restart and recover from the WAL */

struct store {
    sqlite3 *db;
    int lock_fd;
    struct map statements; /* SQL text -> sqlite3_stmt */
    bool in_transaction;
    struct err lost;    /* the transaction cannot be kept (a full disk, an input not undone): why */
    int changes_before; /* sqlite3_total_changes when the transaction began */
    char *path;
};

/* I/O errors must not be retried: what the kernel dropped is unknown. Leave, and recover from the
 * WAL. The same when memory is out: who goes on without would fail every step of every rollout. */
static void exit_on_io_error(struct store *s, int code)
{
    int kind = code & 0xff;
    if (kind != SQLITE_IOERR && kind != SQLITE_CORRUPT && kind != SQLITE_NOTADB &&
        kind != SQLITE_NOMEM)
        return;
    if (sqlite3_system_errno(s->db) == ENOSPC)
        return;
    log_error("the store failed, leaving to recover", F_STR("detail", sqlite3_errmsg(s->db)),
              F_INT("code", code));
    _exit(STORE_EXIT_IO);
}

static int fail_as(struct store *s, int code, const char *what, struct err *err)
{
    if ((code & 0xff) == SQLITE_FULL || (code & 0xff) == SQLITE_IOERR)
        return FAIL(err, E_DISK_FULL, "cannot %s: the disk of the data folder is full", what);
    if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
        return FAIL(err, E_EXISTS, "cannot %s: it exists already", what);
    return FAIL(err, E_STORE_FAILED, "cannot %s: %s", what, sqlite3_errmsg(s->db));
}

/* Some errors end the transaction as a whole. Nothing may be written after that until the turn has
 * failed: it would be durable alone. */
int store_fail(struct store *s, int code, const char *what, struct err *err)
{
    exit_on_io_error(s, code);
    (void)fail_as(s, code, what, err); /* the value is -1 always */
    if (s->in_transaction && s->lost.kind == E_OK && sqlite3_get_autocommit(s->db))
        s->lost = *err;
    return -1;
}

static int execute(struct store *s, const char *sql, struct err *err)
{
    int code = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        return store_fail(s, sqlite3_extended_errcode(s->db), "write to the store", err);
    return 0;
}

/* ---- statements ---- */

static char *rewrite_parameters(const char *sql)
{
    char *text = mem_strdup(sql);
    for (char *c = text; *c; c++) {
        if (*c == '$' && c[1] >= '0' && c[1] <= '9')
            *c = '?';
    }
    return text;
}

static int statement_get(struct store *s, const char *sql, sqlite3_stmt **ret_statement,
                         struct err *err)
{
    sqlite3_stmt *statement = map_get(&s->statements, sql);
    if (statement && !sqlite3_stmt_busy(statement)) {
        *ret_statement = map_remove(&s->statements, sql);
        return 0;
    }
    AUTO_FREE char *text = rewrite_parameters(sql);
    int code = sqlite3_prepare_v3(s->db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
    if (code != SQLITE_OK)
        return store_fail(s, code, "prepare a statement", err);
    *ret_statement = statement;
    return 0;
}

/* Statements in use are out of the map, so that the same SQL can be nested. */
static void statement_put(struct store *s, const char *sql, sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (s->statements.count >= STORE_CACHE_MAX || map_get(&s->statements, sql)) {
        sqlite3_finalize(statement);
        return;
    }
    map_put(&s->statements, sql, statement);
}

static int bind_one(sqlite3_stmt *statement, int index, char kind, va_list *arguments)
{
    if (kind == 'i')
        return sqlite3_bind_int64(statement, index, va_arg(*arguments, int64_t));
    if (kind == 't') {
        const char *text = va_arg(*arguments, const char *);
        return text ? sqlite3_bind_text(statement, index, text, -1, SQLITE_TRANSIENT)
                    : sqlite3_bind_null(statement, index);
    }
    if (kind == 'o') {
        const json_t *value = va_arg(*arguments, const json_t *);
        if (!value)
            return sqlite3_bind_null(statement, index);
        return sqlite3_bind_text(statement, index, json_print(value), -1, free);
    }
    ASSERT(kind == 's' || kind == 'b');
    struct str view = va_arg(*arguments, struct str);
    const char *data = view.data ? view.data : "";
    if (kind == 's')
        return sqlite3_bind_text(statement, index, data, (int)view.length, SQLITE_TRANSIENT);
    return sqlite3_bind_blob(statement, index, data, (int)view.length, SQLITE_TRANSIENT);
}

struct prepared {
    const char *sql; /* the caller's text: the key to put it back under */
    sqlite3_stmt *statement;
};

static int prepare(struct store *s, struct prepared *p, struct err *err, const char *sql,
                   const char *format, va_list *arguments)
{
    CHECK_LOOP();
    p->sql = sql;
    if (s->lost.kind != E_OK) {
        *err = s->lost;
        return -1;
    }
    if (statement_get(s, sql, &p->statement, err) < 0)
        return -1;
    for (int i = 0; format[i]; i++) {
        int code = bind_one(p->statement, i + 1, format[i], arguments);
        if (code != SQLITE_OK) {
            statement_put(s, sql, p->statement);
            return store_fail(s, code, "bind a value", err);
        }
    }
    return 0;
}

/* 1 row, 0 end, -1 */
static int step(struct store *s, sqlite3_stmt *statement, struct err *err)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    if (code == SQLITE_DONE)
        return 0;
    return store_fail(s, sqlite3_extended_errcode(s->db), "run a statement", err);
}

int store_run(struct store *s, struct err *err, const char *sql, const char *format, ...)
{
    struct prepared p;
    va_list arguments;
    va_start(arguments, format);
    int result = prepare(s, &p, err, sql, format, &arguments);
    va_end(arguments);
    if (result < 0)
        return -1;
    do
        result = step(s, p.statement, err);
    while (result > 0);
    statement_put(s, sql, p.statement);
    return result;
}

int64_t store_changes(const struct store *s)
{
    return sqlite3_changes64(s->db);
}

int store_query(struct store *s, struct query *ret_query, struct err *err, const char *sql,
                const char *format, ...)
{
    struct prepared *p = mem_alloc(sizeof(*p));
    va_list arguments;
    va_start(arguments, format);
    int result = prepare(s, p, err, sql, format, &arguments);
    va_end(arguments);
    if (result < 0) {
        free(p);
        return -1;
    }
    *ret_query = (struct query){s, p};
    return 0;
}

static sqlite3_stmt *statement_of(const struct query *q)
{
    return ((struct prepared *)q->statement)->statement;
}

int query_next(struct query *q, struct err *err)
{
    return step(q->store, statement_of(q), err);
}

int64_t query_int(const struct query *q, int column)
{
    return sqlite3_column_int64(statement_of(q), column);
}

const char *query_text(const struct query *q, int column)
{
    return (const char *)sqlite3_column_text(statement_of(q), column);
}

struct str query_blob(const struct query *q, int column)
{
    const char *data = sqlite3_column_blob(statement_of(q), column);
    return (struct str){data ? data : "", (size_t)sqlite3_column_bytes(statement_of(q), column)};
}

bool query_is_null(const struct query *q, int column)
{
    return sqlite3_column_type(statement_of(q), column) == SQLITE_NULL;
}

void query_done(struct query *q)
{
    struct prepared *p = q->statement;
    if (!p)
        return;
    statement_put(q->store, p->sql, p->statement);
    free(p);
    q->statement = NULL;
}

int store_one_int(struct store *s, int64_t *ret_value, struct err *err, const char *sql,
                  const char *format, ...)
{
    struct prepared p;
    va_list arguments;
    va_start(arguments, format);
    int result = prepare(s, &p, err, sql, format, &arguments);
    va_end(arguments);
    if (result < 0)
        return -1;
    result = step(s, p.statement, err);
    if (result > 0)
        *ret_value = sqlite3_column_int64(p.statement, 0);
    int got_row = result;
    while (result > 0) /* run to the end: an INSERT ... RETURNING ends only then */
        result = step(s, p.statement, err);
    statement_put(s, sql, p.statement);
    if (result < 0)
        return -1;
    return got_row > 0 ? 0 : STORE_NONE;
}

/* ---- rows as JSON ---- */

static void put_json_column(json_t *row, const char *key, struct str text)
{
    struct err ignored = ERR_INIT;
    json_t *value = NULL;
    if (json_parse(text, &value, &ignored) < 0)
        value = json_null(); /* one bad record must not stop a list */
    json_put(row, key, value);
}

static void put_column(json_t *row, sqlite3_stmt *statement, int column)
{
    struct str name = str_of(sqlite3_column_name(statement, column));
    bool is_json = str_ends(name, "_json"), is_bool = str_ends(name, "_bool");
    AUTO_FREE char *key = mem_strndup(name.data, name.length - (is_json || is_bool ? 5 : 0));
    struct str text = {(const char *)sqlite3_column_text(statement, column), 0};
    text.length = (size_t)sqlite3_column_bytes(statement, column);
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        json_put(row, key, json_null());
    else if (is_json)
        put_json_column(row, key, text);
    else if (is_bool)
        json_put_bool(row, key, sqlite3_column_int64(statement, column) != 0);
    else if (sqlite3_column_type(statement, column) == SQLITE_INTEGER)
        json_put_int(row, key, sqlite3_column_int64(statement, column));
    else
        json_put_str(row, key, text);
}

static json_t *row_object(sqlite3_stmt *statement)
{
    json_t *row = json_object();
    for (int i = 0; i < sqlite3_column_count(statement); i++)
        put_column(row, statement, i);
    return row;
}

static int gather(struct store *s, struct prepared *p, json_t *rows, struct err *err)
{
    int result;
    while ((result = step(s, p->statement, err)) > 0)
        json_push(rows, row_object(p->statement));
    statement_put(s, p->sql, p->statement);
    return result;
}

static int rows_of(struct store *s, json_t **ret_rows, struct err *err, const char *sql,
                   const char *format, va_list *arguments)
{
    struct prepared p;
    AUTO_JSON *rows = json_array();
    if (prepare(s, &p, err, sql, format, arguments) < 0 || gather(s, &p, rows, err) < 0)
        return -1;
    *ret_rows = TAKE(rows);
    return 0;
}

int store_rows(struct store *s, json_t **ret_rows, struct err *err, const char *sql,
               const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = rows_of(s, ret_rows, err, sql, format, &arguments);
    va_end(arguments);
    return result;
}

int store_row(struct store *s, json_t **ret_row, struct err *err, const char *sql,
              const char *format, ...)
{
    AUTO_JSON *rows = NULL;
    va_list arguments;
    va_start(arguments, format);
    int result = rows_of(s, &rows, err, sql, format, &arguments);
    va_end(arguments);
    if (result < 0)
        return -1;
    if (json_array_size(rows) == 0)
        return STORE_NONE;
    *ret_row = json_incref(json_array_get(rows, 0));
    return 0;
}

/* ---- transactions ---- */

int store_begin(struct store *s, struct err *err)
{
    if (s->in_transaction)
        return 0;
    if (execute(s, "BEGIN IMMEDIATE", err) < 0)
        return -1;
    s->in_transaction = true;
    s->lost = (struct err)ERR_INIT;
    s->changes_before = sqlite3_total_changes(s->db);
    return 0;
}

int store_savepoint(struct store *s, struct err *err)
{
    if (s->lost.kind != E_OK) {
        *err = s->lost;
        return -1;
    }
    return execute(s, "SAVEPOINT input", err);
}

/* What a failed input wrote stands in the transaction: nothing of the turn may become durable. */
static void lose(struct store *s, const char *sentence, const struct err *why)
{
    log_warn(sentence, F_ERR(why));
    if (s->lost.kind == E_OK)
        s->lost = *why;
}

void store_savepoint_end(struct store *s, bool keep)
{
    struct err err = ERR_INIT;
    if (s->lost.kind != E_OK) /* the savepoint went with it */
        return;
    if (!keep && execute(s, "ROLLBACK TO input", &err) < 0)
        lose(s, "cannot roll back one input, the turn will fail as a whole", &err);
    else if (execute(s, "RELEASE input", &err) < 0)
        lose(s, "cannot release a savepoint, the turn will fail as a whole", &err);
}

bool store_dirty(const struct store *s)
{
    return s->in_transaction && sqlite3_total_changes(s->db) != s->changes_before;
}

void store_commit(struct store *s, void (*done)(void *context, const struct err *error),
                  void *context)
{
    struct err err = ERR_INIT;
    int result = 0;
    FAULT("store.commit.before");
    if (s->lost.kind != E_OK) {
        err = s->lost;
        result = -1;
    } else if (s->in_transaction) {
        result = execute(s, "COMMIT", &err);
    }
    if (result < 0 && !sqlite3_get_autocommit(s->db))
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL); /* the error is told already */
    s->in_transaction = false;
    s->lost = (struct err)ERR_INIT;
    FAULT("store.commit.after");
    done(context, result < 0 ? &err : NULL);
}

int64_t store_size(const struct store *s)
{
    struct stat status;
    return stat(s->path, &status) == 0 ? status.st_size : 0;
}

/* ---- open and migrate ---- */

static int take_lock(struct store *s, const char *path, struct err *err)
{
    AUTO_FREE char *lock_path = mem_format("%s.lock", path);
    s->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", lock_path);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return FAIL(err, E_UNAVAILABLE, "another core holds '%s': stop it first", lock_path);
    return 0;
}

int store_schema(struct store *s, int64_t *ret_version, struct err *err)
{
    return store_one_int(s, ret_version, err, "PRAGMA user_version", "");
}

static int refuse_newer(const char *path, int64_t known, struct err *err)
{
    sqlite3 *db = NULL; /* read-only, so that not a byte of it changes */
    int64_t version = 0;
    AUTO_FREE char *uri = mem_format("file:%s?mode=ro", path);
    if (sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) == SQLITE_OK) {
        sqlite3_stmt *statement = NULL;
        if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
            sqlite3_step(statement) == SQLITE_ROW)
            version = sqlite3_column_int64(statement, 0);
        sqlite3_finalize(statement);
    }
    sqlite3_close(db);
    if (version > known)
        return FAIL(err, E_SCHEMA_NEWER,
                    "the store '%s' is of schema %lld, this program knows %lld: run the newer "
                    "program, or put back the copy made before the upgrade ('%s.v%lld')",
                    path, (long long)version, (long long)known, path, (long long)known);
    return 0;
}

/* What was there before a migration, for whoever must go back. One is kept: this one. */
static int copy_before(struct store *s, int64_t version, struct err *err)
{
    AUTO_FREE char *to = mem_format("%s.v%lld", s->path, (long long)version);
    if (store_copy_of(s->db, to, err) < 0)
        return err_wrap(err, "the copy before a migration");
    for (int64_t older = version - 1; older > 0; older--) {
        AUTO_FREE char *path = mem_format("%s.v%lld", s->path, (long long)older);
        (void)unlink(path); /* absent is fine */
    }
    log_info("the store will be migrated, a copy is kept", F_STR("copy", to));
    return 0;
}

static int migrate(struct store *s, const struct store_migration *migrations, size_t count,
                   struct err *err)
{
    int64_t version = 0;
    if (store_schema(s, &version, err) < 0)
        return -1;
    if (version == (int64_t)count)
        return 0;
    if ((version > 0 && copy_before(s, version, err) < 0) || execute(s, "BEGIN IMMEDIATE", err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        ASSERT(migrations[i].version == (int64_t)i + 1);
        if (migrations[i].version <= version)
            continue;
        if (execute(s, migrations[i].sql, err) < 0) {
            (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL); /* told by err */
            return err_wrap(err, "migration '%s'", migrations[i].name);
        }
    }
    AUTO_FREE char *set = mem_format("PRAGMA user_version=%zu", count);
    if (execute(s, set, err) < 0)
        return -1;
    return execute(s, "COMMIT", err);
}

static int configure(struct store *s, struct err *err)
{
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, 2000);
    return execute(
        s,
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
        "PRAGMA cache_size=-2000; PRAGMA trusted_schema=OFF; PRAGMA wal_autocheckpoint=500;"
        "PRAGMA journal_size_limit=4194304",
        err);
}

static struct store *store_new(const char *path)
{
    struct store *s = mem_alloc(sizeof(*s));
    s->lock_fd = -1;
    s->path = mem_strdup(path);
    map_init(&s->statements);
    return s;
}

int store_open_copy(const char *path, struct store **ret_store, struct err *err)
{
    AUTO(store) *s = store_new(path);
    int code = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE, NULL);
    if (code != SQLITE_OK)
        return FAIL(err, E_STORE_FAILED, "cannot open '%s': %s", path, sqlite3_errstr(code));
    sqlite3_busy_timeout(s->db, STORE_COPY_BUSY_MS);
    *ret_store = TAKE(s);
    return 0;
}

int store_open(const char *path, const struct store_migration *migrations, size_t count,
               struct store **ret_store, struct err *err)
{
    AUTO(store) *s = store_new(path);
    if (take_lock(s, path, err) < 0 || refuse_newer(path, (int64_t)count, err) < 0)
        return -1;
    int code = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (code != SQLITE_OK)
        return FAIL(err, E_STORE_FAILED, "cannot open the store '%s': %s", path,
                    sqlite3_errstr(code));
    if (configure(s, err) < 0 || migrate(s, migrations, count, err) < 0)
        return err_wrap(err, "store '%s'", path);
    *ret_store = TAKE(s);
    return 0;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->statements.count; i++)
        sqlite3_finalize(s->statements.entries[i].value);
    map_done(&s->statements);
    sqlite3_close(s->db);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd); /* releases the lock */
    free(s->path);
    free(s);
}
