/* For the courier's tests: the courier as a process, the test as its core, and the real git client
 * as its users.
 *
 * The program started as "X courier --settings FILE" is the courier; one serves all tests of a
 * program, each test has an app of its own. Users: dev (may push but trunk of app `locked`), ops
 * (may rewind), reader (fetches only); everybody's token is "token". */
#pragma once
#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tap.h"
#include "base/time.h"
#include "io/child.h"
#include "io/message.h"
#include "io/until.h"
#include "wire/courier.h"

#define GIT "/usr/bin/git"
extern char *home; /* everything of this run: work trees by name, data/git */
extern int port;   /* of git over HTTP */
extern struct channel *core;
extern const struct channel_handlers handlers; /* core's answers */
extern json_t *changes;                        /* of the last repo.changed */

/* Once: by the first test that needs it (make_app does). */
void set_up(void);
/* Ends the courier in order, looks for CANARY files, removes everything: the last test. */
void end_in_order(void);
void connect_core(int64_t epoch);
int listen_tcp(void);               /* sets `port` */
int64_t status_kb(const char *key); /* of /proc/COURIER/status */

/* Ask the courier; args are taken. The reply, or NULL: then the refusal is printed, or put into
 * *ret_kind. */
json_t *ask(const char *verb, json_t *args);
json_t *ask_fd(const char *verb, json_t *args, int fd, enum err_kind *ret_kind);
enum err_kind ask_kind(const char *verb, json_t *args);

struct run {
    bool done;
    int exit_code;
    char *out;
    char *error;
};
extern struct run last; /* of the calls below */
int run_argv(const char *cwd, const char *const *argv);
int run_input(const char *cwd, const char *const *argv, const char *input);
/* git in a folder of `home`: its exit code. */
#define RUN_GIT(folder, ...) run_git_in((folder), (const char *const[]){GIT, __VA_ARGS__, NULL})
int run_git_in(const char *folder, const char *const *argv);
/* As RUN_GIT, must succeed; what it printed, without the line end: heap. */
#define GIT_TEXT(folder, ...) git_text((folder), (const char *const[]){GIT, __VA_ARGS__, NULL})
char *git_text(const char *folder, const char *const *argv);

void put_file(const char *folder, const char *name, const char *text);
void put_random(const char *folder, const char *name, size_t mib);
void commit_file(const char *folder, const char *name, const char *text);
char *url(const char *user, const char *app);    /* heap */
char *tip(const char *folder, const char *name); /* heap */
/* An app with a work tree `APP` that has one commit on main and remotes dev, ops, reader. */
void make_app(const char *app);
