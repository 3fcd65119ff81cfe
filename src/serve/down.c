/* `slipway down --settings FILE [--purge]`: the installation leaves this machine. The supervisor
 * and the roles end in their order, then host/teardown.h takes away what they made; data_dir stays,
 * so that `up` brings all of it back as it was, unless --purge is given. Says what went, and fails
 * when anything is left. Safe to repeat, and with any part of it dead already. */
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "host/teardown.h"
#include "serve/process.h"
#include "serve/roles.h"
#include "serve/serve.h"
#include "serve/unit.h"

#define SERVE_GRACE_MS 40000 /* it waits for four roles */
#define LOCK_WAIT_MS 15000
#define LOCK_LOOK_MS 20

/* What is gone of what was there. */
static void print_removed(const struct map *before, const struct map *after)
{
    for (size_t i = 0; i < before->count; i++) {
        uintptr_t was = (uintptr_t)before->entries[i].value;
        uintptr_t is = (uintptr_t)map_get(after, before->entries[i].key);
        if (was > is)
            printf("removed %s%s", before->entries[i].key, was - is > 1 ? "" : "\n");
        if (was > is + 1)
            printf(" (%lu)\n", (unsigned long)(was - is));
    }
}

static int print_left(const struct map *after, struct err *err)
{
    for (size_t i = 0; i < after->count; i++)
        printf("LEFT    %s\n", after->entries[i].key);
    if (after->count > 0)
        return FAIL(err, E_STATE_CONFLICT, "%zu things are left on this machine, named above",
                    after->count);
    printf("nothing is left: no process, mount, cgroup, bridge, veth, firewall table\n");
    return 0;
}

/* A file system of its own stays where it is mounted, empty. */
static int empty_or_remove(const char *folder, struct err *err)
{
    struct stat own, above;
    AUTO_FREE char *parent = mem_format("%s/..", folder);
    bool mounted =
        stat(folder, &own) == 0 && stat(parent, &above) == 0 && own.st_dev != above.st_dev;
    if (!mounted)
        return file_remove_tree(folder, err);
    DIR *d = opendir(folder);
    if (!d)
        return FAIL_SYS(err, "cannot read '%s'", folder);
    int result = 0;
    for (struct dirent *e; result == 0 && (e = readdir(d));) {
        if (text_is(e->d_name, ".") || text_is(e->d_name, "..") || text_is(e->d_name, "lost+found"))
            continue;
        AUTO_FREE char *path = mem_format("%s/%s", folder, e->d_name);
        result = file_remove_tree(path, err);
    }
    (void)closedir(d); /* read-only */
    return result;
}

/* The run folder last: with it goes the lock, and a new supervisor may start. */
static int down_files(const struct settings *s, bool purge, struct err *err)
{
    bool there = file_exists(s->data_dir);
    if (purge && empty_or_remove(s->data_dir, err) < 0)
        return -1;
    if (there)
        printf(purge ? "removed %s\n"
                     : "%s stays: all data, for the next up (--purge removes it)\n",
               s->data_dir);
    if (file_remove_tree(s->run_dir, err) < 0)
        return -1;
    printf("removed %s\n", s->run_dir);
    return 0;
}

/* Under the lock that a supervisor holds while it lives: nobody starts one between our steps. */
static int down_locked(const struct settings *s, bool purge, struct err *err)
{
    struct map before, after;
    teardown_left(s, &before);
    process_end_roles(s, true);
    teardown_run(s);
    teardown_left(s, &after);
    print_removed(&before, &after);
    int result = print_left(&after, err);
    map_done(&before);
    map_done(&after);
    return result < 0 ? -1 : down_files(s, purge, err);
}

/* A supervisor has the lock a moment before its pid file stands, and another `down` is soon done:
 * ask again until the lock is ours. */
static int down_lock(const struct settings *s, int *ret_fd, struct err *err)
{
    int64_t end = clock_mono_ms(clock_system()) + LOCK_WAIT_MS;
    for (;;) {
        process_end_named(s, "serve", SERVE_GRACE_MS, true);
        if (file_make_dirs(s->run_dir, 0755, err) < 0)
            return -1;
        int locked = serve_lock(s, ret_fd, err);
        if (locked != SERVE_BUSY || clock_mono_ms(clock_system()) >= end)
            return locked;
        (void)poll(NULL, 0, LOCK_LOOK_MS);
    }
}

static int down_try(int argc, char **argv, struct err *err)
{
    AUTO_FREE char *path = process_settings_path(argc, argv);
    AUTO(settings) *s = NULL;
    AUTO_CLOSE int lock = -1;
    if (settings_load(path, &s, err) < 0)
        return -1;
    if (geteuid() != 0)
        return FAIL(err, E_DENIED, "down must run as root: it ends what root started");
    if (unit_serves(path) && unit_do("stop", err) < 0) /* it would start them again */
        return -1;
    int locked = down_lock(s, &lock, err);
    if (locked == SERVE_BUSY)
        return FAIL(err, E_STATE_CONFLICT, "another serve or down of '%s' is at work", s->id);
    return locked < 0 ? -1 : down_locked(s, process_option(argc, argv, "--purge"), err);
}

int down_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    check_setup("down", NULL);
    log_setup("down", LOG_WARN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* in order with what is logged */
    if (down_try(argc, argv, &err) == 0)
        return 0;
    (void)fprintf(stderr, "slipway down: %s\n", err.text);
    return err_exit_code(err.kind);
}
