/* Between the files of `slipway backup`: backup.c is the folder and its snapshots, backup_gather.c
 * what goes into one. */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "wire/settings.h"

struct backup {
    const struct settings *settings;
    const char *folder; /* of all snapshots */
    char name[17];
    char *part; /* where this one is made */
    json_t *manifest, *files, *apps;
    struct map blobs; /* digest -> anything: in the manifest already */
    json_t *blob_list;
    int64_t bytes, added_bytes; /* of all it needs; of what was not there yet */
    bool quiet;
};

/* Unless -o json is wanted. */
void backup_say(const struct backup *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Copy everything that belongs to it into b->part and the shared folders, and note it in the
 * manifest. What it leaves behind when it fails is the caller's to remove. */
int backup_gather(struct backup *b, bool with_key, struct err *err) MUST_CHECK;
