/* Disk use of a folder: see df.h. */
#include "host/df.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64

static void df_level(int parent, const char *name, dev_t device, int depth, struct df *total)
{
    struct stat info;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        bool dots = entry->d_name[0] == '.' &&
                    (!entry->d_name[1] || (entry->d_name[1] == '.' && !entry->d_name[2]));
        if (dots || fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) < 0 ||
            info.st_dev != device)
            continue;
        total->bytes += info.st_blocks * 512;
        total->files++;
        if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX)
            df_level(fd, entry->d_name, device, depth + 1, total);
    }
    (void)closedir(folder);
}

void df_add(const char *folder, struct df *total)
{
    struct stat info;
    if (stat(folder, &info) == 0)
        df_level(AT_FDCWD, folder, info.st_dev, 0, total);
}
