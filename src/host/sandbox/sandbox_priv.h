/* Between the files of this folder. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "host/sandbox/sandbox.h"

struct sandbox_paths {
    const struct settings *settings;
    char *roots;  /* run_dir/root: where the root file systems are mounted */
    char *crun;   /* run_dir/crun: crun's state */
    char *binary; /* run_dir/crun.bin: crun itself, bound read-only */
};
extern struct sandbox_paths sandbox_paths;

/* cgroup.c. Layout of the machine; must run before the v2 mount is taken off. *ret_hide: the v2
 * mount that crun must not see (hybrid), heap, or NULL. */
int cgroup_setup(const char *id, char **ret_hide, struct err *err) MUST_CHECK;
/* "/slipway/shop.dev/r42.1" for the OCI config; heap. */
char *cgroup_oci_path(const char *cgroup);
bool cgroup_has_memsw(void); /* may "swap" stand in the config? */
bool cgroup_is_v2(void);
/* What keeps us from limiting containers here: a controller that is not there or cannot be used;
 * NULL: nothing. Heap. */
char *cgroup_lacks(void);
/* The first of cpu, memory, pids that a cgroup.controllers does not name; NULL: all are there. */
const char *cgroup_absent(struct str controllers);
void cgroup_teardown(void); /* remove our own group */

/* rootfs.c. */
int rootfs_mount(const struct sandbox_spec *spec, struct err *err) MUST_CHECK;
char *rootfs_path(const char *name); /* run_dir/root/NAME, heap */
/* Can the kernel idmap this folder's file system? */
int rootfs_probe(const char *folder, struct err *err) MUST_CHECK;

/* config.c: the OCI document. Pure. */
json_t *config_build(const struct sandbox_spec *spec, const char *rootfs);

/* reap.c: sweep up the children that became ours by inheritance. */
void reap_start(void);
