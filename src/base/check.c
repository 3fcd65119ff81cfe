/* Panic: say where we were, then abort, so that the supervisor restarts the role and a core dump
 * can be taken. Everything here must work in a broken process: no heap, fixed buffers, raw writes;
 * a panic inside a panic aborts at once. */
#include "base/check.h"
#include <dirent.h>
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
#include "base/version.h"

#define CHECK_FRAMES 64
#define CHECK_STEPS 8

static const char *check_role = "slipway";
static const char *check_panic_dir;
static _Thread_local char check_command_text[128];
static _Thread_local bool check_is_loop;
static atomic_bool check_loop_owned;
static _Thread_local struct check_step {
    const char *machine, *from, *event;
} check_steps[CHECK_STEPS];
static _Thread_local unsigned check_step_next;
static atomic_flag check_panicking = ATOMIC_FLAG_INIT;

struct check_place {
    const char *file;
    int line;
    const char *function;
    const char *text;
    char at[25];
};

/* The oldest first. */
static void check_report_steps(int fd)
{
    (void)dprintf(fd, "state machines:\n");
    for (unsigned i = 0; i < CHECK_STEPS; i++) {
        const struct check_step *step = &check_steps[(check_step_next + i) % CHECK_STEPS];
        if (step->machine)
            (void)dprintf(fd, "%s was '%s', '%s' came\n", step->machine, step->from, step->event);
    }
}

static void check_report(int fd, const struct check_place *place)
{
    void *frames[CHECK_FRAMES];
    const char *command = check_command_text[0] ? check_command_text : "-";
    (void)dprintf(fd,
                  "PANIC %s\nat %s:%d in %s\ntime %s\nversion %s\nrole %s\nprocess %d thread %d%s\n"
                  "command %s\n",
                  place->text, place->file, place->line, place->function, place->at,
                  SLIPWAY_VERSION, check_role, (int)getpid(), (int)gettid(),
                  check_is_loop ? " (loop)" : "", command);
    check_report_steps(fd);
    (void)dprintf(fd, "backtrace:\n");
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

/* The name of the oldest panic when there are too many; names sort by time. */
static bool check_oldest(const char *folder, char ret_name[256])
{
    DIR *dir = opendir(folder);
    size_t count = 0;
    ret_name[0] = '\0';
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        if (strncmp(e->d_name, "panic-", 6) != 0)
            continue;
        count++;
        if (!ret_name[0] || strcmp(e->d_name, ret_name) < 0)
            (void)snprintf(ret_name, 256, "%s", e->d_name);
    }
    if (dir)
        (void)closedir(dir); /* read only */
    return count > CHECK_PANICS_KEPT;
}

/* A role that panics at every start must not fill the disk. */
static void check_trim(const char *folder)
{
    char name[256], path[4096];
    while (check_oldest(folder, name)) {
        int length = snprintf(path, sizeof(path), "%s/%s", folder, name);
        if (length < 0 || (size_t)length >= sizeof(path) || unlink(path) < 0)
            return; /* somebody else's: leave them */
    }
}

void check_setup(const char *role, const char *panic_dir)
{
    void *frame;
    if (panic_dir)
        check_trim(panic_dir);
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

void check_step(const char *machine, const char *from, const char *event)
{
    check_steps[check_step_next % CHECK_STEPS] = (struct check_step){machine, from, event};
    check_step_next++;
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
