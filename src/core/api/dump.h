/* Core's part of `slipway debug dump`: what the store holds and what core keeps beside it. Loop
 * thread. */
#pragma once
#include <jansson.h>
#include "core/core.h"

/* Every table, each by its name, the newest rows of those that only grow; never a password, hash
 * or sealed value. Adds to reply. */
void dump_core(struct core *core, json_t *reply);
