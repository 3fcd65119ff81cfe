/* Inside the store: the one mapping from SQLite's result codes to our errors. */
#pragma once
#include "base/mem.h"
#include "core/store/store.h"

DEFINE_AUTO(store)
int store_fail(struct store *s, int code, const char *what, struct err *err);
