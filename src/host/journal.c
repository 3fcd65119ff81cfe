/* Heads of core's journal, kept where core cannot change them: data_dir/host/journal-heads, root's,
 * one line "SEQ HASH" a head, appended and synced. Whoever rewrites the journal, or cuts its tail,
 * would have to be root to hide it.
 *
 * The list only grows: a head that is not newer than the last one is refused, unless it is that
 * very one (core repeats its last after a crash). What was refused is evidence: it goes to
 * journal-refused, is logged as an error and shown by the doctor until somebody looked at it. A
 * torn last line (power cut) is skipped.
 *
 * Files are read and written on the pool (but for the first look, before the loop runs), one batch
 * at a time: what comes in meanwhile is the next batch, so a slow disk costs one sync for many
 * heads and never holds the loop up. */
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/host_priv.h"
#include "io/loop.h"
#include "wire/doctor.h"

#define HASH_HEX 64
#define TAIL_BYTES 8192     /* some lines */
#define QUEUE_MAX 20000     /* heads that wait for a disk that does not answer */
#define REFUSED_MAX 1000    /* lines of evidence; more says nothing new */
#define REFUSED_LINE_MAX 90 /* "SEQ HASH\n" */

struct head {
    int64_t seq;
    char hash[HASH_HEX + 1];
};
struct entry { /* a head that waits for its answer */
    struct head head;
    struct ticket *ticket;
    bool refused;
};
struct entries {
    struct entry *items;
    size_t count;
};
struct known { /* what the files say */
    bool loaded;
    struct head last; /* seq 0: none yet */
    int64_t refused;
};
struct batch { /* a job's copies */
    const struct settings *settings;
    struct entries entries;
    struct known known;
    struct err err;
    bool failed;
};
static struct {
    struct known known;
    struct entries waiting;
    bool busy;
} heads;

static bool is_hash(struct str text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!strchr("0123456789abcdef", text.data[i]))
            return false;
    return text.length == HASH_HEX;
}

static bool head_parse(struct str line, struct head *ret_head)
{
    struct err ignored = ERR_INIT;
    struct str number = str_cut(&line, ' ');
    if (!line.data || !is_hash(line) ||
        str_to_int(number, 1, INT64_MAX, "seq", &ret_head->seq, &ignored) < 0)
        return false;
    memcpy(ret_head->hash, line.data, HASH_HEX);
    ret_head->hash[HASH_HEX] = '\0';
    return true;
}

/* On the pool; known_load also before the loop runs. */

static int open_file(const struct settings *s, const char *name, int flags, struct err *err)
{
    AUTO_FREE char *path = settings_data(s, name);
    int fd = open(path, flags | O_CREAT | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : FAIL_SYS(err, "cannot open '%s'", path);
}

static int open_heads(const struct settings *s, int flags, struct err *err)
{
    return open_file(s, "host/journal-heads", flags, err);
}

static int open_refused(const struct settings *s, struct err *err)
{
    return open_file(s, "host/journal-refused", O_RDWR | O_APPEND, err);
}

static int known_load(const struct settings *s, struct known *k, struct err *err)
{
    AUTO_BUF text = BUF_INIT(TAIL_BYTES + 1);
    struct stat refused;
    struct head head;
    AUTO_CLOSE int fd = open_heads(s, O_RDONLY, err);
    AUTO_CLOSE int evidence = fd < 0 ? -1 : open_refused(s, err);
    if (fd < 0 || evidence < 0)
        return -1;
    off_t size = lseek(fd, 0, SEEK_END);
    if (lseek(fd, size > TAIL_BYTES ? size - TAIL_BYTES : 0, SEEK_SET) < 0 ||
        fstat(evidence, &refused) < 0)
        return FAIL_SYS(err, "cannot read the journal heads");
    if (file_read_fd(fd, TAIL_BYTES, &text, err) < 0)
        return -1;
    for (struct str rest = buf_str(&text); rest.data;)
        if (head_parse(str_cut(&rest, '\n'), &head)) /* the middle of a line is no head */
            k->last = head;
    k->refused = (refused.st_size + HASH_HEX + 2) / (HASH_HEX + 3); /* about: a line is longer */
    k->loaded = true;
    return 0;
}

/* Does the file end within a line? Then the next one must not be glued to it. */
static bool is_torn(int fd, off_t size)
{
    char last = '\n';
    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

/* All of it or nothing, as far as the disk lets us. */
static int append(int fd, const struct buf *lines, const char *what, struct err *err)
{
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0 || (is_torn(fd, size) && write(fd, "\n", 1) != 1))
        return FAIL_SYS(err, "cannot append to %s", what);
    ssize_t written = write(fd, lines->data, lines->length);
    if (written == (ssize_t)lines->length && fdatasync(fd) == 0)
        return 0;
    if (written >= 0 && written < (ssize_t)lines->length)
        errno = ENOSPC;
    (void)FAIL_SYS(err, "cannot append to %s", what);
    (void)!ftruncate(fd, size); /* what is left over is a head that we saw: it does no harm */
    return -1;
}

static void entry_judge(struct known *k, struct entry *e, struct buf *lines, struct buf *refused)
{
    bool same = e->head.seq == k->last.seq && text_is(e->head.hash, k->last.hash);
    struct buf *to = e->head.seq > k->last.seq ? lines : refused;
    if (same)
        return;
    (void)buf_add_format(to, "%lld %s\n", (long long)e->head.seq, e->head.hash); /* no ceiling */
    e->refused = to == refused;
    if (e->refused)
        k->refused++;
    else
        k->last = e->head;
}

static int batch_write(struct batch *b, struct err *err)
{
    AUTO_BUF lines = BUF_INIT(0);
    AUTO_BUF refused = BUF_INIT(REFUSED_LINE_MAX * REFUSED_MAX);
    struct known now = b->known;
    if (!now.loaded && known_load(b->settings, &now, err) < 0)
        return -1;
    int64_t before = now.refused;
    for (size_t i = 0; i < b->entries.count; i++)
        entry_judge(&now, &b->entries.items[i], &lines, &refused);
    AUTO_CLOSE int fd = open_heads(b->settings, O_RDWR | O_APPEND, err);
    AUTO_CLOSE int evidence = fd < 0 ? -1 : open_refused(b->settings, err);
    if (fd < 0 || evidence < 0 ||
        (lines.length && append(fd, &lines, "the journal heads", err) < 0) ||
        (refused.length && before < REFUSED_MAX &&
         append(evidence, &refused, "the refused journal heads", err) < 0))
        return -1;
    b->known = now;
    return 0;
}

static void batch_work(void *context)
{
    struct batch *b = context;
    b->failed = batch_write(b, &b->err) < 0;
}

/* On the loop. */

static void batch_start(const struct settings *s);

static void entry_answer(const struct entry *e, const struct batch *b)
{
    struct err err = ERR_INIT;
    if (b->failed) {
        ticket_fail(e->ticket, &b->err);
    } else if (!e->refused) {
        ticket_ok(e->ticket, NULL);
    } else {
        (void)FAIL(&err, E_STATE_CONFLICT,
                   "head %lld of the journal is not newer than the last one, %lld",
                   (long long)e->head.seq, (long long)b->known.last.seq);
        ticket_fail(e->ticket, &err);
    }
}

static void batch_done(void *context)
{
    struct batch *b = context;
    size_t refused = 0;
    for (size_t i = 0; i < b->entries.count; i++)
        refused += b->entries.items[i].refused;
    if (b->failed)
        log_error("cannot keep the journal's heads: a change of the journal since then would not "
                  "be noticed",
                  F_ERR(&b->err));
    else if (refused > 0)
        log_error("core tells another history than before: refusing its heads of the journal",
                  F_INT("heads", (int64_t)refused), F_INT("last", b->known.last.seq));
    for (size_t i = 0; i < b->entries.count; i++)
        entry_answer(&b->entries.items[i], b);
    heads.known = b->known;
    heads.known.loaded = b->known.loaded && !b->failed; /* else the file is asked again */
    heads.busy = false;
    if (heads.waiting.count > 0)
        batch_start(b->settings);
    free(b->entries.items);
    free(b);
}

static void batch_start(const struct settings *s)
{
    struct batch *b = mem_alloc(sizeof(*b));
    b->settings = s;
    b->entries = heads.waiting;
    b->known = heads.known;
    b->err = (struct err)ERR_INIT;
    heads.waiting = (struct entries){0};
    heads.busy = true;
    FAULT("journal.head");
    loop_work(batch_work, batch_done, b);
}

void journal_verb_head(void *context, struct message *m)
{
    const struct host *h = context;
    struct entries *w = &heads.waiting;
    struct err err = ERR_INIT;
    const char *hash = json_text_or(m->args, "hash", "");
    if (!is_hash(str_of(hash)))
        (void)FAIL(&err, E_FIELD_INVALID, "'%s' is no hash", hash);
    else if (w->count == QUEUE_MAX)
        (void)FAIL(&err, E_TOO_MANY, "too many heads wait for the disk");
    if (err.kind != E_OK) {
        message_fail(m, &err);
        return;
    }
    if ((w->count & (w->count - 1)) == 0) /* full, or empty */
        w->items = mem_resize(w->items, w->count ? w->count * 2 : 1, sizeof(*w->items));
    struct entry *e = &w->items[w->count++];
    *e = (struct entry){.head.seq = json_int(m->args, "seq", 0), .ticket = message_ticket(m)};
    memcpy(e->head.hash, hash, HASH_HEX);
    if (!heads.busy)
        batch_start(h->settings);
}

/* All heads, into a file of core's. */

struct copy {
    const struct settings *settings;
    int to;
    struct ticket *ticket;
    int64_t bytes;
    struct err err;
};

static int copy_all(struct copy *c, struct err *err)
{
    AUTO_CLOSE int from = open_heads(c->settings, O_RDONLY, err);
    ssize_t count = 1;
    if (from < 0)
        return -1;
    while (count > 0) {
        count = sendfile(c->to, from, NULL, 1 << 20);
        c->bytes += count > 0 ? count : 0;
    }
    return count == 0 ? 0 : FAIL_SYS(err, "cannot copy the journal heads");
}

static void copy_work(void *context)
{
    struct copy *c = context;
    (void)copy_all(c, &c->err); /* err says it */
}

static void copy_done(void *context)
{
    struct copy *c = context;
    json_t *ok = json_object();
    json_put_int(ok, "bytes", c->bytes);
    if (c->err.kind == E_OK) {
        ticket_ok(c->ticket, ok);
    } else {
        json_decref(ok);
        ticket_fail(c->ticket, &c->err);
    }
    fd_closep(&c->to);
    free(c);
}

void journal_verb_heads(void *context, struct message *m)
{
    const struct host *h = context;
    struct stat info;
    struct err err = ERR_INIT;
    if (fstat(m->fds[0], &info) < 0 || !S_ISREG(info.st_mode)) { /* a pipe could hold us up */
        (void)FAIL(&err, E_FIELD_INVALID, "the heads go to a file");
        message_fail(m, &err);
        return;
    }
    struct copy *c = mem_alloc(sizeof(*c));
    c->settings = h->settings;
    c->to = TAKE_FD(m->fds[0]);
    c->ticket = message_ticket(m);
    c->err = (struct err)ERR_INIT;
    loop_work(copy_work, copy_done, c);
}

void journal_doctor(json_t *checks)
{
    const struct known *k = &heads.known;
    long long seq = (long long)k->last.seq;
    if (!k->loaded) {
        doctor_push(checks, "journal heads", false,
                    "the journal's heads cannot be read or written: a change of the journal would "
                    "not be noticed",
                    "look at host's log, and at the disk that data_dir is on");
        return;
    }
    AUTO_FREE char *text =
        k->refused ? mem_format("core told another history than before: at least one head after "
                                "row %lld was refused",
                                seq)
                   : mem_format("the journal only grew, host has seen row %lld", seq);
    doctor_push(checks, "journal heads", k->refused == 0, text,
                "run `slipway audit verify`; when you put back an older store yourself, move "
                "journal-heads and journal-refused in data_dir/host away and restart host");
}

void journal_open(const struct settings *s)
{
    struct err err = ERR_INIT;
    ASSERT(!heads.busy);
    heads.known = (struct known){0};
    if (known_load(s, &heads.known, &err) < 0)
        log_error("cannot read the journal's heads, trying again with the next one", F_ERR(&err));
}
