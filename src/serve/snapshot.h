/* What `slipway backup` writes and `slipway restore` reads. A backup folder holds snapshots; what
 * never changes is shared by them, so that a further one costs what is new:
 *
 *   DEST/slipway-backup           a file that says "1": the format
 *   DEST/blobs/sha256/HEX         blobs of artifacts
 *   DEST/git/HEX.bundle           repositories, named by the digest of their refs
 *   DEST/SNAPSHOT/manifest.json   what belongs to it, with digests: with it, it is a snapshot
 *   DEST/SNAPSHOT/...             the store, settings, certificates, records of base images
 *
 * SNAPSHOT is the time: 20261130T041500Z. A folder SNAPSHOT.part was cut short; the next backup
 * removes it. All of it is root's, 0700. Blocking calls, for one thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/json.h"
#include "base/sha.h"

#define SNAPSHOT_FORMAT 1
#define SNAPSHOT_MARK "slipway-backup"
#define SNAPSHOT_MANIFEST "manifest.json"
#define SNAPSHOT_MANIFEST_MAX (64u << 20)

/* Copy a file; hash it on the way. The copy is written and synced as TO.part, and has its owner and
 * mode before it has its name: what has it is whole, and its folder may be anybody's. The source
 * must be a plain file. `wanted` (NULL: anything): E_CORRUPT when the content has another digest.
 */
struct snapshot_owner {
    uid_t uid;
    gid_t gid;
    mode_t mode;
};
int snapshot_copy(const char *from, const char *to, const struct snapshot_owner *owner,
                  const char *wanted, char ret_digest[SHA_DIGEST], int64_t *ret_bytes,
                  struct err *err) MUST_CHECK;
/* Make everything written to the file system of `folder` durable. */
int snapshot_sync(const char *folder, struct err *err) MUST_CHECK;
/* {"path","digest","bytes"} of a file that was copied into the snapshot. */
json_t *snapshot_file(const char *path, const char *digest, int64_t bytes);

/* One backup or restore at a time works in a folder: E_STATE_CONFLICT. */
int snapshot_lock(const char *folder, int *ret_fd, struct err *err) MUST_CHECK;
/* Is it a backup folder of a format we know? E_NOT_FOUND, E_SCHEMA_NEWER. */
int snapshot_check_folder(const char *folder, struct err *err) MUST_CHECK;
/* Names of the whole snapshots, oldest first: a JSON array of strings. */
int snapshot_list(const char *folder, json_t **ret_names, struct err *err) MUST_CHECK;
int snapshot_manifest(const char *folder, const char *name, json_t **ret_manifest,
                      struct err *err) MUST_CHECK;
/* SHA-256 of data_dir/master.key, which tells whether a key is the one; E_NOT_FOUND. */
int snapshot_key_digest(const char *key_path, char ret_digest[SHA_DIGEST],
                        struct err *err) MUST_CHECK;

/* `slipway core-store VERB FILE` as core's user; what it printed. */
struct settings;
int snapshot_store(const struct settings *s, const char *verb, const char *file, json_t **ret_told,
                   struct err *err) MUST_CHECK;
