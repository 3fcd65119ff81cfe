/* SHA-256 against the published vectors, and secrets. */
#include "base/sha.h"
#include <fcntl.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/tap.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

TEST(hashes_known_vectors)
{
    char hex[SHA_HEX], digest[SHA_DIGEST];
    sha_hex_of(STR(""), hex);
    IS_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha_hex_of(STR("abc"), hex);
    IS_STR(hex, ABC);
    sha_digest_of(STR("abc"), digest);
    IS_STR(digest, "sha256:" ABC);
    OK(str_is_digest(str_of(digest)));
}

TEST(hashes_in_pieces)
{
    struct sha sha;
    uint8_t hash[SHA_BYTES];
    char hex[SHA_HEX];
    sha_init(&sha);
    sha_add(&sha, "a", 1);
    sha_add(&sha, NULL, 0);
    sha_add(&sha, "bc", 2);
    sha_end(&sha, hash);
    sha_hex(hash, hex);
    IS_STR(hex, ABC);
    sha_done(&sha);
    sha_init(&sha);
    sha_done(&sha);
    sha_done(&sha);
}

TEST(hashes_the_rest_of_a_file)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/data", tap_dir());
    char digest[SHA_DIGEST];
    int64_t bytes = 0;
    IS_INT(file_write(path, STR("xxabc"), 0600, &err), 0);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    IS_INT(lseek(fd, 2, SEEK_SET), 2);
    IS_INT(sha_digest_fd(fd, digest, &bytes, &err), 0);
    IS_STR(digest, "sha256:" ABC);
    IS_INT(bytes, 3);
    IS_INT(sha_digest_fd(-1, digest, &bytes, &err), -1);
    IS_INT(err.kind, E_SYSTEM);
}

TEST(keeps_secrets)
{
    AUTO_SECRET s = {0};
    OK(str_is(secret_str(&s), ""));
    secret_set(&s, "one", 3);
    OK(str_is(secret_str(&s), "one"));
    secret_set(&s, s.data + 1, 2); /* from itself */
    OK(str_is(secret_str(&s), "ne"));
    secret_done(&s);
    OK(s.data == NULL && s.length == 0);
}

TAP_MAIN()
