/* What is kept of builds that ended: output and result, though neither bundle nor volume.
 *
 * Kept are those whose artifact is kept, the newest 20 of each app-env, and failed ones for 14
 * days, all within a limit of bytes: past it the oldest go first. Who asks why last week's build
 * failed gets an answer; who builds all day fills no disk. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/artifact/artifact.h"
#include "host/build/build_priv.h"

#define RESULT_MAX (4u << 20)
#define NEWEST 20 /* of each app-env */
#define FAILED_MS (14ll * 24 * 3600 * 1000)

struct record {
    char *folder;
    int64_t app_env_id, ended_ms, bytes;
    bool failed, kept;
};
struct records {
    struct record *items;
    size_t count;
    struct artifact_sweep *sweep;
};

json_t *build_result_read(const char *folder)
{
    AUTO_FREE char *path = mem_format("%s/result.json", folder);
    AUTO_BUF text = BUF_INIT(0);
    json_t *result = NULL;
    struct err err = ERR_INIT;
    if (file_read(path, RESULT_MAX, &text, &err) < 0 ||
        json_parse(buf_str(&text), &result, &err) < 0)
        return NULL;
    return result;
}

/* The files of a folder, and of those in it. */
static int64_t folder_bytes(const char *folder, int depth)
{
    DIR *dir = opendir(folder);
    int64_t bytes = 0;
    struct stat st;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        AUTO_FREE char *path = mem_format("%s/%s", folder, e->d_name);
        if (text_is(e->d_name, ".") || text_is(e->d_name, "..") || lstat(path, &st) < 0)
            continue;
        bytes += st.st_blocks * 512;
        if (S_ISDIR(st.st_mode) && depth > 0)
            bytes += folder_bytes(path, depth - 1);
    }
    if (dir)
        (void)closedir(dir); /* read only */
    return bytes;
}

static void add_record(const char *folder, const char *name, void *context)
{
    struct records *all = context;
    struct stat st;
    AUTO_JSON *result = NULL;
    if (build_is_here(name) || stat(folder, &st) < 0)
        return;
    result = build_result_read(folder);
    const char *artifact = json_text_or(json_dict(result, "ok"), "artifact", "");
    all->items = mem_resize(all->items, all->count + 1, sizeof(*all->items));
    all->items[all->count++] = (struct record){.folder = mem_strdup(folder),
                                               .app_env_id = json_int(result, "app_env_id", 0),
                                               .ended_ms = st.st_mtim.tv_sec * 1000ll,
                                               .bytes = folder_bytes(folder, 1),
                                               .failed = json_object_get(result, "failed") != NULL,
                                               .kept = all->sweep && *artifact &&
                                                       map_get(all->sweep->kept, artifact) != NULL};
}

/* The newest first. */
static int by_time(const void *left, const void *right)
{
    const struct record *a = left, *b = right;
    return (a->ended_ms < b->ended_ms) - (a->ended_ms > b->ended_ms);
}

static size_t newer_of_app_env(const struct records *all, size_t index)
{
    size_t count = 0;
    for (size_t i = 0; i < index; i++)
        count += all->items[i].app_env_id == all->items[index].app_env_id;
    return count;
}

static bool goes(const struct records *all, size_t index, int64_t now_ms, int64_t bytes)
{
    const struct record *r = &all->items[index];
    if (r->kept || r->ended_ms >= all->sweep->before_ms)
        return false;
    return bytes > BUILD_RECORDS_MAX || (newer_of_app_env(all, index) >= NEWEST &&
                                         !(r->failed && now_ms - r->ended_ms < FAILED_MS));
}

static void remove_record(const struct record *r)
{
    artifact_discard(r->folder);
}

static void records_done(struct records *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->items[i].folder);
    free(all->items);
}

void build_keep_sweep(struct artifact_sweep *sweep)
{
    struct records all = {.sweep = sweep};
    int64_t now_ms = clock_wall_ms(clock_system()), bytes = 0;
    build_each(add_record, &all);
    if (all.count > 0)
        qsort(all.items, all.count, sizeof(*all.items), by_time);
    for (size_t i = 0; i < all.count; i++) {
        bytes += all.items[i].bytes;
        if (!goes(&all, i, now_ms, bytes))
            continue;
        bytes -= all.items[i].bytes;
        sweep->bytes += all.items[i].bytes;
        sweep->removed++;
        remove_record(&all.items[i]);
    }
    records_done(&all);
}

void build_keep_forget(int64_t app_env_id)
{
    struct records all = {0};
    build_each(add_record, &all);
    for (size_t i = 0; i < all.count; i++)
        if (all.items[i].app_env_id == app_env_id)
            remove_record(&all.items[i]);
    records_done(&all);
}
