/* Caches of builds. Each app-env has a volume of its own in data_dir/host/caches/APP.ENV: its size
 * is limited, and what one app-env's build leaves there no other app-env's build ever reads. It is
 * mounted while a build uses it. A file `clean` beside the image says that it was unmounted in
 * order; without it (a crash), or when it is nearly full, the cache starts empty: it is a cache. */
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
#include "host/build/build_priv.h"
#include "host/build/volume.h"

#define FULL_SHARE 5 /* less than a fifth free: start empty */

struct cache_waiter {
    void (*done)(void *context, struct cache *c);
    void *context;
};
struct cache {
    char *app_env, *image, *clean, *mount;
    int64_t bytes;
    int users;
    bool mounted, busy; /* busy: mkfs or unmount is on its way */
    struct cache_waiter *waiters;
    size_t waiter_count;
    struct err work_err;
};
static struct map caches; /* app_env -> struct cache; never removed */

void cache_init(struct host *h)
{
    (void)h; /* folders are made when needed */
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
        log_warn("cache not mounted, building without", F_STR("app_env", c->app_env), F_ERR(&err));
    else
        c->mounted = true;
    answer(c, c->mounted);
}

static void on_made(void *context, const struct child_result *r)
{
    struct cache *c = context;
    struct err err = ERR_INIT;
    if (child_check(r, "mkfs.ext4", &err) < 0) {
        log_warn("cache not made, building without", F_STR("app_env", c->app_env), F_ERR(&err));
        answer(c, false);
        return;
    }
    mount_or_tell(c);
}

static void make_fresh(struct cache *c)
{
    struct err err = ERR_INIT;
    FAULT("cache.make");
    if (volume_make(c->image, c->bytes, on_made, c, NULL, &err) == 0)
        return;
    log_warn("cache not made, building without", F_STR("app_env", c->app_env), F_ERR(&err));
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
    log_info("cache is nearly full, starting an empty one", F_STR("app_env", c->app_env));
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

static struct cache *cache_get(struct host *h, const char *app_env)
{
    struct cache *c = map_get(&caches, app_env);
    struct err err = ERR_INIT;
    if (c)
        return c;
    AUTO_FREE char *below = mem_format("host/caches/%s", app_env);
    AUTO_FREE char *folder = settings_data(h->settings, below);
    AUTO_FREE char *place = mem_format("vol/cache/%s", app_env);
    c = mem_alloc(sizeof(*c));
    c->app_env = mem_strdup(app_env);
    c->image = mem_format("%s/volume", folder);
    c->clean = mem_format("%s/clean", folder);
    c->mount = settings_run(h->settings, place);
    c->bytes = h->settings->build_volume;
    (void)map_put(&caches, app_env, c); /* there was none */
    if (file_make_dirs(folder, 0700, &err) < 0 || file_make_dirs(c->mount, 0711, &err) < 0)
        log_warn("no folder for a cache, building without", F_ERR(&err));
    return c;
}

void cache_open(struct host *h, const char *app_env, void (*done)(void *context, struct cache *c),
                void *context)
{
    struct cache *c = cache_get(h, app_env);
    c->waiters = mem_resize(c->waiters, c->waiter_count + 1, sizeof(*c->waiters));
    c->waiters[c->waiter_count++] = (struct cache_waiter){done, context};
    if (c->busy)
        return;
    c->busy = true;
    loop_defer(begin, c);
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
