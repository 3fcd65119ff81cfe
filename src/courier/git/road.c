/* See road.h.
 *
 * Over HTTP, git goes to the address that was checked, follows no redirect (so that no credential
 * goes to another host, and no list of alternates is read) and gets its credential by a variable of
 * its environment, which only we can read. Over ssh it starts ourselves under another name, and we
 * start ssh with what is allowed (ssh.c). */
#include "courier/git/road.h"
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "courier/git/repo.h"

#define PROBE_MS 15000
#define PROBE_BODY ((size_t)64 * 1024)

/* --- its folder ----------------------------------------------------------------------------- */

static int put_file(const struct road *r, const char *name, const char *text, struct err *err)
{
    AUTO_FREE char *path = mem_format("%s/%s", r->folder, name);
    return file_write(path, str_of(text), 0600, err);
}

/* What ssh is to know; "alias" is the name under which the host's key is known. */
static int put_ssh(const struct road *r, struct err *err)
{
    const struct url_repository *url = &r->to.url;
    AUTO_FREE char *link = mem_format("%s/" ROAD_SSH, r->folder);
    AUTO_FREE char *alias = url->port && url->port != 22
                                ? mem_format("[%s]:%d", url->host, (int)url->port)
                                : mem_strdup(url->host);
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (r->to.key.length == 0 || !r->to.known_hosts)
        return FAIL(err, E_FORGE_DENIED,
                    "ssh needs a key and the host's known keys: give both to its forge");
    if (length < 0)
        return FAIL_SYS(err, "cannot find our own program");
    self[length] = '\0';
    if (symlink(self, link) < 0)
        return FAIL_SYS(err, "cannot make '%s'", link);
    return put_file(r, "key", secret_str(&r->to.key).data, err) < 0 ||
                   put_file(r, "known_hosts", r->to.known_hosts, err) < 0 ||
                   put_file(r, "address", r->to.address, err) < 0 ||
                   put_file(r, "alias", alias, err) < 0
               ? -1
               : 0;
}

static bool is_ssh(const struct road *r)
{
    return text_is(r->to.url.scheme, "ssh");
}

int road_open(const struct git_ask *ask, const json_t *remote, struct road *ret_road,
              struct err *err)
{
    AUTO_ROAD r = {0};
    if (outside_open(remote, ask->fd, &r.to, err) < 0)
        return -1;
    r.folder = repo_fresh_path(ask->store->scratch, "road");
    if (mkdir(r.folder, 0700) < 0)
        return FAIL_SYS(err, "cannot make '%s'", r.folder);
    if (r.to.ca && put_file(&r, "ca", r.to.ca, err) < 0)
        return -1;
    if (is_ssh(&r) && put_ssh(&r, err) < 0)
        return -1;
    *ret_road = r;
    r = (struct road){0};
    return 0;
}

void road_done(struct road *r)
{
    struct err err = ERR_INIT;
    if (r->folder && file_remove_tree(r->folder, &err) < 0)
        log_warn("a folder is left for the sweep", F_ERR(&err));
    free(r->folder);
    outside_done(&r->to);
    *r = (struct road){0};
}

/* --- a call that goes there ----------------------------------------------------------------- */

static void take_http(const struct road *r, struct git_call *call)
{
    AUTO_FREE char *pin = outside_pin(&r->to);
    char *basic = outside_basic(&r->to);
    git_config(call, "http.followRedirects=false");
    git_config(call, arena_format(&call->arena, "http.proxy=%s", r->to.proxy));
    git_config(call, "http.lowSpeedLimit=1000");
    git_config(call, "http.lowSpeedTime=60");
    git_config(call, "http.userAgent=slipway");
    if (pin)
        git_config(call, arena_format(&call->arena, "http.curloptResolve=%s", pin));
    if (r->to.ca)
        git_config(call, arena_format(&call->arena, "http.sslCAInfo=%s/ca", r->folder));
    if (basic)
        git_secret_config(call, "http.extraHeader", basic);
}

void road_take(const struct road *r, struct git_call *call)
{
    git_outside(call, r->to.url.scheme);
    git_writes(call, r->folder);
    if (!is_ssh(r)) {
        take_http(r, call);
        return;
    }
    git_env_format(call, "GIT_SSH=%s/" ROAD_SSH, r->folder);
    git_env(call, "GIT_SSH_VARIANT=ssh");
    call->program = "/proc/self/exe";
}

/* --- why not -------------------------------------------------------------------------------- */

static int explain_status(const struct road *r, const struct http_answer *answer, const char *said,
                          struct err *err)
{
    struct str where = http_answer_header(answer, "Location");
    const char *host = r->to.url.host;
    if (answer->status == 401 || answer->status == 403)
        return FAIL(err, E_FORGE_DENIED, "'%s' does not let us in (%d): look at the credential",
                    host, answer->status);
    if (answer->status == 404)
        return FAIL(err, E_NOT_FOUND, "'%s' has no repository '%s', or does not show it to us",
                    host, r->to.url.path);
    if (answer->status >= 300 && answer->status <= 399)
        return FAIL(err, E_UNAVAILABLE,
                    "'%s' sends us elsewhere, which is not followed: use that URL: %.*s", host,
                    where.length < 100 ? (int)where.length : 100, where.length ? where.data : "");
    if (answer->status == 429)
        return FAIL(err, E_FORGE_BUSY, "'%s' was asked too often", host);
    if (answer->status >= 500)
        return FAIL(err, E_UNAVAILABLE, "'%s' answers %d", host, answer->status);
    return FAIL(err, E_UNAVAILABLE, "git at '%s': %s", host, said);
}

int road_explain(const struct road *r, const char *said, struct err *err)
{
    struct http_answer answer = {0};
    if (is_ssh(r))
        return FAIL(err, E_UNAVAILABLE, "git at '%s': %s", r->to.url.host, said);
    AUTO_FREE char *pin = outside_pin(&r->to);
    char *basic = outside_basic(&r->to);
    const char *headers[] = {"User-Agent: git/slipway", basic, NULL};
    struct http_client *c = http_client_new(&(struct http_client_options){
        .base_url = r->to.text,
        .ca_pem = r->to.ca,
        .pin = pin,
        .proxy = r->to.proxy,
        .headers = headers,
        .body_max = PROBE_BODY,
        .timeout_ms = PROBE_MS,
    });
    int result =
        http_client_call(c, "GET", "/info/refs?service=git-upload-pack", NULL, &answer, err);
    http_client_free(c);
    if (basic)
        explicit_bzero(basic, strlen(basic));
    free(basic);
    if (result < 0 && err->kind != E_TOO_LARGE)
        return -1;
    result = explain_status(r, &answer, said, err);
    http_answer_done(&answer);
    return result;
}
