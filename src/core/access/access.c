/* The gate: who is asking, and may they.
 *
 * Both questions stand on the path of every request, so each is one prepared statement. A person is
 * found by the SHA-256 of the token, which the store looks up by an index: what an attacker could
 * measure is the index's order of hashes, not of tokens. Anything wrong with a token gives the same
 * error after the same work. Refusals say as little as the person may know: without the right to
 * view, an app does not exist. */
#include "core/access/access.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/access/access_priv.h"
#include "core/journal/journal.h"
#include "core/tick/tick.h"
#include "io/loop.h"

#define USED_AT_STEP_MS ((int64_t)60 * 1000) /* how exact "last used" is */

static const char *const permission_names[PERMISSION_COUNT] = {
    "none",   "person",   "view",   "branch", "trunk", "tick",
    "deploy", "rollback", "secret", "app",    "admin"};

const char *permission_name(enum permission p)
{
    ASSERT(p < PERMISSION_COUNT);
    return permission_names[p];
}

/* ---- random secrets and people by name ---- */

void access_secret_new(struct core *core, const char *prefix, char ret_text[ACCESS_SECRET_SIZE])
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t length = strlen(prefix), end = length + ACCESS_RANDOM;
    ASSERT(end < ACCESS_SECRET_SIZE);
    memcpy(ret_text, prefix, length);
    while (length < end) {
        uint8_t bytes[ACCESS_RANDOM];
        clock_random(core->clock, bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes) && length < end; i++)
            if (bytes[i] < 248) /* 4 * 62: every letter is as likely */
                ret_text[length++] = letters[bytes[i] % 62];
    }
    ret_text[length] = '\0';
}

bool access_secret_formed(struct str text, const char *prefix)
{
    size_t length = strlen(prefix);
    if (!str_starts(text, prefix) || text.length != length + ACCESS_RANDOM)
        return false;
    for (size_t i = length; i < text.length; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
            return false;
    }
    return true;
}

int access_person_find(struct core *core, const char *name, int64_t *ret_id, struct err *err)
{
    int found = STORE_NONE;
    if (name && str_is_name(str_of(name)))
        found = store_one_int(core->store, ret_id, err, "SELECT id FROM person WHERE name=$1", "t",
                              name);
    return found == STORE_NONE ? FAIL(err, E_NOT_FOUND, "no such person") : found;
}

int access_note(struct core *core, const char *actor, const char *kind, const char *name,
                const json_t *data, struct err *err)
{
    AUTO_FREE char *subject = mem_format("user:%s", name);
    return journal_append(core, actor, kind, subject, 0, data, err);
}

/* ---- who is asking ---- */

void person_root(struct person *ret_person)
{
    *ret_person = (struct person){.admin = true, .name = "root", .actor = "root"};
}

void person_anonymous(struct person *ret_person)
{
    *ret_person = (struct person){.anonymous = true, .name = "anonymous", .actor = "anonymous"};
}

static bool person_is_root(const struct person *p)
{
    return p->id == 0 && !p->anonymous && p->admin;
}

struct touch {
    struct core *core;
    int64_t token_id;
    int64_t now;
};

static int touch_run(void *context, struct err *err)
{
    const struct touch *t = context;
    return store_run(t->core->store, err,
                     "UPDATE token SET used_at=$2 WHERE id=$1 AND used_at<$2-60000", "ii",
                     t->token_id, t->now);
}

static void touch_later(void *context)
{
    struct touch *t = context;
    struct err err = ERR_INIT;
    if (tick_input(t->core->tick, "note the use of a token", touch_run, t, &err) < 0)
        log_debug("cannot note the use of a token, ignoring", F_ERR(&err));
    free(t);
}

/* Outside the request: its reply does not wait for this write. */
static void token_touch(struct core *core, int64_t token_id, int64_t used_at, int64_t now)
{
    if (now - used_at <= USED_AT_STEP_MS)
        return;
    struct touch *t = mem_alloc(sizeof(*t));
    *t = (struct touch){core, token_id, now};
    loop_defer(touch_later, t);
}

static void person_read(const struct query *q, struct person *ret_person)
{
    const char *name = query_text(q, 2), *kind = query_text(q, 3), *token = query_text(q, 4);
    struct person p = {.id = query_int(q, 1),
                       .token_id = query_int(q, 0),
                       .read_only = query_int(q, 5) != 0,
                       .token_app_id = query_int(q, 6)};
    p.admin = query_int(q, 9) != 0 && p.token_app_id == 0;
    (void)snprintf(p.name, sizeof(p.name), "%s", name);
    if (text_is(kind, "session"))
        (void)snprintf(p.actor, sizeof(p.actor), "user:%s", name);
    else
        (void)snprintf(p.actor, sizeof(p.actor), "token:%s/%s", name, token);
    *ret_person = p;
}

static const char token_by_hash[] =
    "SELECT t.id, t.person_id, p.name, t.kind, t.name, t.read_only, t.app_id, t.expires_at,"
    " t.used_at, (SELECT count(*) FROM person_grant g JOIN role_right r ON r.role=g.role"
    "  WHERE g.person_id=t.person_id AND g.app_id=0 AND g.env_id=0 AND r.env='*'"
    "  AND r.permission='admin')"
    " FROM token t JOIN person p ON p.id=t.person_id WHERE t.hash=$1";

int access_authenticate(struct core *core, struct str token, struct person *ret_person,
                        struct err *err)
{
    char hash[SHA_HEX];
    AUTO_QUERY q = {0};
    int64_t now = clock_wall_ms(core->clock);
    bool formed = access_secret_formed(token, ACCESS_TOKEN_PREFIX);
    sha_hex_of(formed ? token : STR("sw_0000000000000000000000000000000000000000"), hash);
    if (store_query(core->store, &q, err, token_by_hash, "t", hash) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more < 0)
        return -1;
    bool good = formed && more > 0 && (query_is_null(&q, 7) || query_int(&q, 7) > now);
    if (!good)
        return FAIL(err, E_UNAUTHENTICATED, "the token is not valid: run 'slipway login'");
    person_read(&q, ret_person);
    token_touch(core, ret_person->token_id, query_int(&q, 8), now);
    return 0;
}

bool access_still_valid(struct core *core, const struct person *p)
{
    struct err err = ERR_INIT;
    int64_t found = 0;
    if (person_is_root(p))
        return true;
    if (p->anonymous)
        return false;
    int result = store_one_int(core->store, &found, &err,
                               "SELECT count(*) FROM token t JOIN person p ON p.id=t.person_id"
                               " WHERE t.id=$1 AND t.person_id=$2"
                               " AND (t.expires_at IS NULL OR t.expires_at>$3)",
                               "iii", p->token_id, p->id, clock_wall_ms(core->clock));
    return result == 0 && found == 1;
}

/* ---- may they ---- */

enum access_level { LEVEL_HIDDEN, LEVEL_VIEWS, LEVEL_ALLOWED };

/* The rights of all grants that reach this app and env. env 0: some env is enough, but for what
 * reaches into every env ($5): that takes a grant and a right without env. */
static const char level_sql[] =
    "SELECT coalesce(max(CASE WHEN r.permission=$2 THEN 2 ELSE 1 END),0)"
    " FROM person_grant g JOIN role_right r ON r.role=g.role"
    " WHERE g.person_id=$1 AND (r.permission=$2 OR r.permission='view')"
    " AND (g.app_id=0 OR g.app_id=$3)"
    " AND (g.env_id=0 OR g.env_id=$4 OR $4=0)"
    " AND (r.env='*' OR ($4<>0 AND r.env=(SELECT name FROM env WHERE id=$4))"
    "  OR ($4=0 AND (g.env_id=0 OR r.env=(SELECT name FROM env WHERE id=g.env_id))))"
    " AND (r.permission='view' OR $5=0 OR (g.env_id=0 AND r.env='*'))";

static bool reaches_every_env(enum permission permission)
{
    return permission == PERMISSION_TRUNK || permission == PERMISSION_APP ||
           permission == PERMISSION_ADMIN;
}

static int access_level(struct core *core, const struct person *p, enum permission permission,
                        int64_t app_id, int64_t env_id, int64_t *ret_level, struct err *err)
{
    int64_t whole = env_id == 0 && reaches_every_env(permission);
    *ret_level = LEVEL_HIDDEN;
    return store_one_int(core->store, ret_level, err, level_sql, "itiii", p->id,
                         permission_name(permission), app_id, env_id, whole) < 0
               ? -1
               : 0;
}

int access_join_names(struct query *q, struct buf *names, struct err *err)
{
    int more;
    while ((more = query_next(q, err)) > 0) {
        if (names->length)
            (void)buf_add_text(names, ", ");
        (void)buf_add_text(names, query_text(q, 0));
    }
    if (!names->length)
        (void)buf_add_text(names, "none");
    return more;
}

static int roles_held(struct core *core, const struct person *p, int64_t app_id, struct buf *names,
                      struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err,
                    "SELECT DISTINCT role FROM person_grant WHERE person_id=$1 AND (app_id=0 OR"
                    " app_id=$2) ORDER BY role",
                    "ii", p->id, app_id) < 0)
        return -1;
    return access_join_names(&q, names, err);
}

static int roles_wanted(struct core *core, enum permission permission, int64_t env_id,
                        struct buf *names, struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err,
                    "SELECT DISTINCT role FROM role_right WHERE permission=$1 AND (env='*' OR"
                    " $2=0 OR env=(SELECT name FROM env WHERE id=$2)) ORDER BY role",
                    "ti", permission_name(permission), env_id) < 0)
        return -1;
    return access_join_names(&q, names, err);
}

static int deny(struct core *core, const struct person *p, enum permission permission,
                int64_t app_id, int64_t env_id, struct err *err)
{
    AUTO_BUF held = BUF_INIT(200), wanted = BUF_INIT(200);
    if (roles_held(core, p, app_id, &held, err) < 0 ||
        roles_wanted(core, permission, env_id, &wanted, err) < 0)
        return -1;
    return FAIL(err, E_DENIED,
                "'%s' lacks the right '%s' here: held roles: %s; it takes one of: %s", p->name,
                permission_name(permission), held.data, wanted.data);
}

/* What the token itself allows, whoever holds it. */
static int check_token(const struct person *p, int64_t app_id, bool writes, struct err *err)
{
    if (p->read_only && writes)
        return FAIL(err, E_DENIED, "this token may only read");
    if (p->token_app_id == 0 || p->token_app_id == app_id)
        return 0;
    if (app_id != 0)
        return FAIL(err, E_NOT_FOUND, ACCESS_HIDDEN);
    return FAIL(err, E_DENIED, "this token works for one app alone");
}

static int check_person(const struct person *p, bool writes, struct err *err)
{
    if (p->token_app_id && writes)
        return FAIL(err, E_DENIED, "this token works for one app alone");
    return p->read_only && writes ? FAIL(err, E_DENIED, "this token may only read") : 0;
}

int access_check(struct core *core, const struct person *p, enum permission permission,
                 int64_t app_id, int64_t env_id, bool writes, struct err *err)
{
    int64_t level;
    ASSERT(permission < PERMISSION_COUNT);
    if (permission == PERMISSION_NONE || person_is_root(p))
        return 0;
    if (p->anonymous)
        return FAIL(err, E_UNAUTHENTICATED, "sign in first: run 'slipway login'");
    if (permission == PERMISSION_PERSON)
        return check_person(p, writes, err);
    if (check_token(p, app_id, writes, err) < 0 ||
        access_level(core, p, permission, app_id, env_id, &level, err) < 0)
        return -1;
    if (level == LEVEL_ALLOWED || (level == LEVEL_VIEWS && permission == PERMISSION_VIEW))
        return 0;
    if (level == LEVEL_HIDDEN && (app_id != 0 || env_id != 0))
        return FAIL(err, E_NOT_FOUND, ACCESS_HIDDEN);
    return deny(core, p, permission, app_id, env_id, err);
}

int access_rights(struct core *core, const struct person *p, int64_t app_id, int64_t env_id,
                  json_t **ret_names, struct err *err)
{
    AUTO_JSON *names = json_array();
    for (int i = PERMISSION_VIEW; i < PERMISSION_COUNT; i++) {
        struct err refusal = ERR_INIT;
        enum permission permission = (enum permission)i;
        bool writes = permission != PERMISSION_VIEW;
        if (access_check(core, p, permission, app_id, env_id, writes, &refusal) == 0) {
            json_push(names, json_string(permission_name(permission)));
            continue;
        }
        enum err_class class = err_class(refusal.kind);
        if (class != ERR_DENIED && class != ERR_NOT_FOUND) {
            *err = refusal;
            return -1;
        }
    }
    *ret_names = TAKE(names);
    return 0;
}
