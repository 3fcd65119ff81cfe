/* The walk of a search: what is known says which set comes next; its source is resolved, built
 * unless that commit was built before, and what came of it is known then. One at a time for a
 * search; each step is a row before the next one, so that core may end at any moment. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/branch/source.h"
#include "core/culprit/culprit_priv.h"
#include "core/feed/feed.h"
#include "core/journal/journal.h"
#include "core/store/store.h"
#include "core/tick/tick.h"

#define WISHED_MS 600000 /* core may have been away when it failed */
#define TRIED_MAX 60     /* more says that the build fails now and then */

struct culprits {
    struct core *core;
    struct feed_subscriber *subscriber;
    int64_t cursor;
};

/* One search that is acted on; in memory only. */
struct hunt {
    struct core *core;
    int64_t id;
    json_t *row;
    struct app_env ae;
    struct culprit_set set; /* the one that is tried */
    struct hunt *next;
};
static struct hunt *hunts;

static void hunt_free(struct hunt *h)
{
    for (struct hunt **at = &hunts; *at; at = &(*at)->next) {
        if (*at == h) {
            *at = h->next;
            break;
        }
    }
    json_decref(h->row);
    free(h);
}

static void act(struct core *core, int64_t id);

/* ---- what is known ---- */

/* The names of a set, as they stand in the row of what was tried. */
static json_t *names_of(const json_t *row, const struct culprit_set *set)
{
    json_t *names = json_array();
    for (size_t i = 0; i < set->count; i++)
        json_push(names, json_incref(json_array_get(json_list(row, "names"), set->members[i])));
    return names;
}

static enum culprit_known known(void *context, const struct culprit_set *set)
{
    const json_t *row = context;
    AUTO_JSON *names = names_of(row, set);
    size_t i;
    json_t *one;
    json_array_foreach(json_list(row, "tried"), i, one)
    {
        if (json_equal(json_list(one, "branches"), names) &&
            json_is_boolean(json_object_get(one, "failed")))
            return json_bool(one, "failed", false) ? CULPRIT_BAD : CULPRIT_GOOD;
    }
    return CULPRIT_UNKNOWN;
}

/* Failed by what is in it, and not because of us. */
static bool fails_by_itself(const char *state, const json_t *error)
{
    const char *kind = json_text(error, "error");
    return text_is(state, "failed") &&
           (text_is(kind, "build_failed") || text_is(kind, "check_failed"));
}

/* ---- inputs ---- */

struct step {
    struct hunt *h;
    json_t *tried;       /* one more, or NULL */
    const json_t *ended; /* the outcome of the last one: a row of a build, or NULL */
    const json_t *build; /* the source to build for `tried`, or NULL */
    int event;           /* -1: it goes on */
    const json_t *culprits;
    const struct err *error;
    const char *actor;
};

static int begin_build(const struct step *s, struct err *err)
{
    struct build b;
    struct person by = {.admin = true};
    AUTO_JSON *source = json_copy((json_t *)(uintptr_t)s->build);
    (void)snprintf(by.name, sizeof(by.name), "%s", json_text_or(s->h->row, "by", ""));
    (void)snprintf(by.actor, sizeof(by.actor), "%s", json_text_or(s->h->row, "actor", "core"));
    json_put_int(source, "culprits_of", json_int(s->h->row, "build", 0));
    /* the courier was asked meanwhile: the app may be gone */
    if (app_env_load(s->h->core, s->h->ae.id, &s->h->ae, err) < 0 ||
        build_create(s->h->core, &by, &s->h->ae, source, &b, err) < 0)
        return -1;
    json_put_int(s->tried, "build", b.number);
    return 0;
}

static int end_search(const struct step *s, struct err *err)
{
    AUTO_JSON *data = json_object();
    AUTO_JSON *error = s->error ? json_from_err(s->error) : NULL;
    int state = 0;
    if (sm_next_checked(&culprit_sm, CULPRIT_RUNNING, s->event, &state, err) < 0 ||
        culprit_set_ended(s->h->core, s->h->id, state, s->culprits, error, err) < 0)
        return -1;
    AUTO_FREE char *kind = mem_format("culprits.%s", sm_state_name(&culprit_sm, state));
    json_put_int(data, "build", json_int(s->h->row, "build", 0));
    if (s->culprits)
        json_put(data, "culprits", json_deep_copy(s->culprits));
    if (error)
        json_put(data, "error", json_incref(error));
    return journal_append(s->h->core, s->actor ? s->actor : "core", kind, s->h->ae.subject,
                          s->h->ae.id, data, err);
}

static void publish(const struct hunt *h)
{
    json_t *data = json_object();
    json_put_int(data, "number", json_int(h->row, "build", 0));
    json_put_text(data, "event", "culprits");
    feed_publish_after(h->core, "build", h->ae.id, data);
}

static int apply(void *context, struct err *err)
{
    struct step *s = context;
    AUTO_JSON *row = NULL;
    if (culprit_load(s->h->core, s->h->id, &row, err) < 0)
        return -1;
    if (!text_is(json_text(row, "state"), "running"))
        return 0; /* somebody has cancelled it */
    json_t *tried = json_list(row, "tried");
    json_t *last = json_array_get(tried, json_array_size(tried) - 1);
    if (s->ended)
        json_put_bool(last, "failed", text_is(json_text(s->ended, "state"), "failed"));
    if (s->build && begin_build(s, err) < 0)
        return -1;
    if (s->tried)
        json_push(tried, json_incref(s->tried));
    if ((s->ended || s->tried) && culprit_set_tried(s->h->core, s->h->id, tried, err) < 0)
        return -1;
    if (s->event >= 0 && end_search(s, err) < 0)
        return -1;
    publish(s->h);
    if (s->event < 0 && !s->build)
        tick_act(s->h->core->tick, act, s->h->core, s->h->id);
    return 0;
}

/* The hunt is over: the rows say how to go on. */
static void take_step(struct step *s)
{
    struct hunt *h = s->h;
    struct err err = ERR_INIT;
    if (tick_input(h->core->tick, "culprits", apply, s, &err) < 0) {
        log_error("a search for culprits could not be stored, trying again", F_ID("search", h->id),
                  F_ERR(&err));
        tick_again(h->core->tick);
    }
    json_decref(s->tried);
    hunt_free(h);
}

static void fail(struct hunt *h, const struct err *error)
{
    struct step s = {.h = h, .event = CULPRIT_FAIL, .error = error};
    take_step(&s);
}

/* ---- trying a set ---- */

static json_t *tried_row(const struct hunt *h, const char *commit)
{
    json_t *tried = json_object();
    json_put(tried, "branches", names_of(h->row, &h->set));
    json_put_text(tried, "commit", commit);
    json_put_text(tried, "build", NULL);
    json_put_text(tried, "failed", NULL);
    json_put_text(tried, "text", NULL);
    return tried;
}

/* What does not merge without the others is not what fails. */
static void not_built(struct hunt *h, const char *text)
{
    struct step s = {.h = h, .tried = tried_row(h, NULL), .event = -1};
    json_put_bool(s.tried, "failed", false);
    json_put_text(s.tried, "text", text);
    take_step(&s);
}

static void try_source(struct hunt *h, const json_t *source)
{
    struct err err = ERR_INIT;
    AUTO_JSON *build = NULL;
    const char *commit = json_text_or(source, "commit", "");
    struct step s = {.h = h, .event = -1};
    int found = culprit_known_build(h->core, h->ae.id, commit, &build, &err);
    if (found < 0) {
        fail(h, &err);
        return;
    }
    bool bad = found == 0 && fails_by_itself(json_text(build, "state"), json_dict(build, "error"));
    s.tried = tried_row(h, commit);
    if (bad || (found == 0 && text_is(json_text(build, "state"), "done"))) {
        json_put_bool(s.tried, "failed", bad);
        json_put_int(s.tried, "build", json_int(build, "number", 0));
    } else {
        s.build = source;
    }
    take_step(&s);
}

static void on_source(void *context, json_t *source, const struct err *error)
{
    struct hunt *h = context;
    if (error && error->kind == E_ROLE_DOWN)
        hunt_free(h); /* culprits_resume comes */
    else if (error && error->kind == E_MERGE_CONFLICT)
        not_built(h, error->text);
    else if (error)
        fail(h, error);
    else
        try_source(h, source);
}

static void next_set(struct hunt *h)
{
    struct err err = ERR_INIT;
    if (culprit_search(json_array_size(json_list(h->row, "names")), known, h->row, &h->set)) {
        AUTO_JSON *culprits = names_of(h->row, &h->set);
        struct step s = {.h = h, .event = CULPRIT_FIND, .culprits = culprits};
        take_step(&s);
        return;
    }
    if (json_array_size(json_list(h->row, "tried")) >= TRIED_MAX) {
        (void)FAIL(&err, E_TOO_MANY, "after %d builds there is no answer: it fails now and then",
                   TRIED_MAX);
        fail(h, &err);
        return;
    }
    (void)snprintf(h->ae.policy, sizeof(h->ae.policy), "stop"); /* exactly these */
    source_resolve(h->core, &h->ae, names_of(h->row, &h->set),
                   json_deep_copy(json_dict(h->row, "pins")), on_source, h);
}

/* ---- waiting for a build ---- */

static void take_end(struct hunt *h, const json_t *build)
{
    const char *state = json_text_or(build, "state", "");
    const json_t *why = json_dict(build, "error");
    struct step s = {.h = h, .ended = build, .event = -1};
    struct err err = ERR_INIT;
    if (text_is(state, "done") || fails_by_itself(state, why)) {
        take_step(&s);
        return;
    }
    json_to_err(why, &err);
    (void)err_wrap(&err, "build b%lld", (long long)json_int(build, "number", 0)); /* -1 always */
    fail(h, &err);
}

static void act(struct core *core, int64_t id)
{
    struct err err = ERR_INIT;
    AUTO_JSON *build = NULL;
    struct build b;
    for (const struct hunt *h = hunts; h; h = h->next)
        if (h->id == id)
            return;
    struct hunt *h = mem_alloc(sizeof(*h));
    *h = (struct hunt){.core = core, .id = id, .next = hunts};
    hunts = h;
    if (culprit_load(core, id, &h->row, &err) < 0 ||
        app_env_load(core, json_int(h->row, "app_env_id", 0), &h->ae, &err) < 0 ||
        !text_is(json_text(h->row, "state"), "running")) {
        hunt_free(h); /* it has ended, or its app is gone */
        return;
    }
    const json_t *tried = json_list(h->row, "tried");
    const json_t *last = json_array_get(tried, json_array_size(tried) - 1);
    if (!last || json_is_boolean(json_object_get(last, "failed"))) {
        next_set(h);
        return;
    }
    if (build_find(core, h->ae.id, json_int(last, "build", 0), &b, &err) < 0 ||
        (sm_is_final(&build_sm, b.state) && build_row(core, b.id, &build, &err) < 0))
        fail(h, &err);
    else if (build)
        take_end(h, build);
    else
        hunt_free(h); /* its end comes by the feed */
}

/* ---- the feed ---- */

struct wish {
    struct core *core;
    struct app_env ae;
    struct build b;
};

static int begin(void *context, struct err *err)
{
    const struct wish *w = context;
    struct person by = {.name = "(culprits)", .actor = "core", .admin = true};
    int64_t id = 0;
    return culprit_create(w->core, &by, &w->ae, &w->b, &id, err);
}

static void begin_one(struct core *core, int64_t app_env_id, int64_t build)
{
    struct err err = ERR_INIT;
    struct wish w = {.core = core};
    if (app_env_load(core, app_env_id, &w.ae, &err) == 0 &&
        build_load(core, build, &w.b, &err) == 0 &&
        tick_input(core->tick, "culprits", begin, &w, &err) == 0)
        return;
    log_warn("the culprits of a build are not searched for", F_ID("build", build), F_ERR(&err));
}

/* Where the env wants it by itself: of builds that failed lately and are not searched. Of one
 * branch there is nothing to find. */
static void begin_wished(struct core *core)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(
            core->store, &rows, &err,
            "SELECT b.id, b.app_env_id, b.state, b.ticks AS ticks_json, b.error AS error_json "
            "FROM build b WHERE b.app_env_id IN (SELECT ae.id FROM app_env ae JOIN env e ON "
            "e.id=ae.env_id WHERE e.culprits='always') AND b.state='failed' AND b.culprits_of IS "
            "NULL AND b.ended_at>$1 AND NOT EXISTS(SELECT 1 FROM culprit c WHERE c.build_id=b.id) "
            "ORDER BY b.id",
            "i", clock_wall_ms(core->clock) - WISHED_MS) < 0) {
        log_error("cannot list the builds that failed", F_ERR(&err));
        return;
    }
    json_array_foreach(rows, i, row)
    {
        if (fails_by_itself(json_text(row, "state"), json_dict(row, "error")) &&
            json_array_size(json_list(row, "ticks")) > 1)
            begin_one(core, json_int(row, "app_env_id", 0), json_int(row, "id", 0));
    }
}

void culprits_resume(struct core *core)
{
    struct err err = ERR_INIT;
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(core->store, &rows, &err,
                   "SELECT id FROM culprit WHERE state='running' AND app_env_id IN (SELECT id "
                   "FROM app_env)",
                   "") < 0) {
        log_error("cannot list the searches for culprits", F_ERR(&err));
        return;
    }
    json_array_foreach(rows, i, row) act(core, json_int(row, "id", 0));
    begin_wished(core); /* after: what begins now acts once durable */
}

static void on_news(void *context)
{
    struct culprits *c = context;
    struct feed_event e;
    bool look = false;
    while (feed_next(c->core->feed, &c->cursor, &e) == 0) {
        const char *state = text_is(e.topic, "build") ? json_text(e.data, "state") : NULL;
        look |= text_is(state, "failed") || text_is(state, "done") || text_is(state, "cancelled") ||
                text_is(e.topic, "gap");
    }
    if (look)
        culprits_resume(c->core);
}

struct culprits *culprits_new(struct core *core)
{
    struct culprits *c = mem_alloc(sizeof(*c));
    *c = (struct culprits){.core = core, .cursor = feed_last_id(core->feed)};
    c->subscriber = feed_subscribe(core->feed, on_news, c);
    return c;
}

void culprits_free(struct culprits *c)
{
    if (!c)
        return;
    feed_unsubscribe(c->core->feed, c->subscriber);
    free(c);
}

/* ---- what people ask for ---- */

/* Everything that its integration came from, as it was. */
static json_t *pins_of(const struct app_env *ae, const json_t *build)
{
    static const char *const lists[] = {"ticks", "resolutions"};
    json_t *pins = json_object(), *row;
    size_t i;
    json_put_text(pins, ae->trunk, json_text(build, "trunk_tip"));
    for (size_t n = 0; n < ARRAY_SIZE(lists); n++)
        json_array_foreach(json_list(build, lists[n]), i, row)
            json_put_text(pins, json_text_or(row, "branch", ""), json_text(row, "tip"));
    return pins;
}

static int refuse(const json_t *build, const json_t *latest, struct err *err)
{
    if (!fails_by_itself(json_text_or(build, "state", ""), json_dict(build, "error")))
        return FAIL(err, E_STATE_CONFLICT,
                    "build b%lld did not fail by its steps or checks: there is no culprit to find",
                    (long long)json_int(build, "number", 0));
    if (text_is(json_text(latest, "state"), "running"))
        return FAIL(err, E_STATE_CONFLICT, "its culprits are being searched for already");
    return 0;
}

int culprit_create(struct core *core, const struct person *by, const struct app_env *ae,
                   const struct build *b, int64_t *ret_id, struct err *err)
{
    AUTO_JSON *build = NULL;
    AUTO_JSON *latest = NULL;
    AUTO_JSON *data = json_object();
    struct err ignored = ERR_INIT; /* not found: the first one */
    if (build_row(core, b->id, &build, err) < 0)
        return -1;
    if (culprit_row(core, ae->id, b->number, &latest, &ignored) < 0 &&
        ignored.kind != E_NOT_FOUND) {
        *err = ignored;
        return -1;
    }
    AUTO_JSON *pins = pins_of(ae, build);
    AUTO_JSON *names = branch_names(json_list(build, "ticks"));
    json_put_int(data, "build", b->number);
    if (refuse(build, latest, err) < 0 ||
        culprit_insert(core, by, b, pins, names, ret_id, err) < 0 ||
        journal_append(core, by->actor, "culprits.begun", ae->subject, ae->id, data, err) < 0)
        return -1;
    tick_act(core->tick, act, core, *ret_id);
    return 0;
}

int culprit_cancel(struct core *core, const struct person *by, int64_t id, struct err *err)
{
    struct hunt h = {.core = core, .id = id};
    struct err cancelled = ERR_INIT;
    struct step s = {.h = &h, .event = CULPRIT_CANCEL, .error = &cancelled, .actor = by->actor};
    struct build b;
    AUTO_JSON *row = NULL;
    if (culprit_load(core, id, &row, err) < 0 ||
        app_env_load(core, json_int(row, "app_env_id", 0), &h.ae, err) < 0)
        return -1;
    if (!text_is(json_text(row, "state"), "running"))
        return FAIL(err, E_STATE_CONFLICT, "it has ended already");
    h.row = row;
    (void)FAIL(&cancelled, E_CANCELLED, "cancelled by %s", by->name);
    const json_t *tried = json_list(row, "tried");
    const json_t *last = json_array_get(tried, json_array_size(tried) - 1);
    if (end_search(&s, err) < 0)
        return -1;
    publish(&h);
    if (!last || json_is_boolean(json_object_get(last, "failed")))
        return 0;
    if (build_find(core, h.ae.id, json_int(last, "build", 0), &b, err) < 0)
        return -1;
    return sm_is_final(&build_sm, b.state) ? 0 : build_cancel(core, by, &b, err);
}
