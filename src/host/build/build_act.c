/* What each state starts: base, volume, cache, tree; and the cleaning that every build ends with.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/artifact/artifact.h"
#include "host/base_image/base_image.h"
#include "host/build/build_priv.h"
#include "host/build/volume.h"

#define TREE_ENTRIES_MAX 500000
#define SOURCE_ATTEMPTS 10
#define MIB (1024 * 1024)

/* The base. Its making belongs to everybody who waits for it: a build that fails meanwhile leaves,
 * and the last one who leaves ends it. */

static void on_base_progress(void *context, const char *text, int percent)
{
    json_t *args = json_object();
    json_put_text(args, "text", text);
    json_put_int(args, "percent", percent);
    build_tell(context, "progress", args);
}

static void on_base(void *context, const struct base_image *image, const struct err *error)
{
    struct build *b = context;
    b->base_ask = NULL;
    if (build_arrived(b))
        return;
    if (error) {
        build_fail(b, error);
        return;
    }
    memcpy(b->base, image->base, strlen(image->base) + 1);
    memcpy(b->build_base, image->build_base, strlen(image->build_base) + 1);
    build_event(b, BUILD_EVENT_READY);
}

static void base_begin(struct build *b)
{
    struct err err = ERR_INIT;
    struct base_image_request request = {on_base_progress, on_base, b};
    if (base_image_ensure(json_dict(b->spec, "base"), &request, &b->base_ask, &err) < 0)
        build_fail(b, &err);
    else
        b->pending = BUILD_ON_BASE;
}

/* The volume. */

static void on_deadline(void *context)
{
    struct build *b = context;
    struct err err = ERR_INIT;
    if (b->pids_hits > 0)
        (void)FAIL(&err, E_RESOURCE_PIDS,
                   "the build hit its limit of %lld processes and did not end",
                   (long long)build_limit(b, "pids", b->host->settings->build_pids));
    else
        (void)FAIL(&err, E_TIMEOUT, "the build took longer than %lld seconds",
                   (long long)build_limit(b, "seconds", b->host->settings->build_seconds));
    build_fail(b, &err);
}

static int make_inside(struct build *b, struct err *err)
{
    AUTO_FREE char *tree = mem_format("%s/tree", b->mount), *root = mem_format("%s/root", b->mount);
    uint32_t range = build_range(b);
    if (mkdir(tree, 0755) < 0 || lchown(tree, range, range) < 0 || mkdir(root, 0711) < 0 ||
        chmod(b->mount, 0711) < 0)
        return FAIL_SYS(err, "cannot lay out the build's volume");
    return 0;
}

static void on_volume(void *context, const struct child_result *r)
{
    struct build *b = context;
    struct err err = ERR_INIT;
    b->child = NULL;
    if (build_arrived(b))
        return;
    if (child_check(r, "mkfs.ext4", &err) < 0 || volume_mount(b->image, b->mount, &err) < 0) {
        build_fail(b, &err);
        return;
    }
    b->mounted = true;
    if (make_inside(b, &err) < 0)
        build_fail(b, &err);
    else
        build_event(b, BUILD_EVENT_READY);
}

static void volume_begin(struct build *b)
{
    struct err err = ERR_INIT;
    int64_t bytes = build_limit(b, "volume", b->host->settings->build_volume);
    int64_t seconds = build_limit(b, "seconds", b->host->settings->build_seconds);
    timer_start(&b->deadline, seconds * 1000, 0, on_deadline, b);
    b->deadline_ms = clock_mono_ms(clock_system()) + seconds * 1000;
    if (artifact_disk_room(bytes, &err) < 0 || file_make_dirs(b->mount, 0711, &err) < 0 ||
        volume_make(b->image, bytes, on_volume, b, &b->child, &err) < 0) {
        build_fail(b, &err);
        return;
    }
    b->pending = BUILD_ON_CHILD;
}

/* The cache. */

static void on_cache(void *context, struct cache *c)
{
    struct build *b = context;
    b->cache = c;
    if (!build_arrived(b))
        build_event(b, BUILD_EVENT_READY);
}

static void cache_begin(struct build *b)
{
    if (json_array_size(json_list(b->spec, "cache")) == 0) {
        build_event(b, BUILD_EVENT_READY);
        return;
    }
    AUTO_FREE char *name = mem_format("%lld.%s", (long long)b->app_env_id, b->app_env);
    b->pending = BUILD_ON_CACHE;
    cache_open(b->host, name, on_cache, b);
}

/* Secrets: files on a tmpfs of their own, gone with its unmount. */

static int secret_write(struct build *b, const json_t *secret, struct err *err)
{
    AUTO_FREE char *path = mem_format("%s/%s", b->secrets, json_text(secret, "name"));
    AUTO_SECRET value = {0};
    AUTO_CLOSE int fd = -1;
    if (build_secret_value(secret, &value, err) < 0)
        return -1;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    if (fd < 0 || write(fd, value.data, value.length) != (ssize_t)value.length ||
        fchown(fd, build_range(b), build_range(b)) < 0)
        return FAIL_SYS(err, "cannot hand over a secret");
    return 0;
}

static int secrets_make(struct build *b, struct err *err)
{
    json_t *list = json_list(b->spec, "secrets"), *secret;
    size_t i;
    if (json_array_size(list) == 0)
        return 0;
    if (file_make_dirs(b->secrets, 0711, err) < 0)
        return -1;
    if (mount("tmpfs", b->secrets, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=0711,size=32m") < 0)
        return FAIL_SYS(err, "cannot mount a tmpfs for secrets");
    b->secrets_mounted = true;
    json_array_foreach(list, i, secret) if (secret_write(b, secret, err) < 0) return -1;
    return 0;
}

/* The tree. It is asked for when it is its turn and not before: a stream that nobody reads for as
 * long as a build may queue would be given up by its sender. A stream that ends early (courier or
 * core died) is asked for again; a tree that cannot be had at all is core's to say, by a cancel. */

void build_source_tell(struct build *b)
{
    json_t *args = json_object();
    json_put_int(args, "attempt", b->source_attempts);
    build_tell(b, "source", args);
}

static void source_want(struct build *b)
{
    b->pending = BUILD_ON_SOURCE;
    b->source_attempts++;
    build_source_tell(b);
}

static void clear_work(void *context)
{
    struct build *b = context;
    AUTO_FREE char *tree = mem_format("%s/tree", b->mount);
    uint32_t range = build_range(b);
    b->work_err = (struct err)ERR_INIT;
    if (file_remove_tree(tree, &b->work_err) < 0)
        return; /* told by clear_done */
    if (mkdir(tree, 0755) < 0 || lchown(tree, range, range) < 0)
        (void)FAIL_SYS(&b->work_err, "cannot make the tree's folder anew");
}

static void clear_done(void *context)
{
    struct build *b = context;
    struct err err = b->work_err;
    b->work_err = (struct err)ERR_INIT;
    if (build_arrived(b))
        return;
    if (err.kind != E_OK)
        build_fail(b, &err);
    else
        source_want(b);
}

static void source_again(struct build *b, const struct err *error)
{
    log_warn("the source of a build ended early, asking for it again", F_STR("build", b->name),
             F_INT("attempt", b->source_attempts), F_ERR(error));
    b->pending = BUILD_ON_WORK;
    loop_work(clear_work, clear_done, b);
}

static void on_tree(void *context, int64_t newest, const struct err *error)
{
    struct build *b = context;
    struct err err = ERR_INIT;
    b->child = NULL;
    if (build_arrived(b))
        return;
    (void)close(TAKE_FD(b->source_fd)); /* read only */
    if (error && error->kind == E_ARCHIVE_INVALID && b->source_attempts < SOURCE_ATTEMPTS) {
        source_again(b, error);
        return;
    }
    if (error && error->kind == E_DISK_FULL)
        (void)FAIL(&err, E_RESOURCE_DISK, "the source does not fit into the build's volume");
    else if (error)
        err = *error;
    if (error) {
        (void)err_wrap(&err, "source tree");
        build_fail(b, &err);
        return;
    }
    b->epoch = newest;
    b->step = 0;
    build_event(b, BUILD_EVENT_READY);
}

static void tree_begin(struct build *b)
{
    struct err err = ERR_INIT;
    if (secrets_make(b, &err) < 0)
        build_fail(b, &err);
    else
        source_want(b);
}

/* Takes the fd. Our end of the pipe stays open while the build fails: its sender learns that nobody
 * reads only after our error, which says why, is on its way. */
void build_source_take(struct build *b, int fd)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *tree = mem_format("%s/tree", b->mount);
    struct artifact_unpack_limits limits = {
        TREE_ENTRIES_MAX, build_limit(b, "volume", b->host->settings->build_volume)};
    ASSERT(b->pending == BUILD_ON_SOURCE && b->source_fd < 0);
    b->source_fd = fd;
    b->pending = BUILD_IDLE;
    FAULT("build.source");
    if (artifact_unpack_stream(fd, tree, build_range(b), &limits, on_tree, b, &b->child, &err) <
        0) {
        build_fail(b, &err);
        return;
    }
    b->pending = BUILD_ON_CHILD;
}

/* Cleaning. */

static void clean_work(void *context)
{
    struct build *b = context;
    if (b->mounted)
        volume_drop(b->mount);
    (void)rmdir(b->mount);
    (void)unlink(b->image); /* may never have been made */
}

static void clean_done(void *context)
{
    struct build *b = context;
    b->pending = BUILD_IDLE;
    b->mounted = false;
    build_event(b, b->err.kind == E_OK ? BUILD_EVENT_CLEANED : BUILD_EVENT_CLEANED_FAILED);
}

static void clean_begin(struct build *b)
{
    timer_free(&b->deadline);
    timer_free(&b->watch);
    timer_free(&b->throttle);
    sandbox_unmount(b->bundle);
    if (b->secrets_mounted && umount2(b->secrets, MNT_DETACH) < 0)
        log_warn("secrets of a build not unmounted", F_STR("why", strerror(errno)));
    (void)rmdir(b->secrets); /* absent when there were none */
    cache_close(TAKE(b->cache));
    artifact_discard(b->bundle);
    if (b->blob_path)
        (void)unlink(b->blob_path); /* admitted ones have another name by now */
    FAULT("build.clean");
    b->pending = BUILD_ON_WORK;
    loop_work(clean_work, clean_done, b);
}

static void stop_pending(struct build *b)
{
    if (b->pending == BUILD_ON_BASE) {
        base_image_leave(TAKE(b->base_ask));
        b->pending = BUILD_IDLE;
    } else if (b->pending == BUILD_ON_SOURCE) {
        b->pending = BUILD_IDLE;
    } else if (b->pending == BUILD_ON_CHILD) {
        child_kill(b->child, SIGKILL);
    } else if (b->pending == BUILD_ON_RUN) {
        sandbox_run_kill(b->run);
    }
}

bool build_arrived(struct build *b)
{
    ASSERT(b->magic == BUILD_MAGIC);
    b->pending = BUILD_IDLE;
    if (b->state != BUILD_CLEANING)
        return false;
    clean_begin(b);
    return true;
}

void build_act(struct build *b)
{
    switch ((enum build_state)b->state) {
    case BUILD_BASE:
        base_begin(b);
        break;
    case BUILD_QUEUED:
        loop_defer(build_start_next, NULL);
        break;
    case BUILD_VOLUME:
        volume_begin(b);
        break;
    case BUILD_CACHE:
        cache_begin(b);
        break;
    case BUILD_TREE:
        tree_begin(b);
        break;
    case BUILD_STEPS:
        build_step_begin(b);
        break;
    case BUILD_CHECKS:
        build_check_begin(b);
        break;
    case BUILD_COLLECT:
        build_collect_begin(b);
        break;
    case BUILD_ADMIT:
        build_admit_begin(b);
        break;
    case BUILD_CLEANING:
        stop_pending(b);
        if (b->pending == BUILD_IDLE)
            clean_begin(b);
        break;
    case BUILD_DONE:
    case BUILD_FAILED:
        build_finish(b);
        break;
    }
}
