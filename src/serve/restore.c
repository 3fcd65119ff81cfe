/* `slipway restore FOLDER [--snapshot NAME] [--key FILE | --with-lost-key] [-o json] --settings
 * FILE`: an installation as a snapshot has it, on a machine that has none.
 *
 * Everything is checked against the manifest's digests and put in its place; the store comes last,
 * so that a restore that was cut short is begun anew; then the server is started. An installation
 * with an app or a person in it is never overwritten, and a key or a repository that lies there
 * without a store is moved aside, not removed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "serve/place.h"
#include "serve/process.h"
#include "serve/roles.h"
#include "serve/serve.h"
#include "serve/program.h"
#include "serve/snapshot.h"
#include "serve/unit.h"
#include "wire/settings.h"

struct options {
    const char *folder, *snapshot, *key;
    bool lost_key, json;
};
struct restore {
    const struct options *o;
    char *settings_path;
    struct settings *settings;
    char *name;   /* of the snapshot */
    char *folder; /* its own */
    json_t *manifest, *told;
    int64_t bytes, begin_ms;
};

static void say(const struct restore *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const struct restore *r, const char *format, ...)
{
    va_list list;
    if (r->o->json)
        return;
    va_start(list, format);
    (void)vprintf(format, list);
    va_end(list);
}

/* What is to be restored. */

static int choose(struct restore *r, struct err *err)
{
    AUTO_JSON *names = NULL;
    if (snapshot_check_folder(r->o->folder, err) < 0 ||
        snapshot_list(r->o->folder, &names, err) < 0)
        return -1;
    size_t count = json_array_size(names);
    const char *name = r->o->snapshot;
    if (!name && count > 0)
        name = json_string_value(json_array_get(names, count - 1)); /* the newest */
    bool there = false;
    for (size_t i = 0; i < count && name; i++)
        there = there || text_is(json_string_value(json_array_get(names, i)), name);
    if (!there)
        return FAIL(err, E_NOT_FOUND, "there is no snapshot '%s' in '%s'; there are %zu",
                    name ? name : "", r->o->folder, count);
    r->name = mem_strdup(name);
    r->folder = mem_format("%s/%s", r->o->folder, name);
    if (snapshot_manifest(r->o->folder, name, &r->manifest, err) < 0)
        return -1;
    if (json_int(r->manifest, "format", 0) > SNAPSHOT_FORMAT)
        return FAIL(err, E_SCHEMA_NEWER, "snapshot '%s' was made by a newer program: use that",
                    name);
    return 0;
}

static const json_t *file_of(const struct restore *r, const char *path)
{
    size_t i;
    json_t *file;
    json_array_foreach(json_list(r->manifest, "files"), i, file)
    {
        if (text_is(json_text(file, "path"), path))
            return file;
    }
    return NULL;
}

/* One file of the snapshot, checked, to its place. */
static int put_file(struct restore *r, const char *path, const char *to, mode_t mode,
                    const char *user, struct err *err)
{
    struct snapshot_owner owner = {0, 0, mode};
    int64_t bytes;
    const json_t *file = file_of(r, path);
    const char *digest = file ? json_text(file, "digest") : NULL;
    AUTO_FREE char *from = mem_format("%s/%s", r->folder, path);
    if (!digest)
        return FAIL(err, E_CORRUPT, "the manifest of '%s' does not name '%s'", r->name, path);
    if ((user && settings_uid(user, &owner.uid, &owner.gid, err) < 0) ||
        snapshot_copy(from, to, &owner, digest, NULL, &bytes, err) < 0)
        return -1;
    r->bytes += bytes;
    return 0;
}

/* Settings: those that are there count; an empty machine gets the snapshot's. */
static int load_settings(struct restore *r, struct err *err)
{
    if (!file_exists(r->settings_path)) {
        const char *name = strrchr(r->settings_path, '/'); /* it is absolute */
        AUTO_FREE char *folder = mem_strndup(r->settings_path, (size_t)(name - r->settings_path));
        if ((*folder && file_make_dirs(folder, 0755, err) < 0) ||
            put_file(r, "settings.conf", r->settings_path, 0644, NULL, err) < 0)
            return -1;
        say(r, "settings       %s, from the snapshot\n", r->settings_path);
    }
    return settings_load(r->settings_path, &r->settings, err);
}

static int put_logins(struct restore *r, struct err *err)
{
    const char *to = r->settings->mirror_logins;
    if (!*to || file_exists(to) || !file_of(r, "mirror-logins"))
        return 0;
    return put_file(r, "mirror-logins", to, 0600, NULL, err);
}

/* Is the machine empty? */

/* An installation that was just made has neither an app nor a person: it may go. */
static int refuse_used(struct restore *r, struct err *err)
{
    AUTO_FREE char *store = settings_data(r->settings, "core/store.db");
    AUTO_JSON *told = NULL;
    if (!file_exists(store))
        return 0;
    if (snapshot_store(r->settings, "describe", store, &told, err) < 0)
        return err_wrap(err, "'%s' is there and cannot be read: move it away first", store);
    if (json_array_size(json_list(told, "apps")) > 0 || json_int(told, "people", 0) > 0)
        return FAIL(err, E_STATE_CONFLICT,
                    "'%s' is in use (%zu apps, %lld people): a restore overwrites nothing; take it "
                    "away with 'slipway down --purge', or name other settings",
                    r->settings->data_dir, json_array_size(json_list(told, "apps")),
                    (long long)json_int(told, "people", 0));
    return 0;
}

static int stop_server(struct restore *r, int *ret_lock, struct err *err)
{
    if (unit_serves(r->settings_path) && unit_do("stop", err) < 0)
        return -1;
    if (place_make(r->settings, err) < 0)
        return -1;
    int locked = serve_lock(r->settings, ret_lock, err);
    if (locked == SERVE_BUSY)
        return FAIL(err, E_STATE_CONFLICT, "'%s' is being served: end that first", r->settings->id);
    if (locked == 0)
        process_end_roles(r->settings, false); /* a killed supervisor leaves them: core would keep
                                                  the store that is replaced */
    return locked;
}

/* Putting it in place. */

/* NAME.before-restore; what lies there already is from before an earlier try, and stays. */
static int move_aside(const char *path, struct err *err)
{
    AUTO_FREE char *aside = mem_format("%s.before-restore", path);
    if (!file_exists(path))
        return 0;
    if (file_exists(aside))
        return file_remove_tree(path, err);
    return rename(path, aside) < 0 ? FAIL_SYS(err, "cannot move '%s' aside", path) : 0;
}

/* Which file holds the key of this snapshot: the one that is named, the snapshot's own, or the one
 * that is there already. Heap. */
static int find_key(struct restore *r, char **ret_from, struct err *err)
{
    AUTO_FREE char *there = settings_data(r->settings, "master.key");
    AUTO_FREE char *own = mem_format("%s/master.key", r->folder);
    char digest[SHA_DIGEST];
    struct err ignored = ERR_INIT; /* then it is not there */
    const char *from = r->o->key ? r->o->key : file_of(r, "master.key") ? own : NULL;
    const char *wanted = json_text(r->manifest, "key");
    if (!from && snapshot_key_digest(there, digest, &ignored) == 0 && text_is(digest, wanted))
        from = there;
    if (!from)
        return FAIL(
            err, E_KEY_WRONG,
            "the snapshot has no master key: give your copy of it with --key FILE, or, when "
            "it is lost, restore without the secrets with --with-lost-key");
    if (snapshot_key_digest(from, digest, err) < 0)
        return -1;
    if (!text_is(digest, wanted))
        return FAIL(err, E_KEY_WRONG, "'%s' is not the master key of this snapshot", from);
    *ret_from = mem_strdup(from);
    return 0;
}

/* The store that is there is empty: it was looked at. Without it a new key may be made. */
static int remove_empty_store(struct restore *r, struct err *err)
{
    static const char *const files[] = {"core/store.db", "core/store.db-wal", "core/store.db-shm"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        AUTO_FREE char *path = settings_data(r->settings, files[i]);
        if (unlink(path) < 0 && errno != ENOENT)
            return FAIL_SYS(err, "cannot remove '%s'", path);
    }
    return 0;
}

static int put_key(struct restore *r, const char *from, struct err *err)
{
    const struct snapshot_owner root = {0, 0, 0600};
    AUTO_FREE char *to = settings_data(r->settings, "master.key");
    if (remove_empty_store(r, err) < 0)
        return -1;
    if (from && text_is(from, to))
        return 0;
    if (move_aside(to, err) < 0)
        return -1;
    return from ? snapshot_copy(from, to, &root, json_text(r->manifest, "key"), NULL, NULL, err)
                : place_key(r->settings, err);
}

static int put_blobs(struct restore *r, struct err *err)
{
    size_t i;
    json_t *item;
    const json_t *blobs = json_list(r->manifest, "blobs");
    const struct snapshot_owner sealed = {0, 0, 0400};
    AUTO_FREE char *folder = settings_data(r->settings, "host/blobs/sha256");
    if (file_make_dirs(folder, 0700, err) < 0)
        return -1;
    json_array_foreach(blobs, i, item)
    {
        const char *digest = json_string_value(item);
        int64_t bytes;
        if (!digest || !str_is_digest(str_of(digest)))
            return FAIL(err, E_CORRUPT, "the manifest of '%s' names a blob badly", r->name);
        const char *hex = digest + strlen("sha256:");
        AUTO_FREE char *from = mem_format("%s/blobs/sha256/%s", r->o->folder, hex);
        AUTO_FREE char *to = mem_format("%s/%s", folder, hex);
        if (file_exists(to))
            continue; /* of a restore that was cut short: it got its name when it was whole */
        if (snapshot_copy(from, to, &sealed, digest, NULL, &bytes, err) < 0)
            return -1;
        r->bytes += bytes;
    }
    say(r, "artifacts      %zu blobs\n", json_array_size(blobs));
    return 0;
}

/* A record of a base whose blob is not here would be believed. */
static int put_base(struct restore *r, const char *path, const char *to, struct err *err)
{
    AUTO_FREE char *from = mem_format("%s/%s", r->folder, path);
    AUTO_BUF text = BUF_INIT(1u << 20);
    AUTO_JSON *record = NULL;
    if (file_read(from, 1u << 20, &text, err) < 0 || json_parse(buf_str(&text), &record, err) < 0)
        return -1;
    const char *digest = json_text_or(record, "digest", "");
    if (!str_is_digest(str_of(digest)))
        return 0;
    AUTO_FREE char *below = mem_format("host/blobs/sha256/%s", digest + strlen("sha256:"));
    AUTO_FREE char *blob = settings_data(r->settings, below);
    return file_exists(blob) ? put_file(r, path, to, 0600, NULL, err) : 0;
}

static int put_host_files(struct restore *r, struct err *err)
{
    static const char *const folders[] = {"host/edge/certificates", "host/bases"};
    size_t i;
    json_t *file;
    for (i = 0; i < ARRAY_SIZE(folders); i++) {
        AUTO_FREE char *folder = settings_data(r->settings, folders[i]);
        if (file_make_dirs(folder, 0700, err) < 0)
            return -1;
    }
    json_array_foreach(json_list(r->manifest, "files"), i, file)
    {
        const char *path = json_text_or(file, "path", "");
        bool open = text_is(path, "ca.crt");
        if (!open && !text_starts(path, "host/"))
            continue;
        if (strstr(path, ".."))
            return FAIL(err, E_CORRUPT, "the manifest of '%s' names '%s'", r->name, path);
        AUTO_FREE char *to = settings_data(r->settings, path);
        int result = text_starts(path, "host/bases/")
                         ? put_base(r, path, to, err)
                         : put_file(r, path, to, open ? 0644 : 0600, NULL, err);
        if (result < 0)
            return -1;
    }
    return 0;
}

/* Repositories: made by git as the courier's user, out of the bundle that root opens for it. */

static int git(struct restore *r, const char *repository, const char *const *words, struct err *err)
{
    const char *argv[12] = {"/usr/bin/git"};
    size_t count = 1;
    AUTO_FREE char *out = NULL;
    if (repository) {
        argv[count++] = "-C";
        argv[count++] = repository;
    }
    while (*words && count < ARRAY_SIZE(argv) - 1)
        argv[count++] = *words++;
    const struct program program = {argv, r->settings->user_courier, -1, 1u << 20};
    return program_run(&program, &out, err);
}

/* The courier's user cannot look into the backup: a copy of the bundle lies beside the repository
 * while it is read. */
static int fetch(struct restore *r, const json_t *app, const char *repository, struct err *err)
{
    const char *hex = json_text_or(app, "bundle", "");
    AUTO_FREE char *from = mem_format("%s/git/%s.bundle", r->o->folder, hex);
    AUTO_FREE char *copy = settings_data(r->settings, "git/restore.bundle");
    const char *const words[] = {"fetch", "--quiet",        "--no-write-fetch-head",
                                 copy,    "+refs/*:refs/*", NULL};
    struct snapshot_owner courier = {0, 0, 0600};
    const char *digest = json_text(app, "digest");
    int64_t bytes;
    if (!digest)
        return FAIL(err, E_CORRUPT, "the manifest names no digest of its bundle");
    if (settings_uid(r->settings->user_courier, &courier.uid, &courier.gid, err) < 0 ||
        snapshot_copy(from, copy, &courier, digest, NULL, &bytes, err) < 0)
        return -1;
    int result = git(r, repository, words, err);
    (void)unlink(copy); /* ours */
    r->bytes += bytes;
    return result;
}

static int put_repository(struct restore *r, const json_t *app, struct err *err)
{
    const char *name = json_text_or(app, "name", "");
    AUTO_FREE char *below = mem_format("git/%s.git", name);
    AUTO_FREE char *repository = settings_data(r->settings, below);
    const char *const init[] = {"init", "--quiet", "--bare", "--template=", repository, NULL};
    const char *const head[] = {"symbolic-ref", "HEAD",
                                json_text_or(app, "head", "refs/heads/main"), NULL};
    if (strchr(name, '/') || !*name)
        return FAIL(err, E_CORRUPT, "the manifest of '%s' names an app badly", r->name);
    if (!json_text(app, "bundle"))
        return 0; /* nothing was pushed: the courier makes it when core asks */
    if (move_aside(repository, err) < 0 || git(r, NULL, init, err) < 0 ||
        git(r, repository, head, err) < 0 || fetch(r, app, repository, err) < 0)
        return err_wrap(err, "the repository of '%s'", name);
    return 0;
}

static int put_repositories(struct restore *r, struct err *err)
{
    size_t i;
    json_t *app;
    json_array_foreach(json_list(r->manifest, "apps"), i, app)
    {
        if (put_repository(r, app, err) < 0)
            return -1;
    }
    say(r, "repositories   %zu\n", i);
    return 0;
}

/* Last of all: with it there is an installation. */
static int put_store(struct restore *r, struct err *err)
{
    const struct settings *s = r->settings;
    AUTO_FREE char *coming = settings_data(s, "core/restored.db");
    AUTO_FREE char *store = settings_data(s, "core/store.db");
    if (put_file(r, "store.db", coming, 0600, s->user_core, err) < 0 ||
        snapshot_store(s, r->o->lost_key ? "forget" : "describe", coming, &r->told, err) < 0 ||
        snapshot_sync(s->data_dir, err) < 0)
        return -1;
    FAULT("restore.store");
    if (rename(coming, store) < 0)
        return FAIL_SYS(err, "cannot rename '%s'", coming);
    say(r, "store          schema %lld, journal up to row %lld\n",
        (long long)json_int(r->told, "schema", 0),
        (long long)json_int(json_dict(r->told, "journal"), "seq", 0));
    return snapshot_sync(s->data_dir, err);
}

static int put_all(struct restore *r, const char *key, struct err *err)
{
    if (put_key(r, key, err) < 0 || put_logins(r, err) < 0 || put_blobs(r, err) < 0 ||
        put_host_files(r, err) < 0)
        return -1;
    return put_repositories(r, err) < 0 ? -1 : put_store(r, err);
}

/* The end. */

static double seconds_since(int64_t begin_ms)
{
    return (double)(clock_mono_ms(clock_system()) - begin_ms) / 1000;
}

static void tell_lost(const struct restore *r)
{
    const json_t *secrets = json_list(r->manifest, "secrets"),
                 *forges = json_list(r->manifest, "forges");
    size_t i;
    json_t *row;
    if (json_array_size(secrets) > 0)
        say(r, "these secrets are gone with the key; set them again, then deploy:\n");
    json_array_foreach(secrets, i, row)
        say(r, "  slipway secret set %s -a %s -e %s\n", json_text_or(row, "name", ""),
            json_text_or(row, "app", ""), json_text_or(row, "env", ""));
    if (json_array_size(forges) > 0)
        say(r,
            "the credentials of these forges are gone with the key; nothing is fetched from there "
            "until they are set again:\n");
    json_array_foreach(forges, i, row)
        say(r, "  slipway forge set %s %s %s%s\n", json_text_or(row, "name", ""),
            json_text_or(row, "kind", ""), json_text_or(row, "url", ""),
            json_int(row, "by_key", 0) ? " --key FILE --known-hosts FILE" : " <TOKEN-FILE");
}

static int start_server(struct restore *r, struct err *err)
{
    if (!unit_serves(r->settings_path)) {
        say(r, "start it with: slipway serve --settings %s\n", r->settings_path);
        return 0;
    }
    return unit_do("start", err);
}

static void tell_json(const struct restore *r)
{
    AUTO_JSON *told = json_object();
    json_put_text(told, "snapshot", r->name);
    json_put_int(told, "bytes", r->bytes);
    json_put_int(told, "took_ms", clock_mono_ms(clock_system()) - r->begin_ms);
    json_put_int(told, "apps", (int64_t)json_array_size(json_list(r->told, "apps")));
    json_put(told, "live", json_incref(json_list(r->told, "live")));
    if (r->o->lost_key) {
        json_put(told, "lost_secrets", json_incref(json_list(r->manifest, "secrets")));
        json_put(told, "lost_forges", json_incref(json_list(r->manifest, "forges")));
    }
    json_put_bool(told, "started", unit_serves(r->settings_path));
    AUTO_FREE char *text = json_print(told);
    printf("%s\n", text);
}

static int restore(struct restore *r, struct err *err)
{
    AUTO_CLOSE int lock = -1, folder = -1;
    AUTO_FREE char *key = NULL;
    if (snapshot_lock(r->o->folder, &folder, err) < 0 || choose(r, err) < 0 ||
        load_settings(r, err) < 0 || refuse_used(r, err) < 0 ||
        (!r->o->lost_key && find_key(r, &key, err) < 0))
        return -1;
    if (stop_server(r, &lock, err) < 0 || refuse_used(r, err) < 0 || put_all(r, key, err) < 0)
        return -1;
    say(r, "restored %s into '%s': %.1f MB in %.1f s\n", r->name, r->settings->data_dir,
        (double)r->bytes / 1e6, seconds_since(r->begin_ms));
    if (r->o->lost_key)
        tell_lost(r);
    fd_closep(&lock);
    lock = -1;
    if (start_server(r, err) < 0)
        return -1;
    if (r->o->json)
        tell_json(r);
    return 0;
}

static int parse(int argc, char **argv, struct options *o, struct err *err)
{
    const char *settings; /* process_settings_path reads it */
    const struct {
        const char *name;
        const char **value;
    } with_value[] = {{"--snapshot", &o->snapshot}, {"--key", &o->key}, {"--settings", &settings}};
    for (int i = 2; i < argc; i++) {
        bool taken = false;
        for (size_t k = 0; k < ARRAY_SIZE(with_value) && !taken && i + 1 < argc; k++)
            if (text_is(argv[i], with_value[k].name)) {
                *with_value[k].value = argv[++i];
                taken = true;
            }
        if (taken)
            continue;
        if (text_is(argv[i], "-o") && i + 1 < argc && text_is(argv[i + 1], "json"))
            o->json = argv[++i] != NULL;
        else if (text_is(argv[i], "--with-lost-key"))
            o->lost_key = true;
        else if (argv[i][0] != '-' && !o->folder)
            o->folder = argv[i];
        else
            return FAIL(err, E_USAGE, "'%s' is not understood", argv[i]);
    }
    if (!o->folder || (o->key && o->lost_key))
        return FAIL(err, E_USAGE,
                    "usage: slipway restore FOLDER [--snapshot NAME] [--key FILE |"
                    " --with-lost-key] [-o json]");
    return 0;
}

static int restore_try(int argc, char **argv, struct err *err)
{
    struct options o = {0};
    if (parse(argc, argv, &o, err) < 0)
        return -1;
    if (geteuid() != 0)
        return FAIL(err, E_DENIED, "restore must run as root: it makes folders of several users");
    AUTO_FREE char *folder = realpath(o.folder, NULL);
    if (!folder)
        return FAIL_SYS(err, "cannot open '%s'", o.folder);
    o.folder = folder;
    struct restore r = {.o = &o, .begin_ms = clock_mono_ms(clock_system())};
    r.settings_path = process_settings_path(argc, argv);
    int result = restore(&r, err);
    json_decref(r.manifest);
    json_decref(r.told);
    settings_free(r.settings);
    free(r.settings_path);
    free(r.name);
    free(r.folder);
    return result;
}

int restore_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    check_setup("restore", NULL);
    log_setup("restore", LOG_WARN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)umask(022);
    if (restore_try(argc, argv, &err) == 0)
        return 0;
    (void)fprintf(stderr, "slipway restore: %s\n", err.text);
    return err_exit_code(err.kind);
}
