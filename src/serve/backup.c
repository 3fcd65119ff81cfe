/* `slipway backup FOLDER [--keep N] [--with-key] [-o json] --settings FILE`: a snapshot of this
 * installation into a backup folder (serve/snapshot.h), while it runs or while it does not.
 *
 * The order makes it one that a crash could have left: host's heads of the journal first (they may
 * be behind the store, never ahead), then the store as it is at one moment, then what it names:
 * repositories and artifacts only grow meanwhile, but for what retention takes, and that was not
 * named by a live release. Instances, the edge's wanted state and live folders are not in it: core
 * makes them again from the store. Secrets are in the store, sealed; the master key is only in it
 * when asked for. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "serve/process.h"
#include "serve/roles.h"
#include "serve/snapshot.h"
#include "wire/settings.h"

#define BLOB_MANIFEST_MAX (1u << 20)
#define REFS_MAX (64u << 20)
#define KEEP_MAX 10000

struct backup {
    const struct settings *settings;
    const char *folder; /* of all snapshots */
    char name[17];
    char *part; /* where this one is made */
    json_t *manifest, *files, *apps;
    struct map blobs; /* digest -> anything: in the manifest already */
    json_t *blob_list;
    int64_t bytes, added_bytes; /* of all it needs; of what was not there yet */
    bool quiet;
};

static void say(const struct backup *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const struct backup *b, const char *format, ...)
{
    va_list list;
    if (b->quiet)
        return;
    va_start(list, format);
    (void)vprintf(format, list);
    va_end(list);
}

/* Files of the snapshot alone. */

static int add_file(struct backup *b, const char *from, const char *name, struct err *err)
{
    char digest[SHA_DIGEST];
    int64_t bytes;
    AUTO_FREE char *to = mem_format("%s/%s", b->part, name);
    if (snapshot_copy(from, to, 0600, NULL, digest, &bytes, err) < 0)
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
    AUTO_FREE char *below = mem_format("core/backup.%d.db", (int)getpid());
    AUTO_FREE char *copy = settings_data(b->settings, below);
    int result = snapshot_store(b->settings, "copy", copy, ret_told, err);
    if (result == 0)
        result = add_file(b, copy, "store.db", err);
    (void)unlink(copy); /* may not be there */
    return result;
}

/* Repositories. */

/* The refs of a bundle stand in its head, a line "ID REF" each, up to an empty one. */
static int bundle_digest(const char *path, char ret_hex[SHA_HEX], int64_t *ret_refs,
                         struct err *err)
{
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    struct sha sha;
    uint8_t hash[SHA_BYTES];
    FILE *file = fopen(path, "re");
    if (!file)
        return FAIL_SYS(err, "cannot open '%s'", path);
    sha_init(&sha);
    *ret_refs = 0;
    for (ssize_t length; (length = getline(&line, &size, file)) > 1;)
        if (line[0] != '#' && length > 41 && !str_is(str_of(line + 41), "HEAD\n")) {
            sha_add(&sha, line, (size_t)length);
            ++*ret_refs;
        }
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
    const struct snapshot_program list = {argv, b->settings->user_courier, -1, REFS_MAX};
    if (snapshot_run(&list, &out, err) < 0)
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
    const struct snapshot_program bundle = {argv, b->settings->user_courier, fd, 0};
    return snapshot_run(&bundle, NULL, err);
}

static char *bundle_path(const struct backup *b, const char *hex)
{
    return mem_format("%s/git/%s.bundle", b->folder, hex);
}

/* A push may come between the look and the bundle: it has the name of what is in it. */
static int bundle_add(struct backup *b, const char *repository, char hex[SHA_HEX], struct err *err)
{
    int64_t refs;
    struct stat st;
    AUTO_FREE char *known = bundle_path(b, hex);
    AUTO_FREE char *part = mem_format("%s/git/new.part", b->folder);
    if (file_exists(known))
        return 0;
    if (bundle_make(b, repository, part, err) < 0 || bundle_digest(part, hex, &refs, err) < 0) {
        (void)unlink(part); /* may not be there */
        return -1;
    }
    AUTO_FREE char *made = bundle_path(b, hex);
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
    AUTO_FREE char *from = mem_format("%s/config", repository);
    AUTO_FREE char *to = mem_format("git/%s.config", name);
    if (add_file(b, from, to, err) < 0)
        return -1;
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
    AUTO_FREE char *own = mem_format("%s/git", b->part);
    if (file_make_dirs(folder, 0700, err) < 0 || file_make_dirs(own, 0700, err) < 0)
        return -1;
    json_array_foreach(apps, i, row)
    {
        if (add_repository(b, json_text_or(row, "name", ""), err) < 0)
            return -1;
    }
    say(b, "repositories   %zu\n", json_array_size(apps));
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
    struct stat st;
    AUTO_FREE char *from = blob_source(b, digest);
    AUTO_FREE char *to = mem_format("%s/blobs/sha256/%s", b->folder, digest + strlen("sha256:"));
    if (map_get(&b->blobs, digest))
        return 0;
    if (stat(to, &st) < 0) {
        if (snapshot_copy(from, to, 0600, digest, NULL, NULL, err) < 0)
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
    say(b, "artifacts      %zu, in %zu blobs\n", json_array_size(kept), b->blobs.count);
    return 0;
}

/* Records of base images, where their blob is in it: builds need not make them again. */
static int add_bases(struct backup *b, struct err *err)
{
    return add_folder(b, "host/bases", ".json", err);
}

/* The snapshot. */

static int fill(struct backup *b, bool with_key, struct err *err)
{
    AUTO_JSON *told = NULL;
    AUTO_FREE char *key = settings_data(b->settings, "master.key");
    char key_digest[SHA_DIGEST];
    if (snapshot_key_digest(key, key_digest, err) < 0 || add_host_files(b, err) < 0 ||
        add_settings(b, err) < 0 || add_store(b, &told, err) < 0)
        return -1;
    say(b, "store          schema %lld, journal up to row %lld\n",
        (long long)json_int(told, "schema", 0),
        (long long)json_int(json_dict(told, "journal"), "seq", 0));
    if (add_repositories(b, json_list(told, "apps"), err) < 0 || add_artifacts(b, told, err) < 0 ||
        add_bases(b, err) < 0 || (with_key && add_file(b, key, "master.key", err) < 0))
        return -1;
    json_put_text(b->manifest, "key", key_digest);
    json_put(b->manifest, "schema", json_incref(json_object_get(told, "schema")));
    json_put(b->manifest, "journal", json_incref(json_object_get(told, "journal")));
    json_put(b->manifest, "live", json_incref(json_object_get(told, "live")));
    json_put(b->manifest, "secrets", json_incref(json_object_get(told, "secrets")));
    return 0;
}

static int seal(struct backup *b, struct err *err)
{
    AUTO_FREE char *path = mem_format("%s/%s", b->part, SNAPSHOT_MANIFEST);
    AUTO_FREE char *whole = mem_format("%s/%s", b->folder, b->name);
    json_put_int(b->manifest, "bytes", b->bytes);
    AUTO_FREE char *text = json_print(b->manifest);
    if (file_write(path, str_of(text), 0600, err) < 0 || snapshot_sync(b->folder, err) < 0)
        return -1;
    if (rename(b->part, whole) < 0)
        return FAIL_SYS(err, "cannot rename '%s'", b->part);
    return snapshot_sync(b->folder, err);
}

/* Keeping some. */

static void claim(struct map *kept, const json_t *manifest)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_list(manifest, "blobs"), i, item)(void)
        map_put(kept, json_string_value(item) + strlen("sha256:"), kept);
    json_array_foreach(json_list(manifest, "apps"), i, item)
    {
        AUTO_FREE char *name = mem_format("%s.bundle", json_text_or(item, "bundle", ""));
        (void)map_put(kept, name, kept);
    }
}

static void remove_unclaimed(const char *top, const char *below, const struct map *kept)
{
    AUTO_FREE char *folder = mem_format("%s/%s", top, below);
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        AUTO_FREE char *path = mem_format("%s/%s", folder, e->d_name);
        if (e->d_type == DT_REG && !map_get(kept, e->d_name))
            (void)unlink(path); /* tried again with the next backup */
    }
    if (dir)
        (void)closedir(dir);
}

/* The oldest go, and then what no snapshot names any more. A manifest that cannot be read stops it:
 * what it names is not known. */
static int keep_newest(struct backup *b, int64_t keep, struct err *err)
{
    AUTO_JSON *names = NULL;
    struct map kept;
    if (snapshot_list(b->folder, &names, err) < 0)
        return -1;
    int result = 0;
    size_t count = json_array_size(names), from = (int64_t)count > keep ? count - (size_t)keep : 0;
    map_init(&kept);
    for (size_t i = 0; i < count && result == 0; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        AUTO_FREE char *folder = mem_format("%s/%s", b->folder, name);
        AUTO_JSON *manifest = NULL;
        if (i < from)
            result = file_remove_tree(folder, err);
        else if ((result = snapshot_manifest(b->folder, name, &manifest, err)) == 0)
            claim(&kept, manifest);
    }
    if (result == 0) {
        remove_unclaimed(b->folder, "blobs/sha256", &kept);
        remove_unclaimed(b->folder, "git", &kept);
        say(b, "kept           %zu snapshots, %zu older ones removed\n", count - from, from);
    }
    map_done(&kept);
    return result;
}

/* The folder. */

static int lock_folder(const char *folder, int *ret_fd, struct err *err)
{
    AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", folder);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return FAIL(err, E_STATE_CONFLICT, "another backup or restore works in '%s'", folder);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static bool is_empty(const char *folder)
{
    DIR *dir = opendir(folder);
    bool empty = true;
    for (struct dirent *e; dir && (e = readdir(dir));)
        empty = empty && (e->d_name[0] == '.' || text_is(e->d_name, "lost+found"));
    if (dir)
        (void)closedir(dir);
    return empty;
}

static void remove_cut_short(const char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct err ignored = ERR_INIT; /* tried again next time */
        AUTO_FREE char *path = mem_format("%s/%s", folder, e->d_name);
        if (e->d_type == DT_DIR && str_ends(str_of(e->d_name), "Z.part"))
            err_ignore(file_remove_tree(path, &ignored));
    }
    if (dir)
        (void)closedir(dir);
}

static int open_folder(const char *folder, int *ret_lock, struct err *err)
{
    AUTO_FREE char *mark = mem_format("%s/%s", folder, SNAPSHOT_MARK);
    if (file_make_dirs(folder, 0700, err) < 0 || lock_folder(folder, ret_lock, err) < 0)
        return -1;
    if (!file_exists(mark) && !is_empty(folder))
        return FAIL(err, E_STATE_CONFLICT,
                    "'%s' is neither empty nor a backup folder: name a folder of its own", folder);
    if (chmod(folder, 0700) < 0) /* keys of certificates lie in it */
        return FAIL_SYS(err, "cannot set the mode of '%s'", folder);
    if (!file_exists(mark) && file_write(mark, STR("1\n"), 0600, err) < 0)
        return -1;
    remove_cut_short(folder);
    return snapshot_check_folder(folder, err);
}

static int begin(struct backup *b, struct err *err)
{
    int64_t now = clock_wall_ms(clock_system());
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    (void)strftime(b->name, sizeof(b->name), "%Y%m%dT%H%M%SZ", &tm);
    AUTO_FREE char *whole = mem_format("%s/%s", b->folder, b->name);
    b->part = mem_format("%s.part", whole);
    if (file_exists(whole))
        return FAIL(err, E_EXISTS, "there is a snapshot '%s' already: a second later there is not",
                    b->name);
    b->manifest = json_object();
    b->files = json_array();
    b->apps = json_array();
    b->blob_list = json_array();
    json_put_int(b->manifest, "format", SNAPSHOT_FORMAT);
    json_put_text(b->manifest, "snapshot", b->name);
    json_put_int(b->manifest, "made_at", now);
    json_put_text(b->manifest, "version", SLIPWAY_VERSION);
    json_put_text(b->manifest, "installation", b->settings->id);
    json_put(b->manifest, "files", b->files);
    json_put(b->manifest, "apps", b->apps);
    json_put(b->manifest, "blobs", b->blob_list);
    return file_make_dirs(b->part, 0700, err);
}

static void tell(const struct backup *b, int64_t took_ms, bool with_key)
{
    if (b->quiet) {
        AUTO_JSON *told = json_object();
        json_put_text(told, "snapshot", b->name);
        json_put_text(told, "folder", b->folder);
        json_put_int(told, "bytes", b->bytes);
        json_put_int(told, "added_bytes", b->added_bytes);
        json_put_int(told, "took_ms", took_ms);
        json_put_int(told, "apps", (int64_t)json_array_size(b->apps));
        json_put_int(told, "artifacts",
                     (int64_t)json_array_size(json_list(b->manifest, "artifacts")));
        json_put_bool(told, "key", with_key);
        AUTO_FREE char *text = json_print(told);
        printf("%s\n", text);
        return;
    }
    printf("snapshot %s in '%s': %.1f MB, %.1f MB of it new, in %.1f s\n", b->name, b->folder,
           (double)b->bytes / 1e6, (double)b->added_bytes / 1e6, (double)took_ms / 1000);
    if (!with_key)
        printf("the master key is not in it: keep a copy of '%s/master.key' elsewhere\n",
               b->settings->data_dir);
}

struct options {
    const char *folder;
    int64_t keep; /* 0: all */
    bool with_key, json;
};

static int parse(int argc, char **argv, struct options *o, struct err *err)
{
    for (int i = 2; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (text_is(argv[i], "--settings") && next) {
            i++;
        } else if (text_is(argv[i], "-o") && text_is(next, "json")) {
            o->json = true;
            i++;
        } else if (text_is(argv[i], "--keep") && next) {
            if (str_to_int(str_of(next), 1, KEEP_MAX, "--keep", &o->keep, err) < 0)
                return -1;
            i++;
        } else if (text_is(argv[i], "--with-key")) {
            o->with_key = true;
        } else if (argv[i][0] != '-' && !o->folder) {
            o->folder = argv[i];
        } else {
            return FAIL(err, E_USAGE, "'%s' is not understood", argv[i]);
        }
    }
    if (!o->folder)
        return FAIL(err, E_USAGE, "usage: slipway backup FOLDER [--keep N] [--with-key] [-o json]");
    return 0;
}

static int run(const struct options *o, struct backup *b, struct err *err)
{
    AUTO_CLOSE int lock = -1;
    int64_t begin_ms = clock_mono_ms(clock_system());
    AUTO_FREE char *store = settings_data(b->settings, "core/store.db");
    if (!file_exists(store))
        return FAIL(err, E_NOT_FOUND, "there is no store '%s' to back up", store);
    if (open_folder(b->folder, &lock, err) < 0 || begin(b, err) < 0)
        return -1;
    if (fill(b, o->with_key, err) < 0 || seal(b, err) < 0) {
        struct err ignored = ERR_INIT; /* the next one removes it */
        err_ignore(file_remove_tree(b->part, &ignored));
        return -1;
    }
    if (o->keep > 0 && keep_newest(b, o->keep, err) < 0)
        return err_wrap(err, "snapshot %s is made, but older ones were not removed", b->name);
    tell(b, clock_mono_ms(clock_system()) - begin_ms, o->with_key);
    return 0;
}

static int backup_try(int argc, char **argv, struct err *err)
{
    AUTO_FREE char *path = process_settings_path(argc, argv);
    AUTO(settings) *s = NULL;
    struct options o = {0};
    if (parse(argc, argv, &o, err) < 0 || settings_load(path, &s, err) < 0)
        return -1;
    if (geteuid() != 0)
        return FAIL(err, E_DENIED, "backup must run as root: it reads what only root may read");
    AUTO_FREE char *folder = o.folder[0] == '/' ? mem_strdup(o.folder) : NULL;
    if (!folder) {
        AUTO_FREE char *here = getcwd(NULL, 0);
        folder = mem_format("%s/%s", here ? here : "", o.folder);
    }
    struct backup b = {.settings = s, .folder = folder, .quiet = o.json};
    map_init(&b.blobs);
    int result = run(&o, &b, err);
    map_done(&b.blobs);
    json_decref(b.manifest);
    free(b.part);
    return result;
}

int backup_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    check_setup("backup", NULL);
    log_setup("backup", LOG_WARN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)umask(077);
    if (backup_try(argc, argv, &err) == 0)
        return 0;
    (void)fprintf(stderr, "slipway backup: %s\n", err.text);
    return err_exit_code(err.kind);
}
