/* Inside land: where trunk is protected at its forge, people merge it there. Loop thread. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "core/core.h"
#include "core/env/env.h"

/* A branch with the landing's commit there, and a merge request of it into trunk; asked again, the
 * same. row: landing_load's. done exactly once, perhaps at once: ok {"branch","number","link"},
 * borrowed. E_REF_PROTECTED: no forge that could be asked; E_FORGE_BUSY. */
void merge_request_open(struct core *core, const struct app *app, const json_t *row,
                        void (*done)(void *context, json_t *ok, const struct err *error),
                        void *context);
/* The branch that was made for it goes, here and there, unless somebody has moved it. done exactly
 * once, perhaps at once. */
void merge_request_drop(struct core *core, const struct app *app, const json_t *row,
                        void (*done)(void *context, json_t *ok, const struct err *error),
                        void *context);
