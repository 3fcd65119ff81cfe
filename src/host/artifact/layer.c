/* Unpacked layers. A job checks the blob's hash (pool), lets the narrowed child unpack it into a
 * temporary folder, syncs and renames (pool), then tells everybody who asked. Jobs are shared: a
 * second call for the same digest waits for the first. A crash leaves only temporary folders. */
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
#include "host/artifact/artifact_priv.h"
#include "host/narrow/narrow.h"
#include "io/child.h"
#include "io/loop.h"

#define ENTRIES_MAX 1000000
#define BYTES_MAX (16ll << 30)
#define UNPACK_MS (10 * 60 * 1000)
#define RECORD_MAX 4096

struct waiter {
    void (*done)(void *context, const struct err *error);
    void *context;
};
struct unpack_job {
    char digest[SHA_DIGEST];
    enum artifact_layer kind;
    char *folder;
    int64_t bytes;
    int fd;
    struct err err;
    struct waiter *waiters;
    size_t waiter_count;
};

char *artifact_unpacked_path(const char *digest)
{
    ASSERT(str_is_digest(str_of(digest)));
    AUTO_FREE char *below = mem_format("unpacked/%s", digest + strlen("sha256:"));
    return artifact_store_path(below);
}

char *layer_record_path(const char *digest)
{
    AUTO_FREE char *folder = artifact_unpacked_path(digest);
    return mem_format("%s.json", folder);
}

bool artifact_is_unpacked(const char *digest)
{
    AUTO_FREE char *record = layer_record_path(digest), *folder = artifact_unpacked_path(digest);
    return file_exists(record) && file_exists(folder);
}

int layer_record_read(const char *digest, struct layer_record *ret_record, struct err *err)
{
    AUTO_FREE char *path = layer_record_path(digest);
    AUTO_BUF text = BUF_INIT(0);
    AUTO_JSON *value = NULL;
    struct layer_record record = {0};
    if (file_read(path, RECORD_MAX, &text, err) < 0 || json_parse(buf_str(&text), &value, err) < 0)
        return err_wrap(err, "record of layer '%s'", digest);
    const char *below = json_text_or(value, "below", "");
    if (str_is_digest(str_of(below)))
        memcpy(record.below, below, SHA_DIGEST);
    record.bytes = json_int(value, "bytes", 0);
    *ret_record = record;
    return 0;
}

int64_t artifact_unpacked_bytes(const char *digest)
{
    struct layer_record record = {0};
    struct err err = ERR_INIT;
    return layer_record_read(digest, &record, &err) < 0 ? 0 : record.bytes;
}

static int record_write(const char *digest, const char *below, int64_t bytes, struct err *err)
{
    AUTO_FREE char *path = layer_record_path(digest), *text = NULL;
    AUTO_JSON *value = json_object();
    if (below)
        json_put_text(value, "below", below);
    json_put_int(value, "bytes", bytes);
    text = json_print(value);
    return file_write(path, str_of(text), 0600, err);
}

int artifact_unpack_temp(char **ret_path, struct err *err)
{
    AUTO_FREE char *path = artifact_store_path("unpacked/.new-XXXXXX");
    if (!mkdtemp(path) || chmod(path, 0755) < 0)
        return FAIL_SYS(err, "cannot make a folder to unpack into");
    *ret_path = TAKE(path);
    return 0;
}

/* The record is written last: a folder without one is not there. */
int artifact_adopt_unpacked(const char *folder, const char *digest, const char *below,
                            int64_t bytes, struct err *err)
{
    AUTO_FREE char *path = artifact_unpacked_path(digest);
    AUTO_CLOSE int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) < 0)
        return FAIL_SYS(err, "cannot sync '%s'", folder);
    if (rename(folder, path) < 0 && errno != EEXIST && errno != ENOTEMPTY)
        return FAIL_SYS(err, "cannot name the layer '%s'", digest);
    return record_write(digest, below, bytes, err);
}

static void job_end(struct unpack_job *job)
{
    struct artifact_store *store = artifact_store_get();
    const struct err *error = job->err.kind == E_OK ? NULL : &job->err;
    map_remove(&store->unpacking, job->digest);
    if (error)
        log_warn("layer not unpacked, leaving it out", F_STR("layer", job->digest), F_ERR(error));
    artifact_discard(job->folder); /* when it was not renamed into place */
    for (size_t i = 0; i < job->waiter_count; i++)
        job->waiters[i].done(job->waiters[i].context, error);
    free(job->waiters);
    free(job->folder);
    free(job);
}

static void adopt_work(void *context)
{
    struct unpack_job *job = context;
    if (artifact_adopt_unpacked(job->folder, job->digest, NULL, job->bytes, &job->err) < 0)
        return;
}

static void adopt_done(void *context)
{
    job_end(context);
}

static void on_unpacked(void *context, const struct child_result *r)
{
    struct unpack_job *job = context;
    AUTO_JSON *ok = NULL;
    (void)close(job->fd); /* read only */
    if (narrow_read_answer(r, "unpacking", &ok, &job->err) < 0) {
        job_end(job);
        return;
    }
    FAULT("artifact.adopt");
    job->bytes = json_int(ok, "bytes", 0);
    loop_work(adopt_work, adopt_done, job);
}

struct unpack_call {
    const char *folder, *kind;
    int tar_fd;
    uint32_t owner;
    struct artifact_unpack_limits limits;
};

static int start_child(const struct unpack_call *call,
                       void (*on_exit)(void *, const struct child_result *), void *context,
                       struct child **ret_child, struct err *err)
{
    AUTO_FREE char *entries = mem_format("%lld", (long long)call->limits.entries);
    AUTO_FREE char *bytes = mem_format("%lld", (long long)call->limits.bytes);
    AUTO_FREE char *owner = mem_format("%u", call->owner);
    const char *argv[] = {NARROW_SELF, "host-unpack", call->folder, call->kind,
                          entries,     bytes,         owner,        NULL};
    struct child_spec spec = {.argv = argv,
                              .stdin_fd = call->tar_fd,
                              .out = CHILD_COLLECT,
                              .error = CHILD_INHERIT,
                              .timeout_ms = UNPACK_MS,
                              .on_exit = on_exit,
                              .context = context};
    return child_start(&spec, ret_child, err);
}

static void check_work(void *context)
{
    struct unpack_job *job = context;
    AUTO_FREE char *path = artifact_blob_path(job->digest);
    char found[SHA_DIGEST];
    int64_t bytes;
    job->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (job->fd < 0) {
        (void)FAIL(&job->err, E_NOT_FOUND, "layer '%s' is not stored here", job->digest);
        return;
    }
    if (sha_digest_fd(job->fd, found, &bytes, &job->err) < 0)
        return;
    if (strcmp(found, job->digest) != 0)
        (void)FAIL(&job->err, E_DIGEST_MISMATCH, "layer '%s' was changed on disk", job->digest);
    else if (lseek(job->fd, 0, SEEK_SET) != 0)
        (void)FAIL_SYS(&job->err, "cannot rewind '%s'", path);
    else if (artifact_disk_room(bytes, &job->err) == 0 &&
             artifact_unpack_temp(&job->folder, &job->err) < 0)
        return;
}

static void check_done(void *context)
{
    struct unpack_job *job = context;
    FAULT("artifact.unpack");
    if (job->err.kind == E_OK) {
        struct unpack_call call = {.folder = job->folder,
                                   .kind = job->kind == ARTIFACT_LAYER_BASE ? "base" : "app",
                                   .tar_fd = job->fd,
                                   .limits = {ENTRIES_MAX, BYTES_MAX}};
        if (start_child(&call, on_unpacked, job, NULL, &job->err) == 0)
            return;
    }
    if (job->fd >= 0)
        (void)close(job->fd); /* read only */
    job_end(job);
}

static void call_waiter(void *context)
{
    struct waiter *w = context;
    w->done(w->context, NULL);
    free(w);
}

static void wait_for(struct unpack_job *job, struct waiter waiter)
{
    job->waiters = mem_resize(job->waiters, job->waiter_count + 1, sizeof(waiter));
    job->waiters[job->waiter_count++] = waiter;
}

void artifact_unpack(const char *digest, enum artifact_layer kind,
                     void (*done)(void *context, const struct err *error), void *context)
{
    struct artifact_store *store = artifact_store_get();
    struct waiter waiter = {done, context};
    struct unpack_job *job = map_get(&store->unpacking, digest);
    if (!job && artifact_is_unpacked(digest)) {
        struct waiter *w = mem_alloc(sizeof(*w));
        *w = waiter;
        loop_defer(call_waiter, w);
        return;
    }
    if (!job) {
        job = mem_alloc(sizeof(*job));
        memcpy(job->digest, digest, SHA_DIGEST);
        job->kind = kind;
        job->fd = -1;
        (void)map_put(&store->unpacking, digest, job); /* there was none */
        loop_work(check_work, check_done, job);
    }
    wait_for(job, waiter);
}

struct stream_waiter {
    void (*done)(void *context, int64_t newest, const struct err *error);
    void *context;
};

static void on_stream_unpacked(void *context, const struct child_result *r)
{
    struct stream_waiter *w = context;
    struct err err = ERR_INIT;
    AUTO_JSON *ok = NULL;
    int failed = narrow_read_answer(r, "unpacking", &ok, &err);
    w->done(w->context, json_int(ok, "newest", 0), failed < 0 ? &err : NULL);
    free(w);
}

int artifact_unpack_stream(int tar_fd, const char *folder, uint32_t owner,
                           const struct artifact_unpack_limits *limits,
                           void (*done)(void *context, int64_t newest, const struct err *error),
                           void *context, struct child **ret_child, struct err *err)
{
    struct unpack_call call = {
        .folder = folder, .kind = "tree", .tar_fd = tar_fd, .owner = owner, .limits = *limits};
    struct stream_waiter *w = mem_alloc(sizeof(*w));
    *w = (struct stream_waiter){done, context};
    ASSERT(owner != 0);
    if (start_child(&call, on_stream_unpacked, w, ret_child, err) == 0)
        return 0;
    free(w);
    return -1;
}

int layer_init(struct err *err)
{
    AUTO_FREE char *folder = artifact_store_path("unpacked");
    DIR *dir = opendir(folder);
    if (!dir)
        return FAIL_SYS(err, "cannot list '%s'", folder);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        AUTO_FREE char *path = mem_format("%s/%s", folder, e->d_name);
        AUTO_FREE char *record = mem_format("%s.json", path);
        bool layer = strlen(e->d_name) == 64 && !file_exists(record);
        if (layer || text_starts(e->d_name, ".new-"))
            artifact_discard(path);
    }
    (void)closedir(dir); /* read only */
    return 0;
}
