/* Secrets of an app-env: sealed with libsodium (XChaCha20-Poly1305, bound to app-env, name, version
 * and kind) under the master key that host's root keeps and hands to core once; written by people,
 * never read back by them. Every write makes a new version; a release names the versions it uses.
 * Loop thread. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/secret.h"
#include "core/access/access.h"
#include "core/core.h"

extern const char secret_schema[];
struct secret_box;
/* key_fd: 32 raw bytes, read and closed. The key lives in locked, non-dumpable memory that is not
 * even readable between two uses. Core's main sets PR_SET_DUMPABLE to 0 besides. */
int secret_box_open(int key_fd, struct secret_box **ret_box, struct err *err) MUST_CHECK;
void secret_box_free(struct secret_box *b);
/* Is it the key that sealed what lies in the store? E_KEY_WRONG when it is not. The first time it
 * seals a value to know it by. Within an input. */
int secret_check_key(struct core *core, struct err *err) MUST_CHECK;

enum secret_kind {
    SECRET_FILE,
    SECRET_ENV,
    SECRET_BUILD
}; /* delivered as a file, a variable, or to builds only */
#define SECRET_VALUE_MAX ((size_t)128 * 1024)
#define SECRETS_MAX 200                              /* names of one app-env */
#define SECRETS_BUILD_MAX 64                         /* ... for builds: as many as host takes */
#define SECRET_VERSIONS_KEPT 20                      /* of a name, whether referenced or not */
const char *secret_kind_name(enum secret_kind kind); /* "file", "env", "build" */
/* E_FIELD_INVALID when it is none of the three. */
int secret_kind_parse(const char *name, enum secret_kind *ret_kind, struct err *err) MUST_CHECK;
/* name: [A-Za-z_][A-Za-z0-9_.-]{0,127}, for SECRET_ENV a variable's name (not PORT, not SLIPWAY_*);
 * value may hold anything but, for SECRET_ENV, NUL, and is not empty (E_VALUE_INVALID). */
int secret_put(struct core *core, const struct person *by, int64_t app_env_id, const char *subject,
               const char *name, enum secret_kind kind, struct str value, int64_t *ret_version,
               struct err *err) MUST_CHECK;
/* That of its current version; where there is none *ret_kind stays. */
int secret_kind_now(struct core *core, int64_t app_env_id, const char *name,
                    enum secret_kind *ret_kind, struct err *err) MUST_CHECK;
/* The name has no current version any more; older ones stay for the releases that froze them. */
int secret_delete(struct core *core, const struct person *by, int64_t app_env_id,
                  const char *subject, const char *name, struct err *err) MUST_CHECK;
/* [{"name","kind","version","at","by"}]: never a value. */
int secret_list(struct core *core, int64_t app_env_id, json_t **ret_rows,
                struct err *err) MUST_CHECK;
/* The current versions, without build-only ones, as {"NAME": version, ...}: what a release
 * freezes. */
int secret_versions(struct core *core, int64_t app_env_id, json_t **ret_versions,
                    struct err *err) MUST_CHECK;
/* Forget versions that are neither among the newest SECRET_VERSIONS_KEPT of their name, nor
 * current, nor named in `frozen`: an array of objects such as secret_versions gives. Within an
 * input. */
int secret_retain(struct core *core, int64_t app_env_id, const json_t *frozen,
                  struct err *err) MUST_CHECK;
/* The app-env is gone: so are its secrets, before its id is given to another. Within an input. */
int secret_forget(struct core *core, int64_t app_env_id, struct err *err) MUST_CHECK;
/* Can the current version be given as a variable? Those of kind env can; a file can when its name
 * is a variable's and its value a text; what is for builds only cannot (E_CONFIG_INVALID says why).
 */
#define SECRET_ABSENT 1
int secret_is_variable(struct core *core, int64_t app_env_id, const char *name,
                       struct err *err) MUST_CHECK;
/* Unseal for host: [{"name","value_b64","env": bool}] of exactly these versions (instance; a file
 * whose name stands in `variables` comes twice, as what it is and as a variable), or the build-only
 * ones (versions and variables NULL): [{"name","value_b64","file": bool}]. The array holds plain
 * text: hand it to one message, then drop it. */
int secret_reveal(struct core *core, int64_t app_env_id, const json_t *versions,
                  const json_t *variables, json_t **ret_secrets, struct err *err) MUST_CHECK;

/* The current versions of one app-env become the first ones of another. Within an input. */
int secret_copy(struct core *core, const struct person *by, int64_t from, int64_t to,
                const char *subject, struct err *err) MUST_CHECK;

/* What belongs to no app-env (a forge's token): sealed for a place of the caller's own, a text;
 * heap.
 */
int secret_seal_at(struct core *core, const char *place, struct str value, char **ret_sealed,
                   struct err *err) MUST_CHECK;
int secret_open_at(struct core *core, const char *place, const char *sealed,
                   struct secret *ret_value, struct err *err) MUST_CHECK;
