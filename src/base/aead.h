/* Sealing with a key: XChaCha20-Poly1305 (IETF; libsodium's) under a random nonce, 192 bits of it,
 * so random is enough; as base64 of nonce, text and tag. What is sealed is bound to `bound`: under
 * other words it does not open. sodium_init() was called. Any thread. */
#pragma once
#include <stdbool.h>
#include "base/secret.h"

#define AEAD_KEY_BYTES 32

/* The sealed text, NUL-terminated; the caller frees it. */
char *aead_seal(const unsigned char key[AEAD_KEY_BYTES], const char *bound, struct str plain);
/* False, and nothing in `ret_plain`, when the text, its key or `bound` is another than it was. */
bool aead_open(const unsigned char key[AEAD_KEY_BYTES], const char *bound, const char *sealed,
               struct secret *ret_plain);
