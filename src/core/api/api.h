/* The HTTP API: one table of routes, one gate, one way to answer. Loop thread. */
#pragma once
#include "base/err.h"
#include "core/core.h"

/* Serve on these listening fds (taken): the unix socket for this machine's root and CLI, and TCP
 * (-1: none). */
int api_start(struct core *core, int unix_fd, int tcp_fd, struct err *err) MUST_CHECK;
void api_stop(void);
/* Requests from the courier over its channel: git.authorize, repo.changed. */
struct message;
void api_git_authorize(void *context, struct message *m);
void api_repo_changed(void *context, struct message *m);
