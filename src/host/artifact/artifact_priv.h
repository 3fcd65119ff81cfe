/* What the files of this folder share. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/map.h"
#include "host/artifact/artifact.h"

enum unpack_kind { UNPACK_BASE, UNPACK_APP, UNPACK_TREE };
struct archive;
struct unpack {
    enum unpack_kind kind;
    struct artifact_unpack_limits limits;
    int root_fd;                    /* O_PATH of the folder to fill */
    int64_t entries, bytes, newest; /* seconds: of the newest entry */
    struct archive *archive;
    int parent_fd; /* the folder of the last entry: tars come folder by folder */
    char *parent;
};
#define UNPACK_ABSENT 1
/* Everything of the tar below root_fd; not narrowed (that is unpack_main's part). */
int unpack_tar(struct unpack *u, int tar_fd, struct err *err) MUST_CHECK;
/* "./a//b" -> "a/b"; an absolute name or ".." is E_ARCHIVE_PATH; the folder itself is "". */
int unpack_clean_path(const char *raw, char **ret_path, struct err *err) MUST_CHECK;

struct artifact_store {
    struct host *host;
    char *root;           /* data_dir/host */
    struct map unpacking; /* digest -> struct unpack_job */
    struct artifact_user users[8];
    size_t user_count;
};
struct artifact_store *artifact_store_get(void);
char *artifact_store_path(const char *below); /* data_dir/host/BELOW, heap; any thread */

/* trash.c. Delete what lies in the trash, in the background. */
void trash_empty(void);
/* Discard all that lies in this folder of the store: what a process before us left half-done. */
int trash_add_all(const char *below, struct err *err) MUST_CHECK;

/* The record beside an unpacked layer, unpacked/HEX.json. */
struct layer_record {
    char below[SHA_DIGEST]; /* "" when it lies on nothing */
    int64_t bytes;
};
int layer_record_read(const char *digest, struct layer_record *ret_record,
                      struct err *err) MUST_CHECK;
/* Base "host": the skeleton folder, made when absent, and its binds. */
int host_base_init(struct err *err) MUST_CHECK;
void host_base_root(struct artifact_root *root);

/* The layers of an artifact, from its manifest. */
struct artifact_layers {
    char base[SHA_DIGEST]; /* "host" or digest */
    char app[SHA_DIGEST];
    char config[SHA_DIGEST];
    char provenance[SHA_DIGEST]; /* "" when none */
    int64_t bytes;               /* of all blobs */
};
int artifact_layers(const char *artifact, struct artifact_layers *ret_layers,
                    struct err *err) MUST_CHECK;
/* OCI's config as struct artifact_root gives it; a new reference. */
json_t *image_run_config(const json_t *oci);
char *layer_record_path(const char *digest); /* heap */
int layer_init(struct err *err) MUST_CHECK;  /* removes what half-done unpacking left */
