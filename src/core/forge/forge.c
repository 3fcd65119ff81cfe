/* Rows of forges, and what is sent to the courier with a call to one. */
#include "core/forge/forge.h"
#include <fcntl.h>
#include <sys/mman.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/url.h"
#include "core/forge/forge_priv.h"
#include "core/journal/journal.h"
#include "core/link/link.h"
#include "core/secret/secret.h"
#include "core/store/store.h"

#define FORGES_MAX 50
#define FORGE_MS 60000

const char forge_schema[] =
    "CREATE TABLE forge(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, kind TEXT "
    "NOT NULL, url "
    "TEXT NOT NULL, login TEXT, ca TEXT, known_hosts TEXT, token_sealed TEXT, key_sealed TEXT, "
    "seen_as TEXT, created_at BIGINT NOT NULL, actor TEXT NOT NULL);"
    "CREATE TABLE origin(app_id BIGINT PRIMARY KEY, forge_id BIGINT, project TEXT, url TEXT NOT "
    "NULL, mode TEXT NOT NULL, state TEXT NOT NULL, since BIGINT NOT NULL, error TEXT, hook_sealed "
    "TEXT NOT NULL, hook TEXT NOT NULL DEFAULT 'none', hook_text TEXT, created_at BIGINT NOT NULL, "
    "actor TEXT NOT NULL);"
    "CREATE TABLE commit_status(id INTEGER PRIMARY KEY, app_id BIGINT NOT NULL, commit_id TEXT NOT "
    "NULL, context TEXT NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL, link TEXT NOT NULL, at "
    "BIGINT NOT NULL, denied BIGINT NOT NULL DEFAULT 0, told TEXT, UNIQUE(app_id, commit_id, "
    "context));"
    "CREATE INDEX commit_status_untold ON commit_status(id) WHERE told IS NULL;";

/* ---- rows ---- */

#define COLUMNS                                                                                    \
    "SELECT f.id, f.name, f.kind, f.url, f.login, f.ca, f.known_hosts, f.seen_as, f.created_at "   \
    "AS at, f.actor AS by, (SELECT count(*) FROM origin o JOIN app a ON a.id=o.app_id WHERE "      \
    "o.forge_id=f.id) AS apps FROM forge f "

int forge_list(struct core *core, json_t **ret_rows, struct err *err)
{
    return store_rows(core->store, ret_rows, err, COLUMNS "ORDER BY f.name", "");
}

int forge_row(struct core *core, const char *name, json_t **ret_row, struct err *err)
{
    int found = store_row(core->store, ret_row, err, COLUMNS "WHERE f.name=$1", "t", name);
    if (found == STORE_NONE)
        return FAIL(err, E_NOT_FOUND, "there is no forge '%.60s': 'slipway forge ls' lists them",
                    name);
    return found;
}

int forge_row_of(struct core *core, int64_t id, json_t **ret_row, struct err *err)
{
    int found = store_row(core->store, ret_row, err, COLUMNS "WHERE f.id=$1", "i", id);
    return found == STORE_NONE ? FAIL(err, E_NOT_FOUND, "that forge is gone") : found;
}

static bool is_kind(const char *kind)
{
    static const char *const kinds[] = {"git", "gitlab", "github", "gitea"};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (text_is(kind, kinds[i]))
            return true;
    return false;
}

/* Of a header, a file of one line: nothing in it may end either. */
static bool is_plain(const char *text)
{
    return !text || !str_has_control(str_of(text));
}

int forge_check(const json_t *given, struct err *err)
{
    const char *name = json_text_or(given, "name", ""), *kind = json_text_or(given, "kind", "");
    const char *url = json_text_or(given, "url", ""), *login = json_text(given, "login");
    struct url_repository parsed;
    AUTO_FREE char *probe = mem_format("%s/x", url);
    if (!str_is_name(str_of(name)))
        return FAIL(
            err, E_NAME_INVALID,
            "the forge's name is not valid: use 1 to 40 of a-z, 0-9 and '-', beginning with "
            "a letter");
    if (!is_kind(kind))
        return FAIL(err, E_FIELD_INVALID, "'kind' is one of gitlab, github, gitea and git");
    if (url_repository(str_of(probe), &parsed, err) < 0)
        return -1;
    bool ssh = text_is(parsed.scheme, "ssh");
    if (ssh && !text_is(kind, "git"))
        return FAIL(err, E_URL_SCHEME, "the API of a forge is at an http or https URL");
    if (ssh && (!json_text(given, "key") || !json_text(given, "known_hosts")))
        return FAIL(err, E_FIELD_INVALID,
                    "over ssh a forge needs 'key', a private key without a passphrase, and "
                    "'known_hosts', lines as ssh-keyscan prints them");
    if (!is_plain(json_text(given, "token")) || !is_plain(login) || (login && strchr(login, ':')))
        return FAIL(err, E_FIELD_INVALID,
                    "'token' and 'login' are one line each, 'login' without ':'");
    return 0;
}

static char *place_of(const char *name, const char *what)
{
    return mem_format("forge %s %s", name, what);
}

/* NULL when nothing is given. */
static int seal(struct core *core, const json_t *given, const char *what, char **ret_sealed,
                struct err *err)
{
    const char *name = json_text_or(given, "name", ""), *value = json_text(given, what);
    AUTO_FREE char *place = place_of(name, what);
    *ret_sealed = NULL;
    return value && *value ? secret_seal_at(core, place, str_of(value), ret_sealed, err) : 0;
}

static int refuse_many(struct core *core, const char *name, struct err *err)
{
    int64_t others = 0;
    if (store_one_int(core->store, &others, err, "SELECT count(*) FROM forge WHERE name<>$1", "t",
                      name) < 0)
        return -1;
    return others < FORGES_MAX ? 0 : FAIL(err, E_TOO_MANY, "there are %d forges", FORGES_MAX);
}

int forge_put(struct core *core, const struct person *by, const json_t *given, const char *seen_as,
              struct err *err)
{
    const char *name = json_text_or(given, "name", "");
    AUTO_FREE char *token = NULL;
    AUTO_FREE char *key = NULL;
    AUTO_JSON *data = json_object();
    if (refuse_many(core, name, err) < 0 || seal(core, given, "token", &token, err) < 0 ||
        seal(core, given, "key", &key, err) < 0)
        return -1;
    json_put_text(data, "kind", json_text(given, "kind"));
    json_put_text(data, "url", json_text(given, "url"));
    json_put_text(data, "seen_as", seen_as);
    if (store_run(core->store, err,
                  "INSERT INTO forge(name, kind, url, login, ca, known_hosts, token_sealed, "
                  "key_sealed, seen_as, created_at, actor) "
                  "VALUES($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11) ON CONFLICT(name) DO UPDATE SET "
                  "kind=$2, url=$3, login=$4, ca=$5, known_hosts=$6, token_sealed=$7, "
                  "key_sealed=$8, seen_as=$9, created_at=$10, actor=$11",
                  "tttttttttit", name, json_text(given, "kind"), json_text(given, "url"),
                  json_text(given, "login"), json_text(given, "ca"),
                  json_text(given, "known_hosts"), token, key, seen_as, clock_wall_ms(core->clock),
                  by->actor) < 0)
        return -1;
    AUTO_FREE char *subject = mem_format("forge:%s", name);
    return journal_append(core, by->actor, "forge.set", subject, 0, data, err);
}

int forge_remove(struct core *core, const struct person *by, const char *name, struct err *err)
{
    AUTO_JSON *row = NULL;
    if (forge_row(core, name, &row, err) < 0)
        return -1;
    if (json_int(row, "apps", 0) > 0)
        return FAIL(err, E_STATE_CONFLICT,
                    "%lld apps follow repositories of '%s': 'slipway app unfollow' first",
                    (long long)json_int(row, "apps", 0), name);
    AUTO_FREE char *subject = mem_format("forge:%s", name);
    return store_run(core->store, err, "DELETE FROM forge WHERE id=$1", "i",
                     json_int(row, "id", 0)) < 0 ||
                   journal_append(core, by->actor, "forge.removed", subject, 0, NULL, err) < 0
               ? -1
               : 0;
}

/* ---- secrets on their way ---- */

static int open_sealed(struct core *core, const char *name, const char *what, const char *sealed,
                       struct secret *ret_secret, struct err *err)
{
    AUTO_FREE char *place = place_of(name, what);
    return sealed ? secret_open_at(core, place, sealed, ret_secret, err) : 0;
}

int forge_secrets(struct core *core, int64_t id, struct secret *ret_token, struct secret *ret_key,
                  struct err *err)
{
    AUTO_QUERY q = {0};
    if (!id)
        return 0;
    if (store_query(core->store, &q, err,
                    "SELECT name, token_sealed, key_sealed FROM forge WHERE id=$1", "i", id) < 0)
        return -1;
    int more = query_next(&q, err);
    if (more <= 0)
        return more;
    return open_sealed(core, query_text(&q, 0), "token", query_text(&q, 1), ret_token, err) < 0 ||
                   open_sealed(core, query_text(&q, 0), "key", query_text(&q, 2), ret_key, err) < 0
               ? -1
               : 0;
}

static void put_secret(json_t *all, const char *name, const struct secret *secret)
{
    if (secret && secret->length)
        json_put_str(all, name, secret_str(secret));
}

int forge_secret_fd(const struct secret *token, const struct secret *key, const struct secret *hook,
                    int *ret_fd, struct err *err)
{
    AUTO_JSON *all = json_object();
    put_secret(all, "token", token);
    put_secret(all, "key", key);
    put_secret(all, "hook", hook);
    *ret_fd = -1;
    if (json_object_size(all) == 0)
        return 0;
    AUTO_CLOSE int fd = memfd_create("credential", MFD_CLOEXEC);
    char *text = json_print(all);
    size_t length = strlen(text);
    ssize_t put = fd < 0 ? -1 : write(fd, text, length);
    explicit_bzero(text, length);
    free(text);
    if (put < 0 || (size_t)put != length)
        return FAIL_SYS(err, "cannot hand a credential over");
    *ret_fd = TAKE_FD(fd);
    return 0;
}

void forge_send(struct core *core, const char *verb, json_t *args, int fd, int64_t timeout_ms,
                forge_event_fn *on_event, forge_reply_fn *on_reply, void *context)
{
    link_request(core->courier, &(struct channel_request){.verb = verb,
                                                          .args = args,
                                                          .fds = {fd},
                                                          .fd_count = fd >= 0,
                                                          .timeout_ms = timeout_ms,
                                                          .on_event = on_event,
                                                          .on_reply = on_reply,
                                                          .context = context});
}

json_t *forge_remote(const json_t *forge, const char *url)
{
    json_t *remote = json_object();
    json_put_text(remote, "url", url);
    json_put_text(remote, "kind", json_text_or(forge, "kind", "git"));
    json_put_text(remote, "login", json_text(forge, "login"));
    json_put_text(remote, "ca", json_text(forge, "ca"));
    json_put_text(remote, "known_hosts", json_text(forge, "known_hosts"));
    json_put_bool(remote, "inside", forge != NULL); /* who made a forge of it said where it is */
    return remote;
}

/* What was just given, and is not kept yet. */
static int secrets_given(const json_t *row, struct secret *token, struct secret *key)
{
    const char *given_token = json_text(row, "token"), *given_key = json_text(row, "key");
    if (given_token)
        secret_set(token, given_token, strlen(given_token));
    if (given_key)
        secret_set(key, given_key, strlen(given_key));
    return 0;
}

void forge_ask(struct core *core, const json_t *row, const char *verb, json_t *args,
               const struct secret *hook, forge_reply_fn *on_reply, void *context)
{
    struct err err = ERR_INIT;
    AUTO_SECRET token = {0};
    AUTO_SECRET key = {0};
    AUTO_CLOSE int fd = -1;
    int64_t id = json_int(row, "id", 0);
    json_put(args, "forge", forge_remote(row, json_text(row, "url")));
    int result =
        id ? forge_secrets(core, id, &token, &key, &err) : secrets_given(row, &token, &key);
    if (result == 0)
        result = forge_secret_fd(&token, &key, hook, &fd, &err);
    if (result == 0) {
        forge_send(core, verb, args, fd, FORGE_MS, NULL, on_reply, context);
        return;
    }
    json_decref(args);
    on_reply(context, NULL, &err);
}
