/* Failpoints (compiled in here, whatever the build says) and panics, each in a child process. */
#include "base/fault.h"
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/tap.h"
#include "base/version.h"

/* Runs it in a child with stderr in <test folder>/stderr; returns the signal that ended it. */
static int signal_of(void (*run)(void))
{
    AUTO_FREE char *path = mem_format("%s/stderr", tap_dir());
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen(path, "w", stderr))
            _exit(9);
        run();
        _exit(0);
    }
    IS_INT(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void pass_points(void)
{
    FAULT("a.one");
    FAULT("a.two");
    FAULT("a.one");
}

TEST(counts_what_is_passed)
{
    int64_t hits = 0;
    pass_points();
    IS_INT(fault_count(), 2);
    IS_STR(fault_point(0, &hits), "a.one");
    IS_INT(hits, 2);
    IS_STR(fault_point(1, &hits), "a.two");
    IS_INT(hits, 1);
}

TEST(kills_at_the_nth_passing)
{
    fault_arm("a.one", 2);
    IS_INT(signal_of(pass_points), SIGKILL);
    fault_arm("a.two", 2);
    IS_INT(signal_of(pass_points), 0);
    fault_arm("*", 3);
    IS_INT(signal_of(pass_points), SIGKILL);
    fault_arm("*", 4);
    IS_INT(signal_of(pass_points), 0);
    fault_arm(NULL, 0);
    IS_INT(signal_of(pass_points), 0);
}

static void break_a_rule(void)
{
    check_setup("core", tap_dir());
    check_command("POST /api/v1/apps\n");
    ASSERT(1 + 1 == 3);
}

/* The one panic file of the test folder. */
static void read_panic_file(struct buf *ret_content)
{
    struct err err = ERR_INIT;
    struct dirent *entry;
    DIR *dir = opendir(tap_dir());
    while ((entry = readdir(dir)))
        if (text_starts(entry->d_name, "panic-")) {
            AUTO_FREE char *path = mem_format("%s/%s", tap_dir(), entry->d_name);
            IS_INT(file_read(path, 1 << 20, ret_content, &err), 0);
        }
    (void)closedir(dir);
}

TEST(panics_with_a_report)
{
    AUTO_BUF content = BUF_INIT(0);
    IS_INT(signal_of(break_a_rule), SIGABRT);
    read_panic_file(&content);
    const char *report = content.data ? content.data : "";
    OK(strstr(report, "PANIC assertion failed: 1 + 1 == 3\n"));
    OK(strstr(report, "fault_test.c:"));
    OK(strstr(report, "role core\n"));
    OK(strstr(report, "version " SLIPWAY_VERSION "\n"));
    OK(strstr(report, "command POST /api/v1/apps?\n"));
    OK(strstr(report, "backtrace:\n"));
}

static void *call_from_elsewhere(void *context)
{
    (void)context;
    CHECK_LOOP();
    return NULL;
}

static void run_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, call_from_elsewhere, NULL) == 0)
        (void)pthread_join(thread, NULL);
}

static void own_and_run_thread(void)
{
    check_own_loop();
    CHECK_LOOP();
    run_thread();
}

TEST(asserts_the_loop_thread)
{
    IS_INT(signal_of(run_thread), 0); /* nobody owns the loop yet */
    IS_INT(signal_of(own_and_run_thread), SIGABRT);
}

TAP_MAIN()
