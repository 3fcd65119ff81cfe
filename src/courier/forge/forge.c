/* The verbs: which forge, who we are there, then its ways (gitlab.c, github.c). */
#include "courier/forge/forge.h"
#include "base/json.h"
#include "base/str.h"
#include "courier/forge/forge_priv.h"

#define ASK_MS 30000
#define BODY_MAX ((size_t)8 << 20)
#define GITHUB_API "https://api.github.com" /* with no path before its own */

/* The API of github.com is a host of its own. */
static char *base_of(const json_t *remote)
{
    const char *url = json_text_or(remote, "url", "");
    size_t length = strlen(url);
    while (length > 0 && url[length - 1] == '/')
        length--;
    if (text_is(json_text(remote, "kind"), "github") && length == strlen("https://github.com") &&
        text_starts(url, "https://github.com"))
        return mem_strdup(GITHUB_API);
    return mem_strndup(url, length);
}

/* url_repository wants a path; a forge may be at the root of its host. */
static int open_at(struct forge *f, const struct git_ask *ask, const char *base, struct err *err)
{
    AUTO_JSON *remote = json_copy(json_dict(ask->args, "forge"));
    AUTO_FREE char *whole = mem_format("%s/api", base);
    json_put_text(remote, "url", whole);
    if (outside_open(remote, ask->fd, &f->at, err) < 0)
        return -1;
    f->at.login = f->at.known_hosts = NULL; /* of `remote` */
    f->at.ca = json_text(json_dict(ask->args, "forge"), "ca");
    return 0;
}

static int find_ways(struct forge *f, struct err *err)
{
    switch (f->at.kind) {
    case OUTSIDE_GIT:
        break;
    case OUTSIDE_GITLAB:
        f->ways = &forge_gitlab;
        return 0;
    case OUTSIDE_GITHUB:
        f->ways = &forge_github;
        return 0;
    case OUTSIDE_GITEA:
        f->ways = &forge_gitea;
        return 0;
    }
    return FAIL(err, E_FIELD_INVALID, "a forge of kind 'git' has no API: it has only repositories");
}

static void set_up(struct forge *f, const char *base)
{
    AUTO_FREE char *pin = outside_pin(&f->at);
    char *token = mem_format("%s%s", f->ways->token_header,
                             f->at.token.length ? secret_str(&f->at.token).data : "");
    const char *headers[] = {"User-Agent: slipway", token, f->ways->accept, NULL};
    f->client = http_client_new(&(struct http_client_options){
        .base_url = base,
        .ca_pem = f->at.ca,
        .pin = pin,
        .proxy = f->at.proxy,
        .headers = headers,
        .body_max = BODY_MAX,
        .timeout_ms = ASK_MS,
    });
    explicit_bzero(token, strlen(token));
    free(token);
}

static int forge_open(struct forge *f, const struct git_ask *ask, struct err *err)
{
    AUTO_FREE char *base = base_of(json_dict(ask->args, "forge"));
    if (open_at(f, ask, base, err) < 0 || find_ways(f, err) < 0)
        return -1;
    f->api = text_is(base, GITHUB_API) ? "" : f->ways->api;
    set_up(f, base);
    return 0;
}

static void forge_close(struct forge *f)
{
    http_client_free(f->client);
    outside_done(&f->at);
}

#define FORGE_VERB(name)                                                                           \
    int forge_##name(const struct git_ask *ask, json_t **ret_reply, struct err *err)               \
    {                                                                                              \
        struct forge f = {.args = ask->args};                                                      \
        int result = forge_open(&f, ask, err);                                                     \
        if (result == 0)                                                                           \
            result = f.ways->name(&f, ret_reply, err);                                             \
        forge_close(&f);                                                                           \
        return result;                                                                             \
    }
FORGE_VERB(user)
FORGE_VERB(projects)
FORGE_VERB(branches)
FORGE_VERB(hook)
FORGE_VERB(status)
FORGE_VERB(merge)
