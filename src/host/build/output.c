/* Head and tail: the first 4 MiB go to `output`, all that follows to `output.tail`, a ring of 4 MiB
 * whose first 8 bytes (after the ring, at its end) say the total, so that a reader needs no help.
 *
 * Events: bytes are gathered for 50 ms or 16 KiB and cut at a character; past a budget (4 MiB, then
 * 256 KiB/s) they are left out, which shows by the offsets, and can be read from the file. */
#include "host/build/output.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "io/loop.h"

#define EVENT_BYTES (16u << 10)
#define EVENT_MS 50
#define BUDGET_MAX (4ll << 20)
#define BUDGET_RATE (256ll << 10) /* a second */

struct output {
    int head, tail;
    int64_t size;
    struct mask_stream masked[2]; /* stdout, stderr */
    int stream;                   /* of what is pending: 1 or 2 */
    struct buf pending;
    int64_t pending_offset;
    char *step;
    struct timer *timer;
    int64_t budget, budget_ms;
    bool failed; /* a write failed: said once */
    void (*event)(void *context, json_t *args);
    void *context;
};

static char *file_path(const char *folder, const char *name)
{
    return mem_format("%s/%s", folder, name);
}

static int create(const char *folder, const char *name, int *ret_fd, struct err *err)
{
    AUTO_FREE char *path = file_path(folder, name);
    *ret_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *ret_fd < 0 ? FAIL_SYS(err, "cannot make '%s'", path) : 0;
}

int output_new(const char *folder, const struct mask *mask,
               void (*event)(void *context, json_t *args), void *context,
               struct output **ret_output, struct err *err)
{
    struct output *o = mem_alloc(sizeof(*o));
    o->head = o->tail = -1;
    o->stream = 1;
    o->budget = BUDGET_MAX;
    o->budget_ms = clock_mono_ms(clock_system());
    o->event = event;
    o->context = context;
    o->step = mem_strdup("");
    mask_stream_init(&o->masked[0], mask);
    mask_stream_init(&o->masked[1], mask);
    if (create(folder, "output", &o->head, err) < 0 ||
        create(folder, "output.tail", &o->tail, err) < 0) {
        output_free(o);
        return -1;
    }
    *ret_output = o;
    return 0;
}

int64_t output_size(const struct output *o)
{
    return o->size;
}

/* Events. */

/* Bytes at the end that are the start of a character. */
static size_t cut_character(struct str text)
{
    for (size_t back = 1; back <= 3 && back <= text.length; back++) {
        uint8_t c = (uint8_t)text.data[text.length - back];
        if (c < 0x80)
            return 0;
        if (c >= 0xc0)
            return back < (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u) ? back : 0;
    }
    return 0;
}

static bool budget_take(struct output *o, size_t bytes)
{
    int64_t now = clock_mono_ms(clock_system());
    o->budget += (now - o->budget_ms) * BUDGET_RATE / 1000;
    o->budget_ms = now;
    if (o->budget > BUDGET_MAX)
        o->budget = BUDGET_MAX;
    if (o->budget < (int64_t)bytes)
        return false;
    o->budget -= (int64_t)bytes;
    return true;
}

static void send_pending(struct output *o, bool all)
{
    struct str text = buf_str(&o->pending);
    if (!all)
        text.length -= cut_character(text);
    if (text.length == 0)
        return;
    if (budget_take(o, text.length)) {
        json_t *args = json_object();
        json_put_text(args, "step", o->step);
        json_put_int(args, "stream", o->stream);
        json_put_str(args, "text", text);
        json_put_int(args, "offset", o->pending_offset);
        o->event(o->context, args);
    }
    o->pending_offset += (int64_t)text.length;
    buf_consume(&o->pending, text.length);
}

static void on_timer(void *context)
{
    send_pending(context, false);
}

static void pend(struct output *o, struct str text)
{
    if (o->pending.length == 0)
        o->pending_offset = o->size;
    err_ignore(buf_add_str(&o->pending, text)); /* bounded by one write */
    if (o->pending.length >= EVENT_BYTES)
        send_pending(o, false);
    else if (!o->timer)
        timer_start(&o->timer, EVENT_MS, 0, on_timer, o);
}

/* Files. */

static void write_at(struct output *o, int fd, const char *data, size_t length, int64_t at)
{
    ssize_t n = pwrite(fd, data, length, at);
    if (n == (ssize_t)length || o->failed)
        return;
    o->failed = true;
    log_warn("output of a build not written, going on without", F_STR("why", strerror(errno)));
}

static void write_tail(struct output *o, struct str text, int64_t at)
{
    while (text.length > 0) {
        int64_t place = at % OUTPUT_TAIL;
        size_t part = text.length;
        if ((int64_t)part > OUTPUT_TAIL - place)
            part = (size_t)(OUTPUT_TAIL - place);
        write_at(o, o->tail, text.data, part, place);
        text.data += part;
        text.length -= part;
        at += (int64_t)part;
    }
    write_at(o, o->tail, (const char *)&at, sizeof(at), OUTPUT_TAIL);
}

static void keep(void *context, struct str text)
{
    struct output *o = context;
    size_t first = 0;
    pend(o, text);
    if (o->size < OUTPUT_HEAD) {
        first = text.length;
        if ((int64_t)first > OUTPUT_HEAD - o->size)
            first = (size_t)(OUTPUT_HEAD - o->size);
        write_at(o, o->head, text.data, first, o->size);
        o->size += (int64_t)first;
    }
    if (text.length > first) {
        struct str rest = {text.data + first, text.length - first};
        write_tail(o, rest, o->size);
        o->size += (int64_t)rest.length;
    }
}

static void switch_stream(struct output *o, int stream)
{
    if (o->stream != stream)
        send_pending(o, true);
    o->stream = stream;
}

void output_add(struct output *o, int stream, struct str data)
{
    switch_stream(o, stream);
    mask_feed(&o->masked[stream == 2], data, keep, o);
}

void output_flush(struct output *o)
{
    for (int i = 0; i < 2; i++) {
        if (o->masked[i].held.length > 0)
            switch_stream(o, i + 1);
        mask_flush(&o->masked[i], keep, o);
    }
    send_pending(o, true);
}

void output_step(struct output *o, const char *step)
{
    output_flush(o);
    free(o->step);
    o->step = mem_strdup(step);
}

void output_note(struct output *o, const char *text)
{
    output_flush(o);
    output_add(o, 2, STR("slipway: "));
    output_add(o, 2, str_of(text));
    output_add(o, 2, STR("\n"));
    output_flush(o);
}

void output_free(struct output *o)
{
    if (!o)
        return;
    if (o->head >= 0 && o->tail >= 0)
        output_flush(o);
    timer_free(&o->timer);
    mask_stream_done(&o->masked[0]);
    mask_stream_done(&o->masked[1]);
    buf_done(&o->pending);
    if (o->head >= 0)
        (void)close(o->head); /* a log: not worth an fsync */
    if (o->tail >= 0)
        (void)close(o->tail);
    free(o->step);
    free(o);
}

/* Reading. */

struct reader {
    int head, tail;
    int64_t head_size, size, tail_start;
};

static int reader_open(const char *folder, struct reader *r, struct err *err)
{
    AUTO_FREE char *head = file_path(folder, "output"), *tail = file_path(folder, "output.tail");
    r->head = open(head, O_RDONLY | O_CLOEXEC);
    r->tail = open(tail, O_RDONLY | O_CLOEXEC);
    if (r->head < 0 || r->tail < 0)
        return FAIL(err, E_NOT_FOUND, "the output of this build is not here");
    r->head_size = lseek(r->head, 0, SEEK_END);
    r->size = r->head_size;
    if (pread(r->tail, &r->size, sizeof(r->size), OUTPUT_TAIL) != sizeof(r->size))
        r->size = r->head_size;
    r->tail_start = r->size - OUTPUT_TAIL > r->head_size ? r->size - OUTPUT_TAIL : r->head_size;
    return 0;
}

/* One run of bytes from the head or from the ring; *offset moves over what was dropped. */
static size_t read_run(const struct reader *r, int64_t *offset, char *data, size_t room)
{
    ssize_t n;
    if (*offset < r->head_size) {
        n = pread(r->head, data, room, *offset);
        return n > 0 ? (size_t)n : 0;
    }
    if (*offset < r->tail_start)
        *offset = r->tail_start;
    int64_t place = *offset % OUTPUT_TAIL, left = r->size - *offset;
    if (left > OUTPUT_TAIL - place)
        left = OUTPUT_TAIL - place;
    if (left < (int64_t)room)
        room = left > 0 ? (size_t)left : 0;
    n = room > 0 ? pread(r->tail, data, room, place) : 0;
    return n > 0 ? (size_t)n : 0;
}

static json_t *read_reply(const struct reader *r, int64_t offset)
{
    AUTO_FREE char *data = mem_alloc(OUTPUT_READ_MAX);
    json_t *reply = json_object();
    struct str text = {data, read_run(r, &offset, data, OUTPUT_READ_MAX)};
    if (offset + (int64_t)text.length < r->size && cut_character(text) < text.length)
        text.length -= cut_character(text);
    json_put_str(reply, "text", text);
    json_put_int(reply, "offset", offset);
    json_put_int(reply, "next", offset + (int64_t)text.length);
    json_put_int(reply, "size", r->size);
    json_put_int(reply, "dropped", r->tail_start - r->head_size);
    return reply;
}

static void reader_close(struct reader *r)
{
    if (r->head >= 0)
        (void)close(r->head); /* read only */
    if (r->tail >= 0)
        (void)close(r->tail);
}

int output_read(const char *folder, int64_t offset, json_t **ret_reply, struct err *err)
{
    struct reader r = {-1, -1, 0, 0, 0};
    int result = reader_open(folder, &r, err);
    if (result == 0)
        *ret_reply = read_reply(&r, offset);
    reader_close(&r);
    return result;
}
