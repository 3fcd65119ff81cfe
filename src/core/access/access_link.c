/* One-time links and the people they make: set-up of the installation, invitation, new password.
 *
 * A link is a secret of which only the hash is kept; it works once, for seven days, for one person.
 * A person without a password is one whose invitation was not used yet. Used links stay until they
 * would have expired, so that using one twice can be told from never having had it only by the one
 * who holds it. */
#include "base/json.h"
#include "base/mem.h"
#include "core/access/access_priv.h"

#define LINK_DAYS 7
#define LINK_GONE "the link was used, has expired or never was: ask an administrator for a new one"

/* A new link; ends the older ones of the same kind and person. */
static int link_new_for(struct core *core, const char *kind, int64_t person_id,
                        char ret_secret[ACCESS_SECRET_SIZE], struct err *err)
{
    char hash[SHA_HEX];
    int64_t now = clock_wall_ms(core->clock);
    access_secret_new(core, ACCESS_LINK_PREFIX, ret_secret);
    sha_hex_of(str_of(ret_secret), hash);
    if (store_run(core->store, err,
                  "DELETE FROM link WHERE expires_at<$1 OR (person_id=$2 AND used_at IS NULL)",
                  "ii", now, person_id) < 0)
        return -1;
    return store_run(core->store, err,
                     "INSERT INTO link(hash, kind, person_id, created_at, expires_at)"
                     " VALUES($1,$2,$3,$4,$5)",
                     "ttiii", hash, kind, person_id, now, now + LINK_DAYS * DAY_MS);
}

static int people_count(struct core *core, int64_t *ret_count, struct err *err)
{
    return store_one_int(core->store, ret_count, err, "SELECT count(*) FROM person", "") < 0 ? -1
                                                                                             : 0;
}

/* ---- using a link ---- */

struct access_link {
    char hash[SHA_HEX];
    bool setup;
    bool reset;
    int64_t person_id;
};

static int link_state(struct core *core, struct query *q, struct access_link *ret_link,
                      struct err *err)
{
    int64_t people = 0;
    int more = query_next(q, err);
    if (more < 0 || people_count(core, &people, err) < 0)
        return -1;
    ret_link->setup = more && text_is(query_text(q, 0), "setup");
    ret_link->reset = more && text_is(query_text(q, 0), "reset");
    if (ret_link->setup && people > 0)
        return FAIL(err, E_SETUP_DONE, "this installation is set up already: sign in");
    if (!more || !query_is_null(q, 3) || query_int(q, 2) <= clock_wall_ms(core->clock))
        return FAIL(err, E_LINK_USED, LINK_GONE);
    ret_link->person_id = query_int(q, 1);
    return 0;
}

static int link_load(struct core *core, const char *secret, struct access_link *ret_link,
                     struct err *err)
{
    AUTO_QUERY q = {0};
    struct str text = str_of(secret ? secret : "");
    bool formed = access_secret_formed(text, ACCESS_LINK_PREFIX);
    sha_hex_of(formed ? text : STR(""), ret_link->hash);
    if (store_query(core->store, &q, err,
                    "SELECT kind, person_id, expires_at, used_at FROM link WHERE hash=$1", "t",
                    ret_link->hash) < 0)
        return -1;
    return link_state(core, &q, ret_link, err);
}

static bool is_good_setup(struct core *core, const char *secret)
{
    struct access_link link;
    struct err ignored = ERR_INIT; /* whatever is wrong with it: it is not used again */
    return secret && link_load(core, secret, &link, &ignored) == 0 && link.setup;
}

int access_setup_link(struct core *core, const char *known, char **ret_secret, struct err *err)
{
    char secret[ACCESS_SECRET_SIZE];
    int64_t people = 0;
    if (people_count(core, &people, err) < 0)
        return -1;
    if (people > 0) {
        *ret_secret = NULL;
        return 0;
    }
    if (is_good_setup(core, known)) {
        *ret_secret = mem_strdup(known);
        return 0;
    }
    if (link_new_for(core, "setup", 0, secret, err) < 0)
        return -1;
    *ret_secret = mem_strdup(secret);
    explicit_bzero(secret, sizeof(secret));
    return 0;
}

int access_link_check(struct core *core, const char *secret, struct err *err)
{
    struct access_link link;
    return link_load(core, secret, &link, err);
}

static int check_person_name(const char *name, struct err *err)
{
    static const char *const taken[] = {"root", "core", "anonymous"}; /* actors of the journal */
    if (!name || !str_is_name(str_of(name)))
        return FAIL(err, E_NAME_INVALID,
                    "a person's name has 1 to 40 of a-z, 0-9 and '-', and begins with a letter");
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
        if (text_is(name, taken[i]))
            return FAIL(err, E_NAME_INVALID, "the name '%s' is reserved", name);
    return 0;
}

static int person_insert(struct core *core, const char *name, int64_t *ret_id, struct err *err)
{
    if (check_person_name(name, err) < 0)
        return -1;
    int result = store_one_int(core->store, ret_id, err,
                               "INSERT INTO person(name, created_at) VALUES($1,$2) RETURNING id",
                               "ti", name, clock_wall_ms(core->clock));
    if (result < 0 && err->kind == E_EXISTS)
        return FAIL(err, E_EXISTS, "a person of the name '%s' exists already", name);
    return result < 0 ? -1 : 0;
}

/* The first person: administers everything. */
static int use_setup(struct core *core, const char *name, int64_t *ret_id, struct err *err)
{
    bool is_new;
    if (person_insert(core, name, ret_id, err) < 0)
        return -1;
    return access_grant_put(core, *ret_id, "admin", 0, 0, "setup", &is_new, err);
}

static int use_other(struct core *core, const struct access_link *link, const char *name,
                     char ret_name[PERSON_NAME_MAX], struct err *err)
{
    AUTO_QUERY q = {0};
    if (store_query(core->store, &q, err, "SELECT name FROM person WHERE id=$1", "i",
                    link->person_id) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more <= 0)
        return more < 0 ? -1 : FAIL(err, E_LINK_USED, LINK_GONE);
    (void)snprintf(ret_name, PERSON_NAME_MAX, "%s", query_text(&q, 0));
    if (name && !text_is(name, ret_name))
        return FAIL(err, E_DENIED, "this link is for another person");
    query_done(&q);
    if (!link->reset)
        return 0;
    return access_sessions_end(core, link->person_id, err);
}

static int link_spend(struct core *core, const struct access_link *link, int64_t person_id,
                      const char *password_hash, struct err *err)
{
    if (store_run(core->store, err, "UPDATE link SET used_at=$2 WHERE hash=$1 AND used_at IS NULL",
                  "ti", link->hash, clock_wall_ms(core->clock)) < 0)
        return -1;
    if (store_changes(core->store) != 1)
        return FAIL(err, E_LINK_USED, LINK_GONE);
    return store_run(core->store, err, "UPDATE person SET password=$2 WHERE id=$1", "it", person_id,
                     password_hash);
}

int access_link_use(struct core *core, const char *secret, const char *name,
                    const char *password_hash, json_t **ret_reply, struct err *err)
{
    struct access_link link;
    char known[PERSON_NAME_MAX];
    if (link_load(core, secret, &link, err) < 0)
        return -1;
    int64_t person_id = link.person_id;
    int result = link.setup ? use_setup(core, name, &person_id, err)
                            : use_other(core, &link, name, known, err);
    if (result < 0 || link_spend(core, &link, person_id, password_hash, err) < 0)
        return -1;
    if (!link.setup)
        name = known;
    AUTO_FREE char *actor = mem_format("user:%s", name);
    const char *kind = link.setup ? "setup.done" : link.reset ? "password.reset" : "invite.used";
    if (access_note(core, actor, kind, name, NULL, err) < 0)
        return -1;
    return access_session_make(core, person_id, name, ret_reply, err);
}

/* ---- people ---- */

static json_t *link_reply(const char *name, char secret[ACCESS_SECRET_SIZE])
{
    json_t *reply = json_object();
    json_put_text(reply, "user", name);
    json_put_text(reply, "link", secret);
    explicit_bzero(secret, ACCESS_SECRET_SIZE);
    return reply;
}

int access_person_add(struct core *core, const struct person *by, const char *name,
                      const char *role, int64_t app_id, int64_t env_id, json_t **ret_reply,
                      struct err *err)
{
    char secret[ACCESS_SECRET_SIZE];
    int64_t id;
    bool is_new;
    AUTO_JSON *data = NULL;
    if (!role && (app_id || env_id))
        return FAIL(err, E_FIELD_INVALID, "which role, there? 'role' is missing");
    if ((role && access_role_check(core, role, err) < 0) ||
        person_insert(core, name, &id, err) < 0 ||
        (role && access_grant_put(core, id, role, app_id, env_id, by->name, &is_new, err) < 0) ||
        link_new_for(core, "invite", id, secret, err) < 0 ||
        access_scope_row(core, app_id, env_id, &data, err) < 0)
        return -1;
    json_put_text(data, "role", role);
    if (access_note(core, by->actor, "person.added", name, data, err) < 0)
        return -1;
    *ret_reply = link_reply(name, secret);
    return 0;
}

int access_person_reset(struct core *core, const struct person *by, const char *name,
                        json_t **ret_reply, struct err *err)
{
    char secret[ACCESS_SECRET_SIZE];
    int64_t id;
    if (access_person_find(core, name, &id, err) < 0 ||
        link_new_for(core, "reset", id, secret, err) < 0 ||
        access_note(core, by->actor, "person.reset", name, NULL, err) < 0)
        return -1;
    AUTO_JSON *tokens = NULL;
    if (store_rows(core->store, &tokens, err,
                   "SELECT name FROM token WHERE person_id=$1 AND kind='api' ORDER BY name", "i",
                   id) < 0)
        return -1;
    *ret_reply = link_reply(name, secret);
    json_put(*ret_reply, "tokens", TAKE(tokens)); /* programs use them: they stay */
    return 0;
}

int access_person_remove(struct core *core, const struct person *by, const char *name,
                         struct err *err)
{
    static const char *const statements[] = {
        "DELETE FROM person_grant WHERE person_id=$1", "DELETE FROM token WHERE person_id=$1",
        "DELETE FROM link WHERE person_id=$1", "DELETE FROM person WHERE id=$1"};
    int64_t id;
    if (access_person_find(core, name, &id, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
        if (store_run(core->store, err, statements[i], "i", id) < 0)
            return -1;
    if (access_keep_admin(core, by, err) < 0)
        return -1;
    return access_note(core, by->actor, "person.removed", name, NULL, err);
}
