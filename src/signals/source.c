/* See source.h. */
#include "signals/source.h"
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "io/loop.h"

#define CHUNK ((size_t)64 << 10)
#define FILES_MAX 4 /* of one instance: rotated ones that are not read to the end */
#define TURN_MAX ((size_t)512 << 10)   /* bytes of one file in a turn: well below a ring */
#define TAIL_MAX (2 * APP_ENV_LOG_MAX) /* older output would not stay anyway */
#define BEHIND_MS 10                   /* there is more to read already */
#define FOLLOWED_MS 100
#define BUSY_MS 200
#define QUIET_MS 1000
#define QUIET_AFTER_MS 5000

struct source_file {
    int fd;
    dev_t device;
    ino_t inode;
    off_t offset; /* past the last whole line */
    off_t size;   /* when it was last looked at */
};
struct source {
    char *instance;
    const char *name; /* in it: what follows the app-env */
    struct app_env *app_env;
    uint32_t release;
    struct source_file files[FILES_MAX];
    size_t file_count;
    struct buf parts[2]; /* of an unfinished line, by stream */
};
static struct {
    struct map sources; /* by instance */
    struct timer *timer;
    void (*on_fresh)(void);
    bool (*is_followed)(void);
    bool (*must_wait)(const struct app_env *a);
    bool behind;      /* a file holds more than was taken in this turn */
    int64_t grown_ms; /* mono */
    char *chunk;
} self;

size_t source_count(void)
{
    return self.sources.count;
}

/* Lines. */

static int64_t digits(const char *text, int count)
{
    int64_t value = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* "Z" or "+08:00", in minutes. */
static bool zone_scan(struct str zone, int64_t *ret_minutes)
{
    *ret_minutes = 0;
    if (str_is(zone, "Z"))
        return true;
    if (zone.length != 6 || (zone.data[0] != '+' && zone.data[0] != '-') || zone.data[3] != ':')
        return false;
    int64_t hours = digits(zone.data + 1, 2), minutes = digits(zone.data + 4, 2);
    *ret_minutes = (hours * 60 + minutes) * (zone.data[0] == '-' ? -1 : 1);
    return hours >= 0 && minutes >= 0;
}

/* "2026-11-20T16:50:14.123456789+00:00" */
static bool time_scan(struct str text, int64_t *ret_ms)
{
    int64_t zone, fraction = 0, scale = 100;
    if (text.length < 20 || text.data[10] != 'T')
        return false;
    const char *t = text.data;
    int64_t parts[] = {digits(t, 4),      digits(t + 5, 2),  digits(t + 8, 2),
                       digits(t + 11, 2), digits(t + 14, 2), digits(t + 17, 2)};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (parts[i] < 0)
            return false;
    size_t at = 19;
    if (t[at] == '.')
        for (at++; at < text.length && t[at] >= '0' && t[at] <= '9'; at++, scale /= 10)
            fraction += (t[at] - '0') * scale;
    if (!zone_scan((struct str){t + at, text.length - at}, &zone))
        return false;
    struct tm when = {.tm_year = (int)parts[0] - 1900,
                      .tm_mon = (int)parts[1] - 1,
                      .tm_mday = (int)parts[2],
                      .tm_hour = (int)parts[3],
                      .tm_min = (int)parts[4],
                      .tm_sec = (int)parts[5]};
    *ret_ms = ((int64_t)timegm(&when) - zone * 60) * 1000 + fraction;
    return true;
}

bool source_scan(struct str line, struct source_line *ret_line)
{
    struct str rest = line;
    struct str at = str_cut(&rest, ' ');
    struct str stream = str_cut(&rest, ' ');
    struct str tag = str_cut(&rest, ' ');
    if (!rest.data || (!str_is(tag, "F") && !str_is(tag, "P")))
        return false;
    if (!str_is(stream, "stdout") && !str_is(stream, "stderr"))
        return false;
    *ret_line = (struct source_line){
        .stream = str_is(stream, "stdout") ? 1 : 2, .partial = tag.data[0] == 'P', .text = rest};
    return time_scan(at, &ret_line->at_ms);
}

/* NUL cannot travel in our messages: it becomes a byte that is no UTF-8, hence U+FFFD in the end.
 */
static void line_keep(struct source *s, int64_t at_ms, uint8_t stream, struct str text)
{
    static char clean[RING_TEXT_MAX];
    struct ring_new entry = {.release = s->release, .stream = stream, .at_ms = at_ms, .text = text};
    entry.name = str_of(s->name);
    if (text.length > 0 && memchr(text.data, '\0', text.length)) {
        entry.text.length = text.length > sizeof(clean) ? sizeof(clean) : text.length;
        entry.text.data = clean;
        for (size_t i = 0; i < entry.text.length; i++)
            clean[i] = text.data[i] ? text.data[i] : (char)0xff;
    }
    ring_add(&s->app_env->lines, &entry);
    s->app_env->fresh = true;
}

/* What does not fit any more is cut off. */
static void part_add(struct buf *part, struct str text)
{
    size_t room = part->ceiling - part->length;
    if (text.length > room)
        text.length = room;
    (void)buf_add_str(part, text); /* fits */
}

static void line_take(struct source *s, struct str text)
{
    struct source_line line;
    if (!source_scan(text, &line)) {
        line_keep(s, clock_wall_ms(clock_system()), 1, text);
        return;
    }
    struct buf *part = &s->parts[line.stream - 1];
    if (!line.partial && part->length == 0) {
        line_keep(s, line.at_ms, line.stream, line.text);
        return;
    }
    part_add(part, line.text);
    if (line.partial)
        return;
    line_keep(s, line.at_ms, line.stream, buf_str(part));
    buf_done(part);
    buf_init(part, RING_TEXT_MAX);
}

/* Files. */

/* Whole lines of what was read; returns how many bytes they are. */
static size_t chunk_take(struct source *s, struct str read, bool full)
{
    struct str rest = read;
    char *end;
    while (rest.length > 0 && (end = memchr(rest.data, '\n', rest.length))) {
        size_t length = (size_t)(end - rest.data);
        line_take(s, (struct str){rest.data, length});
        rest = (struct str){end + 1, rest.length - length - 1};
    }
    if (rest.length == read.length && full) { /* a line of this length is none of conmon's */
        line_take(s, rest);
        return read.length;
    }
    return read.length - rest.length;
}

/* Returns the bytes taken; TURN_MAX or more: there may be more. */
static size_t file_read_on(struct source *s, struct source_file *f)
{
    size_t total = 0;
    while (total < TURN_MAX) {
        ssize_t count = pread(f->fd, self.chunk, CHUNK, f->offset);
        if (count < 0)
            log_warn("output of an instance cannot be read: trying again",
                     F_STR("instance", s->instance), F_INT("errno", errno));
        if (count <= 0)
            break;
        size_t taken =
            chunk_take(s, (struct str){self.chunk, (size_t)count}, (size_t)count == CHUNK);
        f->offset += (off_t)taken;
        total += taken;
        if (taken == 0 || (size_t)count < CHUNK)
            break;
    }
    return total;
}

static bool file_look(struct source *s, struct source_file *f)
{
    struct stat now;
    if (fstat(f->fd, &now) < 0 || now.st_size == f->size)
        return false;
    if (self.must_wait(s->app_env)) {
        self.behind = true;
        return true; /* it has grown, and is read later */
    }
    if (now.st_size < f->offset) /* somebody emptied it */
        f->offset = 0;
    size_t taken = file_read_on(s, f);
    f->size = taken < TURN_MAX ? now.st_size : f->offset;
    self.behind |= taken >= TURN_MAX;
    return taken > 0;
}

/* An older file is done when a newer one is there and nothing is left of it; the newer one is read
 * only then, so that lines keep their order. */
static bool source_look(struct source *s)
{
    bool grown = false;
    for (size_t i = 0; i < s->file_count && !grown; i++) {
        grown = file_look(s, &s->files[i]);
        self.behind |= grown && i + 1 < s->file_count;
    }
    while (s->file_count > 1 && !grown) {
        (void)close(s->files[0].fd);
        s->file_count--;
        memmove(s->files, s->files + 1, s->file_count * sizeof(s->files[0]));
    }
    return grown;
}

/* The clock of looking. */

static void look_all(void *context);

static void look_soon(int64_t delay_ms)
{
    timer_start(&self.timer, delay_ms, 0, look_all, NULL);
}

static int64_t look_delay(void)
{
    if (self.behind)
        return BEHIND_MS;
    if (self.is_followed())
        return FOLLOWED_MS;
    return clock_mono_ms(clock_system()) - self.grown_ms < QUIET_AFTER_MS ? BUSY_MS : QUIET_MS;
}

static void look_all(void *context)
{
    bool grown = false;
    (void)context;
    self.behind = false;
    for (size_t i = 0; i < self.sources.count; i++)
        grown |= source_look(self.sources.entries[i].value);
    if (grown) {
        self.grown_ms = clock_mono_ms(clock_system());
        self.on_fresh();
    }
    if (self.sources.count > 0)
        look_soon(look_delay());
}

void source_hurry(void)
{
    if (self.sources.count > 0)
        look_soon(0);
}

/* Opening and closing. */

static void source_free(struct source *s)
{
    for (size_t i = 0; i < s->file_count; i++)
        (void)close(s->files[i].fd);
    buf_done(&s->parts[0]);
    buf_done(&s->parts[1]);
    free(s->instance);
    free(s);
}

static struct source *source_want(const struct source_new *n)
{
    struct source *s = map_get(&self.sources, n->instance);
    size_t prefix = strlen(n->app_env);
    if (s)
        return s;
    struct app_env *a = app_env_want(n->app_env);
    if (!a || self.sources.count >= SOURCES_MAX)
        return NULL;
    s = mem_alloc(sizeof(*s));
    s->instance = mem_strdup(n->instance);
    bool inside = text_starts(s->instance, n->app_env) && s->instance[prefix] == '.';
    s->name = inside ? s->instance + prefix + 1 : s->instance;
    s->app_env = a;
    s->release = (uint32_t)n->release;
    buf_init(&s->parts[0], RING_TEXT_MAX);
    buf_init(&s->parts[1], RING_TEXT_MAX);
    (void)map_put(&self.sources, n->instance, s); /* was not in it */
    return s;
}

static bool source_has(const struct source *s, const struct stat *status)
{
    for (size_t i = 0; i < s->file_count; i++)
        if (s->files[i].device == status->st_dev && s->files[i].inode == status->st_ino)
            return true;
    return false;
}

/* Of a large file only the end, from the next line on. */
static off_t tail_start(int fd, off_t size)
{
    if (size <= (off_t)TAIL_MAX)
        return 0;
    off_t start = size - (off_t)TAIL_MAX;
    ssize_t count = pread(fd, self.chunk, CHUNK, start);
    char *end = count > 0 ? memchr(self.chunk, '\n', (size_t)count) : NULL;
    return end ? start + (end - self.chunk) + 1 : start;
}

int source_open(const struct source_new *n, struct err *err)
{
    AUTO_CLOSE int fd = n->fd;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return FAIL_SYS(err, "cannot look at the output of '%s'", n->instance);
    if (!S_ISREG(status.st_mode))
        return FAIL(err, E_FIELD_INVALID, "the output of '%s' is no file", n->instance);
    struct source *s = source_want(n);
    if (!s)
        return FAIL(err, E_TOO_MANY, "more than %d instances are followed", SOURCES_MAX);
    if (source_has(s, &status))
        return 0;
    if (s->file_count == FILES_MAX)
        return FAIL(err, E_TOO_MANY, "too many output files of '%s'", n->instance);
    s->files[s->file_count++] =
        (struct source_file){.fd = TAKE_FD(fd), .device = status.st_dev, .inode = status.st_ino};
    struct source_file *f = &s->files[s->file_count - 1];
    f->offset = tail_start(f->fd, status.st_size);
    f->size = -1;
    look_soon(0);
    return 0;
}

void source_close(const char *instance)
{
    struct source *s = map_remove(&self.sources, instance);
    if (!s)
        return;
    for (size_t i = 0; i < s->file_count; i++)
        while (file_read_on(s, &s->files[i]) >= TURN_MAX)
            continue;
    for (uint8_t i = 0; i < 2; i++)
        if (s->parts[i].length > 0)
            line_keep(s, clock_wall_ms(clock_system()), (uint8_t)(i + 1), buf_str(&s->parts[i]));
    source_free(s);
    self.on_fresh();
}

void source_start(const struct source_listener *listener)
{
    self.on_fresh = listener->on_fresh;
    self.is_followed = listener->is_followed;
    self.must_wait = listener->must_wait;
    self.chunk = mem_alloc(CHUNK);
    map_init(&self.sources);
}

void source_stop(void)
{
    timer_free(&self.timer);
    for (size_t i = 0; i < self.sources.count; i++)
        source_free(self.sources.entries[i].value);
    map_done(&self.sources);
    free(self.chunk);
    self.chunk = NULL;
}
