/* One container: crun in its own user, pid, mount, ipc, uts and network namespaces, in a cgroup
 * with limits (v1, v2 or hybrid). Two kinds use it: an instance (under conmon, outlives us,
 * host/instance) and a build step (a child of ours, dies with its cgroup, host/build).
 *
 * The host process lives in a private mount namespace (`/` rslave, no v2 cgroup mount on the hybrid
 * layout), made once by sandbox_setup. A root file system is an overlay of read-only lower folders,
 * each idmapped into the container's range of 65,536 ids, so that nothing is copied and root inside
 * is nobody outside; where the kernel cannot idmap, sandbox_prepare says so (E_UNAVAILABLE). The
 * root is mounted at run_dir/root/NAME (only our mount namespace sees it) because every folder
 * above it must be open to the container's ids: run_dir has to be traversable by all, data_dir need
 * not be. Loop thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/json.h"
#include "io/child.h"
#include "wire/settings.h"

/* Once, before the loop runs: mount namespace, cgroup layout, bridge, nftables, ip_forward. */
int sandbox_setup(const struct settings *settings, struct err *err) MUST_CHECK;

struct sandbox_bind {
    const char *source; /* absolute on the host */
    const char *target; /* absolute inside */
    bool writable;      /* otherwise ro; always nosuid,nodev; source ids are NOT mapped (own them by
                           range) */
};
enum sandbox_caps {
    SANDBOX_CAPS_NONE,  /* an instance */
    SANDBOX_CAPS_BUILD, /* root of its user namespace: chown dac_override fowner setuid setgid kill
                           ... no net_admin, no sys_* */
};
struct sandbox_spec {
    const char *name;   /* container id, unique in the installation: [A-Za-z0-9._-], at most 128 */
    const char *cgroup; /* below the installation's own group: "shop.dev/r42.1" */
    const char *folder; /* the bundle's folder: exists, root 0700, on a file system that can be
                           idmapped (no tmpfs); config.json, skeleton/, rootfs (a link to
                           run_dir/root/NAME), pid... are made in it */
    const char *config; /* NULL, or where config.json itself is put (a path on tmpfs: its variables
                           may be secrets); the folder then holds a link. The caller removes it */
    const char *const *lower; /* read-only folders, topmost first, NULL-terminated */
    const char *upper; /* NULL: the root is read-only; otherwise a folder on the build's volume that
                          will hold upper/ and work/ */
    uint32_t range;    /* first of 65,536 ids */
    const char *const *argv;
    const char *const *env;
    const char *cwd;
    uint32_t uid, gid; /* inside */
    struct sandbox_bind binds[24];
    size_t bind_count;
    const char *tmp_size; /* tmpfs /tmp "64m"; /dev/shm, /run are small tmpfs */
    enum sandbox_caps caps;
    int64_t memory;     /* bytes, 0: none (no swap beyond it) */
    int64_t cpu_millis; /* 0: none */
    int64_t pids;       /* 0: none */
    bool network; /* false: only lo. true: a veth, an address of its own, outside through NAT */
    int64_t files_max; /* RLIMIT_NOFILE, 0: 4096 (never above our own hard limit) */
};

/* Write config.json and mount the root (kept when it is mounted already). Targets of binds that the
 * lower folders lack are made in a skeleton layer of our own. sandbox_unmount undoes the mount
 * (lazily safe; also when nothing is mounted). The folder itself is the caller's to remove. */
int sandbox_prepare(const struct sandbox_spec *spec, struct err *err) MUST_CHECK;
void sandbox_unmount(const char *folder);

/* A build step: run to its end as our child. It prepares by itself (so a next step in the same
 * folder keeps the mounted root and gets a new config.json); unmounting stays the caller's. Output
 * streams to on_output; on_exit comes once, later, when no process is left and the container is
 * deleted: it gets the exit code of the step's process (137 when killed for memory; *oom tells; 128
 * + n for a signal). Network is wired before the step's first instruction; its address is taken and
 * given back here. `spec` is not needed after the call. */
struct sandbox_run;
struct sandbox_run_result {
    int exit_code;
    bool oom;      /* the memory limit was hit */
    bool pids_hit; /* the pids limit was hit (pids.events / failcnt) */
    bool timed_out;
};
int sandbox_run(const struct sandbox_spec *spec, int64_t timeout_ms,
                void (*on_output)(void *context, int stream, struct str data),
                void (*on_exit)(void *context, const struct sandbox_run_result *result),
                void *context, struct sandbox_run **ret_run, struct err *err) MUST_CHECK;
void sandbox_run_kill(
    struct sandbox_run *run); /* every process of its cgroup, at once; on_exit follows */
void sandbox_run_pause_output(struct sandbox_run *run, bool paused);
bool sandbox_runs_in(const char *cgroup); /* is there a step in this group now? */

/* Kill every process in a cgroup below the installation's own, wait until it is empty, remove it.
 * Blocking up to ~1 s. Absent is fine. */
int sandbox_cgroup_remove(const char *cgroup, struct err *err) MUST_CHECK;
/* The share of the processors that a group ("build", "shop.dev/r42.1") gets beside its neighbours
 * when all are busy: 100 is what each has. It is gone with the group: say it for each container.
 */
void sandbox_cgroup_weight(const char *group, int64_t weight);
/* Put a process (and what it will fork) into a group of its own, with these limits (0: none): for a
 * program of the machine that runs in no container. sandbox_cgroup_kill and _remove end it. */
int sandbox_cgroup_enter(const char *cgroup, pid_t pid, int64_t memory, int64_t pids,
                         struct err *err) MUST_CHECK;
/* For a program that outlives us (conmon, the edge): a group of its kind beside the containers', so
 * that a service manager that ends or restarts us finds nothing of it among our processes; for
 * child_spec.group_fd, closed by the caller. -1 where there is nothing to do: only a machine of
 * pure v2 has one group a process. Weight as above, in comparison with all containers of an
 * app-env. */
int sandbox_group_beside(const char *name, int64_t weight);
/* Names of groups two levels down ("shop.dev/r42.1") that exist now: a JSON array of strings. */
json_t *sandbox_cgroup_list(void);

/* For who runs containers by himself (host/instance, under conmon). */
const char *sandbox_crun(void);            /* the program */
const char *sandbox_crun_root(void);       /* crun --root */
const char *const *sandbox_crun_env(void); /* of crun and conmon; the sync channel is fd 3 */
/* Is it made, and waits for its start? */
bool sandbox_is_created(const char *name);
/* Let a created container run its first instruction: what `crun start` does, without a child.
 * E_STATE_CONFLICT when it does not wait for that. */
int sandbox_start(const char *name, struct err *err) MUST_CHECK;
/* Is this process alive (no zombie) and in that cgroup of ours? Guards against reused pids. */
bool sandbox_owns(pid_t pid, const char *cgroup);
/* Times the memory limit and the pids limit were hit in this cgroup since it was made. */
struct sandbox_hits {
    int64_t oom;
    int64_t pids;
};
void sandbox_hits(const char *cgroup, struct sandbox_hits *ret_hits);
/* Memory in use now, bytes; 0 when unknown. */
int64_t sandbox_memory_used(const char *cgroup);
/* What a group uses now; -1 is unknown, or no limit. cpu_us: all it used since it was made. */
struct sandbox_usage {
    int64_t memory;
    int64_t memory_limit;
    int64_t cpu_us;
    int64_t pids;
};
void sandbox_usage(const char *cgroup, struct sandbox_usage *ret_usage);
/* KILL to every process of the group, without waiting. */
void sandbox_cgroup_kill(const char *cgroup);
/* Kill what is left of a container and make crun forget it, in a child of ours; done runs later on
 * the loop. Absent is fine. What crun leaves of the cgroup is removed too. */
void sandbox_delete(const char *name, const char *cgroup, void (*done)(void *context),
                    void *context);
void sandbox_doctor(json_t *checks);
/* Take the installation's own group, bridge and table away (tests, `down`). */
void sandbox_teardown(const struct settings *settings);
