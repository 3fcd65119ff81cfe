/* Secrets of an instance, as its record keeps them: sealed, so that a copy of the disk without
 * master.key says nothing.
 *
 * A start after a reboot needs them before core answers, so host opens them itself: a key derived
 * from the master key for this use alone (base/aead.h seals with it), bound to the instance's name:
 * a sealed text moved into another record does not open. The key is read for each use and wiped
 * after it: records are written a few times in an instance's life. */
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>
#include "base/aead.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/secret.h"
#include "host/instance/instance_priv.h"

#define MASTER_BYTES crypto_kdf_KEYBYTES
#define KEY_NUMBER 1
#define KEY_CONTEXT "instrecd" /* crypto_kdf_CONTEXTBYTES of them; never used for anything else */

static int master_read(struct secret *ret_master, struct err *err)
{
    char bytes[MASTER_BYTES + 1];
    AUTO_FREE char *path = settings_data(instances.host->settings, "master.key");
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open the master key '%s'", path);
    ssize_t length = read(fd, bytes, sizeof(bytes));
    if (length == MASTER_BYTES)
        secret_set(ret_master, bytes, MASTER_BYTES);
    sodium_memzero(bytes, sizeof(bytes));
    if (length < 0)
        return FAIL_SYS(err, "cannot read the master key '%s'", path);
    if (length != MASTER_BYTES)
        return FAIL(err, E_CORRUPT, "the master key '%s' is not %d bytes long", path,
                    (int)MASTER_BYTES);
    return 0;
}

static int key_derive(struct secret *ret_key, struct err *err)
{
    AUTO_SECRET master = {0};
    unsigned char key[AEAD_KEY_BYTES];
    if (sodium_init() < 0)
        return FAIL(err, E_INTERNAL, "libsodium cannot be used");
    if (master_read(&master, err) < 0)
        return -1;
    int result = crypto_kdf_derive_from_key(key, sizeof(key), KEY_NUMBER, KEY_CONTEXT,
                                            (const unsigned char *)master.data);
    ASSERT(result == 0); /* it fails for a bad length only */
    secret_set(ret_key, key, sizeof(key));
    sodium_memzero(key, sizeof(key));
    return 0;
}

static char *bound_text(const char *name)
{
    return mem_format("slipway instance record 2\n%s", name);
}

static void secrets_print(const json_t *secrets, struct secret *ret_text)
{
    char *text = json_print(secrets);
    size_t length = strlen(text);
    secret_set(ret_text, text, length);
    sodium_memzero(text, length);
    free(text);
}

int seal_close(const char *name, const json_t *secrets, char **ret_sealed, struct err *err)
{
    AUTO_SECRET key = {0}, plain = {0};
    if (key_derive(&key, err) < 0)
        return err_wrap(err, "cannot seal the secrets of instance '%s'", name);
    secrets_print(secrets, &plain);
    AUTO_FREE char *bound = bound_text(name);
    *ret_sealed = aead_seal((const unsigned char *)key.data, bound, secret_str(&plain));
    return 0;
}

int seal_open(const char *name, const char *sealed, json_t **ret_secrets, struct err *err)
{
    AUTO_SECRET key = {0}, plain = {0};
    AUTO_JSON *secrets = NULL;
    if (key_derive(&key, err) < 0)
        return err_wrap(err, "cannot open the secrets of instance '%s'", name);
    AUTO_FREE char *bound = bound_text(name);
    bool good = aead_open((const unsigned char *)key.data, bound, sealed, &plain);
    if (good && json_parse(secret_str(&plain), &secrets, err) < 0)
        return -1;
    if (!good || !json_is_array(secrets))
        return FAIL(err, E_CORRUPT,
                    "the secrets of instance '%s' do not open: its record or the master key was "
                    "changed; deploy it again",
                    name);
    *ret_secrets = TAKE(secrets);
    return 0;
}
