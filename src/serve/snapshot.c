/* See snapshot.h. */
#include "serve/snapshot.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "serve/program.h"
#include "wire/settings.h"

#define COPY_BYTES (1u << 20)
#define NAME_LENGTH 16 /* 20261130T041500Z */

/* Files. */

static int copy_bytes(int from, int to, struct sha *sha, int64_t *ret_bytes, const char *path,
                      struct err *err)
{
    AUTO_FREE char *chunk = mem_array(1, COPY_BYTES);
    for (;;) {
        ssize_t count = read(from, chunk, COPY_BYTES);
        if (count < 0)
            return FAIL_SYS(err, "cannot read what goes to '%s'", path);
        if (count == 0)
            return 0;
        sha_add(sha, chunk, (size_t)count);
        *ret_bytes += count;
        for (ssize_t done = 0; done < count;) {
            ssize_t written = write(to, chunk + done, (size_t)(count - done));
            if (written < 0)
                return FAIL_SYS(err, "cannot write '%s'", path);
            done += written;
        }
    }
}

static void digest_text(const uint8_t hash[SHA_BYTES], char text[SHA_DIGEST])
{
    char hex[SHA_HEX];
    sha_hex(hash, hex);
    (void)snprintf(text, SHA_DIGEST, "sha256:%s", hex);
}

/* Links and what is no file may be put there by whoever owns the folder. */
static int open_source(const char *from, int *ret_fd, struct err *err)
{
    struct stat st;
    AUTO_CLOSE int fd = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? FAIL(err, E_NOT_FOUND, "there is no '%s'", from)
                               : FAIL_SYS(err, "cannot open '%s'", from);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return FAIL(err, E_CORRUPT, "'%s' is no file", from);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* close too may tell of a failed write: on NFS, with quotas. */
static int finish(int *out, const struct snapshot_owner *owner, const char *part, struct err *err)
{
    if (fchmod(*out, owner->mode) < 0 || fchown(*out, owner->uid, owner->gid) < 0)
        return FAIL_SYS(err, "cannot give '%s' its owner", part);
    if (fsync(*out) < 0)
        return FAIL_SYS(err, "cannot make '%s' durable", part);
    int fd = TAKE_FD(*out);
    return close(fd) < 0 ? FAIL_SYS(err, "cannot write '%s'", part) : 0;
}

int snapshot_copy(const char *from, const char *to, const struct snapshot_owner *owner,
                  const char *wanted, char ret_digest[SHA_DIGEST], int64_t *ret_bytes,
                  struct err *err)
{
    AUTO_FREE char *part = mem_format("%s.part", to);
    AUTO_CLOSE int in = -1;
    uint8_t hash[SHA_BYTES];
    char digest[SHA_DIGEST];
    struct sha sha;
    int64_t bytes = 0;
    if (open_source(from, &in, err) < 0)
        return -1;
    (void)unlink(part); /* of an earlier try */
    AUTO_CLOSE int out = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out < 0)
        return FAIL_SYS(err, "cannot make '%s'", part);
    sha_init(&sha);
    int result = copy_bytes(in, out, &sha, &bytes, to, err);
    sha_end(&sha, hash);
    digest_text(hash, digest);
    if (result == 0 && wanted && !text_is(digest, wanted))
        result =
            FAIL(err, E_CORRUPT, "'%s' is not what its name or the manifest says: its digest is %s",
                 from, digest);
    if (result == 0)
        result = finish(&out, owner, part, err);
    FAULT("snapshot.copied");
    if (result == 0 && rename(part, to) < 0)
        result = FAIL_SYS(err, "cannot rename '%s'", part);
    if (result < 0) {
        (void)unlink(part); /* half of it is of no use */
        return -1;
    }
    if (ret_digest)
        memcpy(ret_digest, digest, SHA_DIGEST);
    if (ret_bytes)
        *ret_bytes = bytes;
    return 0;
}

int snapshot_sync(const char *folder, struct err *err)
{
    AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        return FAIL_SYS(err, "cannot make '%s' durable", folder);
    return 0;
}

json_t *snapshot_file(const char *path, const char *digest, int64_t bytes)
{
    json_t *file = json_object();
    json_put_text(file, "path", path);
    json_put_text(file, "digest", digest);
    json_put_int(file, "bytes", bytes);
    return file;
}

int snapshot_key_digest(const char *key_path, char ret_digest[SHA_DIGEST], struct err *err)
{
    int64_t bytes;
    AUTO_CLOSE int fd = open(key_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? FAIL(err, E_NOT_FOUND, "there is no master key '%s'", key_path)
                               : FAIL_SYS(err, "cannot open '%s'", key_path);
    return sha_digest_fd(fd, ret_digest, &bytes, err);
}

/* Folders. */

int snapshot_lock(const char *folder, int *ret_fd, struct err *err)
{
    AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", folder);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return FAIL(err, E_STATE_CONFLICT, "another backup or restore works in '%s'", folder);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int snapshot_check_folder(const char *folder, struct err *err)
{
    AUTO_FREE char *mark = mem_format("%s/%s", folder, SNAPSHOT_MARK);
    AUTO_BUF text = BUF_INIT(64);
    struct err why = ERR_INIT;
    int64_t format;
    if (file_read(mark, 64, &text, &why) < 0)
        return FAIL(err, E_NOT_FOUND, "'%s' is no backup folder: there is no '%s' in it", folder,
                    SNAPSHOT_MARK);
    struct str rest = buf_str(&text);
    if (str_to_int(str_cut(&rest, '\n'), 1, INT32_MAX, SNAPSHOT_MARK, &format, err) < 0)
        return -1;
    if (format > SNAPSHOT_FORMAT)
        return FAIL(err, E_SCHEMA_NEWER,
                    "'%s' is of format %lld, this program knows %d: use a newer one", folder,
                    (long long)format, SNAPSHOT_FORMAT);
    return 0;
}

static bool is_snapshot(const char *folder, const char *name)
{
    AUTO_FREE char *manifest = mem_format("%s/%s/%s", folder, name, SNAPSHOT_MANIFEST);
    if (strlen(name) != NAME_LENGTH || name[8] != 'T' || name[NAME_LENGTH - 1] != 'Z')
        return false;
    return strspn(name, "0123456789TZ") == NAME_LENGTH && file_exists(manifest);
}

int snapshot_list(const char *folder, json_t **ret_names, struct err *err)
{
    struct dirent **entries;
    json_t *names = json_array();
    int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0) {
        json_decref(names);
        return FAIL_SYS(err, "cannot list '%s'", folder);
    }
    for (int i = 0; i < count; i++) {
        if (is_snapshot(folder, entries[i]->d_name))
            json_push(names, json_string(entries[i]->d_name));
        free(entries[i]);
    }
    free(entries);
    *ret_names = names;
    return 0;
}

int snapshot_manifest(const char *folder, const char *name, json_t **ret_manifest, struct err *err)
{
    AUTO_FREE char *path = mem_format("%s/%s/%s", folder, name, SNAPSHOT_MANIFEST);
    AUTO_BUF text = BUF_INIT(SNAPSHOT_MANIFEST_MAX);
    if (file_read(path, SNAPSHOT_MANIFEST_MAX, &text, err) < 0)
        return -1;
    return json_parse(buf_str(&text), ret_manifest, err) < 0 ? err_wrap(err, "'%s'", path) : 0;
}

/* The store. */

int snapshot_store(const struct settings *s, const char *verb, const char *file, json_t **ret_told,
                   struct err *err)
{
    AUTO_FREE char *out = NULL;
    const char *const argv[] = {"/proc/self/exe", "core-store", verb, file,
                                "--settings",     s->path,      NULL};
    const struct program program = {argv, s->user_core, -1, SNAPSHOT_MANIFEST_MAX};
    if (program_run(&program, &out, err) < 0)
        return err_wrap(err, "the store");
    return json_parse(str_of(out), ret_told, err);
}
