/* Java reads no PEM bundle: its certificates as a JKS, which every Java takes. A JKS without keys
 * is a list of DER certificates and a SHA-1 over it (a check sum keyed by a password that everybody
 * knows: "changeit"); the certificates are passed on as they are, nothing is parsed. */
#include <openssl/evp.h>
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "host/base_image/base_image_priv.h"

#define BUNDLE_MAX (16u << 20)
#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"
#define SALT "Mighty Aphrodite" /* as the format has it */

static void add_number(struct buf *out, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        (void)buf_add_char(out, (char)(value >> (8 * i) & 255)); /* no ceiling, here and below */
}

static void add_text(struct buf *out, const char *text)
{
    add_number(out, strlen(text), 2);
    (void)buf_add_text(out, text);
}

/* One PEM body, decoded; -1 when it is none. */
static int decode(struct str body, unsigned char *to)
{
    EVP_ENCODE_CTX *context = EVP_ENCODE_CTX_new();
    int length = 0, more = 0;
    ASSERT(context);
    EVP_DecodeInit(context);
    bool good = EVP_DecodeUpdate(context, to, &length, (const unsigned char *)body.data,
                                 (int)body.length) >= 0 &&
                EVP_DecodeFinal(context, to + length, &more) >= 0;
    EVP_ENCODE_CTX_free(context);
    return good ? length + more : -1;
}

static uint32_t add_certificates(struct str pem, struct buf *out)
{
    uint32_t count = 0;
    const char *at = pem.data, *end = pem.data + pem.length;
    while (at && (at = memmem(at, (size_t)(end - at), BEGIN, strlen(BEGIN))) != NULL) {
        const char *body = at + strlen(BEGIN);
        const char *stop = memmem(body, (size_t)(end - body), END, strlen(END));
        if (!stop)
            break;
        AUTO_FREE unsigned char *der = mem_alloc((size_t)(stop - body) + 4);
        int length = decode((struct str){body, (size_t)(stop - body)}, der);
        at = stop;
        if (length <= 0)
            continue;
        AUTO_FREE char *alias = mem_format("ca%u", ++count);
        add_number(out, 2, 4); /* a trusted certificate */
        add_text(out, alias);
        add_number(out, 0, 8); /* its date: none */
        add_text(out, "X.509");
        add_number(out, (uint64_t)length, 4);
        (void)buf_add(out, der, (size_t)length);
    }
    return count;
}

static void add_digest(struct buf *store)
{
    static const char word[] = TRUSTSTORE_PASSWORD;
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1;
    for (const char *c = word; good && *c; c++)
        good = EVP_DigestUpdate(context, (char[]){0, *c}, 2) == 1; /* UTF-16 */
    good = good && EVP_DigestUpdate(context, SALT, strlen(SALT)) == 1 &&
           EVP_DigestUpdate(context, store->data, store->length) == 1 &&
           EVP_DigestFinal_ex(context, hash, &length) == 1;
    EVP_MD_CTX_free(context);
    ASSERT(good);
    (void)buf_add(store, hash, length);
}

int truststore_write(const char *bundle, const char *path, struct err *err)
{
    AUTO_BUF pem = BUF_INIT(BUNDLE_MAX);
    AUTO_BUF certificates = BUF_INIT(0);
    AUTO_BUF store = BUF_INIT(0);
    if (file_read(bundle, BUNDLE_MAX, &pem, err) < 0)
        return -1;
    uint32_t count = add_certificates(buf_str(&pem), &certificates);
    if (count == 0)
        return FAIL(err, E_CONFIG_INVALID, "'%s' holds no certificate", bundle);
    add_number(&store, 0xfeedfeed, 4);
    add_number(&store, 2, 4);
    add_number(&store, count, 4);
    (void)buf_add_str(&store, buf_str(&certificates));
    add_digest(&store);
    return file_write(path, buf_str(&store), 0644, err);
}
