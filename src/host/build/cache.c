/* Caches of builds. Each app-env has a volume of its own in data_dir/host/caches/ID.APP.ENV: its
 * size is limited, and what one app-env's build leaves there no other app-env's build ever reads.
 * It is mounted while a build uses it; it goes with its app-env, or when nobody used it for long. A
 * file `clean` beside the image says that it was unmounted in order; without it (a crash), or when
 * it is nearly full, the cache starts empty: it is a cache. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/artifact/artifact.h"
#include "host/build/build_priv.h"
#include "host/build/volume.h"

#define FULL_SHARE 5 /* less than a fifth free: start empty */
#define UNUSED_MS (30ll * 24 * 3600 * 1000)
#define TOTAL_MAX (20ll << 30) /* of all caches: past it those go that were used longest ago */

struct cache_waiter {
    void (*done)(void *context, struct cache *c);
    void *context;
};
struct cache {
    char *name, *folder, *image, *clean, *mount;
    int64_t bytes;
    int users;
    bool mounted, busy; /* busy: mkfs or unmount is on its way */
    bool forgotten;     /* removed when its last user has gone */
    struct cache_waiter *waiters;
    size_t waiter_count;
    struct err work_err;
};
static struct map caches; /* name -> struct cache: those that were used since our start */
static struct host *the_host;

void cache_init(struct host *h)
{
    the_host = h; /* folders are made when needed */
    map_init(&caches);
}

static void answer(struct cache *c, bool ok)
{
    struct cache_waiter *waiters = TAKE(c->waiters);
    size_t count = c->waiter_count;
    c->waiter_count = 0;
    c->busy = false;
    c->users += ok ? (int)count : 0;
    for (size_t i = 0; i < count; i++)
        waiters[i].done(waiters[i].context, ok ? c : NULL);
    free(waiters);
}

static void mount_or_tell(struct cache *c)
{
    struct err err = ERR_INIT;
    if (volume_mount(c->image, c->mount, &err) < 0)
        log_warn("cache not mounted, building without", F_STR("cache", c->name), F_ERR(&err));
    else
        c->mounted = true;
    answer(c, c->mounted);
}

static void on_made(void *context, const struct child_result *r)
{
    struct cache *c = context;
    struct err err = ERR_INIT;
    if (child_check(r, "mkfs.ext4", &err) < 0) {
        log_warn("cache not made, building without", F_STR("cache", c->name), F_ERR(&err));
        answer(c, false);
        return;
    }
    mount_or_tell(c);
}

static void make_fresh(struct cache *c)
{
    struct err err = ERR_INIT;
    FAULT("cache.make");
    if (artifact_disk_room(c->bytes, &err) == 0 &&
        volume_make(c->image, c->bytes, on_made, c, NULL, &err) == 0)
        return;
    log_warn("cache not made, building without", F_STR("cache", c->name), F_ERR(&err));
    answer(c, false);
}

/* Mount what was left in order; true when it is good to use. */
static bool reuse(struct cache *c)
{
    struct err err = ERR_INIT;
    int64_t bytes, files;
    if (!file_exists(c->clean) || unlink(c->clean) < 0)
        return false;
    if (volume_mount(c->image, c->mount, &err) < 0)
        return false; /* made anew */
    c->mounted = true;
    if (volume_room(c->mount, &bytes, &files, &err) == 0 && bytes > c->bytes / FULL_SHARE &&
        files > 1000)
        return true;
    log_info("cache is nearly full, starting an empty one", F_STR("cache", c->name));
    volume_drop(c->mount);
    c->mounted = false;
    return false;
}

static void begin(void *context)
{
    struct cache *c = context;
    if (c->mounted || reuse(c))
        answer(c, true);
    else
        make_fresh(c);
}

static struct cache *cache_get(struct host *h, const char *name)
{
    struct cache *c = map_get(&caches, name);
    struct err err = ERR_INIT;
    if (c)
        return c;
    AUTO_FREE char *below = mem_format("host/caches/%s", name);
    AUTO_FREE char *place = mem_format("vol/cache/%s", name);
    c = mem_alloc(sizeof(*c));
    c->name = mem_strdup(name);
    c->folder = settings_data(h->settings, below);
    c->image = mem_format("%s/volume", c->folder);
    c->clean = mem_format("%s/clean", c->folder);
    c->mount = settings_run(h->settings, place);
    c->bytes = h->settings->build_volume;
    (void)map_put(&caches, name, c); /* there was none */
    if (file_make_dirs(c->folder, 0700, &err) < 0 || file_make_dirs(c->mount, 0711, &err) < 0)
        log_warn("no folder for a cache, building without", F_ERR(&err));
    return c;
}

void cache_open(struct host *h, const char *name, void (*done)(void *context, struct cache *c),
                void *context)
{
    struct cache *c = cache_get(h, name);
    c->waiters = mem_resize(c->waiters, c->waiter_count + 1, sizeof(*c->waiters));
    c->waiters[c->waiter_count++] = (struct cache_waiter){done, context};
    if (c->busy)
        return;
    c->busy = true;
    loop_defer(begin, c);
}

static void cache_remove(struct cache *c)
{
    log_info("removing a cache", F_STR("cache", c->name));
    (void)map_remove(&caches, c->name);
    artifact_discard(c->folder);
    (void)rmdir(c->mount); /* empty: nothing is mounted there */
    free(c->waiters);
    free(c->name);
    free(c->folder);
    free(c->image);
    free(c->clean);
    free(c->mount);
    free(c);
}

static void unmount_work(void *context)
{
    struct cache *c = context;
    c->work_err = (struct err)ERR_INIT;
    if (volume_unmount(c->mount, &c->work_err) == 0)
        err_ignore(file_write(c->clean, STR(""), 0600, &c->work_err)); /* without it: made anew */
}

static void unmount_done(void *context)
{
    struct cache *c = context;
    if (c->work_err.kind != E_OK)
        log_warn("cache not unmounted in order, it will start empty", F_ERR(&c->work_err));
    c->mounted = false;
    if (c->waiter_count > 0)
        begin(c);
    else
        c->busy = false;
    if (!c->busy && c->forgotten)
        cache_remove(c);
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    ASSERT(c->users > 0);
    if (--c->users > 0 || c->busy)
        return;
    c->busy = true;
    loop_work(unmount_work, unmount_done, c);
}

int cache_folder(const struct cache *c, const char *path, uint32_t range, char **ret_folder,
                 struct err *err)
{
    char hex[SHA_HEX];
    sha_hex_of(str_of(path), hex);
    AUTO_FREE char *folder = mem_format("%s/%.16s", c->mount, hex);
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return FAIL_SYS(err, "cannot make '%s'", folder);
    if (lchown(folder, range, range) < 0)
        return FAIL_SYS(err, "cannot give '%s' to its range", folder);
    *ret_folder = TAKE(folder);
    return 0;
}

void cache_df(struct host *h, json_t *volumes)
{
    AUTO_FREE char *root = settings_data(h->settings, "host/caches");
    DIR *dir = opendir(root);
    struct stat st;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        AUTO_FREE char *path = mem_format("%s/%s/volume", root, e->d_name);
        if (e->d_name[0] == '.' || stat(path, &st) < 0)
            continue;
        AUTO_FREE char *what = mem_format("cache %s", e->d_name);
        json_t *one = json_object();
        json_put_text(one, "what", what);
        json_put_text(one, "path", path);
        json_put_int(one, "bytes", st.st_blocks * 512);
        json_put_int(one, "files", 1);
        json_push(volumes, one);
    }
    if (dir)
        (void)closedir(dir); /* read only */
}

/* Forgetting: a cache in use goes when its last build has ended. */

static bool in_use(const struct cache *c)
{
    return c && (c->users > 0 || c->busy || c->mounted);
}

static void remove_named(const char *folder, const char *name)
{
    struct cache *c = map_get(&caches, name);
    if (in_use(c))
        c->forgotten = true;
    else if (c)
        cache_remove(c);
    else
        artifact_discard(folder);
}

struct kept_cache {
    char *name, *folder;
    int64_t used_ms, bytes;
};

/* All of them on the disk, the one used last first. */
static struct kept_cache *list_all(size_t *ret_count)
{
    AUTO_FREE char *root = settings_data(the_host->settings, "host/caches");
    struct kept_cache *list = NULL;
    DIR *dir = opendir(root);
    *ret_count = 0;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        AUTO_FREE char *folder = mem_format("%s/%s", root, e->d_name);
        AUTO_FREE char *image = mem_format("%s/volume", folder);
        struct stat st = {0};
        if (e->d_name[0] == '.')
            continue;
        AUTO_FREE char *clean = mem_format("%s/clean", folder);
        struct stat used;
        (void)stat(image, &st); /* none: half-made, and of the year 1970 */
        if (stat(clean, &used) == 0)
            st.st_mtim = used.st_mtim; /* a loop device's writes need not show at the file */
        list = mem_resize(list, *ret_count + 1, sizeof(*list));
        list[(*ret_count)++] =
            (struct kept_cache){mem_strdup(e->d_name), mem_strdup(folder),
                                st.st_mtim.tv_sec * 1000ll, st.st_blocks * 512ll};
    }
    if (dir)
        (void)closedir(dir); /* read only */
    return list;
}

static int by_use(const void *left, const void *right)
{
    const struct kept_cache *a = left, *b = right;
    return (a->used_ms < b->used_ms) - (a->used_ms > b->used_ms);
}

static void list_free(struct kept_cache *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].name);
        free(list[i].folder);
    }
    free(list);
}

void cache_sweep(struct artifact_sweep *sweep)
{
    size_t count;
    struct kept_cache *list = list_all(&count);
    int64_t now_ms = clock_wall_ms(clock_system()), total = 0;
    if (count > 0)
        qsort(list, count, sizeof(*list), by_use);
    for (size_t i = 0; i < count; i++) {
        total += list[i].bytes;
        if (in_use(map_get(&caches, list[i].name)) || list[i].used_ms >= sweep->before_ms ||
            (now_ms - list[i].used_ms < UNUSED_MS && total <= TOTAL_MAX))
            continue;
        total -= list[i].bytes;
        sweep->removed++;
        sweep->bytes += list[i].bytes;
        remove_named(list[i].folder, list[i].name);
    }
    list_free(list, count);
}

void cache_forget(int64_t app_env_id)
{
    AUTO_FREE char *prefix = mem_format("%lld.", (long long)app_env_id);
    size_t count;
    struct kept_cache *list = list_all(&count);
    for (size_t i = 0; i < count; i++)
        if (text_starts(list[i].name, prefix))
            remove_named(list[i].folder, list[i].name);
    list_free(list, count);
}
