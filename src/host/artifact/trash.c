/* The trash: what the store removes goes there by a rename, and is deleted in the background.
 *
 * Deleting a tree costs as much processor and disk as writing it did, and nobody waits for it; the
 * customers of the apps do wait. So it goes in slices with rests. What is to be deleted is what
 * lies there: no list is kept, and what a crash or the end of the process leaves is the next
 * start's. What cannot be deleted is left, and tried again when something comes in. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/artifact/artifact_priv.h"
#include "io/loop.h"

#define SLICE_ENTRIES 200 /* some milliseconds, unless there is a file of gigabytes among them */
#define REST_MS 20

static struct {
    bool busy, added; /* added: while busy */
    bool more;        /* the last slice left something; the pool's while it runs */
    struct timer *rest;
} trash;

static void slice_start(void *context);

static DIR *trash_open(void)
{
    AUTO_FREE char *folder = artifact_store_path("trash");
    DIR *dir = opendir(folder);
    if (!dir)
        log_warn("cannot list the trash, leaving it", F_STR("path", folder),
                 F_STR("why", strerror(errno)));
    return dir;
}

static void slice_work(void *context)
{
    bool *more = context;
    struct err failed = ERR_INIT;
    size_t left = SLICE_ENTRIES;
    DIR *dir = trash_open();
    *more = false;
    if (!dir)
        return;
    for (struct dirent *e; left > 0 && (e = readdir(dir)) != NULL;) {
        struct err err = ERR_INIT;
        if (text_is(e->d_name, ".") || text_is(e->d_name, ".."))
            continue;
        AUTO_FREE char *below = mem_format("trash/%s", e->d_name);
        AUTO_FREE char *path = artifact_store_path(below);
        if (file_remove_some(path, &left, &err) < 0)
            failed = err;
    }
    (void)closedir(dir); /* read only */
    *more = left == 0;
    if (!*more && failed.kind != E_OK) /* once, at the end */
        log_warn("leftover not removed, trying again later", F_ERR(&failed));
}

static void slice_done(void *context)
{
    (void)context;
    trash.busy = trash.more || trash.added;
    trash.added = false;
    if (trash.busy)
        timer_start(&trash.rest, REST_MS, 0, slice_start, NULL);
}

static void slice_start(void *context)
{
    (void)context;
    loop_work(slice_work, slice_done, &trash.more);
}

void trash_empty(void)
{
    trash.added = trash.busy;
    if (trash.busy)
        return;
    trash.busy = true;
    slice_start(NULL);
}

void artifact_discard(const char *path)
{
    static unsigned counter;
    struct artifact_store *store = artifact_store_get();
    if (!path || !file_exists(path))
        return;
    AUTO_FREE char *name = mem_format("trash/%s-%u", store->host->boot, counter++);
    AUTO_FREE char *away = artifact_store_path(name);
    if (rename(path, away) < 0)
        log_warn("cannot move to trash, leaving it", F_STR("path", path),
                 F_STR("why", strerror(errno)));
    else
        trash_empty();
}

int trash_add_all(const char *below, struct err *err)
{
    AUTO_FREE char *folder = artifact_store_path(below);
    DIR *dir = opendir(folder);
    if (!dir)
        return FAIL_SYS(err, "cannot list '%s'", folder);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        AUTO_FREE char *path = mem_format("%s/%s", folder, e->d_name);
        if (!text_is(e->d_name, ".") && !text_is(e->d_name, ".."))
            artifact_discard(path);
    }
    (void)closedir(dir); /* read only */
    return 0;
}
