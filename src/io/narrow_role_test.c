/* What a narrowed role can and cannot do any more. Each test narrows a child. */
#include "io/narrow_role.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/tap.h"

/* What wait says of a child that narrows itself and then does this; it exits with the result. */
static int narrowed(enum narrow_as as, int (*what)(void))
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        struct err err = ERR_INIT;
        _exit(narrow_role(as, &err) < 0 ? 99 : what());
    }
    OK(waitpid(pid, &status, 0) == pid);
    return status;
}

static bool exits_with(int status, int code)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

static int run_a_program(void)
{
    char *const argv[] = {"/bin/true", NULL};
    (void)execve(argv[0], argv, argv + 1);
    return errno == EPERM ? 1 : 2;
}

static int make_namespaces(void)
{
    return unshare(CLONE_NEWUSER) < 0 && errno == EPERM ? 0 : 1;
}

static int mount_something(void)
{
    (void)mount("none", "/proc/self/nowhere", "tmpfs", 0, NULL);
    return 0;
}

static void *nothing(void *context)
{
    return context;
}

static int go_on(void)
{
    struct rlimit core;
    pthread_t thread;
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    if (waitpid(pid, &status, 0) != pid || !exits_with(status, 7))
        return 1;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 2;
    if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
        return 3;
    return prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 4;
}

TEST(a_service_runs_no_program)
{
    OK(exits_with(narrowed(NARROW_SERVICE, run_a_program), NARROW_SANITIZED ? 0 : 1));
    OK(exits_with(narrowed(NARROW_PROGRAMS, run_a_program), 0));
}

TEST(what_no_honest_code_does_ends_it)
{
    int status = narrowed(NARROW_SERVICE, mount_something);
    OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    status = narrowed(NARROW_PROGRAMS, mount_something);
    OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

TEST(what_a_library_might_try_is_refused)
{
    OK(exits_with(narrowed(NARROW_SERVICE, make_namespaces), 0));
    OK(exits_with(narrowed(NARROW_PROGRAMS, make_namespaces), 0));
}

TEST(children_and_threads_still_work)
{
    OK(exits_with(narrowed(NARROW_SERVICE, go_on), 0));
    OK(exits_with(narrowed(NARROW_PROGRAMS, go_on), 0));
    OK(exits_with(narrowed(NARROW_ROOT, go_on), 0));
}

static int bounding_left(void)
{
    for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
            return 1;
    return 0;
}

static int empty_the_bounding_set(void)
{
    return narrow_bounding() < 0 ? 2 : bounding_left();
}

TEST(the_bounding_set_can_be_emptied)
{
    if (geteuid() == 0)
        OK(exits_with(narrowed(NARROW_ROOT, empty_the_bounding_set), 0));
}

TAP_MAIN()
