/* Tokens: API tokens that people name themselves, and sessions, which are tokens of 30 days. Only
 * the SHA-256 of a token is kept; its text is shown once, in the reply that makes it. A token never
 * gives more than the one it was made with. */
#include "base/json.h"
#include "base/mem.h"
#include "core/access/access_priv.h"

#define SESSION_DAYS 30
#define SESSIONS_MAX 50
#define TOKENS_MAX 100
#define TOKEN_DAYS_MAX 3650
#define SESSION_PREFIX "session-"
#define EXPIRED_KEPT_MS (30 * DAY_MS)

struct token_row {
    int64_t person_id;
    const char *kind;
    const char *name;
    bool read_only;
    int64_t app_id;
    int64_t days;        /* 0: never expires */
    int64_t expires_max; /* 0: no matter */
};

/* 53 random bits: fits JSON's numbers, is never given out twice. */
static int64_t token_id_new(struct core *core)
{
    uint64_t bits;
    clock_random(core->clock, &bits, sizeof(bits));
    return (int64_t)(bits >> 11) | 1;
}

/* *ret_expires: 0 when never. */
static int token_insert(struct core *core, const struct token_row *row,
                        char ret_secret[ACCESS_SECRET_SIZE], int64_t *ret_expires, struct err *err)
{
    char hash[SHA_HEX];
    int64_t now = clock_wall_ms(core->clock);
    access_secret_new(core, ACCESS_TOKEN_PREFIX, ret_secret);
    sha_hex_of(str_of(ret_secret), hash);
    *ret_expires = row->days ? now + row->days * DAY_MS : 0;
    if (row->expires_max && (*ret_expires == 0 || *ret_expires > row->expires_max))
        *ret_expires = row->expires_max;
    /* A clock that is ahead for an hour must not end the tokens of all programs. */
    if (store_run(core->store, err,
                  "DELETE FROM token WHERE expires_at<=$1 OR (expires_at<=$2 AND person_id=$3 AND "
                  "name=$4)",
                  "iiit", now - EXPIRED_KEPT_MS, now, row->person_id, row->name) < 0)
        return -1;
    return store_run(core->store, err,
                     "INSERT INTO token(id, hash, person_id, kind, name, read_only, app_id,"
                     " created_at, expires_at) VALUES($1,$2,$3,$4,$5,$6,$7,$8,nullif($9,0))",
                     "itittiiii", token_id_new(core), hash, row->person_id, row->kind, row->name,
                     (int64_t)row->read_only, row->app_id, now, *ret_expires);
}

static json_t *token_reply(const char *key, const char *name, char secret[ACCESS_SECRET_SIZE],
                           int64_t expires)
{
    json_t *reply = json_object();
    json_put_text(reply, key, name);
    json_put_text(reply, "token", secret);
    json_put(reply, "expires", expires ? json_integer(expires) : json_null());
    explicit_bzero(secret, ACCESS_SECRET_SIZE);
    return reply;
}

/* ---- sessions ---- */

/* Room for one more: the oldest go. */
static int sessions_trim(struct core *core, int64_t person_id, struct err *err)
{
    return store_run(core->store, err,
                     "DELETE FROM token WHERE id IN (SELECT id FROM token WHERE person_id=$1 AND"
                     " kind='session' ORDER BY created_at DESC, id LIMIT 1000 OFFSET $2)",
                     "ii", person_id, (int64_t)SESSIONS_MAX - 1);
}

int access_sessions_end(struct core *core, int64_t person_id, struct err *err)
{
    return store_run(core->store, err, "DELETE FROM token WHERE person_id=$1 AND kind='session'",
                     "i", person_id);
}

int access_session_make(struct core *core, int64_t person_id, const char *name, json_t **ret_reply,
                        struct err *err)
{
    char secret[ACCESS_SECRET_SIZE], suffix[2 * 6 + 1];
    int64_t expires;
    random_hex(core->clock, 6, suffix);
    AUTO_FREE char *session = mem_format(SESSION_PREFIX "%s", suffix);
    struct token_row row = {
        .person_id = person_id, .kind = "session", .name = session, .days = SESSION_DAYS};
    if (sessions_trim(core, person_id, err) < 0 ||
        token_insert(core, &row, secret, &expires, err) < 0)
        return -1;
    *ret_reply = token_reply("user", name, secret, expires);
    return 0;
}

int access_session_new(struct core *core, int64_t person_id, json_t **ret_reply, struct err *err)
{
    AUTO_JSON *row = NULL;
    int found =
        store_row(core->store, &row, err, "SELECT name FROM person WHERE id=$1", "i", person_id);
    if (found != 0)
        return found < 0 ? -1 : FAIL(err, E_UNAUTHENTICATED, "the name or the password is wrong");
    const char *name = json_text(row, "name");
    AUTO_FREE char *actor = mem_format("user:%s", name);
    if (access_note(core, actor, "session.started", name, NULL, err) < 0)
        return -1;
    return access_session_make(core, person_id, name, ret_reply, err);
}

int access_password_change(struct core *core, const struct person *by, const char *password_hash,
                           json_t **ret_reply, struct err *err)
{
    if (store_run(core->store, err, "UPDATE person SET password=$2 WHERE id=$1", "it", by->id,
                  password_hash) < 0 ||
        access_sessions_end(core, by->id, err) < 0 ||
        access_note(core, by->actor, "password.changed", by->name, NULL, err) < 0)
        return -1;
    return access_session_make(core, by->id, by->name, ret_reply, err);
}

/* A session that ends, or an API token that gives itself up. Root has neither. */
int access_sign_out(struct core *core, const struct person *p, struct err *err)
{
    AUTO_JSON *row = NULL;
    AUTO_JSON *data = json_object();
    int found = store_row(core->store, &row, err, "SELECT kind, name FROM token WHERE id=$1", "i",
                          p->token_id);
    if (found != 0)
        return found < 0 ? -1 : 0;
    if (store_run(core->store, err, "DELETE FROM token WHERE id=$1", "i", p->token_id) < 0)
        return -1;
    bool session = text_is(json_text(row, "kind"), "session");
    if (!session)
        json_put_text(data, "token", json_text(row, "name"));
    return access_note(core, p->actor, session ? "session.ended" : "token.ended", p->name, data,
                       err);
}

/* ---- API tokens ---- */

static int check_new(struct core *core, const struct person *by, const char *name, int64_t days,
                     bool read_only, int64_t app_id, struct err *err)
{
    int64_t count = 0;
    if (by->id == 0)
        return FAIL(err, E_STATE_CONFLICT, "tokens belong to people: sign in as one");
    if (!name || !str_is_name(str_of(name)) || text_starts(name, SESSION_PREFIX))
        return FAIL(err, E_NAME_INVALID,
                    "a token's name has 1 to 40 of a-z, 0-9 and '-', begins with a letter and not "
                    "with '" SESSION_PREFIX "'");
    if (days < 0 || days > TOKEN_DAYS_MAX)
        return FAIL(err, E_OUT_OF_RANGE, "a token lives 1 to %d days, or 0: without end",
                    TOKEN_DAYS_MAX);
    if ((by->read_only && !read_only) || (by->token_app_id && by->token_app_id != app_id))
        return FAIL(err, E_DENIED, "a token cannot make one that may do more than itself");
    if (app_id && access_check(core, by, PERMISSION_VIEW, app_id, 0, false, err) < 0)
        return -1;
    if (store_one_int(core->store, &count, err,
                      "SELECT count(*) FROM token WHERE person_id=$1 AND kind='api' AND "
                      "(expires_at IS NULL OR expires_at>$2)",
                      "ii", by->id, clock_wall_ms(core->clock)) < 0)
        return -1;
    if (count >= TOKENS_MAX)
        return FAIL(err, E_TOO_MANY, "'%s' has %d tokens already: revoke some", by->name,
                    TOKENS_MAX);
    return 0;
}

/* What an API token makes ends with it; a person who signed in may make what lives longer. */
static int expiry_of(struct core *core, const struct person *by, int64_t *ret_expires,
                     struct err *err)
{
    *ret_expires = 0;
    return store_one_int(core->store, ret_expires, err,
                         "SELECT coalesce(expires_at,0) FROM token WHERE id=$1 AND kind='api'", "i",
                         by->token_id) < 0
               ? -1
               : 0;
}

static int note_new(struct core *core, const struct person *by, const struct token_row *row,
                    int64_t expires, struct err *err)
{
    AUTO_JSON *data = json_object();
    json_put_text(data, "token", row->name);
    json_put_bool(data, "read_only", row->read_only);
    json_put_int(data, "app_id", row->app_id);
    json_put_int(data, "days", row->days);
    json_put(data, "expires", expires ? json_integer(expires) : json_null());
    return access_note(core, by->actor, "token.created", by->name, data, err);
}

int access_token_new(struct core *core, const struct person *by, const char *name,
                     int64_t expires_days, bool read_only, int64_t app_id, json_t **ret_reply,
                     struct err *err)
{
    char secret[ACCESS_SECRET_SIZE];
    int64_t expires;
    struct token_row row = {.person_id = by->id,
                            .kind = "api",
                            .name = name,
                            .read_only = read_only,
                            .app_id = app_id,
                            .days = expires_days};
    if (check_new(core, by, name, expires_days, read_only, app_id, err) < 0 ||
        expiry_of(core, by, &row.expires_max, err) < 0)
        return -1;
    if (token_insert(core, &row, secret, &expires, err) < 0)
        return err->kind != E_EXISTS
                   ? -1
                   : FAIL(err, E_EXISTS, "'%s' has a token of the name '%s' already", by->name,
                          name);
    if (note_new(core, by, &row, expires, err) < 0)
        return -1;
    *ret_reply = token_reply("name", name, secret, expires);
    return 0;
}

int access_token_list(struct core *core, const struct person *by, json_t **ret_rows,
                      struct err *err)
{
    return store_rows(core->store, ret_rows, err,
                      "SELECT p.name AS \"user\", t.name, t.kind, t.read_only AS read_only_bool,"
                      " a.name AS app, t.created_at, t.expires_at, nullif(t.used_at,0) AS used_at"
                      " FROM token t JOIN person p ON p.id=t.person_id"
                      " LEFT JOIN app a ON a.id=t.app_id WHERE (t.person_id=$1 OR $1=0)"
                      " AND (t.expires_at IS NULL OR t.expires_at>$2)"
                      " ORDER BY p.name, t.name",
                      "ii", by->id, clock_wall_ms(core->clock));
}

/* "NAME", or for an admin "USER/NAME": whose token, and which. */
static int token_owner(struct core *core, const struct person *by, const char *name,
                       int64_t *ret_person_id, char ret_user[PERSON_NAME_MAX],
                       const char **ret_token, struct err *err)
{
    struct str rest = str_of(name), user = str_cut(&rest, '/');
    *ret_person_id = by->id;
    *ret_token = name;
    (void)snprintf(ret_user, PERSON_NAME_MAX, "%s", by->name);
    if (!rest.data)
        return 0;
    *ret_token = rest.data;
    if (!by->admin || user.length >= PERSON_NAME_MAX)
        return FAIL(err, E_NOT_FOUND, "no such token");
    memcpy(ret_user, user.data, user.length);
    ret_user[user.length] = '\0';
    return access_person_find(core, ret_user, ret_person_id, err);
}

int access_token_revoke(struct core *core, const struct person *by, const char *name,
                        struct err *err)
{
    int64_t person_id;
    char user[PERSON_NAME_MAX];
    const char *token;
    AUTO_JSON *data = json_object();
    if (token_owner(core, by, name, &person_id, user, &token, err) < 0 ||
        store_run(core->store, err, "DELETE FROM token WHERE person_id=$1 AND name=$2", "it",
                  person_id, token) < 0)
        return -1;
    if (store_changes(core->store) == 0)
        return FAIL(err, E_NOT_FOUND, "no such token");
    json_put_text(data, "token", token);
    return access_note(core, by->actor, "token.revoked", user, data, err);
}
