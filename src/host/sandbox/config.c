/* The OCI config.json of a container. Everything is said explicitly; what is left out is refused by
 * default: no capability (or the build set), no new privileges, a seccomp list on top of the user
 * namespace, masked kernel files, tmpfs on everything writable.
 *
 * The container sees its own limits below /sys/fs/cgroup, read-only: without them a JVM or node
 * sizes its heap by the whole machine. */
#include <errno.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include "base/check.h"
#include "base/mem.h"
#include "host/sandbox/sandbox_priv.h"

static json_t *texts(const char *const *list)
{
    json_t *array = json_array();
    for (; list && *list; list++)
        json_push(array, json_str_value(str_of(*list)));
    return array;
}

#define TEXTS(...) texts((const char *const[]){__VA_ARGS__, NULL})

/* Capabilities of root in a build: what package scripts need on their own files. */
static const char *const build_caps[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",  "CAP_FSETID",
    "CAP_SETUID",  "CAP_SETGID",           "CAP_SETFCAP", "CAP_KILL",
    "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", NULL};

static json_t *capabilities(enum sandbox_caps caps)
{
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    static const char *const others[] = {"inheritable", "ambient"};
    json_t *all = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
        json_put(all, sets[i], texts(caps == SANDBOX_CAPS_BUILD ? build_caps : NULL));
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        json_put(all, others[i], json_array());
    return all;
}

static void limit_push(json_t *limits, const char *type, int64_t most)
{
    json_t *limit = json_object();
    json_put_text(limit, "type", type);
    json_put_int(limit, "hard", most);
    json_put_int(limit, "soft", most);
    json_push(limits, limit);
}

static json_t *process_limits(int64_t files_max)
{
    struct rlimit ours = {0};
    json_t *limits = json_array();
    int64_t most = files_max > 0 ? files_max : 4096;
    if (getrlimit(RLIMIT_NOFILE, &ours) == 0 && (rlim_t)most > ours.rlim_max)
        most = (int64_t)ours.rlim_max; /* raising it may be forbidden to us */
    limit_push(limits, "RLIMIT_NOFILE", most);
    limit_push(limits, "RLIMIT_CORE", 0); /* dumps would go to the machine's handler, as root */
    return limits;
}

static json_t *process(const struct sandbox_spec *spec)
{
    json_t *p = json_object();
    json_t *user = json_object();
    json_put_int(user, "uid", spec->uid);
    json_put_int(user, "gid", spec->gid);
    json_put_bool(p, "terminal", false);
    json_put(p, "user", user);
    json_put(p, "args", texts(spec->argv));
    json_put(p, "env", texts(spec->env));
    json_put_text(p, "cwd", spec->cwd ? spec->cwd : "/");
    json_put(p, "capabilities", capabilities(spec->caps));
    json_put(p, "rlimits", process_limits(spec->files_max));
    json_put_bool(p, "noNewPrivileges", true);
    return p;
}

/* Mounts. */

static void mount_push(json_t *mounts, const char *target, const char *type, const char *source,
                       json_t *options)
{
    json_t *m = json_object();
    json_put_text(m, "destination", target);
    json_put_text(m, "type", type);
    json_put_text(m, "source", source);
    json_put(m, "options", options);
    json_push(mounts, m);
}

static json_t *mounts(const struct sandbox_spec *spec)
{
    json_t *all = json_array();
    AUTO_FREE char *tmp = mem_format("size=%s", spec->tmp_size ? spec->tmp_size : "64m");
    mount_push(all, "/proc", "proc", "proc", TEXTS("nosuid", "nodev", "noexec"));
    mount_push(all, "/dev", "tmpfs", "tmpfs", TEXTS("nosuid", "mode=755", "size=64k"));
    mount_push(all, "/dev/pts", "devpts", "devpts",
               TEXTS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"));
    mount_push(all, "/dev/shm", "tmpfs", "shm",
               TEXTS("nosuid", "nodev", "noexec", "mode=1777", "size=64m"));
    mount_push(all, "/sys", "sysfs", "sysfs", TEXTS("ro", "nosuid", "nodev", "noexec"));
    mount_push(all, "/sys/fs/cgroup", "cgroup", "cgroup", TEXTS("ro", "nosuid", "nodev", "noexec"));
    mount_push(all, "/run", "tmpfs", "tmpfs", TEXTS("nosuid", "nodev", "mode=755", "size=16m"));
    mount_push(all, "/tmp", "tmpfs", "tmpfs", TEXTS("nosuid", "nodev", "mode=1777", tmp));
    for (size_t i = 0; i < spec->bind_count; i++) {
        const struct sandbox_bind *b = &spec->binds[i];
        mount_push(all, b->target, "bind", b->source,
                   TEXTS("bind", b->writable ? "rw" : "ro", "nosuid", "nodev", "private"));
    }
    return all;
}

/* System calls that are refused. Default: allowed; the user namespace does the rest. */

static const char *const refused[] = {
    /* mounts and namespaces */
    "mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "unshare", "setns",
    /* other processes, kernel interfaces of ill fame */
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "keyctl", "add_key",
    "request_key", "bpf", "perf_event_open", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "userfaultfd", "fanotify_init", "open_by_handle_at", "lookup_dcookie",
    /* the machine */
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "create_module", "get_kernel_syms", "query_module", "reboot", "swapon", "swapoff", "acct",
    "quotactl", "quotactl_fd", "nfsservctl", "syslog", "vhangup", "iopl", "ioperm", "settimeofday",
    "stime", "clock_settime", "clock_settime64", "clock_adjtime", "clock_adjtime64", "adjtimex",
    "vm86", "vm86old", "_sysctl", "sysfs", "uselib", "ustat", NULL};

static json_t *seccomp_rule(json_t *names, int number)
{
    json_t *rule = json_object();
    json_put(rule, "names", names);
    json_put_text(rule, "action", "SCMP_ACT_ERRNO");
    json_put_int(rule, "errnoRet", number);
    return rule;
}

static json_t *seccomp_rule_if(const char *name, int index, int64_t value, int64_t mask)
{
    json_t *rule = seccomp_rule(TEXTS(name), EPERM);
    json_t *conditions = json_array();
    json_t *condition = json_object();
    json_put_int(condition, "index", index);
    json_put_int(condition, "value", mask ? mask : value);
    if (mask)
        json_put_int(condition, "valueTwo", value);
    json_put_text(condition, "op", mask ? "SCMP_CMP_MASKED_EQ" : "SCMP_CMP_EQ");
    json_push(conditions, condition);
    json_put(rule, "args", conditions);
    return rule;
}

static json_t *seccomp(void)
{
    json_t *s = json_object();
    json_t *rules = json_array();
    json_put_text(s, "defaultAction", "SCMP_ACT_ALLOW");
#if defined(__x86_64__)
    json_put(s, "architectures", TEXTS("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"));
#elif defined(__aarch64__)
    json_put(s, "architectures", TEXTS("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"));
#endif
    json_push(rules, seccomp_rule(texts(refused), EPERM));
    json_push(rules, seccomp_rule(TEXTS("clone3"), ENOSYS)); /* flags unseen: libc takes clone */
    json_push(rules, seccomp_rule_if("clone", 0, CLONE_NEWUSER, CLONE_NEWUSER));
    json_push(rules, seccomp_rule_if("ioctl", 1, TIOCSTI, 0xffffffff));
    json_push(rules, seccomp_rule_if("socket", 0, AF_ALG, 0));
    json_push(rules, seccomp_rule_if("socket", 0, AF_VSOCK, 0));
    json_put(s, "syscalls", rules);
    return s;
}

/* Limits and namespaces. */

static json_t *resources(const struct sandbox_spec *spec)
{
    json_t *r = json_object();
    json_t *devices = json_array();
    json_t *none = json_object();
    json_put_bool(none, "allow", false);
    json_put_text(none, "access", "rwm");
    json_push(devices, none);
    json_put(r, "devices", devices);
    if (spec->memory > 0) {
        json_t *memory = json_object();
        json_put_int(memory, "limit", spec->memory);
        if (cgroup_has_memsw())
            json_put_int(memory, "swap", spec->memory); /* both together: no swap beyond it */
        json_put(r, "memory", memory);
    }
    if (spec->cpu_millis > 0) {
        json_t *cpu = json_object();
        json_put_int(cpu, "period", 100000);
        json_put_int(cpu, "quota", spec->cpu_millis * 100);
        json_put(r, "cpu", cpu);
    }
    if (spec->pids > 0) {
        json_t *pids = json_object();
        json_put_int(pids, "limit", spec->pids);
        json_put(r, "pids", pids);
    }
    return r;
}

static json_t *namespaces(void)
{
    static const char *const types[] = {"user", "pid", "mount", "ipc", "uts", "network"};
    json_t *all = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        json_t *one = json_object();
        json_put_text(one, "type", types[i]);
        json_push(all, one);
    }
    if (cgroup_is_v2()) {
        json_t *one = json_object();
        json_put_text(one, "type", "cgroup");
        json_push(all, one);
    }
    return all;
}

static json_t *id_map(uint32_t range)
{
    json_t *map = json_array();
    json_t *row = json_object();
    json_put_int(row, "containerID", 0);
    json_put_int(row, "hostID", range);
    json_put_int(row, "size", 65536);
    json_push(map, row);
    return map;
}

static json_t *sysctl(void)
{
    json_t *s = json_object();
    json_put_text(s, "net.ipv4.ip_unprivileged_port_start", "0");
    json_put_text(s, "net.ipv6.conf.all.disable_ipv6", "1");
    json_put_text(s, "net.ipv6.conf.default.disable_ipv6", "1");
    if (access("/proc/sys/net/ipv6", F_OK) != 0) {                  /* a kernel without IPv6 */
        (void)json_object_del(s, "net.ipv6.conf.all.disable_ipv6"); /* they are there */
        (void)json_object_del(s, "net.ipv6.conf.default.disable_ipv6");
    }
    return s;
}

static json_t *linux_part(const struct sandbox_spec *spec)
{
    json_t *l = json_object();
    AUTO_FREE char *group = cgroup_oci_path(spec->cgroup);
    json_put(l, "namespaces", namespaces());
    json_put(l, "uidMappings", id_map(spec->range));
    json_put(l, "gidMappings", id_map(spec->range));
    json_put_text(l, "cgroupsPath", group);
    json_put(l, "resources", resources(spec));
    json_put(l, "sysctl", sysctl());
    json_put(l, "seccomp", seccomp());
    json_put_text(l, "rootfsPropagation", "private");
    json_put(l, "maskedPaths",
             TEXTS("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                   "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/proc/config.gz",
                   "/sys/firmware", "/sys/devices/virtual/powercap"));
    json_put(l, "readonlyPaths",
             TEXTS("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"));
    return l;
}

json_t *config_build(const struct sandbox_spec *spec, const char *rootfs)
{
    json_t *c = json_object();
    json_t *root = json_object();
    char host[64];
    (void)snprintf(host, sizeof(host), "%s", spec->name); /* cut at what the kernel takes */
    json_put_text(c, "ociVersion", "1.0.0");
    json_put_text(root, "path", rootfs);
    json_put_bool(root, "readonly", spec->upper == NULL);
    json_put(c, "root", root);
    json_put(c, "process", process(spec));
    json_put_text(c, "hostname", host);
    json_put(c, "mounts", mounts(spec));
    json_put(c, "linux", linux_part(spec));
    return c;
}
