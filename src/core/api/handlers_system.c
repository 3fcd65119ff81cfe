/* The installation itself: audit, disk, doctor, dump, failpoints. */
#include <sys/mman.h>
#include <unistd.h>
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/api/clock_check.h"
#include "core/api/dump.h"
#include "core/api/handlers.h"
#include "core/journal/journal.h"
#include "core/forge/forge.h"
#include "core/link/link.h"
#include "core/release/release.h"
#include "wire/doctor.h"
#include "wire/settings.h"

#define HOST_MS 30000
#define DOCTOR_MS 8000 /* who waits for it wants to know why */

API_HANDLER(api_audit)
{
    int64_t after = 0;
    int64_t limit = 0;
    int64_t newest = 0;
    AUTO_FREE char *subject = NULL;
    json_t *rows = NULL;
    if (api_query_page(call, &after, &limit, err) < 0 ||
        api_query_int(call, "newest", 0, 1, 0, &newest, err) < 0 ||
        api_query_text(call, "subject", &subject, err) < 0 ||
        journal_list(call->core, after, limit, newest != 0, subject, &rows, err) < 0)
        return -1;
    call->reply = api_page(rows, "seq", limit);
    return 0;
}

/* ---- audit verify: host writes its heads into a file of memory, then they are compared ---- */

struct verify {
    struct api_call *call;
    int heads;
};

/* Every row may follow from the one before it, but a cut tail shows against host's heads alone. */
static void verdict_put(json_t *report, const struct err *not_compared)
{
    if (not_compared && json_bool(report, "ok", false)) {
        AUTO_FREE char *text = mem_format("the rows are whole, but whether the tail is cut could "
                                          "not be told: %s: ask again when host is back",
                                          not_compared->text);
        json_put_bool(report, "ok", false);
        json_put_text(report, "error", err_name(E_ROLE_DOWN));
        json_put_text(report, "text", text);
    } else if (!json_bool(report, "ok", false)) {
        json_put_text(report, "error", err_name(E_JOURNAL_BROKEN));
    }
}

static void on_heads(void *context, json_t *ok, const struct err *error)
{
    struct verify *v = context;
    struct err err = ERR_INIT;
    struct err unread = ERR_INIT;
    json_t *report = NULL;
    (void)ok;
    if (!error && lseek(v->heads, 0, SEEK_SET) < 0) {
        (void)FAIL_SYS(&unread, "cannot read host's heads");
        error = &unread;
    }
    if (journal_verify(v->call->core, error ? -1 : v->heads, &report, &err) < 0) {
        api_fail(v->call, &err);
    } else {
        json_put_bool(report, "heads_compared", !error);
        verdict_put(report, error);
        api_reply(v->call, 200, report);
    }
    fd_closep(&v->heads);
    free(v);
}

API_HANDLER(api_audit_verify)
{
    AUTO_CLOSE int heads = memfd_create("journal-heads", MFD_CLOEXEC);
    if (heads < 0)
        return FAIL_SYS(err, "cannot make a memory file");
    struct verify *v = mem_alloc(sizeof(*v));
    *v = (struct verify){api_ref(call), TAKE_FD(heads)};
    link_request(call->core->host, &(struct channel_request){.verb = "journal.heads",
                                                             .args = json_object(),
                                                             .fds = {v->heads},
                                                             .fd_count = 1,
                                                             .timeout_ms = HOST_MS,
                                                             .on_reply = on_heads,
                                                             .context = v});
    return API_LATER;
}

/* ---- several roles asked, one answer ---- */

struct gather {
    struct api_call *call;
    int open;
    json_t *reply;
    void (*finish)(struct gather *g);
};
struct part {
    struct gather *gather;
    const char *name;
};

static void part_done(void *context, json_t *ok, const struct err *error)
{
    struct part *p = context;
    struct gather *g = p->gather;
    json_put(g->reply, p->name, error ? json_from_err(error) : json_deep_copy(ok));
    free(p);
    if (--g->open > 0)
        return;
    if (g->finish)
        g->finish(g);
    api_reply(g->call, 200, g->reply);
    free(g);
}

static void ask_within(struct gather *g, const char *name, struct link *link, const char *verb,
                       int64_t timeout_ms)
{
    struct part *p = mem_alloc(sizeof(*p));
    *p = (struct part){g, name};
    g->open++;
    link_call(link, verb, json_object(), timeout_ms, part_done, p);
}

static void ask(struct gather *g, const char *name, struct link *link, const char *verb)
{
    ask_within(g, name, link, verb, HOST_MS);
}

static struct gather *gather_new(struct api_call *call)
{
    struct gather *g = mem_alloc(sizeof(*g));
    g->call = api_ref(call);
    g->reply = json_object();
    g->open = 1; /* held until all are asked */
    return g;
}

static void gather_asked(struct gather *g)
{
    struct part *p = mem_alloc(sizeof(*p));
    *p = (struct part){g, "at"};
    AUTO_JSON *now = json_integer(clock_wall_ms(g->call->core->clock));
    part_done(p, now, NULL);
}

API_HANDLER(api_df)
{
    struct gather *g = gather_new(call);
    (void)err;
    json_t *limits = json_object();
    json_put_int(limits, "disk_reserve", call->core->settings->disk_reserve);
    json_put_int(limits, "build_volume", call->core->settings->build_volume);
    json_put(g->reply, "limits", limits);
    json_put_int(g->reply, "store_bytes", store_size(call->core->store));
    ask(g, "host", call->core->host, "df");
    ask(g, "courier", call->core->courier, "df");
    gather_asked(g);
    return API_LATER;
}

static void add_role_checks(const struct core *core, json_t *checks)
{
    static const char fix[] =
        "look into the log for its last error; the supervisor starts it again by itself";
    const struct {
        const char *name;
        struct link *link;
    } roles[] = {{"role host", core->host},
                 {"role courier", core->courier},
                 {"role signals", core->signals}};
    for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
        bool up = link_up(roles[i].link);
        doctor_push(checks, roles[i].name, up, up ? "running and connected" : "not connected", fix);
    }
}

static void add_core_checks(const struct core *core, json_t *checks)
{
    struct err err = ERR_INIT;
    struct clock_facts facts;
    char text[CLOCK_TEXT];
    clock_check_look(core->clock, &facts);
    err_ignore(store_one_int(core->store, &facts.last_row_ms, &err,
                             "SELECT coalesce(max(at),0) FROM journal", ""));
    bool right = clock_judge(&facts, text);
    doctor_push(checks, "clock", right, text,
                "set the clock (timedatectl set-ntp true): tokens and times depend on it");
}

/* Nothing is said where nothing is followed. */
static void add_origin_checks(struct core *core, json_t *checks)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    AUTO_BUF text = BUF_INIT(2000);
    size_t i;
    json_t *row;
    if (origin_list(core, &rows, &err) < 0 || json_array_size(rows) == 0)
        return;
    json_array_foreach(rows, i, row)
    {
        if (!text_is(json_text(row, "state"), "failing"))
            continue;
        if (buf_add_format(&text, "%s%s: %s", text.length ? "; " : "",
                           json_text_or(row, "app", "?"),
                           json_text_or(json_dict(row, "error"), "text", "?")) < 0)
            break; /* there is room for some */
    }
    bool good = text.length == 0;
    doctor_push(checks, "repositories elsewhere", good, good ? "fetched" : text.data,
                "'slipway app origin APP' says more; what runs is not touched by it");
}

/* A host that does not answer leaves its whole part out: that is said, not passed over. */
static void add_host_checks(const struct core *core, const json_t *host, json_t *checks)
{
    /* one that is gone is a role's check already */
    const char *error = link_up(core->host) ? json_text(host, "error") : NULL;
    size_t i;
    json_t *check;
    json_array_foreach(json_list(host, "checks"), i, check) json_push(checks, json_incref(check));
    if (error)
        doctor_push(
            checks, "host answers", false, json_text_or(host, "text", error),
            "what host checks (disk, containers, network, edge) is unknown until it answers: "
            "look into its log");
}

static void doctor_finish(struct gather *g)
{
    json_t *checks = json_array();
    size_t i;
    json_t *check;
    add_role_checks(g->call->core, checks);
    add_core_checks(g->call->core, checks);
    add_origin_checks(g->call->core, checks);
    add_host_checks(g->call->core, json_dict(g->reply, "host"), checks);
    bool ok = true;
    json_array_foreach(checks, i, check) ok = ok && json_bool(check, "ok", false);
    json_object_del(g->reply, "host");
    json_put(g->reply, "checks", checks);
    json_put_bool(g->reply, "ok", ok);
}

API_HANDLER(api_doctor)
{
    struct gather *g = gather_new(call);
    (void)err;
    g->finish = doctor_finish;
    ask_within(g, "host", call->core->host, "doctor", DOCTOR_MS);
    gather_asked(g);
    return API_LATER;
}

API_HANDLER(api_dump)
{
    struct gather *g = gather_new(call);
    (void)err;
    dump_core(call->core, g->reply);
    json_put(g->reply, "refused", refused_counts());
    ask(g, "host", call->core->host, "dump");
    ask(g, "courier", call->core->courier, "dump");
    ask(g, "signals", call->core->signals, "dump");
    gather_asked(g);
    return API_LATER;
}

/* ---- failpoints (only in builds that have them) ---- */

API_HANDLER(api_fault)
{
#ifdef SLIPWAY_FAILPOINTS
    const char *point = json_text(call->body, "point");
    const char *role = json_text_or(call->body, "role", "");
    int64_t nth = json_int(call->body, "nth", 1);
    if (!text_is(role, "core") && !text_is(role, "host"))
        return FAIL(err, E_FIELD_INVALID,
                    "'role' is core or host: start the others with SLIPWAY_FAULT instead");
    if (text_is(role, "host")) {
        json_t *args = json_object();
        json_put_text(args, "point", point);
        json_put_int(args, "nth", nth);
        struct gather *g = gather_new(call);
        struct part *p = mem_alloc(sizeof(*p));
        *p = (struct part){g, "host"};
        g->open++;
        link_call(call->core->host, "fault", args, HOST_MS, part_done, p);
        gather_asked(g);
        return API_LATER;
    }
    fault_arm(nth ? point : NULL, nth);
    call->reply = json_object();
    (void)err;
    return 0;
#else
    (void)call;
    return FAIL(err, E_NOT_FOUND, "this program was built without failpoints");
#endif
}

API_HANDLER(api_faults)
{
    json_t *points = json_object();
    (void)err;
    for (size_t i = 0; i < fault_count(); i++) {
        int64_t hits = 0;
        const char *point = fault_point(i, &hits);
        json_put_int(points, point, hits);
    }
    call->reply = json_object();
    json_put(call->reply, "points", points);
    return 0;
}
