/* The store: SQLite in WAL mode with synchronous=FULL behind a small shim, so that PostgreSQL fits
 * later.
 *
 * SQL is the subset both understand; parameters are $1..$n. Writes happen only inside an input of a
 * tick (core/tick/tick.h), which opens the transaction and commits it. Arguments are given by a
 * format string, a letter each: i int64_t, t const char * (NULL: null), s struct str (text), b
 * struct str (blob), o json_t * (stored as text; borrowed). An I/O error of the database ends the
 * process with code 75 (the supervisor restarts us and SQLite recovers); a full disk is
 * E_DISK_FULL; a violated unique constraint E_EXISTS. Loop thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

struct store;
struct store_migration {
    int64_t version; /* 1, 2, 3 ... without gaps */
    const char *name;
    const char *sql; /* several statements */
};
/* Open, lock (E_UNAVAILABLE when another core holds the data directory), migrate in one
 * transaction, after a copy of what is there to PATH.vN (N: its version; copies of older ones go).
 * E_SCHEMA_NEWER, with no byte written, when the file knows a later version. */
int store_open(const char *path, const struct store_migration *migrations, size_t count,
               struct store **ret_store, struct err *err) MUST_CHECK;
/* A file as it is: no lock, no migration, whatever its version. For copies, and for a look. */
int store_open_copy(const char *path, struct store **ret_store, struct err *err) MUST_CHECK;
/* What is committed in the database `path` now, as a new file `to`, synced; a core may go on
 * writing meanwhile. For a process of the store's user, since files beside it may be made.
 * E_NOT_FOUND when there is none. Blocking; any thread. */
int store_copy(const char *path, const char *to, struct err *err) MUST_CHECK;
/* The schema's version. */
int store_schema(struct store *s, int64_t *ret_version, struct err *err) MUST_CHECK;
void store_free(struct store *s);

struct query {
    struct store *store;
    void *statement;
};
/* Run a statement without rows (or ignore them). */
int store_run(struct store *s, struct err *err, const char *sql, const char *format,
              ...) MUST_CHECK;
/* The number of rows the last store_run changed. */
int64_t store_changes(const struct store *s);
/* Rows one by one: query_next gives 1 (a row), 0 (end) or -1. Views live until the next step. */
int store_query(struct store *s, struct query *ret_query, struct err *err, const char *sql,
                const char *format, ...) MUST_CHECK;
int query_next(struct query *q, struct err *err) MUST_CHECK;
int64_t query_int(const struct query *q, int column);
const char *query_text(const struct query *q, int column); /* NULL for null */
struct str query_blob(const struct query *q, int column);
bool query_is_null(const struct query *q, int column);
void query_done(struct query *q); /* twice is fine */
#define AUTO_QUERY __attribute__((cleanup(query_done))) struct query

/* One integer of one row; STORE_NONE when there is no row. */
#define STORE_NONE 1
int store_one_int(struct store *s, int64_t *ret_value, struct err *err, const char *sql,
                  const char *format, ...) MUST_CHECK;
/* All rows as a JSON array of objects keyed by column name (integers, strings, null). A column
 * whose name ends in "_json" is parsed and loses the ending; one that ends in "_bool" becomes true
 * or false. */
int store_rows(struct store *s, json_t **ret_rows, struct err *err, const char *sql,
               const char *format, ...) MUST_CHECK;
/* The same for one row; STORE_NONE when there is none. */
int store_row(struct store *s, json_t **ret_row, struct err *err, const char *sql,
              const char *format, ...) MUST_CHECK;

/* The seam to the database, used by core/tick only. */
int store_begin(struct store *s,
                struct err *err) MUST_CHECK; /* opens the batch's transaction if none is open */
int store_savepoint(struct store *s, struct err *err) MUST_CHECK; /* one input begins */
void store_savepoint_end(struct store *s, bool keep);             /* released, or rolled back */
/* Make the batch durable, then call done (error NULL) or, when nothing of it was kept, done with
 * the error. SQLite calls it before it returns. */
void store_commit(struct store *s, void (*done)(void *context, const struct err *error),
                  void *context);
bool store_dirty(const struct store *s); /* has the open transaction written anything? */
/* Bytes of the database on disk. */
int64_t store_size(const struct store *s);
