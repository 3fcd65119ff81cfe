#include "base/aead.h"
#include <sodium.h>
#include "base/check.h"
#include "base/mem.h"

#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define VARIANT sodium_base64_VARIANT_ORIGINAL

_Static_assert(AEAD_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "libsodium's key");

char *aead_seal(const unsigned char key[AEAD_KEY_BYTES], const char *bound, struct str plain)
{
    size_t length = NONCE_BYTES + plain.length + TAG_BYTES;
    size_t room = sodium_base64_encoded_len(length, VARIANT);
    AUTO_FREE unsigned char *bytes = mem_alloc(length);
    randombytes_buf(bytes, NONCE_BYTES);
    int result = crypto_aead_xchacha20poly1305_ietf_encrypt(
        bytes + NONCE_BYTES, NULL, (const unsigned char *)plain.data, plain.length,
        (const unsigned char *)bound, strlen(bound), NULL, bytes, key);
    ASSERT(result == 0);
    char *sealed = mem_alloc(room);
    (void)sodium_bin2base64(sealed, room, bytes, length, VARIANT); /* the room is right */
    return sealed;
}

/* Decode and open into `plain`, which is as large as `sealed` is long. */
static bool open_into(const unsigned char *key, const char *bound, const char *sealed,
                      unsigned char *plain, unsigned long long *ret_length)
{
    size_t length = 0, room = strlen(sealed);
    AUTO_FREE unsigned char *bytes = mem_alloc(room + 1);
    if (sodium_base642bin(bytes, room, sealed, room, NULL, &length, NULL, VARIANT) != 0 ||
        length < NONCE_BYTES + TAG_BYTES)
        return false;
    return crypto_aead_xchacha20poly1305_ietf_decrypt(
               plain, ret_length, NULL, bytes + NONCE_BYTES, length - NONCE_BYTES,
               (const unsigned char *)bound, strlen(bound), bytes, key) == 0;
}

bool aead_open(const unsigned char key[AEAD_KEY_BYTES], const char *bound, const char *sealed,
               struct secret *ret_plain)
{
    unsigned long long length = 0;
    size_t room = strlen(sealed) + 1;
    AUTO_FREE unsigned char *plain = mem_alloc(room);
    bool good = open_into(key, bound, sealed, plain, &length);
    if (good)
        secret_set(ret_plain, plain, (size_t)length);
    sodium_memzero(plain, room);
    return good;
}
