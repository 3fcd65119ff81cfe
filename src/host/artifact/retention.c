/* Retention: mark what is kept (asked for by core, claimed by users), then remove what is old and
 * unmarked. Removal is a rename to the trash, so that a crash in between leaves nothing that looks
 * whole; the trash is emptied in the background and at the next start. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/artifact/artifact_priv.h"

#define YOUNG_MS (3600ll * 1000)
#define BUILD_BASE_MS (7ll * 24 * 3600 * 1000) /* a build base of a kept base, last used */
#define MANIFEST_MAX (1 << 20)

static int64_t stat_ms(const struct stat *st)
{
    return st->st_mtim.tv_sec * 1000ll + st->st_mtim.tv_nsec / 1000000;
}

static void keep(struct map *kept, const char *digest)
{
    (void)map_put(kept, digest, kept); /* a set: the value says nothing */
}

/* What is not here has nothing to keep; what cannot be read may not lose its layers for that. */
static int keep_artifact(struct map *kept, const char *artifact, struct err *err)
{
    struct err why = ERR_INIT;
    struct artifact_layers l;
    if (artifact_layers(artifact, &l, &why) < 0 && why.kind == E_NOT_FOUND)
        return 0;
    keep(kept, artifact);
    if (why.kind != E_OK) {
        *err = why;
        return err_wrap(err, "no artifact is removed while a kept one cannot be read");
    }
    keep(kept, l.config);
    keep(kept, l.app);
    if (l.provenance[0])
        keep(kept, l.provenance);
    if (strcmp(l.base, "host") != 0)
        keep(kept, l.base);
    return 0;
}

static bool claimed(const char *digest)
{
    struct artifact_store *store = artifact_store_get();
    for (size_t i = 0; i < store->user_count; i++)
        if (store->users[i].in_use && store->users[i].in_use(store->users[i].context, digest))
            return true;
    return false;
}

/* path, digest, what lstat says */
typedef void each_fn(void *context, const char *path, const char *digest, const struct stat *st);

/* Every entry of a folder whose name is a hash (and `suffix`). */
static void each(const char *below, const char *suffix, each_fn *fn, void *context)
{
    AUTO_FREE char *folder = artifact_store_path(below);
    DIR *dir = opendir(folder);
    struct stat st;
    if (!dir) {
        log_warn("folder not listed, keeping it", F_STR("path", folder));
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        size_t length = strlen(e->d_name);
        if (length != 64 + strlen(suffix) || strcmp(e->d_name + 64, suffix) != 0)
            continue;
        AUTO_FREE char *digest = mem_format("sha256:%.64s", e->d_name);
        AUTO_FREE char *path = mem_format("%s/%s", folder, e->d_name);
        if (str_is_digest(str_of(digest)) && lstat(path, &st) == 0)
            fn(context, path, digest, &st);
    }
    (void)closedir(dir); /* read only */
}

struct retention {
    struct map kept;
    struct artifact_sweep sweep;
    int64_t now_ms;
    struct err unread; /* of a claimed one; E_OK: none */
};

static void mark_claimed(void *context, const char *path, const char *digest, const struct stat *st)
{
    struct retention *r = context;
    struct err err = ERR_INIT;
    (void)path;
    if (map_get(&r->kept, digest) || !claimed(digest))
        return;
    keep(&r->kept, digest);
    bool small = st->st_size <= MANIFEST_MAX; /* a small layer is no manifest: no JSON as such */
    if (small && keep_artifact(&r->kept, digest, &err) < 0 && err.kind != E_CORRUPT &&
        err.kind != E_JSON_INVALID)
        r->unread = err;
}

/* A build base is claimed by itself or stays a while with its base. */
static void mark_layer(void *context, const char *path, const char *digest, const struct stat *st)
{
    struct retention *r = context;
    struct layer_record record;
    struct err err = ERR_INIT;
    (void)path;
    if (layer_record_read(digest, &record, &err) < 0 || !record.below[0])
        return;
    bool used = claimed(digest);
    if (used)
        keep(&r->kept, record.below);
    if (used || (map_get(&r->kept, record.below) && r->now_ms - stat_ms(st) < BUILD_BASE_MS))
        keep(&r->kept, digest);
}

static bool goes(const struct retention *r, const char *digest, const struct stat *st)
{
    return !map_get(&r->kept, digest) && stat_ms(st) < r->sweep.before_ms;
}

static void remove_blob(void *context, const char *path, const char *digest, const struct stat *st)
{
    struct retention *r = context;
    if (!goes(r, digest, st))
        return;
    FAULT("artifact.remove");
    artifact_discard(path);
    r->sweep.removed++;
    r->sweep.bytes += st->st_size;
}

static void tell_removed(const char *digest)
{
    struct artifact_store *store = artifact_store_get();
    for (size_t i = 0; i < store->user_count; i++)
        if (store->users[i].removed)
            store->users[i].removed(store->users[i].context, digest);
}

static void remove_layer(void *context, const char *path, const char *digest, const struct stat *st)
{
    struct retention *r = context;
    struct layer_record record = {0};
    struct err err = ERR_INIT;
    if (!goes(r, digest, st) || map_get(&artifact_store_get()->unpacking, digest))
        return;
    if (layer_record_read(digest, &record, &err) < 0)
        log_warn("layer record not read, removing the layer", F_STR("layer", digest), F_ERR(&err));
    AUTO_FREE char *folder = artifact_unpacked_path(digest);
    artifact_discard(path); /* the record first: without it the folder is not there */
    artifact_discard(folder);
    tell_removed(digest);
    r->sweep.removed++;
    r->sweep.bytes += record.bytes;
}

static void sweep_users(struct retention *r)
{
    struct artifact_store *store = artifact_store_get();
    for (size_t i = 0; i < store->user_count; i++)
        if (store->users[i].sweep)
            store->users[i].sweep(store->users[i].context, &r->sweep);
}

static int retain(struct retention *r, const json_t *list, struct err *err)
{
    size_t i;
    json_t *item;
    struct err ignored = ERR_INIT; /* the first says enough */
    json_array_foreach((json_t *)list, i, item)
    {
        const char *digest = json_string_value(item);
        if (digest && str_is_digest(str_of(digest)))
            (void)keep_artifact(&r->kept, digest, r->unread.kind ? &ignored : &r->unread);
    }
    each("blobs/sha256", "", mark_claimed, r);
    if (r->unread.kind != E_OK) { /* one damaged record: output and caches of builds still go */
        sweep_users(r);
        *err = r->unread;
        return -1;
    }
    each("unpacked", ".json", mark_layer, r);
    each("unpacked", ".json", remove_layer, r);
    each("blobs/sha256", "", remove_blob, r);
    sweep_users(r);
    return 0;
}

void artifact_verb_retention(void *context, struct message *m)
{
    struct retention r = {.now_ms = clock_wall_ms(clock_system())};
    (void)context; /* the one host of this process */
    map_init(&r.kept);
    r.sweep.kept = &r.kept;
    r.sweep.before_ms = r.now_ms - YOUNG_MS;
    struct err err = ERR_INIT;
    int done = retain(&r, json_list(m->args, "keep"), &err);
    map_done(&r.kept);
    if (done < 0) {
        log_error("retention removes no artifact", F_ERR(&err));
        message_fail(m, &err);
        return;
    }
    log_info("retention", F_INT("removed", r.sweep.removed), F_INT("bytes", r.sweep.bytes));
    json_t *ok = json_object();
    json_put_int(ok, "removed", r.sweep.removed);
    json_put_int(ok, "bytes", r.sweep.bytes);
    message_ok(m, ok);
}
