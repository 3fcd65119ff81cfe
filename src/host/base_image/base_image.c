/* base.ensure: find the record of a base, or make it; then the same for the build base on top.
 *
 * A base is named by its key (packages, sources, tool, recipe) in data_dir/host/bases/KEY.json,
 * which says the digest of its layer; a build base is an unpacked layer named by the digest of its
 * recipe (base digest and packages). Jobs are shared by key: who asks later waits for the first.
 * Nothing is written before it is whole, so a crash only costs the time. */
#include "host/base_image/base_image.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/artifact/artifact.h"
#include "host/base_image/base_image_priv.h"
#include "io/loop.h"
#include "wire/doctor.h"

#define RECIPE "base 2" /* changes with what bootstrap.c puts in: keys change with it */
#define BUILD_RECIPE "build base 1"
#define RECORD_MAX (64u << 10)
#define USED_MS (3600ll * 1000)

static struct host *the_host;
static struct map shared_jobs; /* key -> struct shared */

/* One piece of work that several may wait for. */
struct shared {
    char *key;
    bool record; /* a base: write bases/KEY.json when done */
    bool orphan; /* everybody has left: it is being killed, and who asks now begins anew */
    json_t *packages;
    struct job_listener *waiters;
    size_t count;
    struct bootstrap *bootstrap; /* the work: one of the two */
    struct overlay *overlay;
};
/* One call of base_image_ensure. */
struct base_image_ask {
    struct base_image_request request;
    bool left;             /* whoever asked is gone: end in silence */
    struct shared *shared; /* what it waits for */
    struct packages packages, build_packages;
    char *key; /* of the base */
    char base[SHA_DIGEST], build_base[SHA_DIGEST];
    int64_t bytes;
    bool reused;
};

/* Records. */

static char *record_path(const char *key)
{
    AUTO_FREE char *below = mem_format("host/bases/%s.json", key);
    return settings_data(the_host->settings, below);
}

static bool record_read(const char *path, char digest[SHA_DIGEST], int64_t *ret_bytes)
{
    AUTO_BUF text = BUF_INIT(0);
    AUTO_JSON *value = NULL;
    struct err err = ERR_INIT;
    if (file_read(path, RECORD_MAX, &text, &err) < 0 ||
        json_parse(buf_str(&text), &value, &err) < 0)
        return false; /* as good as absent: it is made again */
    const char *found = json_text_or(value, "digest", "");
    if (!str_is_digest(str_of(found)))
        return false;
    memcpy(digest, found, SHA_DIGEST);
    *ret_bytes = json_int(value, "bytes", 0);
    return true;
}

static void touch(const char *path)
{
    (void)utimensat(AT_FDCWD, path, NULL, 0); /* last use, for retention: not worth an error */
}

static int record_write(const struct shared *s, const char *digest, int64_t bytes, struct err *err)
{
    AUTO_FREE char *path = record_path(s->key), *text = NULL;
    AUTO_JSON *value = json_object();
    json_put_text(value, "digest", digest);
    json_put_int(value, "bytes", bytes);
    json_put(value, "packages", json_incref(s->packages));
    json_put_int(value, "made_at", clock_wall_ms(clock_system()));
    text = json_print(value);
    FAULT("base.record");
    return file_write(path, str_of(text), 0600, err);
}

/* Shared work. */

static void shared_progress(void *context, const char *text, int percent)
{
    struct shared *s = context;
    for (size_t i = 0; i < s->count; i++)
        s->waiters[i].progress(s->waiters[i].context, text, percent);
}

static void shared_done(void *context, const char *digest, int64_t bytes, const struct err *error)
{
    struct shared *s = context;
    struct err err = ERR_INIT;
    if (!s->orphan)
        (void)map_remove(&shared_jobs, s->key);
    if (!error && s->record && record_write(s, digest, bytes, &err) < 0)
        error = &err;
    for (size_t i = 0; i < s->count; i++)
        s->waiters[i].done(s->waiters[i].context, error ? NULL : digest, bytes, error);
    json_decref(s->packages);
    free(s->waiters);
    free(s->key);
    free(s);
}

/* Join the work under this key; *ret_new is set when it must be started. */
static void shared_join(const char *key, const struct job_listener *waiter, struct shared **ret_new)
{
    struct shared *s = map_get(&shared_jobs, key);
    struct base_image_ask *a = waiter->context;
    *ret_new = NULL;
    if (!s) {
        s = mem_alloc(sizeof(*s));
        s->key = mem_strdup(key);
        (void)map_put(&shared_jobs, key, s); /* there was none */
        *ret_new = s;
    }
    s->waiters = mem_resize(s->waiters, s->count + 1, sizeof(*s->waiters));
    s->waiters[s->count++] = *waiter;
    a->shared = s;
}

/* The last one who leaves turns off the light. */
static void shared_leave(struct shared *s, const struct base_image_ask *a)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->waiters[i].context == a) {
            s->waiters[i] = s->waiters[--s->count];
            break;
        }
    if (s->count > 0)
        return;
    log_info("nobody waits for a base any more, ending its making", F_STR("key", s->key));
    (void)map_remove(&shared_jobs, s->key);
    s->orphan = true;
    if (s->bootstrap)
        bootstrap_kill(s->bootstrap);
    if (s->overlay)
        overlay_kill(s->overlay);
}

/* One ask. */

static void ask_progress(void *context, const char *text, int percent)
{
    struct base_image_ask *a = context;
    if (a->request.progress && !a->left)
        a->request.progress(a->request.context, text, percent);
}

static void ask_end(struct base_image_ask *a, const struct err *error)
{
    struct base_image image = {a->base, a->build_base, a->bytes, a->reused};
    if (!a->left)
        a->request.done(a->request.context, error ? NULL : &image, error);
    packages_done(&a->packages);
    packages_done(&a->build_packages);
    free(a->key);
    free(a);
}

static void add_names(struct buf *text, const struct packages *p)
{
    for (size_t i = 0; i < p->count; i++)
        err_ignore(buf_add_format(text, "%s\n", p->names[i])); /* no ceiling */
}

static void ask_build_done(void *context, const char *digest, int64_t bytes,
                           const struct err *error)
{
    struct base_image_ask *a = context;
    (void)digest; /* known before */
    a->shared = NULL;
    a->bytes += bytes;
    ask_end(a, error);
}

static void ask_build(struct base_image_ask *a)
{
    struct job_listener waiter = {ask_progress, ask_build_done, a};
    struct shared *fresh;
    struct err err = ERR_INIT;
    AUTO_BUF recipe = {0};
    err_ignore(buf_add_format(&recipe, BUILD_RECIPE "\n%s\n", a->base)); /* no ceiling */
    add_names(&recipe, &a->build_packages);
    sha_digest_of(buf_str(&recipe), a->build_base);
    if (artifact_is_unpacked(a->build_base)) {
        AUTO_FREE char *folder = artifact_unpacked_path(a->build_base);
        AUTO_FREE char *record = mem_format("%s.json", folder);
        touch(record);
        a->bytes += artifact_unpacked_bytes(a->build_base);
        ask_end(a, NULL);
        return;
    }
    a->reused = false;
    shared_join(a->build_base, &waiter, &fresh);
    if (!fresh)
        return;
    struct job_listener all = {shared_progress, shared_done, fresh};
    if (overlay_start(the_host, a->base, a->build_base, &a->build_packages, &all, &fresh->overlay,
                      &err) < 0)
        shared_done(fresh, NULL, 0, &err);
}

static void ask_base_ready(struct base_image_ask *a, const char *digest, int64_t bytes)
{
    memcpy(a->base, digest, SHA_DIGEST);
    memcpy(a->build_base, digest, SHA_DIGEST);
    a->bytes = bytes;
    if (a->build_packages.count > 0 && !a->left)
        ask_build(a);
    else
        ask_end(a, NULL);
}

static void ask_base_done(void *context, const char *digest, int64_t bytes, const struct err *error)
{
    struct base_image_ask *a = context;
    a->shared = NULL;
    if (error)
        ask_end(a, error);
    else
        ask_base_ready(a, digest, bytes);
}

static void ask_found_unpacked(void *context, const struct err *error)
{
    struct base_image_ask *a = context;
    char digest[SHA_DIGEST];
    memcpy(digest, a->base, SHA_DIGEST);
    if (error)
        ask_end(a, error);
    else
        ask_base_ready(a, digest, a->bytes);
}

static int find_sources(struct sources *s, struct err *err)
{
    return sources_find("/etc/apt", "/etc/os-release", the_host->settings->debian_mirror, s, err);
}

/* What decides the content of a base as far as we can tell: the tool's own version is told by its
 * file. */
static char *base_key(const struct sources *s, const struct packages *p)
{
    AUTO_BUF text = {0};
    char hex[SHA_HEX];
    struct stat st = {0};
    (void)stat("/usr/bin/mmdebstrap", &st); /* absent: the start says so */
    err_ignore(buf_add_format(&text, RECIPE "\n%s\n%lld %lld\n", s->suite, (long long)st.st_size,
                              (long long)st.st_mtim.tv_sec));
    for (size_t i = 0; i < s->count; i++)
        err_ignore(buf_add_format(&text, "%s\n", s->lines[i])); /* no ceiling */
    add_names(&text, p);
    sha_hex_of(buf_str(&text), hex);
    return mem_strdup(hex);
}

static json_t *names_json(const struct packages *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->count; i++)
        json_push(list, json_str_value(str_of(p->names[i])));
    return list;
}

static void ask_make(struct base_image_ask *a, const struct sources *sources)
{
    struct job_listener waiter = {ask_progress, ask_base_done, a};
    struct shared *fresh;
    struct err err = ERR_INIT;
    a->reused = false;
    shared_join(a->key, &waiter, &fresh);
    if (!fresh)
        return;
    fresh->record = true;
    fresh->packages = names_json(&a->packages);
    struct job_listener all = {shared_progress, shared_done, fresh};
    if (bootstrap_start(the_host, sources, &a->packages, &all, &fresh->bootstrap, &err) < 0)
        shared_done(fresh, NULL, 0, &err);
}

static void ask_begin(void *context)
{
    struct base_image_ask *a = context;
    struct sources sources = {0};
    struct err err = ERR_INIT;
    a->reused = true;
    if (a->left || find_sources(&sources, &err) < 0) {
        ask_end(a, &err);
        return;
    }
    a->key = base_key(&sources, &a->packages);
    AUTO_FREE char *path = record_path(a->key);
    if (record_read(path, a->base, &a->bytes) && artifact_blob_exists(a->base)) {
        touch(path);
        artifact_unpack(a->base, ARTIFACT_LAYER_BASE, ask_found_unpacked, a);
    } else {
        ask_make(a, &sources);
    }
    sources_done(&sources);
}

static void ask_host(void *context)
{
    struct base_image_ask *a = context;
    memcpy(a->base, "host", sizeof("host"));
    memcpy(a->build_base, "host", sizeof("host"));
    a->reused = true;
    ask_end(a, NULL);
}

static const struct json_field base_fields[] = {
    {"kind", JSON_FIELD_STRING, true, 1, 20},
    {"packages", JSON_FIELD_ARRAY, false, 0, PACKAGES_MAX},
    {"build_packages", JSON_FIELD_ARRAY, false, 0, PACKAGES_MAX}};

static int read_spec(const json_t *spec, struct base_image_ask *a, bool *ret_host, struct err *err)
{
    if (json_check(spec, base_fields, ARRAY_SIZE(base_fields), err) < 0)
        return -1;
    *ret_host = text_is(json_text(spec, "kind"), "host");
    if (!*ret_host && !text_is(json_text(spec, "kind"), "packages"))
        return FAIL(err, E_FIELD_INVALID, "base kind '%s' is neither 'packages' nor 'host'",
                    json_text(spec, "kind"));
    if (packages_read(json_list(spec, "packages"), &a->packages, err) < 0)
        return -1;
    return packages_read(json_list(spec, "build_packages"), &a->build_packages, err);
}

static struct base_image_ask *ask_new(const json_t *spec, bool *ret_host, struct err *err)
{
    struct base_image_ask *a = mem_alloc(sizeof(*a));
    if (read_spec(spec, a, ret_host, err) == 0)
        return a;
    packages_done(&a->packages);
    free(a);
    return NULL;
}

int base_image_check(const json_t *spec, struct err *err)
{
    bool host;
    struct base_image_ask *a = ask_new(spec, &host, err);
    if (!a)
        return err_wrap(err, "base");
    packages_done(&a->packages);
    packages_done(&a->build_packages);
    free(a);
    return 0;
}

int base_image_ensure(const json_t *spec, const struct base_image_request *request,
                      struct base_image_ask **ret_ask, struct err *err)
{
    bool host;
    struct base_image_ask *a = ask_new(spec, &host, err);
    if (!a)
        return err_wrap(err, "base");
    a->request = *request;
    loop_defer(host ? ask_host : ask_begin, a);
    *ret_ask = a;
    return 0;
}

void base_image_leave(struct base_image_ask *a)
{
    a->left = true;
    if (!a->shared)
        return; /* a short thing goes on, the ask ends with it */
    shared_leave(TAKE(a->shared), a);
    ask_end(a, NULL);
}

/* The verb. */

static void verb_progress(void *context, const char *text, int percent)
{
    json_t *args = json_object();
    json_put_text(args, "text", text);
    json_put_int(args, "percent", percent);
    ticket_event(context, "progress", args);
}

static void verb_done(void *context, const struct base_image *image, const struct err *error)
{
    if (error) {
        ticket_fail(context, error);
        return;
    }
    json_t *ok = json_object();
    json_put_text(ok, "base", image->base);
    json_put_text(ok, "build_base", image->build_base);
    json_put_int(ok, "bytes", image->bytes);
    json_put_bool(ok, "reused", image->reused);
    ticket_ok(context, ok);
}

void base_image_verb_ensure(void *context, struct message *m)
{
    struct err err = ERR_INIT;
    struct ticket *ticket = message_ticket(m);
    struct base_image_request request = {verb_progress, verb_done, ticket};
    struct base_image_ask *ask = NULL;
    (void)context; /* the one host of this process */
    if (base_image_ensure(json_dict(m->args, "base"), &request, &ask, &err) < 0)
        ticket_fail(ticket, &err);
}

/* Start, retention, doctor. */

typedef bool each_record_fn(void *context, const char *path, const char *digest);

static bool each_record(each_record_fn *fn, void *context)
{
    AUTO_FREE char *folder = settings_data(the_host->settings, "host/bases");
    DIR *dir = opendir(folder);
    bool found = false;
    for (struct dirent *e; dir && !found && (e = readdir(dir)) != NULL;) {
        AUTO_FREE char *path = mem_format("%s/%s", folder, e->d_name);
        char digest[SHA_DIGEST];
        int64_t bytes;
        if (str_ends(str_of(path), ".json") && record_read(path, digest, &bytes))
            found = fn(context, path, digest);
    }
    if (dir)
        (void)closedir(dir); /* read only */
    return found;
}

static bool used_lately(void *context, const char *path, const char *digest)
{
    struct stat st;
    return strcmp(digest, context) == 0 && stat(path, &st) == 0 &&
           st.st_mtim.tv_sec * 1000ll > clock_wall_ms(clock_system()) - USED_MS;
}

static bool base_in_use(void *context, const char *digest)
{
    (void)context;
    return map_get(&shared_jobs, digest) || each_record(used_lately, (void *)digest);
}

static bool forget_record(void *context, const char *path, const char *digest)
{
    if (strcmp(digest, context) == 0)
        (void)unlink(path); /* without its layer it is as good as absent */
    return false;
}

static void base_removed(void *context, const char *digest)
{
    (void)context;
    (void)each_record(forget_record, (void *)digest);
}

static void clear_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        AUTO_FREE char *path = mem_format("%s/%s", folder, e->d_name);
        if (text_starts(e->d_name, "tmp-")) {
            sandbox_unmount(path);
            artifact_discard(path);
        }
    }
    if (dir)
        (void)closedir(dir); /* read only */
}

/* Containers of build bases that a process before us left running. */
static void clear_containers(void)
{
    AUTO_JSON *groups = sandbox_cgroup_list();
    size_t i;
    json_t *group;
    json_array_foreach(groups, i, group)
    {
        const char *cgroup = json_string_value(group);
        if (!text_starts(cgroup, "base/"))
            continue;
        AUTO_FREE char *name = mem_format("base.%s", cgroup + strlen("base/"));
        log_info("removing an unfinished build base", F_STR("container", name));
        sandbox_delete(name, cgroup, NULL, NULL);
    }
}

static struct err outside_error; /* why nothing can be built; E_OK: it can */

int base_image_ready(struct err *err)
{
    if (outside_error.kind == E_OK)
        return 0;
    *err = outside_error;
    return err_wrap(err, "nothing can be built until host is started anew");
}

int base_image_init(struct host *h, struct err *err)
{
    AUTO_FREE char *folder = settings_data(h->settings, "host/bases");
    the_host = h;
    map_init(&shared_jobs);
    if (file_make_dirs(folder, 0700, err) < 0)
        return err_wrap(err, "base images");
    /* What runs needs none of it: a missing login must not keep host from starting. */
    if (base_image_outside_init(h->settings, &outside_error) < 0)
        log_error("nothing can be built: logins or certificates for the outside are missing",
                  F_ERR(&outside_error));
    clear_containers();
    clear_folder(folder);
    artifact_add_user(&(struct artifact_user){.in_use = base_in_use, .removed = base_removed});
    return 0;
}

void base_image_doctor(struct host *h, json_t *checks)
{
    struct sources sources = {0};
    struct err err = ERR_INIT;
    bool found = find_sources(&sources, &err) == 0;
    (void)h; /* the one host of this process */
    doctor_push(checks, "base images: Debian archive", found, found ? sources.lines[0] : err.text,
                "add Debian's archive to /etc/apt, or set debian_mirror");
    doctor_push(checks, "builds: logins and certificates", outside_error.kind == E_OK,
                outside_error.kind == E_OK ? "as the settings say" : outside_error.text,
                "mend mirror_logins and ca_bundle, then restart: nothing is built until then");
    sources_done(&sources);
}
