/* One request of a git client.
 *
 * A fetch: core is asked, then git upload-pack runs and bytes flow both ways. A push: core is asked
 * about the person before a byte of the body is read, the command list is parsed (commands.h), core
 * is asked about exactly these refs, then the list is replayed to git receive-pack and the pack
 * streams behind it. git is run directly, not through http-backend: what that adds (routes, CGI,
 * gzip) is here anyway, and we own the body.
 *
 * A push is taken or refused as a whole. A refused one is read to its end (up to the limit) and
 * then answered as git answers, each ref with the reason, because a client that is cut off shows
 * only "RPC failed". Whether a branch is rewound only git can tell, when it has the commits: it
 * refuses that (receive.denyNonFastForwards) unless core's answer says {"force": true}. Which refs
 * really moved is read from the repository when git has ended; core has the notice before the
 * client has its answer.
 *
 * Back-pressure: the request is paused while git's stdin holds more than PIPE_HIGH, git while the
 * connection does. */
#include "courier/git/session.h"
#include <signal.h>
#include <stdio.h>
#include "base/check.h"
#include "base/json.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/time.h"
#include "courier/git/repo.h"
#include "courier/git/service.h"

#define SESSION_MAGIC 0x51a97b3eu
#define PIPE_HIGH (1u << 20)
#define RAW_MAX (4u << 20)
#define INFLATE_PIECE (64u << 10)
#define FETCH_BODY_MAX (64ll << 20)
#define PUSH_BODY_SPARE (2ll << 20) /* above the pack's limit, which git itself reports */
#define DISCARD_TIMES 8 /* a push that is refused is read up to so many times its limit */
#define CORE_MS 15000
#define GIT_MS 3600000
#define KILL_MS 10000

enum phase {
    PHASE_LIST,    /* reading the command list of a push */
    PHASE_ASK,     /* core is asked; a body waits */
    PHASE_RUN,     /* git runs */
    PHASE_DISCARD, /* the rest of the body is read and dropped, then the answer ends */
    PHASE_OVER,    /* answered, or the client is gone */
};
static const char *const phase_names[] = {"list", "ask", "run", "discard", "over"};

struct session {
    unsigned magic;
    struct git_hosting *h;
    struct session *next;
    struct http_request *r; /* NULL: complete or gone */
    struct child *child;    /* NULL: not started or ended */
    bool asking;            /* core's answer is outstanding */
    bool checking;          /* a pool thread looks at the refs */
    enum phase phase;
    int64_t started_ms;
    struct git_route route;
    struct git_login login;
    char *dir;
    char *user; /* as core names it */
    bool force;
    struct timer *kill_timer;

    struct inflater inflater; /* on: the body is gzip */
    struct buf raw;           /* of the body, not yet looked at */
    struct buf plain;         /* inflated, not yet used */
    int64_t body_bytes;       /* plain */
    bool full;                /* git's stdin */
    bool body_ended;
    bool input_ended; /* and all of it was used */

    struct push_commands push;
    struct buf refusal; /* PHASE_DISCARD: the answer */
    struct map tips;    /* after a push */
    struct err check_err;
    int check_result;
};

static void body_pump(struct session *s);

static struct session *session_of(void *context)
{
    struct session *s = context;
    ASSERT(s->magic == SESSION_MAGIC);
    return s;
}

/* --- life ----------------------------------------------------------------------------------- */

static void session_free(struct session *s)
{
    struct git_hosting *h = s->h;
    for (struct session **link = &h->sessions; *link; link = &(*link)->next)
        if (*link == s) {
            *link = s->next;
            break;
        }
    h->session_count--;
    timer_free(&s->kill_timer);
    git_login_done(&s->login);
    inflater_done(&s->inflater);
    buf_done(&s->raw);
    buf_done(&s->plain);
    buf_done(&s->refusal);
    push_commands_done(&s->push);
    repo_tips_done(&s->tips);
    free(s->dir);
    free(s->user);
    s->magic = 0;
    free(s);
    hosting_settle(h);
}

/* Last thing in every callback: frees the session when nothing of it is left. */
static void session_settle(struct session *s)
{
    if (!s->r && !s->child && !s->asking && !s->checking)
        session_free(s);
}

static void kill_late(void *context)
{
    struct session *s = session_of(context);
    if (s->child)
        child_kill(s->child, SIGKILL);
}

/* A push that ends early makes git remove its half-received objects, a signal does not (2.39). */
static void end_git(struct session *s)
{
    if (!s->child || s->kill_timer)
        return;
    child_close_stdin(s->child);
    child_pause(s->child, false);
    if (s->route.service == GIT_FETCH)
        child_kill(s->child, SIGTERM);
    timer_start(&s->kill_timer, KILL_MS, 0, kill_late, s);
}

static void on_close(void *context, bool complete)
{
    struct session *s = session_of(context);
    s->r = NULL;
    s->phase = PHASE_OVER;
    /* A push that arrived whole is finished even when nobody waits for the answer. */
    bool finish = s->route.service == GIT_PUSH && s->input_ended;
    if (!complete && !finish)
        end_git(s);
    else if (s->child)
        child_pause(s->child, false);
    session_settle(s);
}

static void fail_request(struct session *s, const struct err *error)
{
    s->phase = PHASE_OVER;
    end_git(s);
    if (!s->r)
        return;
    if (http_responded(s->r))
        http_abort(s->r);
    else
        hosting_answer_error(s->r, error);
}

/* --- answer --------------------------------------------------------------------------------- */

static void answer_headers(const struct session *s, char type[80], const char *headers[9])
{
    (void)snprintf(type, 80, "application/x-%s-%s", git_service_name(s->route.service),
                   s->route.advertise ? "advertisement" : "result");
    const char *fixed[9] = {"Content-Type",
                            type,
                            "Cache-Control",
                            "no-cache, max-age=0, must-revalidate",
                            "Pragma",
                            "no-cache",
                            "Expires",
                            "Fri, 01 Jan 1980 00:00:00 GMT",
                            NULL};
    memcpy(headers, fixed, sizeof(fixed));
}

static bool wants_v2(const struct session *s)
{
    return s->route.service == GIT_FETCH && str_is(http_header(s->r, "Git-Protocol"), "version=2");
}

static void begin_answer(struct session *s)
{
    char type[80];
    const char *headers[9];
    answer_headers(s, type, headers);
    http_begin(s->r, 200, headers, HTTP_BEGIN_CHUNKED, 0);
    if (!s->route.advertise || wants_v2(s))
        return;
    AUTO_BUF head = BUF_INIT(0);
    AUTO_FREE char *line = mem_format("# service=%s\n", git_service_name(s->route.service));
    pkt_add(&head, str_of(line));
    (void)buf_add_text(&head, "0000");
    (void)http_write(s->r, buf_str(&head));
}

/* The client has its whole answer once its body is read and git has ended. */
static void end_answer(struct session *s)
{
    if (!s->r || s->child || s->checking || s->phase == PHASE_OVER)
        return;
    if (!s->route.advertise && !s->input_ended) {
        s->phase = PHASE_DISCARD;
        body_pump(s);
        return;
    }
    s->phase = PHASE_OVER;
    http_end(s->r);
}

/* --- after a push --------------------------------------------------------------------------- */

static void check_work(void *context)
{
    struct session *s = context;
    const char *refs[PUSH_REFS_MAX];
    for (size_t i = 0; i < s->push.count; i++)
        refs[i] = s->push.commands[i].ref;
    s->check_result = repo_tips(s->dir, refs, s->push.count, &s->tips, &s->check_err);
}

static json_t *moved_refs(const struct session *s)
{
    json_t *moved = json_array();
    for (size_t i = 0; i < s->push.count; i++) {
        const struct push_command *c = &s->push.commands[i];
        const char *tip = map_get(&s->tips, c->ref);
        if (text_is(c->from, c->to) || !text_is(tip ? tip : GIT_ZERO, c->to))
            continue;
        json_t *row = json_object();
        json_put_text(row, "ref", c->ref);
        json_put_text(row, "old", c->from);
        json_put_text(row, "new", c->to);
        json_push(moved, row);
    }
    return moved;
}

static void check_done(void *context)
{
    struct session *s = session_of(context);
    s->checking = false;
    if (s->check_result < 0)
        log_warn("cannot see what a push moved, core will find it later", F_ERR(&s->check_err),
                 F_STR("app", s->route.app));
    AUTO_JSON *moved = moved_refs(s);
    if (s->check_result == 0 && json_array_size(moved) > 0 && !s->h->closing)
        s->h->options.on_pushed(s->h->options.context, s->route.app, s->user, moved);
    end_answer(s);
    session_settle(s);
}

/* --- git ------------------------------------------------------------------------------------ */

static void on_drain(struct http_request *r)
{
    struct session *s = session_of(http_context(r));
    if (s->child)
        child_pause(s->child, false);
}

static void git_output(void *context, int stream, struct str data)
{
    struct session *s = session_of(context);
    (void)stream;
    if (!s->r || s->phase == PHASE_OVER)
        return;
    if (!http_responded(s->r)) {
        begin_answer(s);
        http_on_drain(s->r, on_drain);
    }
    if (http_write(s->r, data) > PIPE_HIGH)
        child_pause(s->child, true);
}

static void git_drained(void *context)
{
    struct session *s = session_of(context);
    s->full = false;
    body_pump(s);
}

static void log_exit(const struct session *s, const struct child_result *result)
{
    struct str line = result->error;
    line = str_cut(&line, '\n');
    AUTO_FREE char *text = str_dup(line);
    if (result->exit_code != 0)
        log_info("git ended a request with an error", F_STR("app", s->route.app),
                 F_STR("service", git_service_name(s->route.service)),
                 F_INT("exit", result->exit_code), F_INT("signal", result->signal),
                 F_STR("said", text));
}

static void git_exit(void *context, const struct child_result *result)
{
    struct session *s = session_of(context);
    struct err err = ERR_INIT;
    s->child = NULL;
    s->full = false;
    timer_free(&s->kill_timer);
    log_exit(s, result);
    bool broken = result->exit_code < 0 || (s->r && !http_responded(s->r) && result->exit_code);
    if (broken && s->r && s->phase != PHASE_OVER) {
        (void)FAIL(&err, result->timed_out ? E_TIMEOUT : E_INTERNAL, "git failed: see our log");
        fail_request(s, &err);
    } else if (s->r && !http_responded(s->r)) {
        begin_answer(s); /* an empty answer: the probe of a push */
    }
    if (s->route.service == GIT_PUSH && s->push.count > 0) {
        s->checking = true;
        loop_work(check_work, check_done, s);
    }
    if (s->phase == PHASE_RUN)
        end_answer(s);
    session_settle(s);
}

static int start_git(struct session *s, struct err *err)
{
    AUTO_GIT(call);
    service_call(&call, &(struct service){.route = &s->route,
                                          .dir = s->dir,
                                          .v2 = wants_v2(s),
                                          .force = s->force,
                                          .push_max = s->h->options.push_max});
    if (git_confine(&call, err) < 0)
        return -1;
    struct child_spec spec = git_child_spec(&call);
    spec.stdin_pipe = !s->route.advertise;
    spec.out = CHILD_STREAM;
    spec.error = CHILD_COLLECT;
    spec.output_max = 8192;
    spec.timeout_ms = GIT_MS;
    spec.on_output = git_output;
    spec.on_exit = git_exit;
    spec.context = s;
    if (child_start(&spec, &s->child, err) < 0)
        return -1;
    git_limit(child_pid(s->child), NULL);
    s->phase = PHASE_RUN;
    if (s->route.advertise)
        return 0;
    child_on_drain(s->child, git_drained, s);
    if (s->route.service == GIT_PUSH)
        s->full = child_write(s->child, s->push.raw.data, s->push.raw.length) > 0;
    return 0;
}

/* --- core ----------------------------------------------------------------------------------- */

static void refuse_push(struct session *s, const char *reason)
{
    s->phase = PHASE_DISCARD;
    buf_init(&s->refusal, 0);
    push_refusal(&s->push, reason, &s->refusal);
}

static void on_denied(struct session *s, const struct err *error)
{
    enum err_class class = err_class(error->kind);
    bool about_refs = s->push.count > 0 && s->push.report && error->kind != E_UNAUTHENTICATED &&
                      class != ERR_NOT_FOUND && class != ERR_UNAVAILABLE && class != ERR_TIMEOUT;
    if (!about_refs) {
        fail_request(s, error);
        return;
    }
    refuse_push(s, error->text);
    body_pump(s);
}

/* What grows a repository has to fit; a push that only deletes is always taken. */
static int check_room(const struct session *s, struct err *err)
{
    int64_t room;
    bool grows = false;
    for (size_t i = 0; i < s->push.count; i++)
        grows |= !text_is(s->push.commands[i].to, GIT_ZERO);
    return grows ? repo_room(s->h->options.store, s->dir, &room, err) : 0;
}

static void on_data(struct http_request *r, struct str data);
static void on_end(struct http_request *r);

static void run_git(struct session *s)
{
    struct err err = ERR_INIT;
    secret_done(&s->login.secret);
    if (!file_exists(s->dir))
        (void)FAIL(&err, E_NOT_FOUND, "app '%s' has no repository", s->route.app);
    else if (start_git(s, &err) == 0)
        return;
    fail_request(s, &err);
}

/* The first answer is about the person, the second, for a push, about its refs. */
static void on_allowed(struct session *s, const json_t *ok)
{
    struct err err = ERR_INIT;
    bool push = s->route.service == GIT_PUSH && !s->route.advertise;
    free(s->user);
    s->user = mem_strdup(json_text_or(ok, "user", s->login.user));
    s->force = json_bool(ok, "force", false);
    if (!json_bool(ok, "allowed", false)) {
        (void)FAIL(&err, E_DENIED, "you may not do this");
        on_denied(s, &err);
    } else if (push && s->push.count == 0) {
        s->phase = PHASE_LIST;
        http_body_stream(s->r, on_data, on_end);
    } else if (push && check_room(s, &err) < 0) {
        on_denied(s, &err);
    } else {
        run_git(s);
        if (push)
            body_pump(s);
        else if (!s->route.advertise && s->phase == PHASE_RUN)
            http_body_stream(s->r, on_data, on_end);
    }
}

static void on_reply(void *context, json_t *ok, const struct err *error)
{
    struct session *s = session_of(context);
    s->asking = false;
    if (s->r && error)
        on_denied(s, error);
    else if (s->r)
        on_allowed(s, ok);
    session_settle(s);
}

static void ask_core(struct session *s)
{
    struct err err = ERR_INIT;
    struct channel *core = s->h->options.core(s->h->options.context);
    s->phase = PHASE_ASK;
    if (!core) {
        (void)FAIL(&err, E_ROLE_DOWN, "Slipway's core is not running, try again shortly");
        fail_request(s, &err);
        return;
    }
    json_t *args = json_object();
    json_put_text(args, "app", s->route.app);
    json_put_text(args, "service", s->route.service == GIT_PUSH ? "push" : "fetch");
    json_put_text(args, "user", s->login.user);
    json_put_str(args, "secret", secret_str(&s->login.secret));
    json_put(args, "refs", push_commands_json(&s->push));
    struct channel_request request = {.verb = "git.authorize",
                                      .args = args,
                                      .timeout_ms = CORE_MS,
                                      .on_reply = on_reply,
                                      .context = s};
    s->asking = true;
    channel_request(core, &request);
}

/* --- body ----------------------------------------------------------------------------------- */

static void list_complete(struct session *s)
{
    struct err err = ERR_INIT;
    if (push_commands_check(&s->push, &err) == 0) {
        if (s->push.count > 0)
            ask_core(s);
        else
            run_git(s); /* a probe: may I push? */
        return;
    }
    if (s->push.report)
        refuse_push(s, err.text);
    else
        fail_request(s, &err);
}

/* Above its limit git reports by itself, and has its answer read: the client shows it only when it
 * could send everything. */
static int body_count(struct session *s, size_t used, struct err *err)
{
    bool push = s->route.service == GIT_PUSH;
    int64_t max = push ? s->h->options.push_max + PUSH_BODY_SPARE : FETCH_BODY_MAX;
    s->body_bytes += (int64_t)used;
    if (s->body_bytes <= max)
        return 0;
    if (s->body_bytes > (push ? DISCARD_TIMES * max : max))
        return FAIL(err, E_REPO_TOO_LARGE, "the request is larger than %lld bytes", (long long)max);
    if (s->child)
        child_close_stdin(s->child);
    return 0;
}

/* Use some of the body: how many bytes. -1 when the request has failed. */
static int body_use(struct session *s, struct str data, size_t *ret_used, struct err *err)
{
    *ret_used = data.length;
    if (s->phase == PHASE_LIST) {
        int r = push_commands_feed(&s->push, data, ret_used, err);
        if (r < 0)
            return -1;
        if (r == PUSH_COMPLETE)
            list_complete(s);
    } else if (s->phase == PHASE_RUN && s->child) {
        s->full = child_write(s->child, data.data, data.length) > PIPE_HIGH;
    }
    return body_count(s, *ret_used, err);
}

/* Refill `plain` from `raw`. */
static int body_refill(struct session *s, struct err *err)
{
    if (!s->inflater.on) {
        struct buf swap = s->plain;
        s->plain = s->raw;
        s->raw = swap;
        s->raw.ceiling = RAW_MAX;
        s->plain.ceiling = 0;
        return 0;
    }
    static char piece[INFLATE_PIECE]; /* loop thread only */
    struct str input = buf_str(&s->raw);
    size_t made = 0;
    if (inflater_next(&s->inflater, &input, piece, sizeof(piece), &made, err) < 0)
        return -1;
    buf_consume(&s->raw, s->raw.length - input.length);
    (void)buf_add(&s->plain, piece, made); /* empty before, no ceiling */
    return 0;
}

static void input_end(struct session *s)
{
    struct err err = ERR_INIT;
    s->input_ended = true;
    if (s->phase == PHASE_LIST)
        (void)FAIL(&err, E_REQUEST_INVALID, "the push ends within its command list");
    else if (s->inflater.on && !s->inflater.ended)
        (void)FAIL(&err, E_REQUEST_INVALID, "the gzip body ends early");
    if (err.kind) {
        fail_request(s, &err);
    } else if (s->child) {
        child_close_stdin(s->child);
    } else if (s->phase == PHASE_DISCARD && !http_responded(s->r)) {
        char type[80];
        const char *headers[9];
        answer_headers(s, type, headers);
        s->phase = PHASE_OVER;
        http_respond(s->r, 200, headers, buf_str(&s->refusal));
    } else if (s->phase == PHASE_DISCARD) {
        end_answer(s);
    }
}

static bool body_waits(const struct session *s)
{
    return s->phase == PHASE_ASK || s->full;
}

static int body_move(struct session *s, struct err *err)
{
    while (s->r && s->phase != PHASE_OVER && !body_waits(s)) {
        size_t used = 0;
        if (s->plain.length == 0 && (s->raw.length > 0 || s->inflater.on) &&
            body_refill(s, err) < 0)
            return -1;
        if (s->plain.length == 0)
            return 0;
        if (body_use(s, buf_str(&s->plain), &used, err) < 0)
            return -1;
        buf_consume(&s->plain, used);
    }
    return 0;
}

/* Move what can be moved; never frees the session. */
static void body_pump(struct session *s)
{
    struct err err = ERR_INIT;
    if (body_move(s, &err) < 0)
        fail_request(s, &err);
    if (!s->r || s->phase == PHASE_OVER)
        return;
    http_body_pause(s->r, body_waits(s));
    bool used = s->body_ended && s->raw.length == 0 && s->plain.length == 0;
    if (used && !body_waits(s) && !s->input_ended)
        input_end(s);
}

static void on_data(struct http_request *r, struct str data)
{
    struct session *s = session_of(http_context(r));
    struct err err = ERR_INIT;
    if (s->phase == PHASE_OVER)
        return;
    if (buf_add(&s->raw, data.data, data.length) < 0) {
        (void)FAIL(&err, E_INTERNAL, "the request did not pause");
        fail_request(s, &err);
        return;
    }
    body_pump(s);
}

static void on_end(struct http_request *r)
{
    struct session *s = session_of(http_context(r));
    s->body_ended = true;
    body_pump(s);
}

/* --- start ---------------------------------------------------------------------------------- */

static int check_headers(struct session *s, struct err *err)
{
    struct str encoding = http_header(s->r, "Content-Encoding");
    struct str type = http_header(s->r, "Content-Type");
    AUTO_FREE char *want =
        mem_format("application/x-%s-request", git_service_name(s->route.service));
    if (s->route.advertise)
        return 0;
    if (!str_is(type, want))
        return FAIL(err, E_MEDIA_TYPE, "the request is no '%s'", want);
    if (encoding.data && !str_equal_nocase(encoding, "identity") &&
        !str_equal_nocase(encoding, "gzip") && !str_equal_nocase(encoding, "x-gzip"))
        return FAIL(err, E_MEDIA_TYPE, "the request's encoding is not gzip");
    if (encoding.data && !str_equal_nocase(encoding, "identity"))
        return inflater_init(&s->inflater, err);
    return 0;
}

static struct session *session_new(struct git_hosting *h, struct http_request *r,
                                   const struct git_route *route)
{
    struct session *s = mem_alloc(sizeof(*s));
    s->magic = SESSION_MAGIC;
    s->h = h;
    s->r = r;
    s->route = *route;
    s->started_ms = clock_mono_ms(clock_system());
    s->dir = mem_format("%s/%s.git", h->options.store->root, route->app);
    buf_init(&s->raw, RAW_MAX);
    push_commands_init(&s->push);
    map_init(&s->tips);
    s->next = h->sessions;
    h->sessions = s;
    h->session_count++;
    http_set_context(r, s, on_close);
    return s;
}

void session_start(struct git_hosting *h, struct http_request *r, const struct git_route *route)
{
    struct session *s = session_new(h, r, route);
    struct err err = ERR_INIT;
    if (git_login_parse(http_header(r, "Authorization"), &s->login, &err) < 0 ||
        check_headers(s, &err) < 0) {
        fail_request(s, &err);
        return;
    }
    ask_core(s);
}

json_t *session_dump(const struct session *first)
{
    json_t *list = json_array();
    for (const struct session *s = first; s; s = s->next) {
        json_t *row = json_object();
        json_put_text(row, "app", s->route.app);
        json_put_text(row, "service", git_service_name(s->route.service));
        json_put_bool(row, "advertise", s->route.advertise);
        json_put_text(row, "phase", phase_names[s->phase]);
        json_put_text(row, "user", s->user);
        json_put_int(row, "pid", s->child ? child_pid(s->child) : 0);
        json_put_int(row, "body_bytes", s->body_bytes);
        json_put_int(row, "ms", clock_mono_ms(clock_system()) - s->started_ms);
        json_push(list, row);
    }
    return list;
}
