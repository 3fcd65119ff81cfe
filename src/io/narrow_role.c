/* See narrow_role.h.
 *
 * The filter allows everything but two lists: a list of what is allowed would have to follow every
 * library's habits, and these roles parse no bytes whose author runs code in them by design. What
 * no honest code of ours calls kills the process, so that it shows; what a library might try is
 * refused. Sanitizers need some of it: they look at their own process with ptrace and run a
 * symbolizer. */
#include "io/narrow_role.h"
#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/mem.h"

static const int calls_deadly[] = {
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(setns),
    SCMP_SYS(bpf),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(reboot),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(settimeofday),
    SCMP_SYS(open_by_handle_at),
};
static const int calls_into_others[] = {SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
                                        SCMP_SYS(process_vm_writev)};
static const int calls_refused[] = {
    SCMP_SYS(unshare),
    SCMP_SYS(chroot),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(clock_settime),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(kcmp),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(quotactl),
};
static const int calls_programs[] = {SCMP_SYS(execve), SCMP_SYS(execveat)};
static const unsigned namespaces[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWNET,   CLONE_NEWPID,
                                      CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};

static bool rules(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (seccomp_rule_add(filter, action, calls[i], 0) < 0)
            return false;
    return true;
}

/* New namespaces by way of clone. clone3 hides its flags from a filter: without it the C library
 * takes clone. */
static bool rules_clone(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i])) < 0)
            return false;
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
}

static int filter_calls(enum narrow_as as, struct err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    const uint32_t kill = SCMP_ACT_KILL_PROCESS, refuse = SCMP_ACT_ERRNO(EPERM);
    bool ok = filter && rules(filter, kill, calls_deadly, ARRAY_SIZE(calls_deadly)) &&
              rules(filter, refuse, calls_refused, ARRAY_SIZE(calls_refused)) &&
              rules_clone(filter);
    if (!NARROW_SANITIZED)
        ok = ok && rules(filter, kill, calls_into_others, ARRAY_SIZE(calls_into_others));
    if (!NARROW_SANITIZED && as == NARROW_SERVICE)
        ok = ok && rules(filter, refuse, calls_programs, ARRAY_SIZE(calls_programs));
    if (ok)
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* only faster */
    ok = ok && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return ok ? 0 : FAIL(err, E_SYSTEM, "cannot limit system calls");
}

/* Capabilities of the machine as a whole, which making containers does not take. */
static int drop_machine_caps(struct err *err)
{
    static const unsigned dropped[] = {CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME,
                                       CAP_MAC_ADMIN};
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &head, sets) < 0)
        return FAIL_SYS(err, "cannot read our capabilities");
    for (size_t i = 0; i < ARRAY_SIZE(dropped); i++) {
        struct __user_cap_data_struct *set = &sets[dropped[i] / 32];
        uint32_t others = ~(1u << dropped[i] % 32);
        set->effective &= others;
        set->permitted &= others;
        set->inheritable &= others;
        if (prctl(PR_CAPBSET_READ, dropped[i], 0, 0, 0) > 0 &&
            prctl(PR_CAPBSET_DROP, dropped[i], 0, 0, 0) < 0)
            return FAIL_SYS(err, "cannot give up capability %u", dropped[i]);
    }
    if (syscall(SYS_capset, &head, sets) < 0)
        return FAIL_SYS(err, "cannot give up capabilities");
    return 0;
}

int narrow_landlock(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version > 0 ? (int)version : 0;
}

int narrow_bounding(void)
{
    for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -1;
    return 0;
}

int narrow_role(enum narrow_as as, struct err *err)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return FAIL_SYS(err, "cannot forbid core files");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) /* secrets pass through this memory */
        return FAIL_SYS(err, "cannot close our memory to others");
    if (as == NARROW_ROOT && geteuid() == 0 && drop_machine_caps(err) < 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return FAIL_SYS(err, "cannot give up new privileges");
    return as == NARROW_ROOT ? 0 : filter_calls(as, err);
}
