/* Failpoints: FAULT("rollout.persist") stands at each side effect. In a build without
 * -Dfailpoints=true it is nothing at all. With it, a point may be armed to kill -9 the process at
 * its Nth passing; every point passed is counted, so that a run can list them. Loop thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef SLIPWAY_FAILPOINTS
void fault_hit(const char *point);
#define FAULT(point) fault_hit(point)
#else
#define FAULT(point) ((void)0)
#endif
/* Arm: at the Nth (>= 1) passing of `point` from now ("*": of any point) the process kills itself
 * with SIGKILL. NULL disarms. Also armed at start by the environment variable
 * SLIPWAY_FAULT=point:N. */
void fault_arm(const char *point, int64_t nth);
/* The points passed so far and how often; returns the count (0 without failpoints). */
size_t fault_count(void);
const char *fault_point(size_t index, int64_t *ret_hits);
