/* See confine.h. */
#include "courier/git/confine.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/mem.h"
#include "io/narrow_role.h"

#define ABI_TRUNCATE 3 /* newer than Debian 12's header */
#define ACCESS_TRUNCATE (1ull << 14)

#define ACCESS_READ                                                                                \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_WRITE                                                                               \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |  \
     LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER)
#define ACCESS_NEVER                                                                               \
    (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |  \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK)

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "name this machine's architecture for the filter of system calls"
#endif
#define FOREIGN_CALLS 0x40000000u /* x86's third calling convention begins here */

/* No socket can be made; what was given stays open. Unix sockets as well: the roles trust the
 * courier's user. */
static struct sock_filter no_sockets[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FOREIGN_CALLS, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* The same, but that IPv4 and IPv6 are there. */
static struct sock_filter network_sockets[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FOREIGN_CALLS, 4, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 4),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static int allow(int ruleset, const char *path, uint64_t access, struct err *err)
{
    AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    if (fd < 0 && errno == ENOENT && !(access & LANDLOCK_ACCESS_FS_WRITE_FILE))
        return 0; /* not every system has all of them */
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", path);
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return FAIL_SYS(err, "cannot allow git '%s'", path);
    return 0;
}

static int allow_system(int ruleset, uint64_t truncate, struct err *err)
{
    static const char *const folders[] = {"/usr", "/bin", "/lib", "/lib64", "/etc", "/proc"};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (allow(ruleset, folders[i], ACCESS_READ, err) < 0)
            return -1;
    if (allow(ruleset, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE, err) < 0)
        return -1;
    return allow(ruleset, "/dev/null",
                 LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | truncate, err);
}

int confine_make(const char *const *folders, size_t count, int *ret_ruleset, struct err *err)
{
    int abi = narrow_landlock();
    uint64_t truncate = abi >= ABI_TRUNCATE ? ACCESS_TRUNCATE : 0;
    struct landlock_ruleset_attr attr = {.handled_access_fs =
                                             ACCESS_READ | ACCESS_WRITE | ACCESS_NEVER | truncate};
    if (abi < NARROW_LANDLOCK_NEEDED) {
        *ret_ruleset = -1;
        return 0;
    }
    AUTO_CLOSE int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (ruleset < 0)
        return FAIL_SYS(err, "cannot make a set of rules for git");
    if (allow_system(ruleset, truncate, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (allow(ruleset, folders[i],
                  (ACCESS_READ & ~LANDLOCK_ACCESS_FS_EXECUTE) | ACCESS_WRITE | truncate, err) < 0)
            return -1;
    *ret_ruleset = TAKE_FD(ruleset);
    return 0;
}

int confine_program(int ruleset, const char *path, struct err *err)
{
    if (ruleset < 0)
        return 0;
    return allow(ruleset, path, LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE, err);
}

int confine_enter(int ruleset, enum confine_sockets sockets)
{
    const struct sock_fprog none = {ARRAY_SIZE(no_sockets), no_sockets};
    const struct sock_fprog network = {ARRAY_SIZE(network_sockets), network_sockets};
    const struct sock_fprog program = sockets == CONFINE_NETWORK ? network : none;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    if (ruleset >= 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -1 : 0;
}
