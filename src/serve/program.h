/* A program of the machine, run to its end by a tool of root's. Blocking. */
#pragma once
#include <stddef.h>
#include "base/err.h"

/* Run a program to its end as a user (NULL: as we are), its stdout to an fd or (-1) into *ret_out
 * (heap, NULL when out_fd is given). A failure is the first line that it wrote to stderr. */
struct program {
    const char *const *argv;
    const char *user;
    int out_fd;
    size_t out_max;
};
int program_run(const struct program *p, char **ret_out, struct err *err) MUST_CHECK;
