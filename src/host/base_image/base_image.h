/* Base images: made once from a package list, kept by digest, shared by builds and instances.
 *
 * "packages" is a Debian minbase with these packages (mmdebstrap, the machine's own Debian
 * sources); the build base is the same with build packages installed on top, kept as one more
 * overlay layer. "host" is a skeleton with the machine's own /usr read-only. Loop thread. */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "host/host.h"
#include "host/sandbox/sandbox.h"
#include "io/message.h"

/* Can anything be built? Else why not: the settings name logins or certificates that are missing.
 */
int base_image_ready(struct err *err) MUST_CHECK;
int base_image_init(struct host *h, struct err *err) MUST_CHECK;
void base_image_doctor(struct host *h, json_t *checks);
void base_image_verb_ensure(void *context, struct message *m);

struct base_image {
    const char *base;       /* digest of the base layer's blob, or "host" */
    const char *build_base; /* the same when there are no build packages */
    int64_t bytes;
    bool reused;
};
/* Make or find a base, as base.ensure. `done` runs later on the loop, exactly once: image NULL and
 * error set, or the other way round; both valid during the call. `progress` may be NULL. Concurrent
 * calls for the same base share the work. */
struct base_image_request {
    void (*progress)(void *context, const char *text, int percent);
    void (*done)(void *context, const struct base_image *image, const struct err *error);
    void *context;
};
struct base_image_ask; /* lives until `done` */
int base_image_ensure(const json_t *spec, const struct base_image_request *request,
                      struct base_image_ask **ret_ask, struct err *err) MUST_CHECK;
/* Wait no longer: `done` will not be called. What nobody waits for any more is killed. */
void base_image_leave(struct base_image_ask *a);
/* Check a base spec without doing anything. */
int base_image_check(const json_t *spec, struct err *err) MUST_CHECK;

/* What a build and the package steps of its base need to go out, and an instance must not have:
 * proxy and CA bundle of the settings, as variables and read-only binds; also /etc/resolv.conf.
 * Appended; strings live in the arena. */
void base_image_outside(const struct settings *s, struct arena *arena, json_t *env,
                        struct sandbox_bind *binds, size_t *bind_count);
/* The mirrors of the settings, for builds: as above, with the files that some tools need. */
void base_image_mirrors(const struct settings *s, struct arena *arena, json_t *env,
                        struct sandbox_bind *binds, size_t *bind_count);
/* The passwords of `mirror_logins`, to be masked; NULL past the last one. */
const char *base_image_password(size_t index);
/* {"K": "V"} as "K=V", NULL-terminated, in the arena. */
const char *const *base_image_env(struct arena *arena, const json_t *env);
