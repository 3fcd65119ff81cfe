/* The trash: what the store removes goes there by a rename, and is deleted in the background.
 *
 * Deleting a tree costs as much processor and disk as writing it did, and nobody waits for it; the
 * customers of the apps do wait. So it goes in slices with rests, one tree at a time. What a crash
 * or the end of the process leaves is the next start's. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/artifact/artifact_priv.h"
#include "io/loop.h"

#define SLICE_ENTRIES 200 /* some milliseconds of work */
#define REST_MS 20

struct rubbish {
    struct rubbish *next;
    char *path;
    bool more, failed;
    struct err err;
};
static struct {
    struct rubbish *first, **end; /* the first one is being deleted */
    struct timer *rest;
} trash = {.end = &trash.first};

static void slice_start(void *context);

static void slice_work(void *context)
{
    struct rubbish *r = context;
    r->failed = file_remove_some(r->path, SLICE_ENTRIES, &r->more, &r->err) < 0;
}

static void slice_done(void *context)
{
    struct rubbish *r = context;
    ASSERT(r == trash.first);
    if (r->failed)
        log_warn("leftover not removed, trying again at the next start", F_STR("path", r->path),
                 F_ERR(&r->err));
    if (r->failed || !r->more) {
        trash.first = r->next;
        if (!trash.first)
            trash.end = &trash.first;
        free(r->path);
        free(r);
    }
    if (trash.first)
        timer_start(&trash.rest, REST_MS, 0, slice_start, NULL);
}

static void slice_start(void *context)
{
    (void)context;
    loop_work(slice_work, slice_done, trash.first);
}

/* Takes the path. */
static void trash_add(char *path)
{
    bool idle = !trash.first;
    struct rubbish *r = mem_alloc(sizeof(*r));
    *r = (struct rubbish){.path = path, .err = ERR_INIT};
    *trash.end = r;
    trash.end = &r->next;
    if (idle)
        slice_start(NULL);
}

void artifact_discard(const char *path)
{
    static unsigned counter;
    if (!path || !file_exists(path))
        return;
    AUTO_FREE char *name = mem_format("trash/%d-%u", (int)getpid(), counter++);
    AUTO_FREE char *away = artifact_store_path(name);
    if (rename(path, away) < 0) {
        log_warn("cannot move to trash, leaving it", F_STR("path", path),
                 F_STR("why", strerror(errno)));
        return;
    }
    trash_add(TAKE(away));
}

int trash_empty(const char *below, struct err *err)
{
    AUTO_FREE char *folder = artifact_store_path(below);
    DIR *dir = opendir(folder);
    if (!dir)
        return FAIL_SYS(err, "cannot list '%s'", folder);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (!text_is(e->d_name, ".") && !text_is(e->d_name, ".."))
            trash_add(mem_format("%s/%s", folder, e->d_name));
    (void)closedir(dir); /* read only */
    return 0;
}
