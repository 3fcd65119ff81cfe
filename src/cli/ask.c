/* Asking the server: where it is, who we are, and its errors made ours. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/url.h"
#include "cli/cli.h"
#include "wire/settings.h"

const char *cli_word(const struct cli *c, size_t index)
{
    return index < c->word_count ? c->words[index] : NULL;
}

char *cli_escape(const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    struct buf out = BUF_INIT(0);
    for (const char *at = text; *at; at++) {
        if (strchr(plain, *at))
            (void)buf_add_char(&out, *at); /* unlimited: cannot fail */
        else
            (void)buf_add_format(&out, "%%%02X", (unsigned char)*at);
    }
    return buf_take(&out);
}

/* ---- the stored login ---- */

char *cli_login_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    if (config && *config)
        return mem_format("%s/slipway/login.json", config);
    return mem_format("%s/.config/slipway/login.json", home ? home : "");
}

json_t *cli_login_read(void)
{
    struct err ignored = ERR_INIT;
    AUTO_BUF content = BUF_INIT(0);
    AUTO_FREE char *path = cli_login_path();
    json_t *login = NULL;
    if (file_read(path, 65536, &content, &ignored) < 0 ||
        json_parse(buf_str(&content), &login, &ignored) < 0)
        return NULL; /* none, or unreadable: sign in again */
    return login;
}

int cli_login_write(const json_t *login, struct err *err)
{
    AUTO_FREE char *path = cli_login_path();
    AUTO_FREE char *folder = mem_strdup(path);
    *strrchr(folder, '/') = 0;
    if (file_make_dirs(folder, 0700, err) < 0)
        return -1;
    AUTO_FREE char *text = json_print(login);
    return file_write(path, str_of(text), 0600, err);
}

/* ---- where the server is ---- */

const char *cli_settings_path(const struct cli *c)
{
    const char *env = getenv("SLIPWAY_SETTINGS");
    return c->settings ? c->settings : env && *env ? env : "/etc/slipway/slipway.conf";
}

static bool connect_as_root(struct cli *c)
{
    struct err ignored = ERR_INIT;
    struct settings *settings = NULL;
    if (geteuid() != 0 || c->server || settings_load(cli_settings_path(c), &settings, &ignored) < 0)
        return false;
    AUTO_FREE char *socket = settings_run(settings, "api.sock");
    c->client = http_client_new(
        &(struct http_client_options){.unix_socket = socket, .base_url = "http://localhost"});
    settings_free(settings);
    return true;
}

int cli_connect_to(struct cli *c, const char *server, const char *token, const json_t *login,
                   struct err *err)
{
    const char *env = getenv("SLIPWAY_CA");
    const char *ca = c->ca ? c->ca : env && *env ? env : json_text(login, "ca");
    if (url_check(str_of(server), err) < 0)
        return err_wrap(err, "cannot use this server: it is given as http://HOST[:PORT] or https");
    c->client = http_client_new(
        &(struct http_client_options){.base_url = server, .bearer = token, .ca_file = ca});
    return 0;
}

int cli_connect(struct cli *c, struct err *err)
{
    const char *token = getenv("SLIPWAY_TOKEN");
    const char *server = c->server ? c->server : getenv("SLIPWAY_SERVER");
    if (!(token && *token) && connect_as_root(c))
        return 0;
    AUTO_JSON *login = cli_login_read();
    if (!(token && *token))
        token = json_text(login, "token");
    if (!server || !*server)
        server = json_text_or(login, "server", "http://127.0.0.1:7000");
    if (!token)
        return FAIL(err, E_UNAUTHENTICATED, "not signed in: run 'slipway login --server URL'");
    c->address = mem_strdup(server);
    return cli_connect_to(c, server, token, login, err);
}

/* ---- calls ---- */

static int take_answer(struct cli *c, const struct http_answer *answer, json_t **ret_reply,
                       struct err *err)
{
    AUTO_JSON *reply = NULL;
    struct err bad = ERR_INIT;
    if (json_parse(buf_str(&answer->body), &reply, &bad) < 0)
        return FAIL(err, E_PROTOCOL, "the server answered %d without a readable reply",
                    answer->status);
    if (answer->status / 100 == 2) {
        *ret_reply = TAKE(reply);
        return 0;
    }
    struct err theirs = ERR_INIT;
    json_to_err(reply, &theirs);
    json_decref(c->detail);
    c->detail = json_incref(json_object_get(reply, "detail"));
    return FAIL(err, theirs.kind, "%s", theirs.text);
}

/* result: of the call that gave this answer. */
static int take_reply(struct cli *c, int result, struct http_answer *answer, json_t **ret_reply,
                      struct err *err)
{
    if (result == 0)
        result = take_answer(c, answer, ret_reply, err);
    if (result == 0) {
        json_decref(c->last_reply);
        c->last_reply = json_incref(*ret_reply);
    }
    http_answer_done(answer);
    return result;
}

int cli_call(struct cli *c, const char *method, const char *path, const json_t *body,
             json_t **ret_reply, struct err *err)
{
    struct http_answer answer = {0};
    AUTO_FREE char *full = mem_format("/api/v1%s", path);
    AUTO_FREE char *text = body ? json_print(body) : NULL;
    int result = http_client_call(c->client, method, full, text, &answer, err);
    return take_reply(c, result, &answer, ret_reply, err);
}

int cli_post_bytes(struct cli *c, const char *path, const struct http_sent *body,
                   json_t **ret_reply, struct err *err)
{
    struct http_answer answer = {0};
    AUTO_FREE char *full = mem_format("/api/v1%s", path);
    int result = http_client_send(c->client, "POST", full, body, &answer, err);
    return take_reply(c, result, &answer, ret_reply, err);
}

int cli_get(struct cli *c, const char *path, json_t **ret_reply, struct err *err)
{
    return cli_call(c, "GET", path, NULL, ret_reply, err);
}

#define PAGE_MAX 1000
#define LIST_DEFAULT 1000

static int get_page(struct cli *c, const char *path, int64_t limit, const char *after,
                    json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *escaped = cli_escape(after);
    AUTO_FREE char *full = mem_format("%s%climit=%lld%s%s", path, strchr(path, '?') ? '&' : '?',
                                      (long long)limit, *after ? "&after=" : "", escaped);
    return cli_get(c, full, ret_reply, err);
}

int cli_list(struct cli *c, const char *path, json_t **ret_reply, struct err *err)
{
    int64_t wanted = c->lines ? c->lines : LIST_DEFAULT;
    AUTO_JSON *whole = NULL;
    AUTO_FREE char *after = mem_strdup(c->after ? c->after : "");
    while (after && wanted > 0) {
        AUTO_JSON *page = NULL;
        if (get_page(c, path, wanted < PAGE_MAX ? wanted : PAGE_MAX, after, &page, err) < 0)
            return -1;
        size_t count = json_array_size(json_list(page, "items"));
        const char *next = count ? json_text(page, "next") : NULL;
        wanted -= (int64_t)count;
        free(after);
        after = next ? mem_strdup(next) : NULL;
        if (!whole) {
            whole = json_incref(page);
            continue;
        }
        size_t i;
        json_t *row;
        json_array_foreach(json_list(page, "items"), i, row)
            json_push(json_object_get(whole, "items"), json_incref(row));
        json_put_text(whole, "next", after);
    }
    *ret_reply = TAKE(whole);
    return 0;
}

struct stream {
    bool (*on_data)(void *context, const char *event, const json_t *data);
    void *context;
    char event[40];
};

static bool on_line(void *context, struct str line)
{
    struct stream *s = context;
    struct err ignored = ERR_INIT;
    if (str_starts(line, "event: ")) {
        (void)snprintf(s->event, sizeof(s->event), "%.*s", (int)(line.length - 7), line.data + 7);
        return true;
    }
    if (!str_starts(line, "data: "))
        return true;
    AUTO_JSON *data = NULL;
    if (json_parse((struct str){line.data + 6, line.length - 6}, &data, &ignored) < 0)
        return true; /* one unreadable event must not end the stream */
    return s->on_data(s->context, s->event, data);
}

int cli_stream(struct cli *c, const char *path,
               bool (*on_data)(void *context, const char *event, const json_t *data), void *context,
               struct err *err)
{
    struct stream s = {on_data, context, ""};
    struct http_answer answer = {0};
    AUTO_JSON *reply = NULL;
    AUTO_FREE char *full = mem_format("/api/v1%s", path);
    int result = http_client_lines(c->client, "GET", full, on_line, &s, &answer, err);
    if (result == 0 && answer.status / 100 != 2)
        result = take_answer(c, &answer, &reply, err);
    http_answer_done(&answer);
    return result;
}

/* ---- which app, which env ---- */

/* The line "service: NAME" of ./slipway.yaml; the whole file is read by the server only. */
static char *app_of_folder(void)
{
    struct err ignored = ERR_INIT;
    AUTO_BUF content = BUF_INIT(0);
    if (file_read("slipway.yaml", 262144, &content, &ignored) < 0)
        return NULL;
    struct str rest = buf_str(&content);
    while (rest.data) {
        struct str line = str_cut(&rest, '\n');
        if (!str_starts(line, "service:"))
            continue;
        struct str name = str_trim((struct str){line.data + 8, line.length - 8});
        return str_is_name(name) ? str_dup(name) : NULL;
    }
    return NULL;
}

static char *only_app(struct cli *c)
{
    struct err ignored = ERR_INIT;
    AUTO_JSON *reply = NULL;
    if (cli_get(c, "/apps", &reply, &ignored) < 0)
        return NULL;
    const json_t *items = json_list(reply, "items");
    if (json_array_size(items) != 1)
        return NULL;
    return mem_strdup(json_text_or(json_array_get(items, 0), "name", ""));
}

static int find_app(struct cli *c, struct err *err)
{
    const char *env = getenv("SLIPWAY_APP");
    if (!c->app && env && *env)
        c->app = env;
    if (!c->app)
        c->app = c->app_owned = app_of_folder();
    if (!c->app)
        c->app = c->app_owned = only_app(c);
    if (!c->app)
        return FAIL(
            err, E_USAGE,
            "which app? say -a APP, or SLIPWAY_APP=APP, or 'service: APP' in ./slipway.yaml");
    return 0;
}

int cli_app_path(struct cli *c, const char *tail, char **ret_path, struct err *err)
{
    if (find_app(c, err) < 0)
        return -1;
    AUTO_FREE char *app = cli_escape(c->app);
    *ret_path = mem_format("/apps/%s%s", app, tail);
    return 0;
}

int cli_app_env_path(struct cli *c, const char *tail, char **ret_path, struct err *err)
{
    if (!c->env)
        return FAIL(err, E_USAGE, "which environment? say -e ENV");
    AUTO_FREE char *env = cli_escape(c->env);
    AUTO_FREE char *below = mem_format("/envs/%s%s", env, tail);
    return cli_app_path(c, below, ret_path, err);
}
