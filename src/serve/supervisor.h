/* The supervisor: keeps the four roles running and their listeners open. One a process; loop
 * thread. */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "wire/settings.h"

/* Adopts the roles that live, makes the listeners of the others and starts them; with `units` only
 * host is started, and the others come for what is theirs (attach.h). The folders are there
 * (place_make). When it fails, nothing that it started is left. */
int supervisor_start(const struct settings *s, bool units, struct err *err) MUST_CHECK;
/* End the roles, core first, each with some seconds of grace; instances and edge go on. Blocking.
 * Returns the exit code: ROLE_EXIT_NEVER when it was a role that made the loop stop. */
int supervisor_stop(void);
