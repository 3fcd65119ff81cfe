/* The trash: all that comes goes, in slices, and what cannot go does not hold up the rest. */
#include <dirent.h>
#include <sys/mount.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/tap.h"
#include "base/time.h"
#include "host/artifact/artifact_priv.h"
#include "io/loop.h"

static struct host host = {.boot = "0123456789abcdef"};

static char *below(const char *path)
{
    return mem_format("%s/%s", tap_dir(), path);
}

static void set_up(void)
{
    struct err err = ERR_INIT;
    struct settings *settings = NULL;
    AUTO_FREE char *path = below("settings");
    AUTO_FREE char *text = mem_format("data_dir = %s\nrun_dir = /tmp/x\n", tap_dir());
    OK(file_write(path, str_of(text), 0600, &err) == 0);
    OK(settings_load(path, &settings, &err) == 0);
    host.settings = settings;
    OK(artifact_init(&host, &err) == 0);
}

static void tear_down(void)
{
    for (int i = 0; i < 10; i++) /* the last slice says that it is done */
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
    free(TAKE(artifact_store_get()->root));
    settings_free((struct settings *)host.settings);
}

static void make(const char *path, int files)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *folder = below(path);
    OK(file_make_dirs(folder, 0700, &err) == 0);
    for (int i = 0; i < files; i++) {
        AUTO_FREE char *file = mem_format("%s/%d", folder, i);
        OK(file_write(file, STR("x"), 0600, &err) == 0);
    }
}

static int left(void)
{
    int count = -2; /* "." and ".." */
    AUTO_FREE char *path = below("host/trash");
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        (void)closedir(dir);
    return count;
}

/* Until so many are left, or five seconds. */
static bool until_left(int count)
{
    int64_t limit = clock_mono_ms(clock_system()) + 5000;
    while (left() != count && clock_mono_ms(clock_system()) < limit)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    return left() == count;
}

static void discard(const char *name)
{
    AUTO_FREE char *path = below(name);
    artifact_discard(path);
    OK(!file_exists(path));
}

TEST(what_an_earlier_process_left_goes)
{
    make("host/trash/old", 3);
    make("host/blobs/tmp/half", 3);
    set_up();
    AUTO_FREE char *half = below("host/blobs/tmp/half");
    OK(!file_exists(half));
    OK(until_left(0));
    tear_down();
}

TEST(large_trees_go_in_slices_and_others_with_them)
{
    set_up();
    make("large", 500);
    make("small", 1);
    discard("large");
    IS_INT(left(), 1);
    discard("small"); /* while the first one is being deleted */
    discard("absent");
    OK(until_left(0));
    tear_down();
}

TEST(what_cannot_go_does_not_hold_up_the_rest)
{
    set_up();
    make("host/trash/held/inside", 0);
    AUTO_FREE char *inside = below("host/trash/held/inside");
    if (geteuid() == 0 && mount("none", inside, "tmpfs", 0, "size=4k") == 0) {
        make("next", 500);
        discard("next");
        OK(until_left(1));
        OK(umount(inside) == 0);
    }
    make("last", 1);
    discard("last");
    OK(until_left(0));
    tear_down();
}

TAP_MAIN()
