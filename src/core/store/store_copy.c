/* Copies of a database: made while a core writes to it, and opened with no core on them. */
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>
#include "base/mem.h"
#include "core/store/store_priv.h"

static int sync_file(const char *path, struct err *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return FAIL_SYS(err, "cannot make '%s' durable", path);
    return 0;
}

/* VACUUM INTO reads within one transaction, so that it sees one moment whatever is written
 * meanwhile. */
static int vacuum_into(sqlite3 *db, const char *to, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    (void)sqlite3_busy_timeout(db, STORE_COPY_BUSY_MS);
    int code = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_bind_text(statement, 1, to, -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    (void)sqlite3_finalize(statement); /* repeats the code of the step */
    if ((code & 0xff) == SQLITE_FULL)
        return FAIL(err, E_DISK_FULL, "cannot copy the store to '%s': the disk is full", to);
    if (code != SQLITE_DONE)
        return FAIL(err, E_STORE_FAILED, "cannot copy the store to '%s': %s", to,
                    sqlite3_errmsg(db));
    return sync_file(to, err);
}

int store_copy_of(void *database, const char *to, struct err *err)
{
    (void)unlink(to); /* of an earlier try; VACUUM INTO wants none */
    if (vacuum_into(database, to, err) == 0)
        return 0;
    (void)unlink(to); /* half of it is of no use */
    return -1;
}

int store_copy(const char *path, const char *to, struct err *err)
{
    sqlite3 *db = NULL;
    int result = -1;
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL); /* the WAL is recovered */
    if (code != SQLITE_OK)
        (void)FAIL(err, code == SQLITE_CANTOPEN ? E_NOT_FOUND : E_STORE_FAILED,
                   "cannot open the store '%s': %s", path, sqlite3_errstr(code));
    else
        result = store_copy_of(db, to, err);
    sqlite3_close(db);
    return result;
}
