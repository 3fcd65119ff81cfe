/* Artifacts: OCI images kept by digest, and what of them is unpacked.
 *
 * A blob is data_dir/host/blobs/sha256/HEX, root-owned 0400: it gets its name only after every byte
 * was hashed and synced. An artifact is a manifest blob: base layer (none for the base "host") and
 * app layer as uncompressed tars, a config, and a provenance blob named in the annotations. A layer
 * is unpacked once, by a narrowed child (`slipway host-unpack`), to data_dir/host/unpacked/HEX, all
 * or nothing, and is only ever used as a read-only overlay lower. Loop thread, but where said. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/sha.h"
#include "host/host.h"
#include "host/sandbox/sandbox.h"
#include "io/message.h"

int artifact_init(struct host *h, struct err *err) MUST_CHECK;
void artifact_doctor(struct host *h, json_t *checks); /* pushes {"name","ok","text","fix"} */
void artifact_df(struct host *h, json_t *volumes);    /* pushes {"what","path","bytes","files"} */

/* What an instance's (or a build's) root is made of. Zero-initialise, free with artifact_root_done;
 * every string lives until then. The binds (base "host": the machine's /usr ...) are read-only. */
struct artifact_root {
    const char
        *lower[4]; /* topmost first, NULL-terminated: struct sandbox_spec takes it as it is */
    struct sandbox_bind binds[8];
    size_t bind_count;
    json_t *config;   /* {"command": [...], "env": {"K":"V"}, "port": 3000, "user": "1000:1000",
                         "workdir": "/app"}; fields that the image does not name are absent */
    const char *base; /* digest of the base layer, or "host" */
    struct arena memory;
};
/* The artifact must be unpacked already (release.prepare): otherwise E_STATE_CONFLICT; E_NOT_FOUND
 * when there is no such artifact. */
int artifact_root(const char *artifact, struct artifact_root *ret_root, struct err *err) MUST_CHECK;
void artifact_root_done(struct artifact_root *root);
/* The lower folders and binds of a base alone ("host", a base's or a build base's digest). */
int artifact_base_root(const char *base, struct artifact_root *ret_root,
                       struct err *err) MUST_CHECK;

/* Retention keeps what a user claims: it is asked for every digest (artifact, base, build base,
 * layer) that nothing else keeps. `sweep` (may be NULL) lets it remove records of its own: those
 * that are neither in `kept` (digest -> anything) nor younger than `before_ms`. */
struct artifact_sweep {
    const struct map *kept;
    int64_t before_ms;
    int64_t removed, bytes; /* add to them */
};
struct artifact_user {
    bool (*in_use)(void *context, const char *digest);
    void (*removed)(void *context, const char *digest); /* a layer is gone; may be NULL */
    void (*sweep)(void *context, struct artifact_sweep *sweep);
    void *context;
};
void artifact_add_user(const struct artifact_user *user); /* copied */
/* The short form, for instances. */
void artifact_in_use(bool (*fn)(void *context, const char *artifact), void *context);

/* Blobs. The digest is the text form "sha256:HEX". */
char *artifact_blob_path(const char *digest); /* heap */
bool artifact_blob_exists(const char *digest);
/* A fresh file to write a blob into (for a child, or by hand); ret_path is heap. Any thread. */
int artifact_blob_temp(char **ret_path, int *ret_fd, struct err *err) MUST_CHECK;
/* Hash what was written, sync, give it its name. The temporary file is gone afterwards, whatever
 * happens. Blocking; any thread. */
int artifact_blob_admit(const char *temp_path, char ret_digest[SHA_DIGEST], int64_t *ret_bytes,
                        struct err *err) MUST_CHECK;
int artifact_blob_put(struct str content, char ret_digest[SHA_DIGEST], struct err *err) MUST_CHECK;
/* A small JSON blob, its hash checked again. */
int artifact_blob_json(const char *digest, json_t **ret_value, struct err *err) MUST_CHECK;

/* Unpacked layers. */
char *artifact_unpacked_path(const char *digest); /* heap */
bool artifact_is_unpacked(const char *digest);
int64_t artifact_unpacked_bytes(const char *digest); /* 0 when it is not */
enum artifact_layer { ARTIFACT_LAYER_BASE, ARTIFACT_LAYER_APP };
/* Unpack a layer blob that is not unpacked yet (its hash is checked first); done runs later on the
 * loop, error NULL when it is there. Concurrent calls for one digest share the work. */
void artifact_unpack(const char *digest, enum artifact_layer kind,
                     void (*done)(void *context, const struct err *error), void *context);
/* Move a finished folder (same file system) to its place as the unpacked layer `digest`. `below`
 * (NULL: none) is the digest of the layer it lies on: a build base names its base. Syncs: blocking;
 * any thread. */
int artifact_adopt_unpacked(const char *folder, const char *digest, const char *below,
                            int64_t bytes, struct err *err) MUST_CHECK;
/* An empty folder (root 0755) to unpack into, on the file system of the unpacked layers. */
int artifact_unpack_temp(char **ret_path, struct err *err) MUST_CHECK;
/* E_DISK_FULL, said plainly, when less than `needed` plus the reserve is free. Any thread. */
int artifact_disk_room(int64_t needed, struct err *err) MUST_CHECK;
/* Rename away and delete in the background, slowly, so that apps do not feel it; absent is fine. */
void artifact_discard(const char *path);

/* Unpack a tar stream that is no blob (a build's source) below `folder`, which exists and is owned
 * by `owner`: everything in it becomes theirs. `newest`: the newest entry's time, seconds. */
struct artifact_unpack_limits {
    int64_t entries;
    int64_t bytes;
};
struct child;
int artifact_unpack_stream(int tar_fd, const char *folder, uint32_t owner,
                           const struct artifact_unpack_limits *limits,
                           void (*done)(void *context, int64_t newest, const struct err *error),
                           void *context, struct child **ret_child, struct err *err) MUST_CHECK;

/* Make an artifact from its parts. */
struct artifact_parts {
    const char *base;  /* "host" or digest */
    const char *layer; /* digest of the app layer's blob */
    int64_t layer_bytes;
    const char *workdir;      /* "/app" */
    const json_t *image;      /* {"command","env","port","user"}, may be NULL */
    const json_t *provenance; /* an object, may be NULL */
    int64_t created; /* seconds since 1970; fixed, so that the same content has one digest */
};
int artifact_assemble(const struct artifact_parts *parts, char ret_artifact[SHA_DIGEST],
                      struct err *err) MUST_CHECK;

void artifact_verb_prepare(void *context, struct message *m);
void artifact_verb_provenance(void *context, struct message *m);
void artifact_verb_stat(void *context, struct message *m);
void artifact_verb_retention(void *context, struct message *m);

/* `slipway host-unpack ...`: the narrowed child; never returns to a caller that holds secrets. */
int unpack_main(int argc, char **argv);
