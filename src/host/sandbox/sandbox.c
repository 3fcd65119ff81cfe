/* Setting the machine up for containers, and the calls that both kinds of container share. */
#include "host/sandbox/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/network/network.h"
#include "host/sandbox/sandbox_priv.h"
#include "io/loop.h"
#include "wire/doctor.h"

#define CRUN "/usr/bin/crun"
#define PATH "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

struct sandbox_paths sandbox_paths;

/* Containers' ids walk down to their root from "/": every folder on the way must let them. */
static int check_traversable(const char *path, struct err *err)
{
    size_t length = strlen(path);
    for (size_t i = 1; i <= length; i++) {
        struct stat info;
        if (path[i] != '/' && path[i] != '\0')
            continue;
        AUTO_FREE char *folder = mem_strndup(path, i);
        if (stat(folder, &info) == 0 && !(info.st_mode & S_IXOTH))
            return FAIL(err, E_CONFIG_INVALID,
                        "'%s' must be traversable by everybody (chmod o+x): containers live below",
                        folder);
    }
    return 0;
}

static int folders_setup(const struct settings *settings, struct err *err)
{
    sandbox_paths.settings = settings;
    sandbox_paths.roots = settings_run(settings, "root");
    sandbox_paths.crun = settings_run(settings, "crun");
    sandbox_paths.binary = settings_run(settings, "crun.bin");
    if (file_make_dirs(sandbox_paths.roots, 0711, err) < 0 ||
        file_make_dirs(sandbox_paths.crun, 0700, err) < 0)
        return -1;
    return check_traversable(sandbox_paths.roots, err);
}

static int namespace_setup(struct err *err)
{
    AUTO_FREE char *hide = NULL;
    if (cgroup_setup(sandbox_paths.settings->id, &hide, err) < 0)
        return -1;
    if (unshare(CLONE_NEWNS) < 0)
        return FAIL_SYS(err, "cannot make a mount namespace (is the host role root?)");
    /* slave: what the machine mounts later is seen here, what we mount is not seen there, and no
     * mount of the machine is pinned by a long-lived container. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return FAIL_SYS(err, "cannot make the mounts slaves");
    if (hide && umount2(hide, MNT_DETACH) < 0)
        return FAIL_SYS(err, "cannot hide '%s'", hide);
    return 0;
}

/* crun copies itself into memory and starts again at every call, so that a container cannot write
 * to its binary; a binary on a read-only mount needs no copy (a third of a creation's time). */
static int crun_setup(struct err *err)
{
    AUTO_CLOSE int fd = open(sandbox_paths.binary, O_WRONLY | O_CREAT | O_CLOEXEC, 0500);
    if (fd < 0)
        return FAIL_SYS(err, "cannot make '%s'", sandbox_paths.binary);
    if (mount(CRUN, sandbox_paths.binary, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, sandbox_paths.binary, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID,
              NULL) < 0)
        return FAIL_SYS(err, "cannot bind '%s'", CRUN);
    return 0;
}

const char *sandbox_crun(void)
{
    return sandbox_paths.binary;
}

const char *const *sandbox_crun_env(void)
{
    static const char *const env[] = {PATH, "_LIBCONTAINER_CLONED_BINARY=1", "_OCI_SYNCPIPE=3",
                                      NULL};
    return env;
}

int sandbox_setup(const struct settings *settings, struct err *err)
{
    if (!file_exists(CRUN))
        return FAIL(err, E_UNAVAILABLE, "'%s' is missing: install crun", CRUN);
    if (folders_setup(settings, err) < 0 || namespace_setup(err) < 0 || crun_setup(err) < 0)
        return -1;
    /* conmon and build containers become ours when their parents end, so that we can wait. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return FAIL_SYS(err, "cannot become a subreaper");
    reap_start();
    return network_setup(settings, err);
}

void sandbox_teardown(const struct settings *settings)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *hide = NULL;
    /* `down` was never set up: it learns here where cgroups stand. */
    if (!sandbox_paths.settings && cgroup_setup(settings->id, &hide, &err) < 0)
        log_warn("cannot find the cgroups, leaving them", F_ERR(&err));
    AUTO_JSON *groups = sandbox_cgroup_list();
    size_t index;
    json_t *group;
    json_array_foreach(groups, index,
                       group) if (sandbox_cgroup_remove(json_string_value(group), &err) < 0)
        log_warn("cannot remove a cgroup, leaving it", F_ERR(&err));
    cgroup_teardown();
    if (sandbox_paths.binary)
        (void)umount2(sandbox_paths.binary, MNT_DETACH); /* only ours to see */
    network_teardown(settings);
}

int sandbox_prepare(const struct sandbox_spec *spec, struct err *err)
{
    CHECK_LOOP();
    ASSERT(spec->name && spec->cgroup && spec->folder && spec->lower && spec->argv);
    AUTO_FREE char *rootfs = rootfs_path(spec->name);
    AUTO_FREE char *path = mem_format("%s/config.json", spec->folder);
    if (rootfs_mount(spec, err) < 0)
        return -1;
    if (spec->config) { /* variables may be secrets: not on a disk */
        if ((unlink(path) < 0 && errno != ENOENT) || symlink(spec->config, path) < 0)
            return FAIL_SYS(err, "cannot link '%s'", path);
        free(path);
        path = mem_strdup(spec->config);
    }
    AUTO_JSON *config = config_build(spec, rootfs);
    AUTO_FREE char *text = json_print(config);
    size_t length = strlen(text);
    FAULT("sandbox.config");
    /* No fsync: a bundle does not outlive a crash of the machine. */
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, length) != (ssize_t)length)
        return FAIL_SYS(err, "cannot write '%s'", path);
    return 0;
}

const char *sandbox_crun_root(void)
{
    return sandbox_paths.crun;
}

static char *fifo_path(const char *name)
{
    return mem_format("%s/%s/exec.fifo", sandbox_paths.crun, name);
}

bool sandbox_is_created(const char *name)
{
    AUTO_FREE char *path = fifo_path(name);
    return file_exists(path);
}

int sandbox_start(const char *name, struct err *err)
{
    AUTO_FREE char *path = fifo_path(name);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    FAULT("sandbox.start");
    if (fd < 0 || write(fd, "", 1) != 1)
        return FAIL(err, E_STATE_CONFLICT, "container '%s' does not wait for its start: %s", name,
                    strerror(errno));
    (void)unlink(path); /* as crun start does: it tells created from running */
    return 0;
}

/* Deleting. */

struct removal {
    char *name;
    char *cgroup;
    void (*done)(void *context);
    void *context;
};

static void removal_end(struct removal *r)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *state = mem_format("%s/%s", sandbox_paths.crun, r->name);
    if (sandbox_cgroup_remove(r->cgroup, &err) < 0 || file_remove_tree(state, &err) < 0)
        log_warn("cannot remove all of a container, leaving the rest", F_STR("container", r->name),
                 F_ERR(&err));
    if (r->done)
        r->done(r->context);
    free(r->name);
    free(r->cgroup);
    free(r);
}

static void removal_exited(void *context, const struct child_result *result)
{
    struct removal *r = context;
    struct err err = ERR_INIT;
    if (child_check(result, "crun delete", &err) < 0)
        log_debug("crun delete failed, removing by hand", F_STR("container", r->name), F_ERR(&err));
    removal_end(r);
}

static void removal_absent(void *context)
{
    removal_end(context);
}

void sandbox_delete(const char *name, const char *cgroup, void (*done)(void *context),
                    void *context)
{
    const char *argv[] = {
        sandbox_paths.binary, "--root", sandbox_paths.crun, "delete", "--force", name, NULL};
    struct err err = ERR_INIT;
    AUTO_FREE char *state = mem_format("%s/%s/status", sandbox_paths.crun, name);
    struct removal *r = mem_alloc(sizeof(*r));
    r->name = mem_strdup(name);
    r->cgroup = mem_strdup(cgroup);
    r->done = done;
    r->context = context;
    FAULT("sandbox.delete");
    sandbox_cgroup_kill(cgroup); /* crun then finds it stopped and need not wait */
    if (!file_exists(state)) {
        loop_defer(removal_absent, r);
        return;
    }
    struct child_spec spec = {.argv = argv,
                              .env = sandbox_crun_env(),
                              .stdin_fd = -1,
                              .out = CHILD_DISCARD,
                              .error = CHILD_COLLECT,
                              .timeout_ms = 10000,
                              .on_exit = removal_exited,
                              .context = r};
    if (child_start(&spec, NULL, &err) < 0) {
        log_warn("cannot run crun delete, removing by hand", F_STR("container", name), F_ERR(&err));
        loop_defer(removal_absent, r);
    }
}

void sandbox_doctor(json_t *checks)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *folder = settings_data(sandbox_paths.settings, "host");
    bool idmap = rootfs_probe(folder, &err) == 0;
    AUTO_FREE char *lacks = cgroup_lacks();
    doctor_programs(checks);
    doctor_push(checks, "cgroups", !lacks,
                lacks            ? lacks
                : cgroup_is_v2() ? "v2"
                                 : "v1 (v2, if any, hidden)",
                "limits of instances and builds need the controllers cpu, memory and pids, "
                "writable: see the kernel's command line and who mounts /sys/fs/cgroup");
    doctor_push(checks, "idmapped mounts", idmap, idmap ? "work" : err.text,
                "keep data_dir on ext4, xfs or btrfs");
    network_doctor(checks);
}
