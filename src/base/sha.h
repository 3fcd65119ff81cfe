/* SHA-256 (OpenSSL) and its textual forms. Any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

#define SHA_BYTES 32
#define SHA_HEX (64 + 1)
#define SHA_DIGEST (7 + 64 + 1) /* "sha256:<hex>" and NUL */
struct sha {
    void *context; /* EVP_MD_CTX */
};
void sha_init(struct sha *s);
void sha_add(struct sha *s, const void *data, size_t length);
void sha_end(struct sha *s, uint8_t ret_hash[SHA_BYTES]); /* frees the context */
void sha_done(struct sha *s);                             /* frees without a result; safe twice */
void sha_of(struct str data, uint8_t ret_hash[SHA_BYTES]);
void sha_hex(const uint8_t hash[SHA_BYTES], char ret_text[SHA_HEX]);
void sha_hex_of(struct str data, char ret_text[SHA_HEX]);
void sha_digest_of(struct str data, char ret_text[SHA_DIGEST]);
/* Hash of the rest of an open file. Blocking. */
int sha_digest_fd(int fd, char ret_text[SHA_DIGEST], int64_t *ret_bytes,
                  struct err *err) MUST_CHECK;
