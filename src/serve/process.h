/* Processes of the installation as its pid files tell them: "PID START BOOT\n". START is the time
 * the kernel says it began, BOOT the id of the machine's boot, so that a number used again is never
 * mistaken for ours. Any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"

#define SETTINGS_PATH "/etc/slipway/slipway.conf" /* where the usual installation has them */

struct process {
    pid_t pid;
    int pidfd; /* pins the number */
};
int process_record(const char *path, pid_t pid, struct err *err) MUST_CHECK;
/* The living process of that file; PROCESS_GONE when there is none. */
#define PROCESS_GONE 1
int process_find(const char *path, struct process *ret_process, struct err *err) MUST_CHECK;
void process_done(struct process *p);
/* Blocking: did it end within that time? */
bool process_ended(int pidfd, int64_t timeout_ms);
/* TERM, and KILL when it is still there after the grace. Blocking; reaps it when it is our child.
 */
void process_end(const struct process *p, int64_t grace_ms);
/* The process that run_dir/NAME.pid tells, if it lives; and all the roles, core first. Blocking;
 * said on stdout when wanted. */
struct settings;
void process_end_named(const struct settings *s, const char *name, int64_t grace_ms, bool say);
void process_end_roles(const struct settings *s, bool say);
/* Links resolved where it exists; heap. */
char *process_absolute(const char *path);
/* The settings file that `--settings` names in argv, else $SLIPWAY_SETTINGS, else the usual one; as
 * an absolute path; heap. */
char *process_settings_path(int argc, char **argv);
/* Is `option` among the arguments after argv[1]? */
bool process_option(int argc, char **argv, const char *option);
