/* A small HTTP server for the tests: static, one file, does what its variables and requests say.
 *   EXIT_AT_START=N  end at once with that code     STATUS=N        answer of /up (200)
 *   IGNORE_TERM=1    do not end on TERM             START_MS=N      wait before listening
 * GET /up  /env/NAME  /file/PATH  /exit/N  /eat/MIB  /fork/N  /log/N (lines)  /connect/ADDRESS:PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long number(const char *text, long fallback)
{
    return text && *text ? strtol(text, NULL, 10) : fallback;
}

static void ended(int signal)
{
    (void)signal;
    _exit(0);
}

static void answer(int fd, long status, const char *body)
{
    char text[8192];
    if (!body)
        body = "";
    int length = snprintf(text, sizeof(text),
                          "HTTP/1.1 %ld X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                          status, strlen(body), body);
    (void)!write(fd, text, (size_t)length);
}

static void read_file(int fd, const char *path)
{
    char text[4096];
    int file = open(path, O_RDONLY);
    ssize_t count = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
    int failed = errno;
    if (file >= 0)
        (void)close(file);
    text[count > 0 ? count : 0] = '\0';
    answer(fd, count < 0 ? 404 : 200, count < 0 ? strerror(failed) : text);
}

static void eat(int fd, long mib)
{
    for (long i = 0; i < mib; i++) {
        volatile char *piece =
            malloc(1 << 20); /* volatile: a compiler may drop memory that nobody reads */
        for (size_t at = 0; piece && at < 1 << 20; at += 4096)
            piece[at] = 1;
    }
    answer(fd, 200, "eaten");
}

static void fork_many(int fd, long count)
{
    char text[64];
    long made = 0;
    for (long i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            (void)sleep(5);
            _exit(0);
        }
        made += pid > 0;
    }
    (void)snprintf(text, sizeof(text), "%ld", made);
    answer(fd, 200, text);
}

static void log_lines(int fd, long count)
{
    for (long i = 0; i < count; i++)
        (void)printf("line %ld %s\n", i,
                     "........................................................");
    (void)fflush(stdout);
    answer(fd, 200, "logged");
}

static void connect_to(int fd, char *target)
{
    char *colon = strchr(target, ':');
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct timeval limit = {.tv_usec = 300000};
    int out = socket(AF_INET, SOCK_STREAM, 0);
    if (!colon)
        return;
    *colon = '\0';
    to.sin_port = htons((uint16_t)number(colon + 1, 0));
    (void)inet_pton(AF_INET, target, &to.sin_addr);
    (void)setsockopt(out, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    int result = connect(out, (struct sockaddr *)&to, sizeof(to));
    answer(fd, 200, result == 0 ? "open" : strerror(errno));
    (void)close(out);
}

static void serve(int fd, char *path)
{
    if (strncmp(path, "/env/", 5) == 0)
        answer(fd, 200, getenv(path + 5) ? getenv(path + 5) : "");
    else if (strncmp(path, "/file/", 6) == 0)
        read_file(fd, path + 5);
    else if (strncmp(path, "/exit/", 6) == 0)
        _exit((int)number(path + 6, 0));
    else if (strncmp(path, "/eat/", 5) == 0)
        eat(fd, number(path + 5, 0));
    else if (strncmp(path, "/fork/", 6) == 0)
        fork_many(fd, number(path + 6, 0));
    else if (strncmp(path, "/log/", 5) == 0)
        log_lines(fd, number(path + 5, 0));
    else if (strncmp(path, "/connect/", 9) == 0)
        connect_to(fd, path + 9);
    else
        answer(fd, number(getenv("STATUS"), 200), "up");
}

static void handle(int fd)
{
    char text[4096];
    ssize_t count = read(fd, text, sizeof(text) - 1);
    if (count > 4) {
        text[count] = '\0';
        char *path = text + 4;
        path[strcspn(path, " \r\n")] = '\0';
        serve(fd, path);
    }
    (void)close(fd);
}

int main(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int one = 1;
    if (getenv("EXIT_AT_START")) {
        (void)fputs("cannot find the database\n", stderr);
        return (int)number(getenv("EXIT_AT_START"), 1);
    }
    (void)signal(SIGTERM, getenv("IGNORE_TERM") ? SIG_IGN : ended);
    (void)signal(SIGCHLD, SIG_IGN);
    (void)usleep((useconds_t)number(getenv("START_MS"), 0) * 1000);
    while (getenv("HANG_AFTER") && time(NULL) >= number(getenv("HANG_AFTER"), 0))
        (void)pause(); /* it waits for a database, say, that was there once */
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    any.sin_port = htons((uint16_t)number(getenv("PORT"), 3000));
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(listener, 100) < 0) {
        perror("listen");
        return 1;
    }
    (void)puts("listening");
    (void)fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            handle(fd);
    }
}
