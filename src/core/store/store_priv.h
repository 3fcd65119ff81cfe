/* Inside the store: the one mapping from SQLite's result codes to our errors. */
#pragma once
#include "base/mem.h"
#include "core/store/store.h"

DEFINE_AUTO(store)
int store_fail(struct store *s, int code, const char *what, struct err *err);

/* store_copy.c: store_copy by a connection (sqlite3 *) that is open. */
int store_copy_of(void *database, const char *to, struct err *err) MUST_CHECK;
#define STORE_COPY_BUSY_MS 10000
