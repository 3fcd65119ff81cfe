/* Control groups on v1, v2 and hybrid machines. A controller counts where it is mounted: as v1
 * hierarchy, or in cgroup.controllers of the v2 one. On the hybrid layout containers live in the v1
 * hierarchies only (crun refuses it otherwise), so the v2 mount is hidden from us and our children.
 *
 * Our groups are <mount>/<id>/APP.ENV/NAME in every hierarchy, at the top and not below the group
 * that systemd gives our service: that one ends with a restart, and may hold no processes of its
 * own once controllers are on below it. Killing walks cgroup.procs until it stays empty: processes
 * may fork while we look (v2 has cgroup.kill for that). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "host/sandbox/sandbox_priv.h"

#define HIERARCHIES 16
#define WAIT_MS 1000

static struct {
    char *id;
    char *path[HIERARCHIES]; /* mount points where our groups stand */
    size_t count;
    char *memory; /* the one with that controller; NULL: none */
    char *pids;
    char *cpu;
    char *cpuacct; /* v1 counts there */
    bool v2;       /* pure v2 */
} layout;

/* One line of mountinfo: "... MOUNTPOINT OPTIONS ... - TYPE SOURCE SUPER". */
static void layout_line(struct str line, char **v2)
{
    struct str mount = {0};
    for (int i = 0; i < 5; i++)
        mount = str_cut(&line, ' ');
    const char *dash = line.data ? memmem(line.data, line.length, " - ", 3) : NULL;
    if (!dash)
        return;
    struct str rest = {dash + 3, line.length - (size_t)(dash + 3 - line.data)};
    struct str type = str_cut(&rest, ' ');
    (void)str_cut(&rest, ' '); /* source */
    if (str_is(type, "cgroup2") && !*v2)
        *v2 = str_dup(mount);
    if (!str_is(type, "cgroup") || layout.count == HIERARCHIES)
        return;
    char *path = str_dup(mount);
    layout.path[layout.count++] = path;
    while (rest.data) {
        struct str option = str_cut(&rest, ',');
        if (str_is(option, "memory"))
            layout.memory = path;
        if (str_is(option, "pids"))
            layout.pids = path;
        if (str_is(option, "cpu"))
            layout.cpu = path;
        if (str_is(option, "cpuacct"))
            layout.cpuacct = path;
    }
}

static void layout_forget(void)
{
    for (size_t i = 0; i < layout.count; i++)
        free(layout.path[i]);
    free(layout.id);
    memset(&layout, 0, sizeof(layout));
}

/* On v2 a controller counts below a group only when that group says so. */
static void delegate(const char *path)
{
    AUTO_CLOSE int fd = layout.v2 ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (fd >= 0)
        (void)!write(fd, "+memory +pids +cpu",
                     18); /* the limits that follow say it when it failed */
}

int cgroup_setup(const char *id, char **ret_hide, struct err *err)
{
    AUTO_BUF text = BUF_INIT(4u << 20);
    AUTO_FREE char *v2 = NULL;
    if (file_read("/proc/self/mountinfo", 4u << 20, &text, err) < 0)
        return -1;
    layout_forget();
    layout.id = mem_strdup(id);
    for (struct str rest = buf_str(&text); rest.data;)
        layout_line(str_cut(&rest, '\n'), &v2);
    if (layout.count == 0 && !v2)
        return FAIL(err, E_UNAVAILABLE, "no cgroup file system is mounted");
    *ret_hide = NULL;
    if (layout.count > 0) {
        *ret_hide = TAKE(v2);
        return 0;
    }
    layout.v2 = true;
    layout.memory = layout.pids = layout.cpu = layout.path[layout.count++] = TAKE(v2);
    AUTO_FREE char *top = mem_format("%s/cgroup.subtree_control", layout.memory);
    delegate(top); /* done where systemd is */
    return 0;
}

bool cgroup_is_v2(void)
{
    return layout.v2;
}

const char *cgroup_absent(struct str controllers)
{
    static const char *const wanted[] = {"cpu", "memory", "pids"};
    struct str line = str_cut(&controllers, '\n');
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        bool found = false;
        for (struct str rest = line; rest.data && !found;)
            found = str_is(str_cut(&rest, ' '), wanted[i]);
        if (!found)
            return wanted[i];
    }
    return NULL;
}

/* Can a group be made there? Read-only mounts and foreign owners show here. */
static bool group_can_be_made(const char *mount)
{
    AUTO_FREE char *ours = mem_format("%s/%s", mount, layout.id);
    AUTO_FREE char *trial = mem_format("%s/%s.doctor", mount, layout.id);
    bool made = mkdir(trial, 0755) == 0 || errno == EEXIST;
    if (made)
        (void)rmdir(trial); /* empty */
    return made || access(ours, W_OK) == 0;
}

static char *lacks_v2(void)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(4096);
    AUTO_FREE char *path = mem_format("%s/cgroup.controllers", layout.memory);
    if (file_read(path, 4096, &text, &err) < 0)
        return mem_strdup(err.text);
    const char *absent = cgroup_absent(buf_str(&text));
    return absent ? mem_format("the controller '%s' is not in '%s'", absent, path) : NULL;
}

char *cgroup_lacks(void)
{
    const struct {
        const char *name;
        const char *mount;
    } wanted[] = {{"cpu", layout.cpu}, {"memory", layout.memory}, {"pids", layout.pids}};
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        if (!wanted[i].mount)
            return mem_format("the controller '%s' is not mounted", wanted[i].name);
        if (!group_can_be_made(wanted[i].mount))
            return mem_format("no group can be made in '%s' (%s): %s", wanted[i].mount,
                              wanted[i].name, strerror(errno));
    }
    return layout.v2 ? lacks_v2() : NULL;
}

bool cgroup_has_memsw(void)
{
    AUTO_FREE char *path =
        mem_format("%s/memory.memsw.limit_in_bytes", layout.memory ? layout.memory : "");
    return layout.v2 || (layout.memory && file_exists(path));
}

char *cgroup_oci_path(const char *cgroup)
{
    return mem_format("/%s/%s", layout.id, cgroup);
}

static char *group_path(const char *mount, const char *cgroup, const char *file)
{
    return mem_format("%s/%s%s%s%s%s", mount, layout.id, *cgroup ? "/" : "", cgroup,
                      *file ? "/" : "", file);
}

/* Reading. */

/* The number after `key` in a flat-keyed file; -1 when there is none. */
static int64_t group_value(const char *mount, const char *cgroup, const char *file, const char *key)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(64u << 10);
    int64_t value;
    if (!mount)
        return -1;
    AUTO_FREE char *path = group_path(mount, cgroup, file);
    if (file_read(path, 64u << 10, &text, &err) < 0)
        return -1;
    for (struct str rest = buf_str(&text); rest.data;) {
        struct str line = str_cut(&rest, '\n');
        if (*key && !str_is(str_cut(&line, ' '), key))
            continue;
        return str_to_int(line, 0, INT64_MAX, file, &value, &err) < 0 ? -1 : value;
    }
    return -1;
}

void sandbox_hits(const char *cgroup, struct sandbox_hits *ret_hits)
{
    int64_t oom = layout.v2 ? group_value(layout.memory, cgroup, "memory.events", "oom_kill")
                            : group_value(layout.memory, cgroup, "memory.oom_control", "oom_kill");
    int64_t pids = group_value(layout.pids, cgroup, "pids.events", "max");
    ret_hits->oom = oom > 0 ? oom : 0;
    ret_hits->pids = pids > 0 ? pids : 0;
}

int64_t sandbox_memory_used(const char *cgroup)
{
    int64_t used = group_value(layout.memory, cgroup,
                               layout.v2 ? "memory.current" : "memory.usage_in_bytes", "");
    return used > 0 ? used : 0;
}

/* v1 writes its largest number for "no limit"; v2 says "max", which is no number. */
#define UNLIMITED (INT64_MAX / 2)

void sandbox_usage(const char *cgroup, struct sandbox_usage *ret_usage)
{
    int64_t ns = layout.v2 ? -1 : group_value(layout.cpuacct, cgroup, "cpuacct.usage", "");
    *ret_usage = (struct sandbox_usage){
        .memory = group_value(layout.memory, cgroup,
                              layout.v2 ? "memory.current" : "memory.usage_in_bytes", ""),
        .memory_limit = group_value(layout.memory, cgroup,
                                    layout.v2 ? "memory.max" : "memory.limit_in_bytes", ""),
        .cpu_us = layout.v2 ? group_value(layout.cpu, cgroup, "cpu.stat", "usage_usec")
                            : (ns < 0 ? -1 : ns / 1000),
        .pids = group_value(layout.pids, cgroup, "pids.current", ""),
    };
    if (ret_usage->memory_limit > UNLIMITED)
        ret_usage->memory_limit = -1;
}

static bool process_ended(pid_t pid)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(4096);
    AUTO_FREE char *path = mem_format("/proc/%d/stat", (int)pid);
    if (file_read(path, 4096, &text, &err) < 0)
        return true;
    const char *name_end = strrchr(text.data, ')');
    return !name_end || name_end[1] == '\0' || name_end[2] == 'Z' || name_end[2] == 'X';
}

bool sandbox_owns(pid_t pid, const char *cgroup)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(64u << 10);
    AUTO_FREE char *path = mem_format("/proc/%d/cgroup", (int)pid);
    AUTO_FREE char *ours = cgroup_oci_path(cgroup);
    if (pid <= 1 || file_read(path, 64u << 10, &text, &err) < 0)
        return false;
    for (struct str rest = buf_str(&text); rest.data;) {
        struct str line = str_cut(&rest, '\n');
        if (str_ends(line, ours))
            return !process_ended(pid);
    }
    return false;
}

/* Entering. */

static int group_write(const char *mount, const char *cgroup, const char *file, int64_t value,
                       struct err *err)
{
    AUTO_FREE char *path = group_path(mount, cgroup, file);
    AUTO_FREE char *text = mem_format("%lld", (long long)value);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return FAIL_SYS(err, "cannot write '%s'", path);
    return 0;
}

static void group_delegate(const char *mount, const char *cgroup)
{
    AUTO_FREE char *path = group_path(mount, cgroup, "cgroup.subtree_control");
    delegate(path);
}

static int group_make(const char *mount, const char *cgroup, struct err *err)
{
    AUTO_FREE char *name = mem_strdup(cgroup), *own = group_path(mount, "", "");
    char *slash = strchr(name, '/');
    if (file_make_dirs(own, 0755, err) < 0)
        return -1;
    group_delegate(mount, "");
    for (;; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        AUTO_FREE char *folder = group_path(mount, name, "");
        if (file_make_dirs(folder, 0755, err) < 0)
            return -1;
        if (!slash)
            return 0;
        group_delegate(mount, name);
        *slash = '/';
    }
}

static int group_limit(const char *mount, const char *cgroup, const char *file, int64_t value,
                       struct err *err)
{
    return value > 0 ? group_write(mount, cgroup, file, value, err) : 0;
}

int sandbox_cgroup_enter(const char *cgroup, pid_t pid, int64_t memory, int64_t pids,
                         struct err *err)
{
    const char *mounts[] = {layout.memory, layout.pids, layout.cpu};
    if (!layout.memory || !layout.pids)
        return FAIL(err, E_UNAVAILABLE, "this machine limits neither memory nor processes");
    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
        if (mounts[i] && group_make(mounts[i], cgroup, err) < 0)
            return -1;
    if (group_limit(layout.memory, cgroup, layout.v2 ? "memory.max" : "memory.limit_in_bytes",
                    memory, err) < 0 ||
        group_limit(layout.pids, cgroup, "pids.max", pids, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
        if (mounts[i] && group_write(mounts[i], cgroup, "cgroup.procs", pid, err) < 0)
            return -1;
    return 0;
}

/* Weight 1..10000 of v2, of which 100 is usual; v1 counts 1024 as usual. */
void sandbox_cgroup_weight(const char *group, int64_t weight)
{
    struct err err = ERR_INIT;
    if (!layout.cpu)
        return;
    if (group_make(layout.cpu, group, &err) < 0 ||
        group_write(layout.cpu, group, layout.v2 ? "cpu.weight" : "cpu.shares",
                    layout.v2 ? weight : weight * 1024 / 100, &err) < 0)
        log_warn("a group gets no weight of its own, going on without", F_STR("group", group),
                 F_ERR(&err));
}

int sandbox_group_beside(const char *name, int64_t weight)
{
    struct err err = ERR_INIT;
    if (!layout.v2)
        return -1;
    sandbox_cgroup_weight(name, weight); /* makes it */
    AUTO_FREE char *path = group_path(layout.memory, name, "");
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && FAIL_SYS(&err, "cannot open '%s'", path) < 0)
        log_warn("no group for what outlives us, it starts in ours", F_ERR(&err));
    return fd;
}

/* Ending. */

/* KILL to all in this folder and below; returns how many were there. */
static size_t group_kill(const char *folder)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(1u << 20);
    AUTO_FREE char *procs = mem_format("%s/cgroup.procs", folder);
    size_t count = 0;
    int64_t pid;
    if (file_read(procs, 1u << 20, &text, &err) == 0)
        for (struct str rest = buf_str(&text); rest.data;) {
            struct str line = str_cut(&rest, '\n');
            if (str_to_int(line, 2, INT32_MAX, "pid", &pid, &err) == 0 && ++count)
                (void)kill((pid_t)pid, SIGKILL); /* gone is what we want */
        }
    DIR *below = opendir(folder);
    if (!below)
        return count;
    for (struct dirent *entry; (entry = readdir(below));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            AUTO_FREE char *path = mem_format("%s/%s", folder, entry->d_name);
            count += group_kill(path);
        }
    (void)closedir(below);
    return count;
}

static void group_kill_v2(const char *folder)
{
    AUTO_FREE char *path = mem_format("%s/cgroup.kill", folder);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)!write(fd, "1", 1); /* the walk over cgroup.procs follows */
}

static size_t group_kill_all(const char *cgroup)
{
    size_t count = 0;
    for (size_t i = 0; i < layout.count; i++) {
        AUTO_FREE char *folder = group_path(layout.path[i], cgroup, "");
        if (layout.v2)
            group_kill_v2(folder);
        count += group_kill(folder);
    }
    return count;
}

void sandbox_cgroup_kill(const char *cgroup)
{
    (void)group_kill_all(cgroup);
}

/* rmdir from the leaves up. 0 when it is gone. */
static int group_rmdir(const char *folder)
{
    DIR *below = opendir(folder);
    if (!below)
        return errno == ENOENT ? 0 : -1;
    for (struct dirent *entry; (entry = readdir(below));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            AUTO_FREE char *path = mem_format("%s/%s", folder, entry->d_name);
            (void)group_rmdir(path); /* shows at the parent */
        }
    (void)closedir(below);
    return rmdir(folder) == 0 || errno == ENOENT ? 0 : -1;
}

static bool group_rmdir_all(const char *cgroup)
{
    bool gone = true;
    for (size_t i = 0; i < layout.count; i++) {
        AUTO_FREE char *folder = group_path(layout.path[i], cgroup, "");
        gone &= group_rmdir(folder) == 0;
    }
    return gone;
}

/* The app-env's group goes with its last container; a group in use refuses. */
static void group_rmdir_parent(const char *cgroup)
{
    const char *slash = strrchr(cgroup, '/');
    if (!slash)
        return;
    AUTO_FREE char *parent = mem_strndup(cgroup, (size_t)(slash - cgroup));
    for (size_t i = 0; i < layout.count; i++) {
        AUTO_FREE char *folder = group_path(layout.path[i], parent, "");
        (void)rmdir(folder); /* not empty: others live there */
    }
}

int sandbox_cgroup_remove(const char *cgroup, struct err *err)
{
    int64_t until = clock_mono_ms(clock_system()) + WAIT_MS;
    ASSERT(*cgroup && *cgroup != '/' && !strstr(cgroup, ".."));
    for (;;) {
        size_t left = group_kill_all(cgroup);
        if (left == 0 && group_rmdir_all(cgroup))
            break;
        if (clock_mono_ms(clock_system()) > until)
            return FAIL(err, E_TIMEOUT, "cannot empty cgroup '%s': %zu processes left", cgroup,
                        left);
        (void)poll(NULL, 0, 2); /* the dying need a moment */
    }
    group_rmdir_parent(cgroup);
    return 0;
}

void cgroup_teardown(void)
{
    for (size_t i = 0; i < layout.count; i++) {
        AUTO_FREE char *folder = group_path(layout.path[i], "", "");
        (void)group_rmdir(folder); /* refused where something still lives */
    }
}

static void list_level(const char *folder, const char *prefix, int depth, struct map *seen)
{
    DIR *below = opendir(folder);
    if (!below)
        return;
    for (struct dirent *entry; (entry = readdir(below));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        AUTO_FREE char *path = mem_format("%s/%s", folder, entry->d_name);
        AUTO_FREE char *name = mem_format("%s%s%s", prefix, *prefix ? "/" : "", entry->d_name);
        if (depth == 1)
            (void)map_put(seen, name, seen);
        else
            list_level(path, name, depth - 1, seen);
    }
    (void)closedir(below);
}

json_t *sandbox_cgroup_list(void)
{
    json_t *list = json_array();
    struct map seen;
    map_init(&seen);
    for (size_t i = 0; i < layout.count; i++) {
        AUTO_FREE char *folder = group_path(layout.path[i], "", "");
        list_level(folder, "", 2, &seen);
    }
    for (size_t i = 0; i < seen.count; i++)
        json_push(list, json_str_value(str_of(seen.entries[i].key)));
    map_done(&seen);
    return list;
}
