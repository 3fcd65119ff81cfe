/* Secrets of an instance, as its record keeps them: sealed, so that a copy of the disk without
 * master.key says nothing.
 *
 * A start after a reboot needs them before core answers, so host opens them itself: a key derived
 * from the master key for this use alone, XChaCha20-Poly1305 under a random nonce, bound to the
 * instance's name (a sealed text moved into another record does not open). The key is read for
 * each use and wiped after it: records are written a few times in an instance's life. */
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>
#include "base/check.h"
#include "base/mem.h"
#include "base/secret.h"
#include "host/instance/instance_priv.h"

#define MASTER_BYTES crypto_kdf_KEYBYTES
#define KEY_BYTES crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define KEY_NUMBER 1
#define KEY_CONTEXT "instrecd" /* crypto_kdf_CONTEXTBYTES of them; never used for anything else */
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define VARIANT sodium_base64_VARIANT_ORIGINAL

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
    unsigned char key[KEY_BYTES];
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
    size_t length = NONCE_BYTES + plain.length + TAG_BYTES;
    size_t room = sodium_base64_encoded_len(length, VARIANT);
    AUTO_FREE unsigned char *bytes = mem_alloc(length);
    randombytes_buf(bytes, NONCE_BYTES);
    int result = crypto_aead_xchacha20poly1305_ietf_encrypt(
        bytes + NONCE_BYTES, NULL, (const unsigned char *)plain.data, plain.length,
        (const unsigned char *)bound, strlen(bound), NULL, bytes, (const unsigned char *)key.data);
    ASSERT(result == 0);
    char *sealed = mem_alloc(room);
    (void)sodium_bin2base64(sealed, room, bytes, length, VARIANT); /* the room is right */
    *ret_sealed = sealed;
    return 0;
}

/* Decode and open into `plain`, which is as large as `sealed` is long. */
static bool open_into(const struct secret *key, const char *name, const char *sealed,
                      unsigned char *plain, unsigned long long *ret_length)
{
    size_t length = 0, room = strlen(sealed);
    AUTO_FREE char *bound = bound_text(name);
    AUTO_FREE unsigned char *bytes = mem_alloc(room + 1);
    if (sodium_base642bin(bytes, room, sealed, room, NULL, &length, NULL, VARIANT) != 0 ||
        length < NONCE_BYTES + TAG_BYTES)
        return false;
    return crypto_aead_xchacha20poly1305_ietf_decrypt(plain, ret_length, NULL, bytes + NONCE_BYTES,
                                                      length - NONCE_BYTES,
                                                      (const unsigned char *)bound, strlen(bound),
                                                      bytes, (const unsigned char *)key->data) == 0;
}

int seal_open(const char *name, const char *sealed, json_t **ret_secrets, struct err *err)
{
    AUTO_SECRET key = {0};
    AUTO_JSON *secrets = NULL;
    unsigned long long length = 0;
    size_t room = strlen(sealed) + 1;
    if (key_derive(&key, err) < 0)
        return err_wrap(err, "cannot open the secrets of instance '%s'", name);
    AUTO_FREE unsigned char *plain = mem_alloc(room);
    bool good = open_into(&key, name, sealed, plain, &length);
    int result = good ? json_parse((struct str){(char *)plain, (size_t)length}, &secrets, err) : 0;
    sodium_memzero(plain, room);
    if (result < 0)
        return -1;
    if (!good || !json_is_array(secrets))
        return FAIL(err, E_CORRUPT,
                    "the secrets of instance '%s' do not open: its record or the master key was "
                    "changed; deploy it again",
                    name);
    *ret_secrets = TAKE(secrets);
    return 0;
}
