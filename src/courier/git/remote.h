/* Inside the folder: the repository elsewhere that one of ours follows. Pool threads.
 *
 * It is the truth: what is fetched replaces what we have, and what we change (a branch made, a
 * resolution, a landing) is pushed there first. */
#pragma once
#include "courier/git/repo.h"

/* As repo_move_refs; when the call names a "remote", there first: all of them or none, each only
 * when it is there as expected. E_REF_PROTECTED: it refuses; E_REF_CHANGED: it is otherwise there;
 * E_FORGE_DENIED, E_UNAVAILABLE. */
int repo_publish(const struct git_ask *ask, const char *dir, const struct repo_move *moves,
                 size_t count, struct err *err) MUST_CHECK;
