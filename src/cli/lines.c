/* logs, requests: lines once, in pages, or followed over restarts of the server. */
#include <stdio.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/str.h"
#include "base/time.h"
#include "cli/verbs.h"

#define PAGE_LINES 3000 /* of one answer: the server gives no more of either kind */
#define LINES_DEFAULT 100

static void print_log_line(const json_t *line)
{
    char at[25];
    time_format(json_int(line, "at", 0), at);
    cli_print("%.19s %s ", at, json_text_or(line, "instance", "?"));
    cli_print_safe(json_text_or(line, "text", ""));
    cli_print("\n");
}

static void print_request_line(const json_t *line)
{
    char at[25];
    time_format(json_int(line, "at", 0), at);
    cli_print("%.23s %3lld %7.1f ms %-18s %-7s ", at, (long long)json_int(line, "status", 0),
              (double)json_int(line, "us", 0) / 1000.0, json_text_or(line, "instance", "-"),
              json_text_or(line, "method", "-"));
    cli_print_safe(json_text_or(line, "path", "-"));
    cli_print("\n");
}

/* What is asked: all but where to begin. Heap. */
static int lines_query(struct cli *c, const char *noun, char **ret_tail, struct err *err)
{
    int64_t ms = 0;
    if (c->since && str_to_ms(str_of(c->since), "--since", &ms, err) < 0)
        return -1;
    int64_t since = ms ? clock_wall_ms(clock_system()) - ms : 0;
    AUTO_FREE char *grep = cli_escape(c->grep ? c->grep : "");
    AUTO_FREE char *instance = cli_escape(c->instance ? c->instance : "");
    *ret_tail = mem_format("/%s?since=%lld&release=%lld&grep=%s&instance=%s", noun,
                           (long long)since, (long long)c->release, grep, instance);
    return 0;
}

/* ---- followed ---- */

/* What was told of one instance last. After a restart of signals lines have new numbers, and the
 * files are read again: then its lines up to these are known already. */
struct told {
    int64_t at;
    int64_t count; /* lines of that very moment */
    int64_t skip;  /* of them, to be skipped as they come again */
};
struct lines {
    struct cli *c;
    void (*print)(const json_t *line);
    bool from_files;  /* logs: they are read again; requests are not */
    int64_t seq;      /* of the last line */
    int64_t began;    /* the numbering that it is of */
    int64_t first_at; /* of the first line; what is older was never wanted */
    bool again;       /* the numbering is another one since the stream broke */
    bool heard;       /* something came on this connection */
    struct map told;  /* by instance */
};

static void lines_begin(struct lines *l, int64_t began)
{
    l->again = l->began != 0 && l->began != began;
    l->began = began;
    for (size_t i = 0; i < l->told.count; i++) {
        struct told *t = l->told.entries[i].value;
        t->skip = l->again ? t->count : 0;
    }
}

/* True when the line was told before. */
static bool is_known(struct lines *l, const json_t *line)
{
    int64_t at = json_int(line, "at", 0);
    struct told *t = map_get(&l->told, json_text_or(line, "instance", ""));
    if (!l->again || !l->from_files)
        return false;
    if (!t)
        return at < l->first_at;
    if (at == t->at && t->skip > 0) {
        t->skip--;
        return true;
    }
    return at < t->at;
}

static void remember(struct lines *l, const json_t *line)
{
    int64_t at = json_int(line, "at", 0);
    const char *instance = json_text_or(line, "instance", "");
    struct told *t = map_get(&l->told, instance);
    if (!t) {
        t = mem_alloc(sizeof(*t));
        (void)map_put(&l->told, instance, t); /* was not in it */
    }
    t->count = t->at == at ? t->count + 1 : 1;
    t->at = at;
    if (!l->first_at || at < l->first_at)
        l->first_at = at;
}

static void say_gap(const json_t *gap)
{
    int64_t lost = json_int(gap, "lost", 0);
    if (lost)
        cli_tell("slipway: %lld lines went by unseen: they came faster than they were "
                 "read here\n",
                 (long long)lost);
    else
        cli_tell("slipway: some lines went by unseen while the stream was broken\n");
}

static bool on_line(void *context, const char *event, const json_t *data)
{
    struct lines *l = context;
    l->heard = true;
    if (text_is(event, "begin"))
        lines_begin(l, json_int(data, "began", 0));
    else if (text_is(event, "gap"))
        say_gap(data);
    if (!text_is(event, "line"))
        return true;
    l->seq = json_int(data, "seq", l->seq);
    if (is_known(l, data))
        return true;
    remember(l, data);
    if (l->c->json)
        cli_print_json(data);
    else
        l->print(data);
    (void)fflush(stdout);
    return true;
}

/* One connection. 0: it ended, or broke; go on after the last line. */
static int follow_once(struct lines *l, const char *query, struct err *failure, struct err *err)
{
    int64_t limit = l->c->lines ? l->c->lines : LINES_DEFAULT;
    AUTO_FREE char *tail =
        mem_format("%s&follow=1&limit=%lld&after=%lld", query, (long long)limit, (long long)l->seq);
    AUTO_FREE char *path = NULL;
    if (cli_app_env_path(l->c, tail, &path, err) < 0)
        return -1;
    l->heard = false;
    if (cli_stream(l->c, path, on_line, l, failure) == 0)
        (void)FAIL(failure, E_UNAVAILABLE, "the server ended the stream");
    return 0;
}

/* A stream ends when a role restarts, or when the rights are gone: asking again tells which. */
static int follow_lines(struct lines *l, const char *query, struct err *err)
{
    int64_t away_since_ms = 0;
    for (;;) {
        struct err failure = ERR_INIT;
        if (follow_once(l, query, &failure, err) < 0)
            return -1;
        if (l->heard)
            away_since_ms = 0;
        if (!l->began) {
            *err = failure; /* never there */
            return -1;
        }
        if (cli_ride(&away_since_ms, &failure, err) < 0)
            return -1;
    }
}

static int follow(struct cli *c, const char *query, void (*print)(const json_t *line), bool files,
                  struct err *err)
{
    struct lines l = {.c = c, .print = print, .from_files = files};
    map_init(&l.told);
    int result = follow_lines(&l, query, err);
    for (size_t i = 0; i < l.told.count; i++)
        free(l.told.entries[i].value);
    map_done(&l.told);
    return result;
}

/* ---- once ---- */

/* The page before `before` (0: the newest), put in front of what is there. */
static int add_page(struct cli *c, const char *query, json_t *all, int64_t *before, bool *ret_more,
                    struct err *err)
{
    int64_t wanted = (c->lines ? c->lines : LINES_DEFAULT) - (int64_t)json_array_size(all);
    AUTO_FREE char *tail =
        mem_format("%s&limit=%lld&before=%lld", query,
                   (long long)(wanted > PAGE_LINES ? PAGE_LINES : wanted), (long long)*before);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (cli_app_env_path(c, tail, &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    json_t *page = json_list(reply, "lines");
    for (size_t i = json_array_size(page); i-- > 0;)
        (void)json_array_insert(all, 0, json_array_get(page, i));
    *before = json_int(json_array_get(page, 0), "seq", *before);
    *ret_more = json_bool(reply, "more", false) && json_array_size(page) > 0;
    return 0;
}

static int show_once(struct cli *c, const char *query, void (*print)(const json_t *line),
                     struct err *err)
{
    AUTO_JSON *all = json_array();
    int64_t before = 0;
    bool more = true;
    size_t wanted = (size_t)(c->lines ? c->lines : LINES_DEFAULT);
    while (more && json_array_size(all) < wanted)
        if (add_page(c, query, all, &before, &more, err) < 0)
            return -1;
    if (c->json) {
        AUTO_JSON *reply = json_object();
        json_put(reply, "lines", json_incref(all));
        json_put_bool(reply, "more", more);
        cli_print_json(reply);
        return 0;
    }
    size_t i;
    json_t *line;
    json_array_foreach(all, i, line) print(line);
    return 0;
}

static int show_lines(struct cli *c, const char *noun, void (*print)(const json_t *line),
                      struct err *err)
{
    AUTO_FREE char *query = NULL;
    if (lines_query(c, noun, &query, err) < 0)
        return -1;
    if (c->follow)
        return follow(c, query, print, text_is(noun, "logs"), err);
    return show_once(c, query, print, err);
}

/* ---- the output of a build ---- */

static int show_build_output(struct cli *c, const char *number, struct err *err)
{
    int64_t offset = 0;
    AUTO_FREE char *escaped = cli_escape(number);
    AUTO_BUF all = BUF_INIT(0);
    for (bool end = false; !end;) {
        AUTO_FREE char *tail =
            mem_format("/builds/%s/output?offset=%lld", escaped, (long long)offset);
        AUTO_FREE char *path = NULL;
        AUTO_JSON *reply = NULL;
        if (cli_app_env_path(c, tail, &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
            return -1;
        if (c->json)
            (void)buf_add_text(&all, json_text_or(reply, "text", "")); /* unlimited */
        else
            cli_print_safe(json_text_or(reply, "text", ""));
        int64_t next = json_int(reply, "next", offset);
        end = json_bool(reply, "end", true) || (next == offset && !c->follow);
        if (!end && next == offset) {
            (void)fflush(stdout);
            cli_nap(300);
        }
        offset = next;
    }
    if (c->json) {
        AUTO_JSON *whole = json_object();
        json_put_str(whole, "text", all.length ? buf_str(&all) : STR(""));
        json_put_int(whole, "next", offset);
        cli_print_json(whole);
    }
    return 0;
}

int verb_logs(struct cli *c, struct err *err)
{
    if (text_is(cli_word(c, 0), "build") && cli_word(c, 1))
        return show_build_output(c, cli_word(c, 1), err);
    return cli_at_most(c, 0, err) < 0 ? -1 : show_lines(c, "logs", print_log_line, err);
}

int verb_requests(struct cli *c, struct err *err)
{
    return show_lines(c, "requests", print_request_line, err);
}
