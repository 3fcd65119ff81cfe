/* Inside the folder: commits as people read them. Pool threads. */
#pragma once
#include "courier/git/repo.h"

/* [{"id","author","at" (ms),"subject","merge"}] of these commits, in this order. */
int history_tell(const char *dir, const char *const *ids, size_t count, json_t **ret_commits,
                 struct err *err) MUST_CHECK;
