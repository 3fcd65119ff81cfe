/* Packing: paths of a tree into a reproducible tar. Runs in a narrowed child (pack_main); the core
 * of it is here for the tests. */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

#define PACK_FILES_MAX 200000
#define PACK_BYTES_MAX (2ll << 30)

struct pack_spec {
    const json_t *output;  /* paths below the tree; "." is all of it */
    const json_t *exclude; /* paths, or patterns of fnmatch without '/' crossing */
    const char *prefix;    /* "app": where the tree stands in the layer */
    int64_t epoch;         /* modification time of every entry */
    int64_t files_max;     /* 0: PACK_FILES_MAX */
};
struct pack_result {
    int64_t files, bytes;
};
/* Sorted by name, owner 0:0, modes 0755 or 0644, one time, no hard links, no special files. */
int pack_tree(int tree_fd, const struct pack_spec *spec, int tar_fd, struct pack_result *ret_result,
              struct err *err) MUST_CHECK;
