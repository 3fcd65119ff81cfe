/* For the tests of this folder that need root: settings of an installation of their own (id,
 * subnet and ids apart from any other), in a temporary folder. */
#pragma once
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tap.h"
#include "wire/settings.h"

/* Two runs of one test (another checkout, another build) would end each other's containers: the
 * second waits here until the first has ended. The lock lives as long as the process. */
static inline void root_test_lock(int number)
{
    AUTO_FREE char *path = mem_format("/run/lock/slipway-test-%d", number);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        (void)fprintf(stderr, "# cannot lock '%s'\n", path);
}

/* `number` 0..9 keeps tests that run at the same time apart. NULL when not root. */
static inline struct settings *root_test_settings(const char *folder, int number)
{
    struct settings *settings = NULL;
    struct err err = ERR_INIT;
    if (geteuid() != 0)
        return NULL;
    root_test_lock(number);
    AUTO_FREE char *path = mem_format("%s/settings", folder);
    AUTO_FREE char *text = mem_format("id = swt%d\ndata_dir = %s/data\nrun_dir = %s/run\n"
                                      "subnet = 10.199.%d.0/24\nid_first = %u\n",
                                      number, folder, folder, number, 3000000000u);
    if (chmod(folder, 0755) < 0 || file_write(path, str_of(text), 0644, &err) < 0 ||
        settings_load(path, &settings, &err) < 0) {
        (void)fprintf(stderr, "# %s\n", err.text);
        return NULL;
    }
    AUTO_FREE char *host = settings_data(settings, "host");
    AUTO_FREE char *live = settings_run(settings, "live");
    AUTO_FREE char *key = settings_data(settings, "master.key");
    if (file_make_dirs(host, 0755, &err) < 0 || chmod(host, 0700) < 0 ||
        file_make_dirs(live, 0711, &err) < 0 ||
        file_write(key, STR("0123456789abcdef0123456789abcdef"), 0600, &err) < 0)
        (void)fprintf(stderr, "# %s\n", err.text);
    return settings;
}

/* The weight of a group of that installation ("build"), 100 is usual; 0 when it is not there. */
static inline int64_t root_test_weight(const struct settings *settings, const char *group)
{
    static const struct {
        const char *folder, *file;
        int64_t usual;
    } layouts[] = {{"/sys/fs/cgroup/cpu", "cpu.shares", 1024},
                   {"/sys/fs/cgroup/cpu,cpuacct", "cpu.shares", 1024},
                   {"/sys/fs/cgroup", "cpu.weight", 100}};
    for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
        AUTO_BUF text = BUF_INIT(0);
        struct err err = ERR_INIT;
        AUTO_FREE char *path =
            mem_format("%s/%s/%s/%s", layouts[i].folder, settings->id, group, layouts[i].file);
        if (file_read(path, 64, &text, &err) == 0)
            return strtoll(text.data, NULL, 10) * 100 / layouts[i].usual;
    }
    return 0;
}
