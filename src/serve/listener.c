/* See listener.h. */
#include "serve/listener.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define BACKLOG 1024
#define FD_FIRST 16 /* below are those that roles are given */
#define QLEN_PATH "/proc/sys/net/unix/max_dgram_qlen"
#define QLEN_WANTED 4096
#define LOG_BYTES (4 << 20)

union address {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* "127.0.0.1:7000" or "[::1]:7000"; settings_load has checked the form. */
static int address_tcp(const char *text, union address *ret_address, socklen_t *ret_length,
                       struct err *err)
{
    int64_t port;
    const char *colon = strrchr(text, ':');
    if (!colon || str_to_int(str_of(colon + 1), 1, 65535, "port", &port, err) < 0)
        return FAIL(err, E_CONFIG_INVALID, "'%s' is not ADDRESS:PORT", text);
    bool six = text[0] == '[';
    AUTO_FREE char *host = six ? mem_strndup(text + 1, (size_t)(colon - text) - 2)
                               : mem_strndup(text, (size_t)(colon - text));
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->any.sa_family = six ? AF_INET6 : AF_INET;
    *ret_length = six ? sizeof(ret_address->v6) : sizeof(ret_address->v4);
    in_port_t number = htons((uint16_t)port);
    if (six)
        ret_address->v6.sin6_port = number;
    else
        ret_address->v4.sin_port = number;
    void *bytes = six ? (void *)&ret_address->v6.sin6_addr : (void *)&ret_address->v4.sin_addr;
    if (inet_pton(six ? AF_INET6 : AF_INET, host, bytes) != 1)
        return FAIL(err, E_CONFIG_INVALID, "'%s' is not an IP address", host);
    return 0;
}

static int listener_address(const struct listener *l, union address *ret_address,
                            socklen_t *ret_length, struct err *err)
{
    size_t length = strlen(l->address);
    if (l->kind == LISTENER_TCP)
        return address_tcp(l->address, ret_address, ret_length, err);
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->local.sun_family = AF_UNIX;
    if (length >= sizeof(ret_address->local.sun_path))
        return FAIL(err, E_CONFIG_INVALID, "'%s' is too long for a socket", l->address);
    memcpy(ret_address->local.sun_path, l->address, length + 1);
    *ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    return 0;
}

static int listener_bind(const struct listener *l, int fd, struct err *err)
{
    union address address;
    socklen_t length;
    int yes = 1, bytes = LOG_BYTES;
    if (listener_address(l, &address, &length, err) < 0)
        return -1;
    if (l->kind == LISTENER_TCP)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)); /* bind tells */
    else if (unlink(l->address) < 0 && errno != ENOENT)
        return FAIL_SYS(err, "cannot remove the old socket '%s'", l->address);
    if (l->kind == LISTENER_LOG)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)); /* as it can */
    if (bind(fd, &address.any, length) < 0)
        return FAIL_SYS(err, "cannot listen on '%s'", l->address);
    if (l->kind != LISTENER_LOG && listen(fd, BACKLOG) < 0)
        return FAIL_SYS(err, "cannot listen on '%s'", l->address);
    if (l->kind != LISTENER_TCP && /* in folders of root's, and still not through a link */
        (fchownat(AT_FDCWD, l->address, l->uid, l->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
         fchmodat(AT_FDCWD, l->address, l->mode, AT_SYMLINK_NOFOLLOW) < 0))
        return FAIL_SYS(err, "cannot give '%s' its owner", l->address);
    return 0;
}

/* How many datagrams a unix socket queues: the kernel reads it at the socket's birth. */
static int64_t queue_length(void)
{
    AUTO_BUF text = BUF_INIT(0);
    struct err err = ERR_INIT;
    int64_t value = 0;
    if (file_read(QLEN_PATH, 32, &text, &err) < 0)
        return 0;
    struct str rest = buf_str(&text);
    if (str_to_int(str_cut(&rest, '\n'), 0, INT32_MAX, "max_dgram_qlen", &value, &err) < 0)
        return 0;
    return value;
}

static void queue_length_set(int64_t value)
{
    AUTO_FREE char *line = mem_format("%lld\n", (long long)value);
    AUTO_CLOSE int fd = open(QLEN_PATH, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, line, strlen(line)) < 0)
        log_warn("cannot set max_dgram_qlen, going on", F_INT("value", value));
}

static int socket_open(const struct listener *l)
{
    int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    if (l->kind == LISTENER_TCP)
        return socket(l->address[0] == '[' ? AF_INET6 : AF_INET, SOCK_STREAM | flags, 0);
    if (l->kind == LISTENER_UNIX)
        return socket(AF_UNIX, SOCK_STREAM | flags, 0);
    int64_t was = queue_length();
    if (was < QLEN_WANTED) /* a short queue loses lines of the request log under load */
        queue_length_set(QLEN_WANTED);
    int fd = socket(AF_UNIX, SOCK_DGRAM | flags, 0);
    if (was > 0 && was < QLEN_WANTED)
        queue_length_set(was);
    return fd;
}

int listener_make(const struct listener *l, int *ret_fd, struct err *err)
{
    AUTO_CLOSE int fd = socket_open(l);
    if (fd < 0)
        return FAIL_SYS(err, "cannot make a socket for '%s'", l->address);
    if (listener_bind(l, fd, err) < 0)
        return -1;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST);
    if (high < 0)
        return FAIL_SYS(err, "cannot keep the socket of '%s'", l->address);
    *ret_fd = high;
    return 0;
}

static bool listener_is(const struct listener *l, int fd)
{
    union address wanted, real;
    struct err ignored = ERR_INIT;
    socklen_t length, real_length = sizeof(real), size = sizeof(int);
    int listens = -1;
    if (listener_address(l, &wanted, &length, &ignored) < 0 ||
        getsockname(fd, &real.any, &real_length) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
        return false;
    if (listens != (l->kind == LISTENER_LOG ? 0 : 1))
        return false;
    if (l->kind != LISTENER_TCP && !file_exists(l->address))
        return false; /* somebody removed its name: nobody can reach it */
    return real_length == length && memcmp(&wanted, &real, length) == 0;
}

int listener_take(const struct listener *l, int pidfd, int number, int *ret_fd, struct err *err)
{
    AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (fd < 0 && errno == EBADF)
        return LISTENER_FOREIGN;
    if (fd < 0)
        return FAIL_SYS(err, "cannot take over '%s'", l->address);
    if (!listener_is(l, fd))
        return LISTENER_FOREIGN;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST);
    if (high < 0)
        return FAIL_SYS(err, "cannot keep the socket of '%s'", l->address);
    *ret_fd = high;
    return 0;
}
