/* See request.h.
 *
 * At high rates waking up for each datagram would cost more than the lines themselves. So after a
 * batch that shows that the socket can hold many (its queue length is set when it is created, and
 * is 10 where nobody raised it), reading pauses for a few milliseconds: the next batch is larger,
 * and still far from what the socket holds. */
#include "signals/request.h"
#include <sys/socket.h>
#include "base/mem.h"
#include "base/time.h"
#include "io/loop.h"

#define BATCH 64
#define BATCHES_MOST 16 /* then others have their turn */
#define PAUSE_MS 3

static struct {
    int fd;
    struct watch *watch;
    struct timer *pause;
    void (*on_fresh)(void);
    struct request_totals totals;
    char (*buffers)[EDGE_LOG_MAX + 64];
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
} self = {.fd = -1};

const struct request_totals *request_totals(void)
{
    return &self.totals;
}

/* Digits only; what is no number (-, -1) is `fallback`. */
static int64_t field_number(struct str text, int64_t fallback)
{
    int64_t value = 0;
    if (text.length == 0 || text.length > 18)
        return fallback;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return fallback;
        value = value * 10 + (text.data[i] - '0');
    }
    return value;
}

/* Did the edge or the app lose it? The first byte of the termination state: 'C', 'c' is the client
 * going away, 'L' and 'P' what the edge answered itself (then the status says how). */
static bool request_failed(const struct request_line *r)
{
    char end = r->fields[EDGE_LOG_FIELD_END].data[0];
    return r->status >= 500 || end == 'S' || end == 's' || end == 'R' || end == 'I' || end == 'K' ||
           end == 'U' || end == 'D';
}

static bool fields_cut(struct str line, int first, struct request_line *r)
{
    int count = first;
    while (count < EDGE_LOG_FIELD_COUNT - 1 && line.data) {
        r->fields[count] = str_cut(&line, ' ');
        if (r->fields[count++].length == 0)
            return false;
    }
    if (!line.data || line.length == 0)
        return false;
    r->fields[EDGE_LOG_FIELD_PATH] = line;
    r->took_us = field_number(r->fields[EDGE_LOG_FIELD_TOOK_US], 0);
    r->status = field_number(r->fields[EDGE_LOG_FIELD_STATUS], 0);
    r->bytes = field_number(r->fields[EDGE_LOG_FIELD_BYTES], 0);
    r->error = request_failed(r);
    return true;
}

bool request_scan(struct str line, struct request_line *ret_line)
{
    while (line.length > 0 &&
           (line.data[line.length - 1] == '\n' || line.data[line.length - 1] == '\0'))
        line.length--;
    if (!str_starts(line, EDGE_LOG_TAG " "))
        return false;
    if (!fields_cut(line, 0, ret_line))
        return false;
    ret_line->at_us = field_number(ret_line->fields[EDGE_LOG_FIELD_AT_US], -1);
    return ret_line->at_us >= 0;
}

bool request_scan_kept(struct str text, struct request_line *ret_line)
{
    return fields_cut(text, EDGE_LOG_FIELD_BACKEND, ret_line);
}

static struct app_env *app_env_of(struct str name)
{
    static struct app_env *last; /* most lines follow one of the same */
    static char text[128];
    if (last && str_is(name, last->name))
        return last;
    if (name.length >= sizeof(text) || str_is(name, "-"))
        return NULL;
    memcpy(text, name.data, name.length);
    text[name.length] = '\0';
    struct app_env *a = app_env_want(text);
    if (a)
        last = a;
    return a;
}

void request_take(struct str line)
{
    struct request_line r;
    self.totals.lines++;
    if (!request_scan(line, &r)) {
        self.totals.foreign++;
        return;
    }
    struct app_env *a = app_env_of(r.fields[EDGE_LOG_FIELD_APP_ENV]);
    if (!a)
        return;
    struct str path = r.fields[EDGE_LOG_FIELD_PATH];
    const char *start = r.fields[EDGE_LOG_FIELD_BACKEND].data;
    struct ring_new entry = {.name = r.fields[EDGE_LOG_FIELD_SERVER],
                             .text = {start, (size_t)(path.data + path.length - start)},
                             .at_ms = r.at_us / 1000};
    entry.release = app_env_release_of(entry.name);
    app_env_count_request(a, entry.release, (r.at_us + r.took_us) / 1000000, (uint64_t)r.took_us,
                          r.error);
    ring_add(&a->requests, &entry);
    a->fresh = true;
}

/* The socket. */

static int batch_read(void)
{
    for (int i = 0; i < BATCH; i++) {
        self.parts[i] = (struct iovec){self.buffers[i], sizeof(self.buffers[i])};
        self.messages[i].msg_hdr = (struct msghdr){.msg_iov = &self.parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(self.fd, self.messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++)
        request_take((struct str){self.buffers[i], self.messages[i].msg_len});
    if (count > 0)
        self.totals.batches++;
    return count;
}

static void pause_over(void *context)
{
    (void)context;
    watch_set(self.watch, WATCH_READ);
}

static void socket_ready(void *context, int events)
{
    int count = BATCH;
    int batches = 0;
    (void)context;
    (void)events;
    while (count == BATCH && batches++ < BATCHES_MOST)
        count = batch_read();
    self.on_fresh();
    if (batches > 1) { /* more than one batch lay there: it holds many */
        watch_set(self.watch, 0);
        timer_start(&self.pause, PAUSE_MS, 0, pause_over, NULL);
    }
}

void request_start(int fd, void (*on_fresh)(void))
{
    self.fd = fd;
    self.on_fresh = on_fresh;
    self.buffers = mem_array(BATCH, sizeof(self.buffers[0]));
    self.watch = watch_new(fd, socket_ready, NULL);
    watch_set(self.watch, WATCH_READ);
}

void request_stop(void)
{
    timer_free(&self.pause);
    watch_free(self.watch);
    self.watch = NULL;
    free(self.buffers);
    self.buffers = NULL;
    self.fd = -1;
}
