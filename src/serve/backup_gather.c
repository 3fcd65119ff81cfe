/* What goes into a snapshot: see backup.c for the order. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "serve/backup_priv.h"
#include "serve/program.h"
#include "serve/snapshot.h"

#define BLOB_MANIFEST_MAX (1u << 20)
#define REFS_MAX (64u << 20)

static const struct snapshot_owner roots = {0, 0, 0600};

/* Files of the snapshot alone. */

static int add_file(struct backup *b, const char *from, const char *name, struct err *err)
{
    char digest[SHA_DIGEST];
    int64_t bytes;
    AUTO_FREE char *to = mem_format("%s/%s", b->part, name);
    if (snapshot_copy(from, to, &roots, NULL, digest, &bytes, err) < 0)
        return -1;
    json_push(b->files, snapshot_file(name, digest, bytes));
    b->bytes += bytes;
    b->added_bytes += bytes;
    return 0;
}

/* What is not there is not in it. */
static int add_if_there(struct backup *b, const char *below, struct err *err)
{
    AUTO_FREE char *from = settings_data(b->settings, below);
    return file_exists(from) ? add_file(b, from, below, err) : 0;
}

/* The files of one folder of data_dir whose names end so. */
static int add_folder(struct backup *b, const char *below, const char *suffix, struct err *err)
{
    AUTO_FREE char *folder = settings_data(b->settings, below);
    AUTO_FREE char *to = mem_format("%s/%s", b->part, below);
    int result = file_make_dirs(to, 0700, err);
    DIR *dir = result == 0 ? opendir(folder) : NULL;
    for (struct dirent *e; dir && result == 0 && (e = readdir(dir));) {
        if (e->d_type != DT_REG || !str_ends(str_of(e->d_name), suffix))
            continue;
        AUTO_FREE char *name = mem_format("%s/%s", below, e->d_name);
        result = add_if_there(b, name, err); /* it may have gone */
    }
    if (dir)
        (void)closedir(dir);
    return result;
}

static int add_host_files(struct backup *b, struct err *err)
{
    AUTO_FREE char *host = mem_format("%s/host", b->part);
    if (file_make_dirs(host, 0700, err) < 0 || add_if_there(b, "host/journal-heads", err) < 0 ||
        add_if_there(b, "host/journal-refused", err) < 0 || add_if_there(b, "ca.crt", err) < 0)
        return -1;
    return add_folder(b, "host/edge/certificates", "", err);
}

static int add_settings(struct backup *b, struct err *err)
{
    const char *logins = b->settings->mirror_logins;
    if (add_file(b, b->settings->path, "settings.conf", err) < 0)
        return -1;
    return *logins && file_exists(logins) ? add_file(b, logins, "mirror-logins", err) : 0;
}

/* The store: copied by core's user within its own folder, then taken from there. */

static int add_store(struct backup *b, json_t **ret_told, struct err *err)
{
    AUTO_FREE char *copy = settings_data(b->settings, "core/backup.db");
    AUTO_FREE char *path = settings_data(b->settings, "backup.lock");
    /* one backup at a time has that file, whatever folder it goes to; others wait for a moment */
    AUTO_CLOSE int lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return FAIL_SYS(err, "cannot lock '%s'", path);
    int result = snapshot_store(b->settings, "copy", copy, ret_told, err);
    if (result == 0)
        result = add_file(b, copy, "store.db", err);
    (void)unlink(copy); /* may not be there */
    return result;
}

/* Repositories. */

/* The refs of a bundle stand in its head, a line "ID REF" each, up to an empty one. */
static int bundle_digest(const char *path, char ret_hex[SHA_HEX], struct err *err)
{
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    struct sha sha;
    uint8_t hash[SHA_BYTES];
    FILE *file = fopen(path, "re");
    if (!file)
        return FAIL_SYS(err, "cannot open '%s'", path);
    sha_init(&sha);
    for (ssize_t length; (length = getline(&line, &size, file)) > 1;)
        if (line[0] != '#' && length > 41 && !str_is(str_of(line + 41), "HEAD\n"))
            sha_add(&sha, line, (size_t)length);
    (void)fclose(file); /* read only */
    sha_end(&sha, hash);
    sha_hex(hash, ret_hex);
    return 0;
}

/* The same of the repository itself, to see whether there is anything new. An empty one has none.
 */
static int refs_digest(struct backup *b, const char *repository, char ret_hex[SHA_HEX],
                       bool *ret_any, struct err *err)
{
    AUTO_FREE char *out = NULL;
    const char *const argv[] = {"/usr/bin/git",
                                "-C",
                                repository,
                                "for-each-ref",
                                "--format=%(objectname) %(refname)",
                                NULL};
    const struct program list = {argv, b->settings->user_courier, -1, REFS_MAX};
    if (program_run(&list, &out, err) < 0)
        return -1;
    *ret_any = out[0] != '\0';
    sha_hex_of(str_of(out), ret_hex);
    return 0;
}

static int bundle_make(struct backup *b, const char *repository, const char *to, struct err *err)
{
    const char *const argv[] = {"/usr/bin/git", "-C", repository, "bundle", "create",
                                "--quiet",      "-",  "--all",    NULL};
    AUTO_CLOSE int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return FAIL_SYS(err, "cannot make '%s'", to);
    const struct program bundle = {argv, b->settings->user_courier, fd, 0};
    if (program_run(&bundle, NULL, err) < 0)
        return -1;
    return fsync(fd) < 0 ? FAIL_SYS(err, "cannot make '%s' durable", to) : 0;
}

static char *bundle_path(const struct backup *b, const char *hex)
{
    return mem_format("%s/git/%s.bundle", b->folder, hex);
}

/* A push may come between the look and the bundle: it has the name of what is in it. */
static int bundle_add(struct backup *b, const char *repository, char hex[SHA_HEX], struct err *err)
{
    struct stat st;
    AUTO_FREE char *known = bundle_path(b, hex);
    AUTO_FREE char *part = mem_format("%s/git/new.part", b->folder);
    if (file_exists(known))
        return 0;
    if (bundle_make(b, repository, part, err) < 0 || bundle_digest(part, hex, err) < 0) {
        (void)unlink(part); /* may not be there */
        return -1;
    }
    AUTO_FREE char *made = bundle_path(b, hex);
    if (file_exists(made)) { /* a push took the refs back to these: others rely on its bytes */
        (void)unlink(part);  /* ours */
        return 0;
    }
    if (rename(part, made) < 0 || stat(made, &st) < 0)
        return FAIL_SYS(err, "cannot rename '%s'", part);
    b->added_bytes += st.st_size;
    return 0;
}

/* "ref: refs/heads/main\n": its trunk. The file is the courier's: only a text is taken from it. */
static void add_head(json_t *app, const char *repository)
{
    AUTO_BUF text = BUF_INIT(1024);
    struct err ignored = ERR_INIT; /* git has a usual one */
    AUTO_FREE char *path = mem_format("%s/HEAD", repository);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || file_read_fd(fd, 1024, &text, &ignored) < 0)
        return;
    struct str rest = buf_str(&text);
    struct str line = str_cut(&rest, '\n');
    if (str_starts(line, "ref: refs/heads/"))
        json_put_str(app, "head", (struct str){line.data + 5, line.length - 5});
}

static int add_repository(struct backup *b, const char *name, struct err *err)
{
    AUTO_FREE char *below = mem_format("git/%s.git", name);
    AUTO_FREE char *repository = settings_data(b->settings, below);
    char hex[SHA_HEX], digest[SHA_DIGEST];
    bool any = false;
    json_t *app = json_object();
    json_put_text(app, "name", name);
    json_push(b->apps, app);
    if (!file_exists(repository))
        return 0; /* it was never pushed to: core has it made again */
    add_head(app, repository);
    if (refs_digest(b, repository, hex, &any, err) < 0)
        return err_wrap(err, "the repository of '%s'", name);
    if (!any)
        return 0;
    if (bundle_add(b, repository, hex, err) < 0)
        return err_wrap(err, "the repository of '%s'", name);
    AUTO_FREE char *path = bundle_path(b, hex);
    int64_t bytes;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || sha_digest_fd(fd, digest, &bytes, err) < 0)
        return err_wrap(err, "'%s'", path);
    json_put_text(app, "bundle", hex);
    json_put_text(app, "digest", digest);
    b->bytes += bytes;
    return 0;
}

static int add_repositories(struct backup *b, const json_t *apps, struct err *err)
{
    size_t i;
    json_t *row;
    AUTO_FREE char *folder = mem_format("%s/git", b->folder);
    if (file_make_dirs(folder, 0700, err) < 0)
        return -1;
    json_array_foreach(apps, i, row)
    {
        if (add_repository(b, json_text_or(row, "name", ""), err) < 0)
            return -1;
    }
    backup_say(b, "repositories   %zu\n", json_array_size(apps));
    return 0;
}

/* Artifacts. */

static char *blob_source(const struct backup *b, const char *digest)
{
    AUTO_FREE char *below = mem_format("host/blobs/sha256/%s", digest + strlen("sha256:"));
    return settings_data(b->settings, below);
}

static int add_blob(struct backup *b, const char *digest, struct err *err)
{
    struct stat st, source;
    AUTO_FREE char *from = blob_source(b, digest);
    AUTO_FREE char *to = mem_format("%s/blobs/sha256/%s", b->folder, digest + strlen("sha256:"));
    if (map_get(&b->blobs, digest))
        return 0;
    bool known = stat(to, &st) == 0;
    if (known && stat(from, &source) == 0 && source.st_size != st.st_size)
        known = false; /* a disk that lost what was written */
    if (!known) {
        if (snapshot_copy(from, to, &roots, digest, NULL, NULL, err) < 0)
            return -1;
        if (stat(to, &st) < 0)
            return FAIL_SYS(err, "cannot read '%s'", to);
        b->added_bytes += st.st_size;
    }
    b->bytes += st.st_size;
    (void)map_put(&b->blobs, digest, b);
    json_push(b->blob_list, json_string(digest));
    return 0;
}

/* Every digest that an image's manifest names, wherever in it. */
static int add_named(struct backup *b, const json_t *value, struct err *err)
{
    size_t i;
    const char *key;
    json_t *item;
    const char *text = json_string_value(value);
    if (text && str_is_digest(str_of(text)))
        return add_blob(b, text, err);
    json_array_foreach(value, i, item)
    {
        if (add_named(b, item, err) < 0)
            return -1;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        if (add_named(b, item, err) < 0)
            return -1;
    }
    return 0;
}

static int add_artifact(struct backup *b, const char *digest, struct err *err)
{
    AUTO_FREE char *path = blob_source(b, digest);
    AUTO_BUF text = BUF_INIT(BLOB_MANIFEST_MAX);
    AUTO_JSON *manifest = NULL;
    if (file_read(path, BLOB_MANIFEST_MAX, &text, err) < 0 ||
        json_parse(buf_str(&text), &manifest, err) < 0)
        return -1;
    return add_named(b, manifest, err) < 0 ? -1 : add_blob(b, digest, err);
}

static bool is_live(const json_t *live, const char *artifact)
{
    size_t i;
    json_t *row;
    json_array_foreach(live, i, row)
    {
        if (text_is(json_text(row, "artifact"), artifact))
            return true;
    }
    return false;
}

/* Old releases whose artifact retention has taken away stay without; what is live must be whole. */
static int add_artifacts(struct backup *b, const json_t *told, struct err *err)
{
    size_t i;
    json_t *row;
    AUTO_FREE char *folder = mem_format("%s/blobs/sha256", b->folder);
    json_t *kept = json_array();
    json_put(b->manifest, "artifacts", kept);
    if (file_make_dirs(folder, 0700, err) < 0)
        return -1;
    json_array_foreach(json_list(told, "artifacts"), i, row)
    {
        const char *digest = json_text_or(row, "artifact", "");
        struct err why = ERR_INIT;
        if (!str_is_digest(str_of(digest)))
            continue;
        if (add_artifact(b, digest, &why) == 0) {
            json_push(kept, json_string(digest));
        } else if (why.kind != E_NOT_FOUND || is_live(json_list(told, "live"), digest)) {
            *err = why;
            return err_wrap(err, "artifact %.19s", digest);
        }
    }
    backup_say(b, "artifacts      %zu, in %zu blobs\n", json_array_size(kept), b->blobs.count);
    return 0;
}

/* All of it. */

int backup_gather(struct backup *b, bool with_key, struct err *err)
{
    AUTO_JSON *told = NULL;
    AUTO_FREE char *key = settings_data(b->settings, "master.key");
    char key_digest[SHA_DIGEST];
    if (snapshot_key_digest(key, key_digest, err) < 0 || add_host_files(b, err) < 0 ||
        add_settings(b, err) < 0 || add_store(b, &told, err) < 0)
        return -1;
    if (json_array_size(json_list(told, "apps")) == 0 && json_int(told, "people", 0) == 0)
        return FAIL(err, E_STATE_CONFLICT, "there is nothing to back up yet: no app and no person");
    backup_say(b, "store          schema %lld, journal up to row %lld\n",
               (long long)json_int(told, "schema", 0),
               (long long)json_int(json_dict(told, "journal"), "seq", 0));
    if (add_repositories(b, json_list(told, "apps"), err) < 0 || add_artifacts(b, told, err) < 0 ||
        add_folder(b, "host/bases", ".json", err) < 0 ||
        (with_key && add_file(b, key, "master.key", err) < 0))
        return -1;
    json_put_text(b->manifest, "key", key_digest);
    json_put(b->manifest, "schema", json_incref(json_object_get(told, "schema")));
    json_put(b->manifest, "journal", json_incref(json_object_get(told, "journal")));
    json_put(b->manifest, "live", json_incref(json_object_get(told, "live")));
    json_put(b->manifest, "secrets", json_incref(json_object_get(told, "secrets")));
    json_put(b->manifest, "forges", json_incref(json_object_get(told, "forges")));
    return 0;
}
