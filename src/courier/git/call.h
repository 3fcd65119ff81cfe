/* struct git_call: one call of git, built so that nothing can be forgotten.
 *
 * Every call of the courier is made here: the program's absolute path, a fixed environment without
 * anything of the machine's or a user's configuration, the settings that keep hooks, protocols,
 * monitors and replace refs off, and the repository by --git-dir (never by discovery). Then come
 * options, then git_end, which writes --end-of-options: what comes from outside stands behind it
 * and is a full ref, 40 hex digits or a checked path. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "base/arena.h"
#include "courier/git/progress.h"
#include "io/child.h"

#define GIT_PROGRAM "/usr/bin/git"
#define GIT_FOLDERS 3
#define GIT_ZERO "0000000000000000000000000000000000000000"

struct git_list { /* a NULL-terminated array of borrowed strings */
    const char **items;
    size_t count;
    size_t capacity;
};
struct git_call {
    struct git_list argv;
    struct git_list env;
    struct arena arena; /* what was formatted for this call */
    const char *verb;
    const char *folders[GIT_FOLDERS]; /* where it may write */
    size_t folder_count;
    int ruleset;                   /* of git_confine; -1: none */
    bool outside;                  /* it may use the network */
    const char *program;           /* that it may run besides; NULL: none */
    char *secret;                  /* a variable of its environment, wiped at the end */
    int64_t deadline_ms;           /* 0: as all */
    int64_t file_max;              /* bytes of one file that it writes; 0: as all */
    struct git_progress *progress; /* told how far it is (git_capture); NULL: nobody asks */
};
/* dir: the bare repository, or NULL for verbs that take it as an argument (and name it with
 * git_writes). Strings given to the
 * calls below are borrowed until the child has started. */
void git_call_init(struct git_call *c, const char *dir);
void git_call_done(struct git_call *c);
void git_config(struct git_call *c, const char *setting); /* "key=value"; only before git_verb */
/* It goes outside, over these protocols ("https" or "http:https"); nothing else does. */
void git_outside(struct git_call *c, const char *protocols);
/* A setting that is no business of who lists processes; takes it. One of a call. */
void git_secret_config(struct git_call *c, const char *key, char *value);
/* Run it under stdbuf, so that it answers a pipe at once. First of all after git_call_init. */
void git_unbuffered(struct git_call *c);
void git_verb(struct git_call *c, const char *verb);
void git_arg(struct git_call *c, const char *arg);
void git_arg_format(struct git_call *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void git_end(struct git_call *c); /* --end-of-options */
/* It may write in this folder, which exists, beside --git-dir and a quarantine. */
void git_writes(struct git_call *c, const char *folder);
/* New objects go to `objects` (a folder outside), what the repository has is still seen. */
void git_quarantine(struct git_call *c, const char *dir, const char *objects);
void git_env(struct git_call *c, const char *assignment);
void git_env_format(struct git_call *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Make the rules under which the child will run (confine.h): last of all before its start. */
int git_confine(struct git_call *c, struct err *err) MUST_CHECK;
/* The call as a child for the loop: argv, env and confinement set, all else zero but stdin_fd = -1.
 * Valid as long as the call. */
struct child_spec git_child_spec(const struct git_call *c);
/* Limits of a running git: memory, file size, core. Called by whoever started one; the call, or
 * NULL for one that starts no program of ours. */
void git_limit(pid_t pid, const struct git_call *call);

static inline void git_call_donep(struct git_call *c)
{
    git_call_done(c);
}
#define AUTO_GIT(name)                                                                             \
    __attribute__((cleanup(git_call_donep))) struct git_call name = {.ruleset = -1}
