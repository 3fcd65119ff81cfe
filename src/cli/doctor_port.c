/* Who listens on a port: /proc/net/tcp names the socket, /proc/PID/fd the process. */
#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/doctor_priv.h"

#define NET_MAX ((size_t)16 << 20)
#define STATE_LISTEN "0A"
#define WORDS_IPV4 8 /* hex digits of an address */

/* The address as /proc/net/tcp prints it, or "" for any. */
static void address_hex(const char *address, char ret_hex[33])
{
    struct in6_addr bytes;
    const uint32_t *words = (const uint32_t *)(const void *)&bytes;
    AUTO_FREE char *plain = mem_strdup(address + (address[0] == '['));
    char *end = address[0] == '['    ? strchr(plain, ']')
                : strchr(plain, '.') ? strchr(plain, ':')
                                     : NULL;
    if (end)
        *end = '\0';
    ret_hex[0] = '\0';
    if (inet_pton(AF_INET, plain, &bytes) == 1)
        (void)snprintf(ret_hex, 33, "%08X", words[0]);
    else if (inet_pton(AF_INET6, plain, &bytes) == 1)
        (void)snprintf(ret_hex, 33, "%08X%08X%08X%08X", words[0], words[1], words[2], words[3]);
}

/* Two that cannot both be bound: the same address, or one of them is any. */
static bool in_the_way(struct str theirs, const char *ours)
{
    bool any = true;
    for (size_t i = 0; i < theirs.length; i++)
        any = any && theirs.data[i] == '0';
    bool ours_any = !*ours || strspn(ours, "0") == strlen(ours);
    if (any || ours_any)
        return true;
    return str_is(theirs, ours);
}

static bool holds_socket(pid_t pid, const char *socket)
{
    AUTO_FREE char *folder = mem_format("/proc/%d/fd", (int)pid);
    DIR *dir = opendir(folder);
    bool found = false;
    for (struct dirent *e; dir && !found && (e = readdir(dir)) != NULL;) {
        char target[64];
        ssize_t length = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        found = text_is(target, socket);
    }
    if (dir)
        (void)closedir(dir); /* read only */
    return found;
}

/* Ours first: a socket may be shared by many. 0: nobody that we can see. */
static pid_t holder(const struct settings *s, const char *inode, bool *ret_ours)
{
    AUTO_FREE char *socket = mem_format("socket:[%s]", inode);
    DIR *dir = opendir("/proc");
    pid_t stranger = 0;
    *ret_ours = false;
    for (struct dirent *e; dir && !*ret_ours && (e = readdir(dir)) != NULL;) {
        struct err no = ERR_INIT;
        int64_t pid;
        if (str_to_int(str_of(e->d_name), 1, INT32_MAX, "pid", &pid, &no) < 0 ||
            !holds_socket((pid_t)pid, socket))
            continue;
        stranger = (pid_t)pid;
        *ret_ours = doctor_is_ours(s, stranger);
    }
    if (dir)
        (void)closedir(dir); /* read only */
    return stranger;
}

static char *process_name(pid_t pid)
{
    struct err gone = ERR_INIT;
    AUTO_BUF name = BUF_INIT(64);
    AUTO_FREE char *path = mem_format("/proc/%d/comm", (int)pid);
    if (pid == 0 || file_read(path, 64, &name, &gone) < 0)
        return mem_strdup("a process that cannot be seen from here");
    struct str rest = buf_str(&name), line = str_cut(&rest, '\n');
    return mem_format("'%.*s' (process %d)", (int)line.length, line.data, (int)pid);
}

struct look {
    const struct settings *s;
    int64_t port;
    char address[33];
    bool ours;
    char *stranger; /* heap */
};

/* "  0: 0100007F:1B58 00000000:0000 0A ... INODE ..." */
static void look_line(struct look *l, struct str line)
{
    struct str field[10] = {0};
    size_t count = 0;
    char port[8];
    while (line.data && count < ARRAY_SIZE(field)) {
        struct str word = str_cut(&line, ' ');
        if (word.length)
            field[count++] = word;
    }
    (void)snprintf(port, sizeof(port), "%04X", (unsigned)l->port);
    if (count < 10 || !str_is(field[3], STATE_LISTEN))
        return;
    struct str local = field[1], address = str_cut(&local, ':');
    if (!local.data || !str_is(local, port) || !in_the_way(address, l->address))
        return;
    AUTO_FREE char *inode = str_dup(field[9]);
    bool ours = false;
    pid_t pid = holder(l->s, inode, &ours);
    l->ours = l->ours || ours;
    if (!ours && !l->stranger)
        l->stranger = process_name(pid);
}

static void look_file(struct look *l, const char *path)
{
    struct err absent = ERR_INIT; /* no IPv6: no file */
    AUTO_BUF text = BUF_INIT(NET_MAX);
    if (file_read(path, NET_MAX, &text, &absent) < 0)
        return;
    struct str rest = buf_str(&text);
    (void)str_cut(&rest, '\n'); /* the title */
    while (rest.data)
        look_line(l, str_cut(&rest, '\n'));
}

void doctor_port(const struct settings *s, const struct doctor_port *port, json_t *checks)
{
    struct look l = {.s = s, .port = port->number};
    AUTO_FREE char *name = mem_format("port %lld (%s)", (long long)port->number, port->what);
    AUTO_FREE char *fix = mem_format("end that program, or choose another port with %s in '%s' and "
                                     "restart slipway",
                                     port->key, s->path);
    address_hex(port->address, l.address);
    look_file(&l, "/proc/net/tcp");
    look_file(&l, "/proc/net/tcp6");
    bool taken = !l.ours && l.stranger;
    AUTO_FREE char *text = taken ? mem_format("held by %s", l.stranger) : NULL;
    (void)doctor_push(checks, name, !taken, text ? text : l.ours ? "ours" : "free", fix);
    free(l.stranger);
}
