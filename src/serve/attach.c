/* See attach.h. The message is one byte a number: '1' where an fd rides along, '0' where none. */
#include "serve/attach.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/time.h"
#include "io/loop.h"

#define WAIT_MS 60000
#define AGAIN_MS 100
#define BACKLOG 16

struct attach {
    int fd;
    char *path;
    struct watch *watch;
    void (*on_peer)(void *context, int fd, uid_t uid, pid_t pid);
    void *context;
};
union control {
    char bytes[CMSG_SPACE(ATTACH_FDS * sizeof(int))];
    struct cmsghdr align;
};

static int address_of(const struct settings *s, struct sockaddr_un *ret_address, struct err *err)
{
    AUTO_FREE char *path = settings_run(s, "serve.sock");
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(ret_address->sun_path))
        return FAIL(err, E_NAME_INVALID, "'%s' is too long for a socket", path);
    memcpy(ret_address->sun_path, path, strlen(path) + 1);
    return 0;
}

/* The role. */

/* Received fds may have the very numbers that others of them are to get. */
static int settle(const int *fds, size_t count, const char *which, struct err *err)
{
    int high[ATTACH_FDS] = {-1, -1, -1};
    size_t next = 0;
    for (int i = 0; i < ATTACH_FDS; i++)
        if (which[i] == '1' && next < count)
            high[i] = fcntl(fds[next++], F_DUPFD_CLOEXEC, ROLE_FD_LISTENER + ATTACH_FDS);
    for (size_t i = 0; i < count; i++)
        (void)close(fds[i]); /* there are copies */
    for (int i = 0; i < ATTACH_FDS; i++) {
        if (which[i] == '0')
            (void)close(ROLE_FD_LISTENER + i); /* not open is fine */
        else if (high[i] < 0 || dup2(high[i], ROLE_FD_LISTENER + i) < 0)
            return FAIL_SYS(err, "cannot place what the supervisor gave");
        fd_closep(&high[i]);
    }
    return 0;
}

static int receive(int fd, struct err *err)
{
    char which[ATTACH_FDS];
    union control control;
    struct iovec part = {which, sizeof(which)};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t count = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    struct cmsghdr *head = count > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (count != (ssize_t)sizeof(which) || !head || head->cmsg_type != SCM_RIGHTS)
        return FAIL(err, E_ROLE_DOWN,
                    "the supervisor gives us nothing: another process is this role");
    return settle((const int *)(const void *)CMSG_DATA(head),
                  (head->cmsg_len - CMSG_LEN(0)) / sizeof(int), which, err);
}

static int fetch(const struct sockaddr_un *address, struct err *err)
{
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return FAIL_SYS(err, "cannot make a socket");
    AUTO_CLOSE int high = fcntl(fd, F_DUPFD_CLOEXEC, ROLE_FD_LISTENER + ATTACH_FDS);
    (void)close(fd);
    fd = -1;
    if (connect(high, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return FAIL(err, E_ROLE_DOWN, "no supervisor at '%s': %s", address->sun_path,
                    strerror(errno));
    return receive(high, err);
}

int attach_as_role(const struct settings *s, struct err *err)
{
    struct sockaddr_un address;
    int64_t end = clock_mono_ms(clock_system()) + WAIT_MS;
    if (address_of(s, &address, err) < 0)
        return -1;
    for (;;) {
        struct err why = ERR_INIT;
        if (fetch(&address, &why) == 0)
            break;
        if (why.kind != E_ROLE_DOWN || clock_mono_ms(clock_system()) >= end) {
            *err = why;
            return -1;
        }
        (void)poll(NULL, 0, AGAIN_MS);
    }
    return chdir(s->run_dir) < 0 ? FAIL_SYS(err, "cannot enter '%s'", s->run_dir) : 0;
}

/* The supervisor. */

static void peer_came(void *context, int events)
{
    struct attach *a = context;
    struct ucred peer;
    socklen_t size = sizeof(peer);
    (void)events;
    int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        (void)close(fd); /* it asks again */
    else
        a->on_peer(a->context, fd, peer.uid, peer.pid);
}

int attach_listen(const struct settings *s,
                  void (*on_peer)(void *context, int fd, uid_t uid, pid_t pid), void *context,
                  struct attach **ret_attach, struct err *err)
{
    struct sockaddr_un address;
    if (address_of(s, &address, err) < 0)
        return -1;
    AUTO_CLOSE int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    AUTO_CLOSE int fd = made < 0 ? -1 : fcntl(made, F_DUPFD_CLOEXEC, ROLE_FD_LISTENER + ATTACH_FDS);
    (void)unlink(address.sun_path); /* of an earlier supervisor: we hold its lock */
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(address.sun_path, 0666) < 0 || listen(fd, BACKLOG) < 0)
        return FAIL_SYS(err, "cannot listen on '%s'", address.sun_path);
    struct attach *a = mem_alloc(sizeof(*a));
    *a = (struct attach){TAKE_FD(fd), mem_strdup(address.sun_path), NULL, on_peer, context};
    a->watch = watch_new(a->fd, peer_came, a);
    watch_set(a->watch, WATCH_READ);
    *ret_attach = a;
    return 0;
}

void attach_free(struct attach *a)
{
    if (!a)
        return;
    watch_free(a->watch);
    (void)unlink(a->path); /* stale is harmless */
    (void)close(a->fd);
    free(a->path);
    free(a);
}

int attach_give(int fd, const int fds[ATTACH_FDS], struct err *err)
{
    char which[ATTACH_FDS];
    union control control = {{0}};
    struct iovec part = {which, sizeof(which)};
    int given[ATTACH_FDS];
    size_t count = 0;
    for (int i = 0; i < ATTACH_FDS; i++) {
        which[i] = fds[i] >= 0 ? '1' : '0';
        if (fds[i] >= 0)
            given[count++] = fds[i];
    }
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *head = CMSG_FIRSTHDR(&m);
    *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)),
                             .cmsg_level = SOL_SOCKET,
                             .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), given, count * sizeof(int));
    if (sendmsg(fd, &m, MSG_NOSIGNAL) != (ssize_t)sizeof(which))
        return FAIL_SYS(err, "cannot give a role its sockets");
    return 0;
}
