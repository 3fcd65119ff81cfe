/* Taking away what the host made on this machine, for `slipway down` (src/serve/down.c), and
 * finding what is still there. The roles must be gone: nothing here asks them, nobody starts
 * anything anew. What stands in data_dir stays, so that the next `slipway serve` brings all of it
 * back. Any thread; blocking. */
#pragma once
#include "base/map.h"
#include "wire/settings.h"

/* Edge, containers (their stop signal first, at most some seconds), cgroups, bridge, nftables
 * table, processes that are left, mounts below run_dir. What fails is logged and shows in
 * teardown_left. */
void teardown_run(const struct settings *s);
/* What of the installation is on the machine: "process conmon", "cgroup /sys/...", "bridge ...",
 * "mount ...", each with how many of it. ret_left is initialised here; values are counts as
 * (uintptr_t). */
void teardown_left(const struct settings *s, struct map *ret_left);
