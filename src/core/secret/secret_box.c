/* The master key, and sealing with it.
 *
 * The key is read once from an fd into a page of its own: locked, left out of core dumps, between
 * guard pages, and without any access but while a value is sealed or opened. Values are
 * sealed (base/aead.h) and bound to their place: a row moved to another app-env, name, version or
 * kind does not open. */
#include <errno.h>
#include <sodium.h>
#include "base/aead.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/secret/secret_priv.h"

struct secret_box {
    unsigned char *key; /* sodium_malloc */
};

/* Reads to the end: exactly AEAD_KEY_BYTES, or it is no key. */
static int key_read(int fd, unsigned char *key, struct err *err)
{
    size_t length = 0;
    for (;;) {
        unsigned char extra;
        bool full = length == AEAD_KEY_BYTES;
        ssize_t got = read(fd, full ? &extra : key + length, full ? 1 : AEAD_KEY_BYTES - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return FAIL_SYS(err, "cannot read the master key");
        if (got == 0 && full)
            return 0;
        if (got == 0 || full)
            return FAIL(err, E_CORRUPT, "the master key is not %d bytes long", (int)AEAD_KEY_BYTES);
        length += (size_t)got;
    }
}

static void key_lock(unsigned char *key)
{
    if (sodium_mlock(key, AEAD_KEY_BYTES) != 0) /* sodium_malloc tried, and did not say */
        log_warn("the master key's memory cannot be locked, it might be swapped out: raise the "
                 "limit of locked memory",
                 F_INT("bytes", AEAD_KEY_BYTES));
    if (sodium_mprotect_noaccess(key) != 0)
        log_warn("the master key's memory cannot be protected, going on without");
}

int secret_box_open(int key_fd, struct secret_box **ret_box, struct err *err)
{
    AUTO_CLOSE int fd = key_fd;
    if (sodium_init() < 0)
        return FAIL(err, E_INTERNAL, "libsodium cannot be used");
    unsigned char *key = sodium_malloc(AEAD_KEY_BYTES);
    if (!key)
        return FAIL_SYS(err, "cannot get memory for the master key");
    if (key_read(fd, key, err) < 0) {
        sodium_free(key);
        return -1;
    }
    key_lock(key);
    struct secret_box *box = mem_alloc(sizeof(*box));
    box->key = key;
    *ret_box = box;
    return 0;
}

void secret_box_free(struct secret_box *b)
{
    if (!b)
        return;
    sodium_free(b->key); /* wipes it */
    free(b);
}

static void key_show(const struct secret_box *box)
{
    int result = sodium_mprotect_readonly(box->key);
    ASSERT(result == 0);
}

static void key_hide(const struct secret_box *box)
{
    (void)sodium_mprotect_noaccess(box->key); /* said at the start when it cannot be */
}

static char *place_text(const struct secret_place *place)
{
    return mem_format("slipway secret 1\n%lld\n%s\n%lld\n%s", (long long)place->app_env_id,
                      place->name, (long long)place->version, secret_kind_name(place->kind));
}

int secret_seal(const struct secret_box *box, const struct secret_place *place, struct str value,
                char **ret_sealed, struct err *err)
{
    if (value.length > SECRET_VALUE_MAX)
        return FAIL(err, E_TOO_LARGE, "the value is larger than %zu KiB", SECRET_VALUE_MAX / 1024);
    AUTO_FREE char *bound = place_text(place);
    key_show(box);
    *ret_sealed = aead_seal(box->key, bound, value);
    key_hide(box);
    return 0;
}

int secret_unseal(const struct secret_box *box, const struct secret_place *place,
                  const char *sealed, struct secret *ret_value, struct err *err)
{
    AUTO_FREE char *bound = place_text(place);
    key_show(box);
    bool good = aead_open(box->key, bound, sealed, ret_value);
    key_hide(box);
    if (!good)
        return FAIL(err, E_CORRUPT,
                    "secret '%s' (version %lld) cannot be opened: its row or the master key was "
                    "changed; set it again",
                    place->name, (long long)place->version);
    return 0;
}
