/* See teardown.h. The finders know nothing of who made what: they look for the installation's id,
 * folders and ids on the machine, so that what a crashed role left is found as well. */
#include "host/teardown.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "host/edge/edge.h"
#include "host/sandbox/sandbox.h"

#define STOP_MS 10000 /* for all containers together */
#define PROC_MAX (1u << 20)
#define PIDS_MAX 4096

static void left_add(struct map *left, char *what) /* takes what */
{
    uintptr_t count = (uintptr_t)map_get(left, what);
    (void)map_put(left, what, (void *)(count + 1));
    free(what);
}

/* Every entry of a folder; stops when fn says so. */
static void each_entry(const char *folder, bool (*fn)(void *context, const char *name),
                       void *context)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && !fn(context, entry->d_name))
            break;
    if (dir)
        (void)closedir(dir);
}

/* Processes. */

static bool proc_read(pid_t pid, const char *name, struct buf *ret_text)
{
    struct err ignored = ERR_INIT; /* it may just have ended */
    AUTO_FREE char *path = mem_format("/proc/%d/%s", (int)pid, name);
    buf_clear(ret_text);
    return file_read(path, PROC_MAX, ret_text, &ignored) == 0 && ret_text->length > 0;
}

static int64_t status_number(const char *status, const char *key)
{
    const char *at = strstr(status, key);
    return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

/* Does an argument name one of our folders or our settings? */
static bool words_are_ours(const struct settings *s, struct str words)
{
    while (words.data) {
        struct str word = str_cut(&words, '\0');
        for (size_t i = 0; i < word.length; i++)
            if (word.data[i] == '/') {
                const char *path = word.data + i; /* the buf ends with NUL, words with NUL */
                if (path_within(path, s->data_dir) || path_within(path, s->run_dir) ||
                    text_is(path, s->path))
                    return true;
                break;
            }
    }
    return false;
}

static bool is_role_user(const struct settings *s, int64_t uid)
{
    const char *const users[] = {s->user_core, s->user_courier, s->user_signals, s->user_edge};
    struct err ignored = ERR_INIT; /* a user that does not exist runs nothing */
    uid_t found;
    gid_t gid;
    for (size_t i = 0; i < ARRAY_SIZE(users); i++)
        if (settings_uid(users[i], &found, &gid, &ignored) == 0 && (int64_t)found == uid)
            return true;
    return false;
}

/* Programs that run as root for us: another one that names our folders (an editor, a shell) is its
 * owner's. */
static bool is_our_program(const char *name)
{
    static const char *const programs[] = {"conmon", "crun", "haproxy", "mmdebstrap", "mke2fs"};
    if (text_starts(name, "slipway"))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
        if (text_starts(name, programs[i]))
            return true;
    return false;
}

static bool process_is_ours(const struct settings *s, pid_t pid, char ret_name[32])
{
    AUTO_BUF text = BUF_INIT(PROC_MAX);
    AUTO_FREE char *link = mem_format("/proc/%d/cwd", (int)pid);
    AUTO_FREE char *group = mem_format(":/%s/", s->id);
    char cwd[4096];
    if (pid == getpid() || !proc_read(pid, "status", &text) || strstr(text.data, "\nState:\tZ"))
        return false;
    int64_t uid = status_number(text.data, "\nUid:\t");
    if (sscanf(text.data, "Name:\t%31s", ret_name) != 1)
        return false;
    if (proc_read(pid, "cgroup", &text) && strstr(text.data, group))
        return true;
    bool role_user = is_role_user(s, uid);
    if (!role_user && !(uid == 0 && is_our_program(ret_name)))
        return false;
    ssize_t length = readlink(link, cwd, sizeof(cwd) - 1);
    cwd[length > 0 ? length : 0] = '\0';
    if (role_user && (path_within(cwd, s->data_dir) || path_within(cwd, s->run_dir)))
        return true;
    return proc_read(pid, "cmdline", &text) && words_are_ours(s, buf_str(&text));
}

struct process_search {
    const struct settings *settings;
    struct map *left; /* or NULL */
    int signal;       /* or 0 */
};

static bool process_seen(void *context, const char *name)
{
    struct process_search *search = context;
    char program[32];
    pid_t pid = isdigit((unsigned char)name[0]) ? (pid_t)strtol(name, NULL, 10) : 0;
    AUTO_CLOSE int pidfd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pidfd < 0 || !process_is_ours(search->settings, pid, program))
        return true;
    if (search->signal) /* the pidfd was there before the look */
        (void)syscall(SYS_pidfd_send_signal, pidfd, search->signal, NULL, 0);
    if (search->left)
        left_add(search->left, mem_format("process %s", program));
    return true;
}

static void processes(const struct settings *s, struct map *left, int signal)
{
    struct process_search search = {s, left, signal};
    each_entry("/proc", process_seen, &search);
}

static size_t process_count(const struct settings *s)
{
    struct map left;
    map_init(&left);
    processes(s, &left, 0);
    size_t count = left.count;
    map_done(&left);
    return count;
}

/* Mounts, cgroups, links, firewall, loop devices. */

static void mounts(const struct settings *s, struct map *left, bool remove)
{
    AUTO_BUF text = BUF_INIT(16u << 20);
    AUTO_FREE char *host = settings_data(s, "host");
    struct err err = ERR_INIT;
    if (file_read("/proc/self/mountinfo", 16u << 20, &text, &err) < 0)
        return;
    for (struct str rest = buf_str(&text); rest.data;) {
        struct str line = str_cut(&rest, '\n'), field = {0};
        for (int i = 0; i < 5; i++)
            field = str_cut(&line, ' ');
        AUTO_FREE char *path = str_dup(field);
        bool below = (path_within(path, s->run_dir) && !text_is(path, s->run_dir)) ||
                     (path_within(path, host) && !text_is(path, host));
        if (below && remove && umount2(path, MNT_DETACH) < 0)
            log_warn("cannot unmount, leaving it", F_STR("path", path),
                     F_STR("why", strerror(errno)));
        if (below && left)
            left_add(left, mem_format("mount %s", path));
    }
}

struct group_search {
    const struct settings *settings;
    struct map *left;
};

static bool hierarchy_seen(void *context, const char *name)
{
    struct group_search *search = context;
    AUTO_FREE char *path = mem_format("/sys/fs/cgroup/%s/%s", name, search->settings->id);
    if (file_exists(path))
        left_add(search->left, mem_format("cgroup %s", search->settings->id));
    return true;
}

static void groups_left(const struct settings *s, struct map *left)
{
    struct group_search search = {s, left};
    AUTO_FREE char *pure = mem_format("/sys/fs/cgroup/%s/cgroup.procs", s->id);
    if (file_exists(pure))
        left_add(left, mem_format("cgroup %s", s->id));
    else
        each_entry("/sys/fs/cgroup", hierarchy_seen, &search);
}

static bool link_seen(void *context, const char *name)
{
    struct group_search *search = context;
    AUTO_FREE char *bridge = mem_format("%s0", search->settings->id);
    AUTO_FREE char *veth = mem_format("%s-", search->settings->id);
    if (text_is(name, bridge))
        left_add(search->left, mem_format("bridge %s", name));
    else if (text_starts(name, veth))
        left_add(search->left, mem_format("veth %s*", veth));
    return true;
}

/* Run it in silence; its exit code, or -1. */
static int program_run(const char *const *argv)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; fd < 3; fd++)
            (void)dup2(null, fd);
        (void)execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void links_left(const struct settings *s, struct map *left)
{
    struct group_search search = {s, left};
    each_entry("/sys/class/net", link_seen, &search);
    const char *const nft[] = {"/usr/sbin/nft", "list", "table", "inet", s->id, NULL};
    if (program_run(nft) == 0)
        left_add(left, mem_format("nftables table inet %s", s->id));
}

static bool loop_seen(void *context, const char *name)
{
    struct group_search *search = context;
    AUTO_BUF text = BUF_INIT(8192);
    AUTO_FREE char *path = mem_format("/sys/block/%s/loop/backing_file", name);
    struct err ignored = ERR_INIT;
    if (file_read(path, 8192, &text, &ignored) == 0 && text.data &&
        path_within(text.data, search->settings->data_dir))
        left_add(search->left, mem_format("loop device of %.*s", (int)text.length - 1, text.data));
    return true;
}

void teardown_left(const struct settings *s, struct map *ret_left)
{
    struct group_search search = {s, ret_left};
    map_init(ret_left);
    processes(s, ret_left, 0);
    mounts(s, ret_left, false);
    groups_left(s, ret_left);
    links_left(s, ret_left);
    each_entry("/sys/block", loop_seen, &search);
}

/* Ending. */

/* The first process of each container gets TERM, as from `crun kill`: an app ends in its own way.
 */
static bool container_seen(void *context, const char *name)
{
    const struct settings *s = context;
    AUTO_BUF text = BUF_INIT(1u << 20);
    AUTO_JSON *status = NULL;
    struct err err = ERR_INIT;
    AUTO_FREE char *below = mem_format("crun/%s/status", name);
    AUTO_FREE char *path = settings_run(s, below);
    AUTO_FREE char *group = mem_format(":/%s/", s->id);
    if (file_read(path, 1u << 20, &text, &err) < 0 || json_parse(buf_str(&text), &status, &err) < 0)
        return true;
    pid_t pid = (pid_t)json_int(status, "pid", 0);
    AUTO_CLOSE int pidfd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pidfd < 0 || !proc_read(pid, "cgroup", &text) || !strstr(text.data, group))
        return true; /* it ended, and the number is another's */
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
    return true;
}

static void containers_stop(const struct settings *s)
{
    AUTO_FREE char *folder = settings_run(s, "crun");
    int64_t end = clock_mono_ms(clock_system()) + STOP_MS;
    each_entry(folder, container_seen, (void *)(uintptr_t)s);
    while (process_count(s) > 0 && clock_mono_ms(clock_system()) < end)
        (void)poll(NULL, 0, 20);
}

/* The kernel takes the links of a namespace that ended away in its own time. */
static void links_settle(const struct settings *s)
{
    struct map left;
    struct group_search search = {s, &left};
    int64_t end = clock_mono_ms(clock_system()) + STOP_MS;
    for (size_t count = 1; count > 0 && clock_mono_ms(clock_system()) < end;) {
        map_init(&left);
        each_entry("/sys/class/net", link_seen, &search);
        count = left.count;
        map_done(&left);
        if (count > 0)
            (void)poll(NULL, 0, 20);
    }
}

void teardown_run(const struct settings *s)
{
    struct err err = ERR_INIT;
    if (edge_shutdown(s, &err) < 0)
        log_warn("cannot end the edge in order, killing it", F_ERR(&err));
    containers_stop(s);
    for (int i = 0; i < 100 && process_count(s) > 0; i++) {
        processes(s, NULL, SIGKILL);
        (void)poll(NULL, 0, 20);
    }
    sandbox_teardown(s);
    mounts(s, NULL, true);
    links_settle(s);
}
