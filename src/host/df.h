/* Disk use of a folder, links not followed, other file systems left out. Blocking, any thread. */
#pragma once
#include <stdint.h>

struct df {
    int64_t bytes; /* allocated */
    int64_t files;
};
void df_add(const char *folder, struct df *total); /* absent is nothing */
