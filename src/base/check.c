/* Panic: say where we were, then abort, so that the supervisor restarts the role and a core dump
 * can be taken. Everything here must work in a broken process: no heap, fixed buffers, raw writes;
 * a panic inside a panic aborts at once. */
#include "base/check.h"
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/time.h"

#define CHECK_FRAMES 64

static const char *check_role = "slipway";
static const char *check_panic_dir;
static _Thread_local char check_command_text[128];
static _Thread_local bool check_is_loop;
static atomic_bool check_loop_owned;
static atomic_flag check_panicking = ATOMIC_FLAG_INIT;

struct check_place {
    const char *file;
    int line;
    const char *function;
    const char *text;
    char at[25];
};

static void check_report(int fd, const struct check_place *place)
{
    void *frames[CHECK_FRAMES];
    const char *command = check_command_text[0] ? check_command_text : "-";
    (void)dprintf(fd,
                  "PANIC %s\nat %s:%d in %s\ntime %s\nversion %s\nrole %s\nprocess %d thread %d%s\n"
                  "command %s\nbacktrace:\n",
                  place->text, place->file, place->line, place->function, place->at,
                  SLIPWAY_VERSION, check_role, (int)getpid(), (int)gettid(),
                  check_is_loop ? " (loop)" : "", command);
    int count = backtrace(frames, CHECK_FRAMES);
    backtrace_symbols_fd(frames, count, fd);
}

static void check_report_file(const struct check_place *place)
{
    char path[4096];
    int length = snprintf(path, sizeof(path), "%s/panic-%s.txt", check_panic_dir, place->at);
    if (length < 0 || (size_t)length >= sizeof(path))
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return; /* stderr has it */
    check_report(fd, place);
    (void)fsync(fd);
    (void)close(fd);
}

void check_panic(const char *file, int line, const char *function, const char *text)
{
    if (atomic_flag_test_and_set(&check_panicking))
        abort();
    struct check_place place = {.file = file, .line = line, .function = function, .text = text};
    time_format(clock_wall_ms(clock_system()), place.at);
    check_report(STDERR_FILENO, &place);
    if (check_panic_dir)
        check_report_file(&place);
    abort();
}

void check_setup(const char *role, const char *panic_dir)
{
    void *frame;
    check_role = role;
    check_panic_dir = panic_dir;
    /* The first call loads libgcc and allocates: have that done while we are well. */
    (void)backtrace(&frame, 1);
}

void check_command(const char *command)
{
    (void)snprintf(check_command_text, sizeof(check_command_text), "%s", command ? command : "");
    for (char *c = check_command_text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

void check_own_loop(void)
{
    check_is_loop = true;
    atomic_store(&check_loop_owned, true);
}

/* Before anybody owns the loop (start-up, unit tests) every thread may call. */
void check_on_loop(const char *file, int line)
{
    if (!check_is_loop && atomic_load(&check_loop_owned))
        check_panic(file, line, "check_on_loop", "called off the loop thread");
}
