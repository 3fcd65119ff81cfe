/* Roles that systemd starts, a unit each, so that each can be hardened as it deserves: what the
 * supervisor would have given to its child (listeners, the key) they fetch from it over
 * run_dir/serve.sock. Who asks is told by the kernel's credentials; only the user of a role gets
 * what is that role's. */
#pragma once
#include <sys/types.h>
#include "base/err.h"
#include "wire/settings.h"

#define ATTACH_FDS 3                     /* ROLE_FD_LISTENER and the following */
#define ATTACH_VARIABLE "SLIPWAY_ATTACH" /* set in the units of roles */

/* In the role, first of all: waits for a supervisor (a minute at most, E_ROLE_DOWN), then its fds
 * are those that ROLE_FD_* say, and we stand in run_dir. Blocking. */
int attach_as_role(const struct settings *s, struct err *err) MUST_CHECK;

/* In the supervisor. on_peer gets the connection, which it owns, and who is there. Loop thread. */
struct attach;
int attach_listen(const struct settings *s,
                  void (*on_peer)(void *context, int fd, uid_t uid, pid_t pid), void *context,
                  struct attach **ret_attach, struct err *err) MUST_CHECK;
void attach_free(struct attach *a);
/* Send them; -1: none. */
int attach_give(int fd, const int fds[ATTACH_FDS], struct err *err) MUST_CHECK;
