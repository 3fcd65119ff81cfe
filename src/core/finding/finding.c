/* Filing, acting, and who may not go on because of them. */
#include "core/finding/finding.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/feed/feed.h"
#include "core/journal/journal.h"
#include "core/release/release.h"
#include "core/store/store.h"

const char finding_schema[] =
    "CREATE TABLE finding(id INTEGER PRIMARY KEY, app_id BIGINT NOT NULL, number BIGINT NOT NULL, "
    "app_env_id BIGINT NOT NULL, release BIGINT NOT NULL, title TEXT NOT NULL, severity BIGINT NOT "
    "NULL, state TEXT NOT NULL, round BIGINT NOT NULL DEFAULT 1, branch TEXT, filed_tip TEXT, "
    /* when it was said to be fixed: the branch's tip, and what was live */
    "fixed_tip TEXT, fixed_release BIGINT NOT NULL DEFAULT 0, filed_by TEXT NOT NULL, created_at "
    "BIGINT NOT NULL, changed_at BIGINT NOT NULL, UNIQUE(app_id, number));"
    "CREATE INDEX finding_open ON finding(app_id) WHERE state<>'closed';"
    "CREATE TABLE finding_note(id INTEGER PRIMARY KEY, finding_id BIGINT NOT NULL, kind TEXT NOT "
    "NULL, text TEXT NOT NULL, release BIGINT NOT NULL, round BIGINT NOT NULL, noted_by TEXT NOT "
    "NULL, created_at BIGINT NOT NULL);"
    "CREATE INDEX finding_notes ON finding_note(finding_id, id);"
    "ALTER TABLE env ADD COLUMN gate TEXT NOT NULL DEFAULT 'none';";

static const char *const severities[] = {"low", "medium", "high", "critical"};

static int severity_of(const char *name, int64_t *ret_severity, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(severities); i++) {
        if (!text_is(name, severities[i]))
            continue;
        *ret_severity = (int64_t)i;
        return 0;
    }
    return FAIL(err, E_FIELD_INVALID, "'%.40s' is no severity: low, medium, high or critical",
                name);
}

/* ---- rows for people ---- */

#define COLUMNS                                                                                    \
    "SELECT f.id, f.app_id, f.number, e.name AS env, f.app_env_id, f.release, f.title, "           \
    "f.severity, "                                                                                 \
    "f.state, "                                                                                    \
    "f.round, f.branch, f.filed_tip, f.fixed_tip, f.fixed_release, f.filed_by AS \"by\", "         \
    "f.created_at AS \"at\", f.changed_at, a.name AS app FROM finding f JOIN app_env ae ON "       \
    "ae.id=f.app_env_id JOIN app a ON a.id=f.app_id JOIN env e ON e.id=ae.env_id "

/* Of a list with "branch": NULL when it is not among them. */
static const json_t *branch_in(const json_t *list, const char *branch)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)list, i, row)
    {
        if (text_is(json_text(row, "branch"), branch))
            return row;
    }
    return NULL;
}

static const char *tip_in(const json_t *release, const char *branch)
{
    return json_text(branch_in(json_list(release, "branches"), branch), "tip");
}

/* The live release of its env, kept for the other rows of the list. */
static int live_of(struct core *core, json_t *known, int64_t app_env_id, const json_t **ret_release,
                   struct err *err)
{
    char key[24];
    struct app_env ae;
    json_t *release = NULL;
    (void)snprintf(key, sizeof(key), "%lld", (long long)app_env_id);
    *ret_release = json_object_get(known, key);
    if (*ret_release)
        return 0;
    if (app_env_load(core, app_env_id, &ae, err) < 0 ||
        (ae.live_release && release_row(core, ae.id, ae.live_release, &release, err) < 0))
        return -1;
    *ret_release = release ? release : json_object();
    json_put(known, key, (json_t *)(uintptr_t)*ret_release);
    return 0;
}

static int has_landed(struct core *core, const json_t *row, bool *ret_has, struct err *err)
{
    int64_t count = 0;
    AUTO_JSON *name = json_string(json_text(row, "branch"));
    AUTO_FREE char *text = json_print(name);
    if (store_one_int(core->store, &count, err,
                      "SELECT count(*) FROM landing WHERE app_id=$1 AND state='done' AND "
                      "ended_at>$2 AND instr(branches, $3)>0",
                      "iit", json_int(row, "app_id", 0), json_int(row, "at", 0), text) < 0)
        return -1;
    *ret_has = count > 0;
    return 0;
}

/* Is what was fixed released where it was found? By the very commit, or by a release since then
 * that holds another one than the finding's; what has landed is trunk's by now. */
static int is_released(struct core *core, const json_t *row, const json_t *release, bool *ret_is,
                       struct err *err)
{
    const char *branch = json_text(row, "branch");
    bool newer = json_int(release, "number", 0) > json_int(row, "fixed_release", 0);
    *ret_is = newer;
    if (!branch)
        return 0;
    const char *tip = tip_in(release, branch);
    if (!tip)
        return newer ? has_landed(core, row, ret_is, err) : 0;
    *ret_is = text_is(tip, json_text(row, "fixed_tip")) ||
              (newer && !text_is(tip, json_text(row, "filed_tip")));
    return 0;
}

static int put_waits(struct core *core, json_t *known, json_t *row, struct err *err)
{
    const json_t *release = NULL;
    const char *state = json_text_or(row, "state", ""), *waits = NULL;
    bool released = false;
    if (text_is(state, "open")) {
        waits = "fix";
    } else if (text_is(state, "fixed")) {
        if (live_of(core, known, json_int(row, "app_env_id", 0), &release, err) < 0 ||
            is_released(core, row, release, &released, err) < 0)
            return -1;
        waits = released ? "retest" : "release";
    }
    json_put_text(row, "waits", waits);
    return 0;
}

/* What it is told without. */
static int for_people(struct core *core, json_t *known, json_t *row, struct err *err)
{
    static const char *const hidden[] = {"id",        "app_id",    "app_env_id",
                                         "filed_tip", "fixed_tip", "fixed_release"};
    if (put_waits(core, known, row, err) < 0)
        return -1;
    json_put_text(row, "severity", severities[json_int(row, "severity", 0) & 3]);
    for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
        (void)json_object_del(row, hidden[i]); /* it is there */
    return 0;
}

int finding_list(struct core *core, int64_t app_id, const struct finding_filter *filter,
                 json_t **ret_rows, struct err *err)
{
    AUTO_JSON *rows = NULL;
    AUTO_JSON *known = json_object();
    size_t i;
    json_t *row;
    static const char *const states_known[] = {"", "all", "unclosed", "open", "fixed", "closed"};
    bool is_known = false;
    const char *state = filter->state ? filter->state : "", *env = filter->env ? filter->env : "";
    const char *branch = filter->branch ? filter->branch : "";
    const char *person = filter->person ? filter->person : "";
    for (size_t n = 0; n < ARRAY_SIZE(states_known); n++)
        is_known |= text_is(state, states_known[n]);
    if (!is_known)
        return FAIL(err, E_FIELD_INVALID,
                    "'%.40s' is no state: open, fixed, closed, unclosed or all", state);
    if (text_is(state, "all"))
        state = "";
    if (store_rows(
            core->store, &rows, err,
            COLUMNS "WHERE ($1=0 OR f.app_id=$1) AND ($2='' OR f.state=$2 OR ($2='unclosed' AND "
                    "f.state<>'closed')) AND ($3='' OR e.name=$3) AND ($4='' OR "
                    "f.branch=$4) AND ($5='' OR f.filed_by=$5) AND ($6=0 OR f.number<$6) "
                    "ORDER BY f.id DESC LIMIT $7",
            "ittttii", app_id, state, env, branch, person, filter->before, filter->limit) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        if (for_people(core, known, row, err) < 0)
            return -1;
    }
    *ret_rows = TAKE(rows);
    return 0;
}

static int load(struct core *core, int64_t app_id, int64_t number, json_t **ret_row,
                struct err *err)
{
    int found = store_row(core->store, ret_row, err, COLUMNS "WHERE f.app_id=$1 AND f.number=$2",
                          "ii", app_id, number);
    return found == STORE_NONE ? FAIL(err, E_NOT_FOUND, "no such finding") : found;
}

int finding_row(struct core *core, int64_t app_id, int64_t number, json_t **ret_row,
                struct err *err)
{
    AUTO_JSON *row = NULL;
    AUTO_JSON *known = json_object();
    AUTO_JSON *pictures = NULL;
    json_t *notes = NULL;
    if (load(core, app_id, number, &row, err) < 0 ||
        finding_pictures(core, json_int(row, "id", 0), &pictures, err) < 0 ||
        store_rows(
            core->store, &notes, err,
            "SELECT kind, text, link, release, round, noted_by AS \"by\", created_at AS \"at\" "
            "FROM finding_note WHERE finding_id=$1 ORDER BY id",
            "i", json_int(row, "id", 0)) < 0)
        return -1;
    json_put(row, "notes", notes);
    json_put(row, "pictures", TAKE(pictures));
    if (for_people(core, known, row, err) < 0)
        return -1;
    *ret_row = TAKE(row);
    return 0;
}

/* ---- writing ---- */

struct note {
    const struct person *by;
    const struct app_env *ae; /* where it was found */
    int64_t id, number, round;
    const char *kind, *text, *link;
    const json_t *row; /* as it is now */
};

static int note_down(struct core *core, const struct note *n, struct err *err)
{
    AUTO_JSON *data = json_object();
    AUTO_FREE char *kind = mem_format("finding.%s", n->kind);
    if (store_run(core->store, err,
                  "INSERT INTO finding_note(finding_id, kind, text, release, round, noted_by, "
                  "created_at, link) VALUES($1,$2,$3,$4,$5,$6,$7,$8)",
                  "ittiitit", n->id, n->kind, n->text ? n->text : "", n->ae->live_release, n->round,
                  n->by->name, clock_wall_ms(core->clock), n->link) < 0)
        return -1;
    json_put_int(data, "finding", n->number);
    json_put_int(data, "round", n->round);
    json_put_text(data, "branch", json_text(n->row, "branch"));
    json_put_text(data, "severity", severities[json_int(n->row, "severity", 0) & 3]);
    json_t *event = json_object();
    json_put_int(event, "number", n->number);
    feed_publish_after(core, "finding", n->ae->id, event);
    return journal_append(core, n->by->actor, kind, n->ae->subject, n->ae->id, data, err);
}

/* A page of ours, never an address elsewhere. */
static int check_link(const char *link, struct err *err)
{
    if (!link || (text_starts(link, "/apps/") && !strchr(link, '\\') && !strstr(link, "//") &&
                  !str_has_control(str_of(link))))
        return 0;
    return FAIL(err, E_FIELD_INVALID,
                "'link' is a page of the console, such as /apps/shop/dev/logs");
}

int finding_file(struct core *core, const struct person *by, const struct app_env *ae,
                 const json_t *filed, int64_t *ret_number, struct err *err)
{
    AUTO_JSON *release = NULL;
    const char *branch = json_text(filed, "branch"), *title = json_text_or(filed, "title", "");
    int64_t severity = 0, id = 0, now_ms = clock_wall_ms(core->clock);
    if (severity_of(json_text_or(filed, "severity", "medium"), &severity, err) < 0)
        return -1;
    if (check_link(json_text(filed, "link"), err) < 0)
        return -1;
    if (str_trim(str_of(title)).length == 0)
        return FAIL(err, E_FIELD_INVALID, "say in a few words what is wrong: 'title'");
    if (!ae->live_release)
        return FAIL(err, E_STATE_CONFLICT, "nothing is live in %s: there is nothing to find",
                    ae->env);
    if (release_row(core, ae->id, ae->live_release, &release, err) < 0)
        return -1;
    if (branch && !tip_in(release, branch))
        return FAIL(err, E_BRANCH_UNKNOWN, "'%s' is not in r%lld of %s", branch,
                    (long long)ae->live_release, ae->env);
    if (store_one_int(core->store, ret_number, err,
                      "SELECT coalesce(max(number),0)+1 FROM finding WHERE app_id=$1", "i",
                      ae->app_id) < 0 ||
        store_one_int(core->store, &id, err,
                      "INSERT INTO finding(app_id, number, app_env_id, release, title, severity, "
                      "state, branch, filed_tip, filed_by, created_at, changed_at) "
                      "VALUES($1,$2,$3,$4,$5,$6,'open',$7,$8,$9,$10,$10) RETURNING id",
                      "iiiitittti", ae->app_id, *ret_number, ae->id, ae->live_release, title,
                      severity, branch, branch ? tip_in(release, branch) : NULL, by->name,
                      now_ms) < 0)
        return -1;
    AUTO_JSON *row = NULL;
    if (load(core, ae->app_id, *ret_number, &row, err) < 0)
        return -1;
    struct note n = {
        by, ae, id, *ret_number, 1, "filed", json_text(filed, "text"), json_text(filed, "link"),
        row};
    return note_down(core, &n, err);
}

static int assign(struct core *core, const json_t *row, const struct app_env *ae, const json_t *act,
                  struct err *err)
{
    AUTO_JSON *release = NULL;
    const char *branch = json_text(act, "branch");
    int64_t severity = json_int(row, "severity", 0);
    if (json_text(act, "severity") && severity_of(json_text(act, "severity"), &severity, err) < 0)
        return -1;
    if (branch && !str_is_branch(str_of(branch)))
        return FAIL(err, E_REF_INVALID, "that is not a valid branch name");
    if (json_int(row, "release", 0) && /* 0: of a try that is gone */
        release_row(core, ae->id, json_int(row, "release", 0), &release, err) < 0)
        return -1;
    const char *tip = branch ? tip_in(release, branch) : NULL; /* of a branch made since: none */
    if (!branch) {
        branch = json_text(row, "branch");
        tip = json_text(row, "filed_tip");
    }
    return store_run(core->store, err,
                     "UPDATE finding SET branch=$2, filed_tip=$3, severity=$4, fixed_tip=CASE WHEN "
                     "branch=$2 THEN fixed_tip ELSE NULL END WHERE id=$1",
                     "itti", json_int(row, "id", 0), branch, tip, severity);
}

/* One that is still there is in its next round, and waits for another commit than the one that did
 * not help. */
static int change_state(struct core *core, const json_t *row, const struct app_env *ae, int state,
                        const char *tip, struct err *err)
{
    int64_t id = json_int(row, "id", 0);
    const char *name = sm_state_name(&finding_sm, state);
    if (state == FINDING_FIXED)
        return store_run(core->store, err,
                         "UPDATE finding SET state=$2, fixed_tip=$3, fixed_release=$4 WHERE id=$1",
                         "itti", id, name, tip, ae->live_release);
    if (state == FINDING_CLOSED)
        return store_run(core->store, err, "UPDATE finding SET state=$2 WHERE id=$1", "it", id,
                         name);
    return store_run(core->store, err,
                     "UPDATE finding SET state=$2, round=round+1, filed_tip=coalesce(fixed_tip, "
                     "filed_tip), fixed_tip=NULL WHERE id=$1",
                     "it", id, name);
}

static int apply(struct core *core, const json_t *row, const struct app_env *ae, const json_t *act,
                 const char *tip, struct err *err)
{
    static const char *const words[] = {"fix", "close", "reopen"};
    const char *what = json_text_or(act, "act", "");
    int state = 0;
    if (text_is(what, "note"))
        return 0;
    if (text_is(what, "assign"))
        return assign(core, row, ae, act, err);
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (!text_is(what, words[i]))
            continue;
        if (sm_state_from_name(&finding_sm, json_text_or(row, "state", ""), &state, err) < 0 ||
            sm_next_checked(&finding_sm, state, (int)i, &state, err) < 0)
            return -1;
        return change_state(core, row, ae, state, tip, err);
    }
    return FAIL(err, E_FIELD_INVALID, "'act' is fix, close, reopen, note or assign");
}

/* Who filed it may do all; the others what takes nothing away, or who may choose what goes into
 * that env. */
static int may_act(struct core *core, const struct person *by, const json_t *row,
                   const struct app_env *ae, const json_t *act, struct err *err)
{
    const char *what = json_text_or(act, "act", "");
    if (text_is(what, "note") || text_is(what, "reopen") || text_is(json_text(row, "by"), by->name))
        return 0;
    return access_check(core, by, PERMISSION_TICK, ae->app_id, ae->env_id, true, err);
}

int finding_act(struct core *core, const struct person *by, const struct app *app, int64_t number,
                const json_t *act, const char *tip, struct err *err)
{
    AUTO_JSON *row = NULL;
    AUTO_JSON *after = NULL;
    struct app_env ae;
    if (check_link(json_text(act, "link"), err) < 0 || load(core, app->id, number, &row, err) < 0 ||
        app_env_load(core, json_int(row, "app_env_id", 0), &ae, err) < 0 ||
        may_act(core, by, row, &ae, act, err) < 0 || apply(core, row, &ae, act, tip, err) < 0 ||
        store_run(core->store, err, "UPDATE finding SET changed_at=$2 WHERE id=$1", "ii",
                  json_int(row, "id", 0), clock_wall_ms(core->clock)) < 0 ||
        load(core, app->id, number, &after, err) < 0)
        return -1;
    AUTO_FREE char *assigned = mem_format("%s, %s", json_text_or(after, "branch", "-"),
                                          severities[json_int(after, "severity", 0) & 3]);
    bool assigns = text_is(json_text(act, "act"), "assign");
    struct note n = {.by = by,
                     .ae = &ae,
                     .id = json_int(row, "id", 0),
                     .number = number,
                     .round = json_int(after, "round", 1),
                     .kind = json_text_or(act, "act", ""),
                     .text = assigns ? assigned : json_text(act, "text"),
                     .link = json_text(act, "link"),
                     .row = after};
    return note_down(core, &n, err);
}

/* ---- the gate ---- */

int finding_gate(struct core *core, const struct app_env *ae, const json_t *branches,
                 struct err *err)
{
    AUTO_JSON *rows = NULL;
    size_t i;
    json_t *row;
    if (store_rows(core->store, &rows, err,
                   COLUMNS "WHERE f.app_id=$1 AND f.state<>'closed' AND f.severity>=(SELECT CASE "
                           "gate WHEN 'low' THEN 0 WHEN 'medium' THEN 1 WHEN 'high' THEN 2 WHEN "
                           "'critical' THEN 3 ELSE 9 END FROM env WHERE id=$2) AND e.position<"
                           "(SELECT position FROM env WHERE id=$2) ORDER BY f.severity DESC, "
                           "f.number",
                   "ii", ae->app_id, ae->env_id) < 0)
        return -1;
    json_array_foreach(rows, i, row)
    {
        const char *branch = json_text(row, "branch");
        if (branch && !branch_in(branches, branch))
            continue;
        return FAIL(err, E_POLICY_DENIED,
                    "finding %lld of %.60s (%s, in %s) is not closed, and %s lets none of that "
                    "severity in: 'slipway finding show %lld'",
                    (long long)json_int(row, "number", 0), branch ? branch : "no branch",
                    severities[json_int(row, "severity", 0) & 3], json_text_or(row, "env", "?"),
                    ae->env, (long long)json_int(row, "number", 0));
    }
    return 0;
}
