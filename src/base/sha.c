/* SHA-256 through OpenSSL's EVP interface. A failure of a hash over memory can only mean that
 * memory is out or the library is broken, so it is a panic; only reading a file can fail. */
#include "base/sha.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>
#include "base/check.h"
#include "base/mem.h"

#define SHA_CHUNK (256 * 1024)

void sha_init(struct sha *s)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        PANIC("cannot start a SHA-256");
    s->context = context;
}

void sha_add(struct sha *s, const void *data, size_t length)
{
    ASSERT(s->context);
    if (length > 0 && EVP_DigestUpdate(s->context, data, length) != 1)
        PANIC("cannot continue a SHA-256");
}

void sha_end(struct sha *s, uint8_t ret_hash[SHA_BYTES])
{
    unsigned length = 0;
    ASSERT(s->context);
    if (EVP_DigestFinal_ex(s->context, ret_hash, &length) != 1 || length != SHA_BYTES)
        PANIC("cannot finish a SHA-256");
    sha_done(s);
}

void sha_done(struct sha *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->context); /* NULL is fine */
    s->context = NULL;
}

void sha_of(struct str data, uint8_t ret_hash[SHA_BYTES])
{
    struct sha sha;
    sha_init(&sha);
    sha_add(&sha, data.data, data.length);
    sha_end(&sha, ret_hash);
}

void sha_hex(const uint8_t hash[SHA_BYTES], char ret_text[SHA_HEX])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA_BYTES; i++) {
        ret_text[2 * i] = digits[hash[i] >> 4];
        ret_text[2 * i + 1] = digits[hash[i] & 15];
    }
    ret_text[SHA_HEX - 1] = '\0';
}

void sha_hex_of(struct str data, char ret_text[SHA_HEX])
{
    uint8_t hash[SHA_BYTES];
    sha_of(data, hash);
    sha_hex(hash, ret_text);
}

static void sha_digest(const uint8_t hash[SHA_BYTES], char ret_text[SHA_DIGEST])
{
    memcpy(ret_text, "sha256:", 7);
    sha_hex(hash, ret_text + 7);
}

void sha_digest_of(struct str data, char ret_text[SHA_DIGEST])
{
    uint8_t hash[SHA_BYTES];
    sha_of(data, hash);
    sha_digest(hash, ret_text);
}

int sha_digest_fd(int fd, char ret_text[SHA_DIGEST], int64_t *ret_bytes, struct err *err)
{
    AUTO_FREE unsigned char *chunk = mem_alloc(SHA_CHUNK);
    uint8_t hash[SHA_BYTES];
    int64_t total = 0;
    struct sha sha;
    sha_init(&sha);
    for (;;) {
        ssize_t got = read(fd, chunk, SHA_CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            sha_done(&sha);
            return FAIL_SYS(err, "cannot read the file to hash");
        }
        if (got == 0)
            break;
        sha_add(&sha, chunk, (size_t)got);
        total += got;
    }
    sha_end(&sha, hash);
    sha_digest(hash, ret_text);
    *ret_bytes = total;
    return 0;
}
