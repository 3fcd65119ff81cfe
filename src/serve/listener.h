/* The sockets that outlive the roles: made once, handed to each start of a role, taken over from a
 * living role when the supervisor itself was replaced. Any thread. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"
#include "wire/settings.h"

enum listener_kind { LISTENER_UNIX, LISTENER_TCP, LISTENER_LOG };
struct listener {
    enum listener_kind kind;
    char *address; /* path, or "127.0.0.1:7000"; the caller frees */
    uid_t uid;     /* owner and mode of the path */
    gid_t gid;
    mode_t mode;
};
/* *ret_fd is CLOEXEC and above the fds that roles are given. */
int listener_make(const struct listener *l, int *ret_fd, struct err *err) MUST_CHECK;
/* A copy of fd `number` of another process, if it is this listener; LISTENER_FOREIGN otherwise. */
#define LISTENER_FOREIGN 1
int listener_take(const struct listener *l, int pidfd, int number, int *ret_fd,
                  struct err *err) MUST_CHECK;
