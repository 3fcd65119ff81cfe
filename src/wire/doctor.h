/* The lines of the doctor, as every role and the command line write them. Any thread. */
#pragma once
#include "base/json.h"

/* Appends a check and returns it (borrowed), so that more can be said in it. `fix` is left out of
 * a check that is well. */
json_t *doctor_push(json_t *checks, const char *name, bool ok, const char *text, const char *fix);
/* The programs of wire/programs.h, as the caller's mounts show them: one check each. */
void doctor_programs(json_t *checks);
