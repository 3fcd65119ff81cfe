/* The journal's rows and their chain: hash = SHA-256(previous hash, newline, the stored bytes of
 * the row), so that a row edited, removed or moved breaks every later hash, and a cut tail is
 * missed against host's heads. */
#include "core/journal/journal.h"

#include <unistd.h>
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha.h"
#include "core/feed/feed.h"
#include "core/link/link.h"
#include "core/tick/tick.h"

const char journal_schema[] =
    "CREATE TABLE journal(seq BIGINT PRIMARY KEY, at BIGINT NOT NULL, actor TEXT NOT NULL, kind "
    "TEXT NOT NULL,"
    " subject TEXT, app_env_id BIGINT NOT NULL, data TEXT NOT NULL, hash TEXT NOT NULL);"
    "CREATE INDEX journal_subject ON journal(subject, seq);";

const char journal_actor_schema[] = "CREATE INDEX journal_actor ON journal(actor, seq);";

#define GENESIS "0000000000000000000000000000000000000000000000000000000000000000"

struct entry { /* the stored bytes */
    int64_t seq;
    int64_t at;
    struct str actor;
    struct str kind;
    struct str subject; /* data NULL: null */
    int64_t app_env_id;
    struct str data;
};

/* Each text is preceded by its length, so that no two different rows give the same bytes. */
static void add_text(struct sha *s, struct str text)
{
    char length[24];
    int digits =
        snprintf(length, sizeof(length), " %lld:", text.data ? (long long)text.length : -1LL);
    sha_add(s, length, (size_t)digits);
    if (text.length)
        sha_add(s, text.data, text.length);
}

static void chain_hash(const char *previous, const struct entry *e, char ret_hash[SHA_HEX])
{
    struct sha s;
    uint8_t bytes[SHA_BYTES];
    AUTO_FREE char *head = mem_format("%s\n%lld %lld %lld", previous, (long long)e->seq,
                                      (long long)e->at, (long long)e->app_env_id);
    sha_init(&s);
    sha_add(&s, head, strlen(head));
    add_text(&s, e->actor);
    add_text(&s, e->kind);
    add_text(&s, e->subject);
    add_text(&s, e->data);
    sha_end(&s, bytes);
    sha_hex(bytes, ret_hash);
}

static int read_head(struct core *core, int64_t *ret_seq, char ret_hash[SHA_HEX], struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err, "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1",
                    "") < 0)
        return -1;
    int more = query_next(&q, err);
    if (more < 0)
        return -1;
    *ret_seq = more ? query_int(&q, 0) : 0;
    const char *hash = more ? query_text(&q, 1) : GENESIS;
    /* Whatever stands there: a row that was tampered with must not stop core, verify names it. */
    (void)snprintf(ret_hash, SHA_HEX, "%s", hash ? hash : "");
    return 0;
}

/* ---- what follows once a row is durable ---- */

struct announce {
    struct core *core;
    int64_t seq;
    char hash[SHA_HEX];
    int64_t app_env_id;
    json_t *event;
};

static void announce_free(void *context)
{
    struct announce *a = context;
    json_decref(a->event);
    free(a);
}

static void ignore_reply(void *context, json_t *ok, const struct err *error)
{
    (void)context, (void)ok, (void)error; /* told again by the next row, or when host is back */
}

static void send_head(struct core *core, int64_t seq, const char *hash)
{
    if (!core->host)
        return;
    json_t *head = json_object();
    json_put_int(head, "seq", seq);
    json_put_text(head, "hash", hash);
    link_call(core->host, "journal.head", head, 10000, ignore_reply, NULL);
}

void journal_tell_head(struct core *core)
{
    char hash[SHA_HEX];
    int64_t seq = 0;
    struct err err = ERR_INIT;
    if (read_head(core, &seq, hash, &err) < 0) {
        log_error("cannot read the journal's head", F_ERR(&err));
    } else if (seq > 0) {
        core->journal_told = seq;
        send_head(core, seq, hash);
    }
}

static void announce_run(void *context, const struct err *error)
{
    struct announce *a = context;
    if (!error) {
        feed_publish(a->core->feed, "journal", a->app_env_id, json_incref(a->event));
        if (a->seq > a->core->journal_told) { /* host takes growing ones only */
            a->core->journal_told = a->seq;
            send_head(a->core, a->seq, a->hash);
        }
    }
    announce_free(a);
}

static json_t *event_of(const struct entry *e, const json_t *data)
{
    json_t *event = json_object();
    json_put_int(event, "seq", e->seq);
    json_put_int(event, "at", e->at);
    json_put_str(event, "actor", e->actor);
    json_put_str(event, "kind", e->kind);
    json_put(event, "subject", e->subject.data ? json_str_value(e->subject) : json_null());
    json_put(event, "data", data ? json_deep_copy(data) : json_object());
    return event;
}

int journal_append(struct core *core, const char *actor, const char *kind, const char *subject,
                   int64_t app_env_id, const json_t *data, struct err *err)
{
    char previous[SHA_HEX];
    struct announce *a = mem_alloc(sizeof(*a));
    a->core = core;
    a->app_env_id = app_env_id;
    struct entry e = {.at = clock_wall_ms(core->clock),
                      .actor = str_of(actor),
                      .kind = str_of(kind),
                      .app_env_id = app_env_id};
    AUTO_FREE char *text = data ? json_print(data) : mem_strdup("{}");
    e.data = str_of(text);
    if (subject)
        e.subject = str_of(subject);
    if (read_head(core, &e.seq, previous, err) < 0) {
        announce_free(a);
        return -1;
    }
    e.seq++;
    chain_hash(previous, &e, a->hash);
    a->seq = e.seq;
    if (store_run(core->store, err,
                  "INSERT INTO journal(seq, at, actor, kind, subject, app_env_id, data, hash) "
                  "VALUES($1,$2,$3,$4,$5,$6,$7,$8)",
                  "iitttitt", e.seq, e.at, actor, kind, subject, app_env_id, text, a->hash) < 0) {
        announce_free(a);
        return -1;
    }
    a->event = event_of(&e, data);
    tick_after(core->tick, announce_run, announce_free, a);
    return 0;
}

/* Texts compare by their bytes: what begins with "shop." lies between "shop." and "shop/". */
static void bounds_below(const char *subject, char **ret_low, char **ret_high)
{
    size_t length = strlen(subject);
    bool open = length && (subject[length - 1] == ':' || subject[length - 1] == '.');
    char *low = open ? mem_strdup(subject) : mem_format("%s.", subject);
    char *high = mem_strdup(low);
    high[strlen(high) - 1]++;
    *ret_low = low;
    *ret_high = high;
}

int journal_list(struct core *core, int64_t after, int64_t limit, bool newest, const char *subject,
                 json_t **ret_rows, struct err *err)
{
    AUTO_FREE char *low = NULL, *high = NULL;
    const char *wanted = subject ? subject : "";
    bounds_below(wanted, &low, &high);
#define COLUMNS                                                                                    \
    "SELECT seq, at, actor, kind, subject, app_env_id, data AS data_json, hash FROM journal "
#define OF_SUBJECT "AND ($3='' OR subject=$3 OR (subject>=$4 AND subject<$5)) "
    if (newest)
        return store_rows(core->store, ret_rows, err,
                          COLUMNS "WHERE ($1=0 OR seq<$1) " OF_SUBJECT "ORDER BY seq DESC LIMIT $2",
                          "iittt", after, limit, wanted, low, high);
    return store_rows(core->store, ret_rows, err,
                      COLUMNS "WHERE seq>$1 " OF_SUBJECT "ORDER BY seq LIMIT $2", "iittt", after,
                      limit, wanted, low, high);
#undef OF_SUBJECT
#undef COLUMNS
}

/* A branch that goes is pushed as 40 zeros; so is the past of one that comes. */
int journal_of_branches(struct core *core, const char *actor, const char *app, int64_t after,
                        int64_t limit, json_t **ret_rows, struct err *err)
{
#define COLUMNS "SELECT seq, at, kind, subject, data AS data_json FROM journal "
    if (actor)
        return store_rows(core->store, ret_rows, err,
                          COLUMNS "WHERE actor=$1 AND seq>$2 AND kind IN "
                                  "('branch.created','repo.pushed') ORDER BY seq DESC LIMIT $3",
                          "tii", actor, after, limit);
    return store_rows(core->store, ret_rows, err,
                      COLUMNS
                      "WHERE subject=$1 AND seq>$2 AND (kind='branch.deleted' OR "
                      "(kind='repo.pushed' AND data LIKE "
                      "'%0000000000000000000000000000000000000000%')) ORDER BY seq DESC LIMIT $3",
                      "tii", app, after, limit);
#undef COLUMNS
}

int journal_app_created(struct core *core, const char *app, int64_t since, json_t **ret_row,
                        struct err *err)
{
    return store_row(core->store, ret_row, err,
                     "SELECT at, actor FROM journal WHERE subject=$1 AND kind='app.created' AND "
                     "at>=$2 ORDER BY seq LIMIT 1",
                     "ti", app, since);
}

/* ---- verify ---- */

#define HASH_DIGITS (SHA_HEX - 1)

/* The heads that host wrote down beside us, one after the other. */
struct heads {
    int fd;
    char text[65536];
    size_t start, end; /* of what was read and not used yet */
    bool at_end;
    int64_t seq; /* the present one; 0: before the first, INT64_MAX: after the last */
    char hash[SHA_HEX];
    int64_t count;
    int64_t broken; /* this row has a second head, or one out of order; 0: none */
};
struct walk {
    int64_t rows;
    int64_t first_bad; /* 0: none */
    const char *text;
    char hash[SHA_HEX]; /* of the last good row */
    struct heads heads;
};

static void note_bad(struct walk *w, int64_t seq, const char *text)
{
    if (w->first_bad)
        return;
    w->first_bad = seq;
    w->text = text;
}

static int heads_fill(struct heads *h, struct err *err)
{
    memmove(h->text, h->text + h->start, h->end - h->start);
    h->end -= h->start;
    h->start = 0;
    if (h->end == sizeof(h->text)) /* a line that long is no head */
        h->end = 0;
    ssize_t count = read(h->fd, h->text + h->end, sizeof(h->text) - h->end);
    if (count < 0)
        return FAIL_SYS(err, "cannot read the journal's heads");
    h->end += (size_t)count;
    h->at_end = count == 0;
    return 0;
}

/* The next whole line; one without an end (a power cut) does not count. False at the end. */
static int heads_line(struct heads *h, struct str *ret_line, struct err *err)
{
    for (;;) {
        char *first = h->text + h->start;
        char *newline = memchr(first, '\n', h->end - h->start);
        if (newline) {
            *ret_line = (struct str){first, (size_t)(newline - first)};
            h->start += ret_line->length + 1;
            return 1;
        }
        if (h->at_end)
            return 0;
        if (heads_fill(h, err) < 0)
            return -1;
    }
}

static bool head_parse(struct str line, int64_t *ret_seq, struct str *ret_hash)
{
    struct err ignored = ERR_INIT;
    struct str number = str_cut(&line, ' ');
    *ret_hash = line;
    return line.data && line.length == HASH_DIGITS &&
           str_to_int(number, 1, INT64_MAX - 1, "seq", ret_seq, &ignored) == 0;
}

/* Go to the next head that is larger than the present one. */
static int heads_next(struct heads *h, struct err *err)
{
    struct str line, hash;
    int64_t seq;
    int more;
    while (h->fd >= 0 && (more = heads_line(h, &line, err)) != 0) {
        if (more < 0)
            return -1;
        if (!head_parse(line, &seq, &hash))
            continue;
        h->count++;
        if (seq > h->seq) {
            h->seq = seq;
            memcpy(h->hash, hash.data, HASH_DIGITS);
            h->hash[HASH_DIGITS] = '\0';
            return 0;
        }
        if (!h->broken && (seq < h->seq || !str_is(hash, h->hash)))
            h->broken = seq;
    }
    h->seq = INT64_MAX;
    return 0;
}

static int compare_head(struct walk *w, int64_t seq, const char *hash, struct err *err)
{
    while (w->heads.seq < seq)
        if (heads_next(&w->heads, err) < 0)
            return -1;
    if (w->heads.seq == seq && !text_is(w->heads.hash, hash))
        note_bad(w, seq, "the row differs from the head that host kept");
    return 0;
}

/* What host has seen, and we have not. */
static int compare_rest(struct walk *w, struct err *err)
{
    struct heads *h = &w->heads;
    while (!w->first_bad && h->seq != INT64_MAX) {
        if (h->seq > w->rows)
            note_bad(w, w->rows + 1, "the tail is cut: host has seen later rows");
        if (heads_next(h, err) < 0)
            return -1;
    }
    if (h->broken)
        note_bad(w, h->broken, "host has kept two heads of this row, or heads out of order");
    return 0;
}

static struct str column(const struct query *q, int index)
{
    return query_is_null(q, index) ? (struct str){NULL, 0} : query_blob(q, index);
}

static int walk_rows(struct core *core, struct walk *w, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err,
                    "SELECT seq, at, actor, kind, subject, app_env_id, data, hash FROM journal "
                    "ORDER BY seq",
                    "") < 0)
        return -1;
    int more;
    while ((more = query_next(&q, err)) > 0 && !w->first_bad) {
        struct entry e = {query_int(&q, 0), query_int(&q, 1), column(&q, 2), column(&q, 3),
                          column(&q, 4),    query_int(&q, 5), column(&q, 6)};
        const char *stored = query_text(&q, 7);
        char hash[SHA_HEX];
        chain_hash(w->hash, &e, hash);
        if (e.seq != w->rows + 1)
            note_bad(w, w->rows + 1, "a row is missing");
        else if (!text_is(stored, hash))
            note_bad(w, e.seq, "the row does not follow from the one before it");
        if (compare_head(w, e.seq, hash, err) < 0)
            return -1;
        memcpy(w->hash, hash, SHA_HEX);
        w->rows++;
    }
    return more < 0 ? -1 : 0;
}

int journal_verify(struct core *core, int heads_fd, json_t **ret_report, struct err *err)
{
    AUTO_FREE struct walk *w = mem_alloc(sizeof(*w));
    *w = (struct walk){.hash = GENESIS, .heads.fd = heads_fd};
    if (walk_rows(core, w, err) < 0 || compare_rest(w, err) < 0)
        return -1;
    json_t *report = json_object();
    json_put_bool(report, "ok", w->first_bad == 0);
    json_put_int(report, "rows", w->rows);
    json_put_int(report, "heads", w->heads.count);
    json_put_text(report, "head", w->hash);
    json_put(report, "first_bad", w->first_bad ? json_integer(w->first_bad) : json_null());
    json_put_text(report, "text", w->text ? w->text : "every row follows from the one before it");
    *ret_report = report;
    return 0;
}
