/* How a child narrows itself: mounts first (needs privileges), then limits, ids and capabilities,
 * and the system call list last. Each step that fails ends the child: there is no half way. */
#include "host/narrow/narrow.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/mem.h"

#define ANSWER_MAX (1u << 20)

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const int calls_compute[] = {
    SCMP_SYS(read),           SCMP_SYS(readv),        SCMP_SYS(pread64),
    SCMP_SYS(write),          SCMP_SYS(writev),       SCMP_SYS(pwrite64),
    SCMP_SYS(lseek),          SCMP_SYS(close),        SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),     SCMP_SYS(fcntl),        SCMP_SYS(brk),
    SCMP_SYS(mmap),           SCMP_SYS(munmap),       SCMP_SYS(mremap),
    SCMP_SYS(mprotect),       SCMP_SYS(madvise),      SCMP_SYS(futex),
    SCMP_SYS(rt_sigaction),   SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sigaltstack),    SCMP_SYS(getrandom),    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),   SCMP_SYS(getpid),       SCMP_SYS(gettid),
    SCMP_SYS(sched_yield),    SCMP_SYS(exit),         SCMP_SYS(exit_group),
    SCMP_SYS(restart_syscall)};
static const int calls_read[] = {SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(getdents64),
                                 SCMP_SYS(readlinkat), SCMP_SYS(statx)};
static const int calls_write[] = {SCMP_SYS(mkdirat),  SCMP_SYS(symlinkat), SCMP_SYS(linkat),
                                  SCMP_SYS(fchown),   SCMP_SYS(fchownat),  SCMP_SYS(fchmod),
                                  SCMP_SYS(fchmodat), SCMP_SYS(utimensat), SCMP_SYS(ftruncate)};

static int enter_root(const struct narrow_spec *spec, struct err *err)
{
    unsigned long flags = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (spec->read_only)
        flags |= MS_RDONLY;
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return FAIL_SYS(err, "cannot make namespaces");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return FAIL_SYS(err, "cannot make mounts private");
    if (mount(spec->root, spec->root, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, spec->root, NULL, flags, NULL) < 0)
        return FAIL_SYS(err, "cannot bind '%s'", spec->root);
    if (chdir(spec->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return FAIL_SYS(err, "cannot make '%s' the root", spec->root);
    return 0;
}

static int limit(int what, const char *name, int64_t value, struct err *err)
{
    struct rlimit r = {(rlim_t)value, (rlim_t)value};
    if (value > 0 && setrlimit((__rlimit_resource_t)what, &r) < 0)
        return FAIL_SYS(err, "cannot limit %s", name);
    return 0;
}

static int set_limits(const struct narrow_spec *spec, struct err *err)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return FAIL_SYS(err, "cannot limit core files");
    if (limit(RLIMIT_FSIZE, "file size", spec->file_bytes, err) < 0 ||
        limit(RLIMIT_CPU, "processor time", spec->cpu_seconds, err) < 0)
        return -1;
    return SANITIZED ? 0 : limit(RLIMIT_AS, "memory", spec->memory_bytes, err);
}

static int drop_ids(const struct narrow_spec *spec, struct err *err)
{
    if (setgroups(0, NULL) < 0)
        return FAIL_SYS(err, "cannot drop groups");
    if (spec->uid == 0)
        return 0;
    if (setresgid(spec->uid, spec->uid, spec->uid) < 0 ||
        setresuid(spec->uid, spec->uid, spec->uid) < 0)
        return FAIL_SYS(err, "cannot become user %u", spec->uid);
    return 0;
}

static int drop_caps(const struct narrow_spec *spec, struct err *err)
{
    int keep_count = spec->uid == 0 ? spec->keep_count : 0;
    cap_t caps = cap_init();
    bool ok = caps != NULL;
    for (cap_value_t cap = 0; spec->uid == 0 && cap_get_bound(cap) >= 0; cap++)
        ok = ok && cap_drop_bound(cap) == 0;
    if (ok && keep_count > 0)
        ok = cap_set_flag(caps, CAP_PERMITTED, keep_count, spec->keep, CAP_SET) == 0 &&
             cap_set_flag(caps, CAP_EFFECTIVE, keep_count, spec->keep, CAP_SET) == 0;
    ok = ok && cap_set_proc(caps) == 0;
    if (!ok)
        (void)FAIL_SYS(err, "cannot drop capabilities");
    (void)cap_free(caps); /* only memory */
    return ok ? 0 : -1;
}

static bool allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) < 0)
            return false;
    return true;
}

static int filter_calls(enum narrow_calls calls, struct err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    bool ok = filter && allow(filter, calls_compute, ARRAY_SIZE(calls_compute));
    if (calls != NARROW_COMPUTE)
        ok = ok && allow(filter, calls_read, ARRAY_SIZE(calls_read));
    if (calls == NARROW_WRITE_FILES)
        ok = ok && allow(filter, calls_write, ARRAY_SIZE(calls_write));
    ok = ok && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return ok ? 0 : FAIL(err, E_SYSTEM, "cannot limit system calls");
}

int narrow_self(const struct narrow_spec *spec, struct err *err)
{
    if (enter_root(spec, err) < 0 || set_limits(spec, err) < 0 || drop_ids(spec, err) < 0 ||
        drop_caps(spec, err) < 0)
        return err_wrap(err, "narrowing");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return FAIL_SYS(err, "cannot refuse new privileges");
    return filter_calls(spec->calls, err);
}

static _Noreturn void say(json_t *answer, int code)
{
    char *text = json_print(answer);
    size_t length = strlen(text);
    for (size_t done = 0; done < length;) {
        ssize_t n = write(1, text + done, length - done);
        if (n <= 0)
            _exit(3);
        done += (size_t)n;
    }
    _exit(code);
}

void narrow_answer(json_t *ok)
{
    json_t *answer = json_object();
    json_put(answer, "ok", ok);
    say(answer, 0);
}

void narrow_answer_error(const struct err *error)
{
    say(json_from_err(error), 1);
}

int narrow_read_answer(const struct child_result *r, const char *what, json_t **ret_ok,
                       struct err *err)
{
    AUTO_JSON *answer = NULL;
    struct err parse = ERR_INIT;
    if (r->timed_out)
        return FAIL(err, E_TIMEOUT, "%s took too long", what);
    if (r->out.length == 0 || json_parse(r->out, &answer, &parse) < 0)
        return FAIL(err, E_INTERNAL, "%s ended without an answer (exit code %d, signal %d)", what,
                    r->exit_code, r->signal);
    json_t *ok = json_object_get(answer, "ok");
    if (json_is_object(ok) && r->exit_code == 0) {
        *ret_ok = json_incref(ok);
        return 0;
    }
    json_to_err(answer, err);
    return -1;
}
