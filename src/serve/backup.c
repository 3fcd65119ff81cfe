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
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "base/version.h"
#include "serve/backup_priv.h"
#include "serve/process.h"
#include "serve/roles.h"
#include "serve/snapshot.h"

#define KEEP_MAX 10000

void backup_say(const struct backup *b, const char *format, ...)
{
    va_list list;
    if (b->quiet)
        return;
    va_start(list, format);
    (void)vprintf(format, list);
    va_end(list);
}

static int seal(struct backup *b, struct err *err)
{
    AUTO_FREE char *path = mem_format("%s/%s", b->part, SNAPSHOT_MANIFEST);
    AUTO_FREE char *whole = mem_format("%s/%s", b->folder, b->name);
    json_put_int(b->manifest, "bytes", b->bytes);
    AUTO_FREE char *text = json_print(b->manifest);
    if (file_write(path, str_of(text), 0600, err) < 0 || snapshot_sync(b->folder, err) < 0)
        return -1;
    FAULT("backup.seal");
    if (rename(b->part, whole) < 0)
        return FAIL_SYS(err, "cannot rename '%s'", b->part);
    return snapshot_sync(b->folder, err);
}

/* Keeping some. */

static int claim(struct map *kept, const json_t *manifest, struct err *err)
{
    size_t i;
    json_t *item;
    if (json_int(manifest, "format", 0) != SNAPSHOT_FORMAT)
        return FAIL(err, E_SCHEMA_NEWER, "a snapshot is of another format: nothing is removed");
    json_array_foreach(json_list(manifest, "blobs"), i, item)
    {
        const char *digest = json_string_value(item);
        if (!digest || !str_is_digest(str_of(digest)))
            return FAIL(err, E_CORRUPT, "a manifest names a blob badly: nothing is removed");
        (void)map_put(kept, digest + strlen("sha256:"), kept);
    }
    json_array_foreach(json_list(manifest, "apps"), i, item)
    {
        AUTO_FREE char *name = mem_format("%s.bundle", json_text_or(item, "bundle", ""));
        (void)map_put(kept, name, kept);
    }
    return 0;
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

/* First it is no snapshot any more, then it goes. */
static int remove_snapshot(const struct backup *b, const char *name, struct err *err)
{
    AUTO_FREE char *whole = mem_format("%s/%s", b->folder, name);
    AUTO_FREE char *part = mem_format("%s.part", whole);
    if (rename(whole, part) < 0)
        return FAIL_SYS(err, "cannot rename '%s'", whole);
    return file_remove_tree(part, err);
}

/* The oldest go, and then what no snapshot names any more; the one just made stays whatever the
 * clock says. A manifest that cannot be read stops it: what it names is not known. */
static int keep_newest(struct backup *b, int64_t keep, struct err *err)
{
    AUTO_JSON *names = NULL;
    struct map kept;
    if (snapshot_list(b->folder, &names, err) < 0)
        return -1;
    int result = 0;
    size_t count = json_array_size(names), gone = 0;
    size_t from = (int64_t)count > keep ? count - (size_t)keep : 0;
    map_init(&kept);
    for (size_t i = 0; i < count && result == 0; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        AUTO_JSON *manifest = NULL;
        if (i < from && !text_is(name, b->name)) {
            result = remove_snapshot(b, name, err);
            gone++;
        } else if ((result = snapshot_manifest(b->folder, name, &manifest, err)) == 0) {
            result = claim(&kept, manifest, err);
        }
    }
    if (result == 0) {
        remove_unclaimed(b->folder, "blobs/sha256", &kept);
        remove_unclaimed(b->folder, "git", &kept);
        backup_say(b, "kept           %zu snapshots, %zu older ones removed\n", count - gone, gone);
    }
    map_done(&kept);
    return result;
}

/* The folder. */

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

static int open_folder(const struct settings *s, const char *folder, int *ret_lock, struct err *err)
{
    AUTO_FREE char *mark = mem_format("%s/%s", folder, SNAPSHOT_MARK);
    if (path_within(folder, s->data_dir) || path_within(folder, s->run_dir))
        return FAIL(
            err, E_STATE_CONFLICT,
            "'%s' is within what it would save: name a folder elsewhere, best on another disk",
            folder);
    if (file_make_dirs(folder, 0700, err) < 0 || snapshot_lock(folder, ret_lock, err) < 0)
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

/* Named by its second; one that is taken is over soon. */
static void name_snapshot(struct backup *b, int64_t *ret_now)
{
    for (;;) {
        int64_t now = clock_wall_ms(clock_system());
        time_t seconds = (time_t)(now / 1000);
        struct tm tm;
        (void)gmtime_r(&seconds, &tm);
        (void)strftime(b->name, sizeof(b->name), "%Y%m%dT%H%M%SZ", &tm);
        AUTO_FREE char *whole = mem_format("%s/%s", b->folder, b->name);
        *ret_now = now;
        if (!file_exists(whole))
            return;
        (void)poll(NULL, 0, (int)(1000 - now % 1000));
    }
}

static int begin(struct backup *b, struct err *err)
{
    int64_t now;
    name_snapshot(b, &now);
    b->part = mem_format("%s/%s.part", b->folder, b->name);
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
    if (open_folder(b->settings, b->folder, &lock, err) < 0 || begin(b, err) < 0)
        return -1;
    if (backup_gather(b, o->with_key, err) < 0 || seal(b, err) < 0) {
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
    AUTO_FREE char *folder = process_absolute(o.folder);
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
