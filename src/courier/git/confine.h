/* Where a git of ours may write, and that it talks to nobody: packs and trees are bytes of others,
 * and git is large. A git child sees its own repository (and a quarantine, where it has one), reads
 * the system's folders, and opens no socket at all: neither the network's nor those of our roles.
 * One that goes outside may have those of the network.
 *
 * The paths are Landlock's (from Linux 6.2 on it covers truncation, too; before 5.19 it cannot let
 * git move its own files and is left out, which is logged once); the sockets are a filter of system
 * calls'. */
#pragma once
#include <stddef.h>
#include "base/err.h"

/* A ruleset for these folders, which must exist; *ret_ruleset is -1 where the kernel has none. Any
 * thread. */
int confine_make(const char *const *folders, size_t count, int *ret_ruleset,
                 struct err *err) MUST_CHECK;
/* It may run this program, too, which lies elsewhere. */
int confine_program(int ruleset, const char *path, struct err *err) MUST_CHECK;
enum confine_sockets { CONFINE_NO_SOCKETS, CONFINE_NETWORK };
/* The calling thread, and what it starts, for good: it must have no new privileges. Takes no memory
 * and no lock: also between fork and exec. -1 sets errno. */
int confine_enter(int ruleset, enum confine_sockets sockets);
