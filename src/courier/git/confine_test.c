/* A git child writes in its own repository and in no other, and reaches nobody. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/tap.h"
#include "courier/git/confine.h"
#include "courier/git/process.h"
#include "io/narrow_role.h"

static bool kernel_can(void)
{
    if (narrow_landlock() >= NARROW_LANDLOCK_NEEDED)
        return true;
    printf("# this kernel has no Landlock, or an old one\n");
    return false;
}

static char *repository(const char *name)
{
    struct err err = ERR_INIT;
    char *dir = mem_format("%s/%s.git", tap_dir(), name);
    AUTO_GIT(call);
    OK(mkdir(dir, 0700) == 0);
    git_call_init(&call, NULL);
    git_writes(&call, dir);
    git_verb(&call, "init");
    git_arg(&call, "--quiet");
    git_arg(&call, "--bare");
    git_end(&call);
    git_arg(&call, dir);
    OK(git_run(&call, (struct str){0}, NULL, &err) == 0);
    return dir;
}

/* git of the one repository told to write into the file; its exit code. */
static int git_sets(const char *dir, const char *file)
{
    struct err err = ERR_INIT;
    struct git_outcome outcome = {.exit_code = -1};
    AUTO_GIT(call);
    git_call_init(&call, dir);
    git_verb(&call, "config");
    git_arg_format(&call, "--file=%s", file);
    git_arg(&call, "x.y");
    git_arg(&call, "z");
    OK(git_capture(&call, (struct str){0}, NULL, &outcome, &err) == 0);
    return outcome.exit_code;
}

TEST(git_writes_in_its_own_repository_only)
{
    if (!kernel_can())
        return;
    AUTO_FREE char *own = repository("shop"), *other = repository("bank");
    AUTO_FREE char *own_file = mem_format("%s/config", own);
    AUTO_FREE char *other_file = mem_format("%s/config", other);
    AUTO_FREE char *outside = mem_format("%s/new", tap_dir());
    IS_INT(git_sets(own, own_file), 0);
    OK(git_sets(own, other_file) > 0);
    OK(git_sets(own, outside) > 0);
    OK(!file_exists(outside));
    IS_INT(git_sets(other, other_file), 0); /* its own may */
}

/* What a child does that was narrowed for the folder, as its exit code. */
static int confined(const char *folder, int (*what)(const char *), const char *path)
{
    struct err err = ERR_INIT;
    int ruleset, status = -1;
    OK(confine_make(&folder, 1, &ruleset, &err) == 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(confine_enter(ruleset, CONFINE_NO_SOCKETS) < 0 ? 99 : what(path));
    OK(waitpid(pid, &status, 0) == pid);
    OK(close(ruleset) == 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int do_read(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno;
}

static int do_empty(const char *path)
{
    return truncate(path, 0) == 0 ? 0 : errno;
}

static int do_remove(const char *path)
{
    return unlink(path) == 0 ? 0 : errno;
}

static int do_link(const char *path)
{
    return link(path, "taken") == 0 ? 0 : errno;
}

static int do_run(const char *path)
{
    char *const argv[] = {(char *)(uintptr_t)path, NULL};
    (void)execve(path, argv, argv + 1);
    return errno;
}

static int do_socket(const char *path)
{
    (void)path;
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0   ? 0
           : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ? 1
                                                                 : errno;
}

TEST(no_socket_is_made)
{
    IS_INT(confined(tap_dir(), do_socket, NULL), EACCES);
}

TEST(another_repository_is_not_even_read)
{
    struct err err = ERR_INIT;
    if (!kernel_can())
        return;
    AUTO_FREE char *own = repository("shop"), *other = repository("bank");
    AUTO_FREE char *head = mem_format("%s/HEAD", other), *mine = mem_format("%s/HEAD", own);
    AUTO_FREE char *program = mem_format("%s/program", own);
    OK(file_write(program, STR("#!/bin/true\n"), 0700, &err) == 0);
    IS_INT(confined(own, do_read, mine), 0);
    IS_INT(confined(own, do_read, head), EACCES);
    IS_INT(confined(own, do_remove, head), EACCES);
    OK(confined(own, do_link, head) != 0);
    IS_INT(confined(own, do_run, program), EACCES); /* what was pushed is never a program */
    if (narrow_landlock() >= 3)
        IS_INT(confined(own, do_empty, head), EACCES);
    OK(file_exists(head));
}

TAP_MAIN()
