/* Blobs: files named by what they hold. A name is given only after every byte was hashed and
 * synced, so a blob that can be seen is whole; a crash leaves at most a file in blobs/tmp, which
 * the next start removes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "host/artifact/artifact_priv.h"

#define JSON_BLOB_MAX (1u << 20)
#define MIB (1024 * 1024)

char *artifact_blob_path(const char *digest)
{
    ASSERT(str_is_digest(str_of(digest)));
    AUTO_FREE char *below = mem_format("blobs/sha256/%s", digest + strlen("sha256:"));
    return artifact_store_path(below);
}

bool artifact_blob_exists(const char *digest)
{
    AUTO_FREE char *path = artifact_blob_path(digest);
    return file_exists(path);
}

int artifact_blob_temp(char **ret_path, int *ret_fd, struct err *err)
{
    AUTO_FREE char *path = artifact_store_path("blobs/tmp/blob-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot make a blob file");
    *ret_path = TAKE(path);
    *ret_fd = fd;
    return 0;
}

static int sync_folder(const char *path, struct err *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return FAIL_SYS(err, "cannot sync '%s'", path);
    return 0;
}

static int hash_and_seal(const char *temp_path, char digest[SHA_DIGEST], int64_t *ret_bytes,
                         struct err *err)
{
    AUTO_CLOSE int fd = open(temp_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open the blob file");
    if (fchown(fd, 0, 0) < 0 || fchmod(fd, 0400) < 0)
        return FAIL_SYS(err, "cannot seal the blob file");
    if (sha_digest_fd(fd, digest, ret_bytes, err) < 0)
        return -1;
    return fsync(fd) < 0 ? FAIL_SYS(err, "cannot sync the blob file") : 0;
}

static int admit(const char *temp_path, char digest[SHA_DIGEST], int64_t *ret_bytes,
                 struct err *err)
{
    if (hash_and_seal(temp_path, digest, ret_bytes, err) < 0)
        return -1;
    AUTO_FREE char *path = artifact_blob_path(digest);
    AUTO_FREE char *folder = artifact_store_path("blobs/sha256");
    if (rename(temp_path, path) < 0) /* the same bytes may be there already: no difference */
        return FAIL_SYS(err, "cannot name blob '%s'", digest);
    return sync_folder(folder, err);
}

int artifact_blob_admit(const char *temp_path, char ret_digest[SHA_DIGEST], int64_t *ret_bytes,
                        struct err *err)
{
    char digest[SHA_DIGEST];
    int64_t bytes = 0;
    if (admit(temp_path, digest, &bytes, err) < 0) {
        (void)unlink(temp_path); /* what failed first counts */
        return -1;
    }
    memcpy(ret_digest, digest, SHA_DIGEST);
    *ret_bytes = bytes;
    return 0;
}

static int write_whole(int fd, struct str content, struct err *err)
{
    for (size_t done = 0; done < content.length;) {
        ssize_t n = write(fd, content.data + done, content.length - done);
        if (n < 0)
            return FAIL_SYS(err, "cannot write a blob");
        done += (size_t)n;
    }
    return 0;
}

int artifact_blob_put(struct str content, char ret_digest[SHA_DIGEST], struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int fd = -1;
    int64_t bytes;
    if (artifact_blob_temp(&path, &fd, err) < 0)
        return -1;
    if (write_whole(fd, content, err) < 0) {
        (void)unlink(path); /* what failed first counts */
        return -1;
    }
    return artifact_blob_admit(path, ret_digest, &bytes, err);
}

int artifact_blob_json(const char *digest, json_t **ret_value, struct err *err)
{
    AUTO_FREE char *path = artifact_blob_path(digest);
    AUTO_BUF text = BUF_INIT(0);
    char found[SHA_DIGEST];
    if (file_read(path, JSON_BLOB_MAX, &text, err) < 0)
        return err_wrap(err, "blob '%s'", digest);
    sha_digest_of(buf_str(&text), found);
    if (strcmp(found, digest) != 0)
        return FAIL(err, E_DIGEST_MISMATCH, "blob '%s' was changed on disk", digest);
    return json_parse(buf_str(&text), ret_value, err);
}

int artifact_disk_room(int64_t needed, struct err *err)
{
    struct artifact_store *store = artifact_store_get();
    struct statvfs st;
    if (statvfs(store->root, &st) < 0)
        return FAIL_SYS(err, "cannot ask for the free space of '%s'", store->root);
    int64_t room = (int64_t)st.f_bavail * (int64_t)st.f_frsize;
    int64_t reserve = store->host->settings->disk_reserve;
    if (room < needed + reserve)
        return FAIL(
            err, E_DISK_FULL,
            "only %lld MiB are free on the disk of '%s', %lld MiB are needed (%lld MiB of it "
            "the reserve): free some space or lower disk_reserve",
            (long long)(room / MIB), store->root, (long long)((needed + reserve) / MIB),
            (long long)(reserve / MIB));
    return 0;
}
