/* How long do N copies of a program need from the start to their first 200, with nothing around
 * them? That is the floor (T, T1) that a switch is measured against. Copies are started together,
 * each with its own PORT, and asked every 5 ms, as the platform's own probe does; then they are
 * ended and waited for. Prints {"ms": n}. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COPIES_MAX = 64 };
static const int64_t POLL_US = 5000, DEADLINE_US = 60000000, GRACE_US = 10000000;

static struct {
    int64_t copies, port;
    const char *path, *root, *cwd, *group;
    char **argv;
} option = {.copies = 1, .port = 21000, .path = "/up"};

static pid_t copies[COPIES_MAX];
static bool ready[COPIES_MAX];

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void pause_us(int64_t us)
{
    struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    if (us > 0)
        nanosleep(&t, NULL);
}

/* The cgroup of a copy: absent without --group. */
static bool group_path(int64_t index, const char *file, char *path, size_t size)
{
    if (option.group)
        (void)snprintf(path, size, "%s-%lld%s", option.group, (long long)index, file);
    return option.group != NULL;
}

static void group_enter(int64_t index)
{
    char path[4096];
    if (!group_path(index, "", path, sizeof path))
        return;
    (void)mkdir(path, 0755);
    (void)group_path(index, "/cgroup.procs", path, sizeof path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        _exit(125);
    close(fd);
}

static void groups_remove(void)
{
    char path[4096];
    for (int64_t i = 0; i < option.copies; i++)
        if (group_path(i, "", path, sizeof path))
            (void)rmdir(path);
}

static void copies_end(void)
{
    int64_t deadline = now_us() + GRACE_US;
    for (int64_t i = 0; i < option.copies; i++)
        if (copies[i] > 0)
            kill(copies[i], SIGTERM);
    for (int64_t i = 0; i < option.copies; i++) {
        while (copies[i] > 0 && waitpid(copies[i], NULL, WNOHANG) == 0) {
            if (now_us() > deadline)
                kill(copies[i], SIGKILL);
            pause_us(1000);
        }
        copies[i] = 0;
    }
    groups_remove();
}

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "bench-bare: %s\n", what);
    copies_end();
    exit(2);
}

__attribute__((noreturn)) static void copy_run(int64_t index)
{
    char port[16];
    int silent = open("/dev/null", O_RDWR);
    dup2(silent, STDIN_FILENO);
    dup2(silent, STDOUT_FILENO);
    snprintf(port, sizeof port, "%lld", (long long)(option.port + index));
    setenv("PORT", port, 1);
    group_enter(index);
    if (option.root && chroot(option.root) < 0)
        _exit(126);
    if (option.cwd && chdir(option.cwd) < 0)
        _exit(126);
    execvp(option.argv[0], option.argv);
    _exit(127);
}

/* One GET with a second of patience; true for a 200. */
static bool up(int64_t index)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)(option.port + index))};
    struct timeval patience = {.tv_sec = 1};
    char text[512];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    bool good = false;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
        int n = snprintf(text, sizeof text,
                         "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                         option.path);
        good = send(fd, text, (size_t)n, MSG_NOSIGNAL) == n &&
               recv(fd, text, sizeof text, 0) >= 12 && strncmp(text + 8, " 200", 4) == 0;
    }
    close(fd);
    return good;
}

static int64_t start_us(void)
{
    int64_t start = now_us(), next = start, left = option.copies;
    for (int64_t i = 0; i < option.copies; i++) {
        ready[i] = false;
        copies[i] = fork();
        if (copies[i] < 0)
            fail("cannot fork");
        if (copies[i] == 0)
            copy_run(i);
    }
    while (left) {
        next += POLL_US;
        pause_us(next - now_us());
        for (int64_t i = 0; i < option.copies; i++) {
            if (ready[i] || !up(i))
                continue;
            ready[i] = true;
            left--;
        }
        if (waitpid(-1, NULL, WNOHANG) > 0)
            fail("a copy ended instead of serving");
        if (now_us() - start > DEADLINE_US)
            fail("the copies did not come up in a minute");
    }
    int64_t took = now_us() - start;
    copies_end();
    return took;
}

__attribute__((noreturn)) static void usage_fail(void)
{
    fputs("usage: bench-bare [--copies N] [--port FIRST] [--path /up]\n"
          "                  [--root DIR] [--cwd DIR] [--group CGROUP] -- PROGRAM ARGUMENT...\n",
          stderr);
    exit(2);
}

static int64_t number(const char *text, int64_t most)
{
    char *end;
    int64_t value = strtoll(text, &end, 10);
    if (end == text || *end || value < 1 || value > most)
        usage_fail();
    return value;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"copies", 1, NULL, 'c'}, {"port", 1, NULL, 'p'},
                                          {"path", 1, NULL, 'u'},   {"root", 1, NULL, 'o'},
                                          {"cwd", 1, NULL, 'd'},    {"group", 1, NULL, 'g'},
                                          {NULL, 0, NULL, 0}};
    int letter;
    while ((letter = getopt_long(argc, argv, "+", names, NULL)) != -1) {
        if (letter == 'c')
            option.copies = number(optarg, COPIES_MAX);
        else if (letter == 'p')
            option.port = number(optarg, 65000);
        else if (letter == 'u')
            option.path = optarg;
        else if (letter == 'o')
            option.root = optarg;
        else if (letter == 'd')
            option.cwd = optarg;
        else if (letter == 'g')
            option.group = optarg;
        else
            usage_fail();
    }
    if (optind >= argc)
        usage_fail();
    option.argv = argv + optind;
    signal(SIGPIPE, SIG_IGN);
    printf("{\"ms\":%.3f}\n", (double)start_us() / 1000);
}
