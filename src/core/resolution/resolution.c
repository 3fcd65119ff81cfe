/* The rows of resolutions, their names and their end. */
#include "core/resolution/resolution.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/journal/journal.h"
#include "core/store/store.h"
#include "core/tick/tick.h"

#define CLOSED_LISTED 20
#define NAME_BYTES 180 /* of all sides together in a branch's name */

const char resolution_schema[] =
    "CREATE TABLE resolution(id INTEGER PRIMARY KEY, app_id BIGINT NOT NULL, branch TEXT NOT NULL, "
    "sides TEXT NOT NULL, opened TEXT NOT NULL, files TEXT NOT NULL, state TEXT NOT NULL, what "
    "TEXT, "
    "opened_by TEXT NOT NULL, created_at BIGINT NOT NULL, closed_at BIGINT);"
    "CREATE INDEX resolution_app ON resolution(app_id, id);";

/* ---- rows ---- */

#define COLUMNS                                                                                    \
    "SELECT id, branch, sides AS sides_json, opened, files AS files_json, state, what AS "         \
    "\"text\", opened_by AS \"by\", created_at AS \"at\", closed_at FROM resolution "

int resolution_row(struct core *core, int64_t app_id, int64_t id, json_t **ret_row, struct err *err)
{
    int found =
        store_row(core->store, ret_row, err, COLUMNS "WHERE app_id=$1 AND id=$2", "ii", app_id, id);
    return found == STORE_NONE ? FAIL(err, E_NOT_FOUND, "no such resolution") : found;
}

int resolution_list(struct core *core, int64_t app_id, json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err,
                      COLUMNS "WHERE app_id=$1 ORDER BY CASE WHEN state='open' THEN 0 ELSE 1 END, "
                              "id DESC LIMIT $2",
                      "ii", app_id, (int64_t)RESOLUTIONS_MAX + CLOSED_LISTED);
}

int resolutions_wanted(struct core *core, int64_t app_id, const json_t *pins, json_t **ret_rows,
                       struct err *err)
{
    AUTO_JSON *rows = NULL;
    const char *name;
    json_t *tip;
    if (json_object_size(pins) == 0)
        return store_rows(core->store, ret_rows, err,
                          COLUMNS "WHERE app_id=$1 AND state='open' ORDER BY id", "i", app_id);
    rows = json_array();
    json_object_foreach((json_t *)(uintptr_t)pins, name, tip)
    {
        AUTO_JSON *row = NULL;
        if (!text_starts(name, "resolve/"))
            continue;
        int found = store_row(core->store, &row, err,
                              COLUMNS "WHERE app_id=$1 AND branch=$2 ORDER BY id DESC LIMIT 1",
                              "it", app_id, name);
        if (found < 0)
            return -1;
        if (found == 0)
            json_push(rows, json_incref(row));
    }
    *ret_rows = TAKE(rows);
    return 0;
}

/* ---- for the courier ---- */

void resolutions_names(const json_t *rows, json_t *names)
{
    size_t i, k;
    json_t *row, *side;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        json_push(names, json_incref(json_object_get(row, "branch")));
        json_array_foreach(json_list(row, "sides"), k, side)
            json_push(names, json_incref(json_object_get(side, "branch")));
    }
}

static const char *tip_of(const json_t *tips, const json_t *pins, const char *name)
{
    const char *pinned = json_text(pins, name);
    return pinned ? pinned : json_text(tips, name);
}

json_t *resolution_arg(const json_t *row, const json_t *tips, const json_t *pins)
{
    json_t *arg = json_object(), *sides = json_deep_copy(json_list(row, "sides")), *side;
    const char *branch = json_text_or(row, "branch", "");
    const char *tip = tip_of(tips, pins, branch);
    size_t i;
    json_put_text(arg, "branch", branch);
    if (tip)
        json_put_text(arg, "tip", tip);
    json_put(arg, "opened", json_incref(json_object_get(row, "opened")));
    json_put(arg, "files", json_incref(json_list(row, "files")));
    json_array_foreach(sides, i, side)
    {
        const char *now = tip_of(tips, pins, json_text_or(side, "branch", ""));
        if (now)
            json_put_text(side, "now", now);
    }
    json_put(arg, "sides", sides);
    return arg;
}

json_t *resolutions_args(const json_t *rows, const json_t *tips, const json_t *pins)
{
    json_t *args = json_array(), *row;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        if (i < RESOLUTIONS_MAX)
            json_push(args, resolution_arg(row, tips, pins));
    }
    return args;
}

json_t *resolutions_used(const json_t *states)
{
    json_t *used = json_array(), *state;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)states, i, state)
    {
        if (!text_is(json_text(state, "state"), "used"))
            continue;
        json_t *one = json_object();
        json_put_text(one, "branch", json_text(state, "branch"));
        json_put_text(one, "tip", json_text(state, "tip"));
        json_put(one, "sides", json_deep_copy(json_list(state, "sides")));
        json_push(used, one);
    }
    return used;
}

/* ---- opening ---- */

static int check_sides(const struct app *app, const json_t *sides, struct err *err)
{
    size_t count = json_array_size(sides), i;
    json_t *name;
    if (count < 2 || count > RESOLUTION_SIDES_MAX)
        return FAIL(err, E_FIELD_INVALID, "name two branches that conflict, or up to %d",
                    RESOLUTION_SIDES_MAX);
    json_array_foreach((json_t *)(uintptr_t)sides, i, name)
    {
        if (!json_is_string(name) || !str_is_branch(str_of(json_string_value(name))))
            return FAIL(err, E_REF_INVALID, "a branch name in the list is not valid");
        if (text_is(json_string_value(name), app->trunk))
            return FAIL(err, E_FIELD_INVALID,
                        "'%s' is the trunk: merge it into the branch that conflicts with it",
                        app->trunk);
    }
    return 0;
}

static bool same_sides(const json_t *row, const json_t *sides)
{
    AUTO_JSON *names = branch_names(json_list(row, "sides"));
    size_t i, k, found = 0;
    json_t *wanted, *name;
    json_array_foreach((json_t *)(uintptr_t)sides, i, wanted)
    {
        json_array_foreach(names, k, name) found += (size_t)json_equal(name, wanted);
    }
    return found == json_array_size(sides) && found == json_array_size(names);
}

static int find_open(struct core *core, const struct app *app, const json_t *sides,
                     json_t **ret_row, struct err *err)
{
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (resolutions_wanted(core, app->id, NULL, &rows, err) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        if (same_sides(row, sides)) {
            *ret_row = json_incref(row);
            return 0;
        }
    }
    if (json_array_size(rows) >= RESOLUTIONS_MAX)
        return FAIL(err, E_TOO_MANY, "%d resolutions of '%s' are open: drop one", RESOLUTIONS_MAX,
                    app->name);
    return 0;
}

/* "resolve/A+B"; long names are cut between two characters. */
static char *name_of(const json_t *sides, int64_t number)
{
    AUTO_BUF name = BUF_INIT(0);
    size_t most = NAME_BYTES / json_array_size(sides), i;
    json_t *side;
    (void)buf_add_text(&name, "resolve/");
    json_array_foreach((json_t *)(uintptr_t)sides, i, side)
    {
        struct str text = str_of(json_string_value(side));
        if (text.length > most)
            text.length = most;
        while (!str_is_utf8(text))
            text.length--;
        (void)buf_add_text(&name, i ? "+" : "");
        (void)buf_add_str(&name, text);
    }
    if (number > 1)
        (void)buf_add_format(&name, "-%lld", (long long)number);
    return mem_format("%.*s", (int)name.length, name.data);
}

int resolution_name(struct core *core, const struct app *app, const json_t *sides, char **ret_name,
                    json_t **ret_row, struct err *err)
{
    *ret_row = NULL;
    if (check_sides(app, sides, err) < 0 || find_open(core, app, sides, ret_row, err) < 0)
        return -1;
    for (int64_t number = 1; !*ret_row; number++) {
        AUTO_FREE char *name = name_of(sides, number);
        int64_t count = 0;
        if (!str_is_branch(str_of(name)) && number < 3)
            continue; /* cut where a name must not end: with a number it may */
        if (store_one_int(core->store, &count, err,
                          "SELECT count(*) FROM resolution WHERE app_id=$1 AND branch=$2", "it",
                          app->id, name) < 0)
            return -1;
        if (count)
            continue;
        *ret_name = TAKE(name);
        return 0;
    }
    return 0;
}

static int journal_note(struct core *core, const char *actor, const char *app, const json_t *row,
                        const char *kind, const char *why, const char *text, struct err *err)
{
    AUTO_JSON *data = json_object();
    json_put_int(data, "resolution", json_int(row, "id", 0));
    json_put_text(data, "branch", json_text(row, "branch"));
    json_put(data, "sides", branch_names(json_list(row, "sides")));
    if (why)
        json_put_text(data, "why", why);
    if (text)
        json_put_text(data, "text", text);
    return journal_append(core, actor, kind, app, 0, data, err);
}

int resolution_insert(struct core *core, const struct person *by, const struct app *app,
                      const json_t *opened, int64_t *ret_id, struct err *err)
{
    AUTO_JSON *row = NULL;
    AUTO_JSON *sides = branch_names(json_list(opened, "sides"));
    int64_t taken = 0;
    if (find_open(core, app, sides, &row, err) < 0 ||
        store_one_int(core->store, &taken, err,
                      "SELECT count(*) FROM resolution WHERE app_id=$1 AND branch=$2 AND "
                      "state='open'",
                      "it", app->id, json_text_or(opened, "branch", "")) < 0)
        return -1;
    if (!row && taken)
        return FAIL(err, E_STATE_CONFLICT, "'%s' was opened for others meanwhile: try again",
                    json_text_or(opened, "branch", "?"));
    if (row) { /* somebody was quicker */
        *ret_id = json_int(row, "id", 0);
        return 0;
    }
    if (store_one_int(core->store, ret_id, err,
                      "INSERT INTO resolution(app_id, branch, sides, opened, files, state, "
                      "opened_by, created_at) VALUES($1,$2,$3,$4,$5,'open',$6,$7) RETURNING id",
                      "itototi", app->id, json_text_or(opened, "branch", ""),
                      json_list(opened, "sides"), json_text_or(opened, "tip", ""),
                      json_list(opened, "files"), by->name, clock_wall_ms(core->clock)) < 0 ||
        resolution_row(core, app->id, *ret_id, &row, err) < 0)
        return -1;
    return journal_note(core, by->actor, app->name, row, "resolution.opened", NULL, NULL, err);
}

/* ---- the end ---- */

int resolution_close(struct core *core, const char *actor, const char *app, const json_t *row,
                     const char *why, const char *text, struct err *err)
{
    if (store_run(core->store, err,
                  "UPDATE resolution SET state=$2, what=$3, closed_at=$4 WHERE id=$1", "itti",
                  json_int(row, "id", 0), why, text, clock_wall_ms(core->clock)) < 0)
        return -1;
    return journal_note(core, actor, app, row, "resolution.closed", why, text, err);
}

struct expiry {
    struct core *core;
    const struct app *app;
    const json_t *states;
};

static bool is_over(const char *state)
{
    static const char *const over[] = {"landed", "moved_off", "gone"};
    for (size_t i = 0; i < ARRAY_SIZE(over); i++)
        if (text_is(state, over[i]))
            return true;
    return false;
}

static int expire(void *context, struct err *err)
{
    const struct expiry *e = context;
    size_t i;
    json_t *state;
    json_array_foreach((json_t *)(uintptr_t)e->states, i, state)
    {
        AUTO_JSON *row = NULL;
        if (!is_over(json_text(state, "state")))
            continue;
        int found = store_row(e->core->store, &row, err,
                              COLUMNS "WHERE app_id=$1 AND branch=$2 AND state='open'", "it",
                              e->app->id, json_text_or(state, "branch", ""));
        if (found == STORE_NONE)
            continue; /* another env's look was first */
        if (found < 0 ||
            resolution_close(e->core, "core", e->app->name, row, json_text(state, "state"),
                             json_text(state, "text"), err) < 0)
            return -1;
    }
    return 0;
}

void resolutions_expire(struct core *core, const struct app *app, const json_t *states)
{
    struct expiry e = {core, app, states};
    struct err err = ERR_INIT;
    bool any = false;
    size_t i;
    json_t *state;
    json_array_foreach((json_t *)(uintptr_t)states, i, state) any |=
        is_over(json_text(state, "state"));
    if (any && tick_input(core->tick, "resolutions end", expire, &e, &err) < 0)
        log_error("cannot close a resolution, going on", F_STR("app", app->name), F_ERR(&err));
    else if (any)
        env_publish_repo(core, app->id, NULL);
}
