/* GitHub (REST, version 2022-11-28: docs.github.com/rest; github.com itself, or an Enterprise
 * Server at a url of its own) and Gitea (API v1: docs.gitea.com/api), which took GitHub's ways for
 * its own and differs in words. A project is OWNER/NAME. */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "courier/forge/forge_priv.h"

static bool is_gitea(const struct forge *f)
{
    return f->ways == &forge_gitea;
}

static char *project_of(const struct forge *f)
{
    return forge_escape(json_text_or(f->args, "project", ""), "/");
}

static int page_size(const struct forge *f)
{
    return is_gitea(f) ? 50 : FORGE_PAGE;
}

static const char *page_word(const struct forge *f)
{
    return is_gitea(f) ? "limit" : "per_page";
}

static int user(struct forge *f, json_t **ret_reply, struct err *err)
{
    return forge_user_as(f, "login", ret_reply, err);
}

static json_t *project_row(const json_t *p)
{
    return forge_project_row(p, "full_name", "clone_url", "ssh_url");
}

/* Neither can search in one's own projects: those of the page that match are told. */
static void keep_matching(json_t *reply, const char *match)
{
    json_t *rows = json_list(reply, "projects");
    for (size_t i = json_array_size(rows); match && *match && i-- > 0;)
        if (!strstr(json_text_or(json_array_get(rows, i), "project", ""), match))
            (void)json_array_remove(rows, i); /* it is there */
}

static int projects(struct forge *f, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *path =
        mem_format("/user/repos?%s=%d&page=%lld%s", page_word(f), page_size(f),
                   (long long)json_int(f->args, "page", 1), is_gitea(f) ? "" : "&sort=pushed");
    int result = forge_page(f, path, "projects", project_row, ret_reply, err);
    if (result == 0)
        keep_matching(*ret_reply, json_text(f->args, "match"));
    return result;
}

static json_t *branch_row(const json_t *b)
{
    json_t *row = json_object();
    const json_t *commit = json_dict(b, "commit");
    const char *id = json_text(commit, "sha");
    json_put_text(row, "name", json_text(b, "name"));
    json_put_text(row, "tip", id ? id : json_text(commit, "id"));
    json_put_bool(row, "protected",
                  json_bool(b, "protected", false) && !json_bool(b, "user_can_push", false));
    return row;
}

static int branches(struct forge *f, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *project = project_of(f);
    AUTO_FREE char *path = mem_format("/repos/%s/branches?%s=%d&page=%lld", project, page_word(f),
                                      page_size(f), (long long)json_int(f->args, "page", 1));
    return forge_page(f, path, "branches", branch_row, ret_reply, err);
}

/* ---- the webhook ---- */

static json_t *hook_body(const struct forge *f)
{
    static const char *const events[] = {"push", "create", "delete", "pull_request"};
    json_t *body = json_object(), *config = json_object(), *list = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        json_push(list, json_string(events[i]));
    json_put_text(config, "url", json_text(f->args, "url"));
    json_put_text(config, "content_type", "json");
    json_put_str(config, "secret", secret_str(&f->at.hook));
    if (is_gitea(f))
        json_put_text(body, "type", "gitea");
    else
        json_put_text(body, "name", "web");
    json_put_bool(body, "active", true);
    json_put(body, "events", list);
    json_put(body, "config", config);
    return body;
}

static int hook(struct forge *f, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *project = project_of(f);
    AUTO_FREE char *path = mem_format("/repos/%s/hooks", project);
    return forge_put_hook(f, path, "config", "PATCH", hook_body(f), ret_reply, err);
}

/* ---- what became of a commit ---- */

static int status(struct forge *f, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *project = project_of(f);
    AUTO_FREE char *path =
        mem_format("/repos/%s/statuses/%s", project, json_text(f->args, "commit"));
    json_t *body = json_object();
    json_put_text(body, "state", json_text(f->args, "state"));
    json_put_text(body, "context", json_text(f->args, "context"));
    json_put_text(body, "description", json_text(f->args, "text"));
    json_put_text(body, "target_url", json_text(f->args, "link"));
    return forge_tell(f, "POST", path, body, ret_reply, err);
}

/* ---- a merge request, which both call a pull request ---- */

static json_t *merge_reply(const json_t *m)
{
    json_t *reply = json_object();
    json_put_int(reply, "number", json_int(m, "number", 0));
    json_put_text(reply, "link", json_text(m, "html_url"));
    json_put_text(reply, "state", json_text(m, "state"));
    return reply;
}

/* Gitea filters by neither branch, so both are looked for in what is open; one of a stranger's
 * fork, whose branch has the same name, is not ours. */
static const json_t *open_one(const struct forge *f, const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        const json_t *head = json_dict(row, "head"), *base = json_dict(row, "base");
        if (text_is(json_text(head, "ref"), json_text(f->args, "source")) &&
            text_is(json_text(base, "ref"), json_text(f->args, "target")) &&
            json_int(json_dict(head, "repo"), "id", 0) ==
                json_int(json_dict(base, "repo"), "id", -1))
            return row;
    }
    return NULL;
}

/* 0: *ret_found is the open one, or null. */
static int find_open(struct forge *f, const char *project, json_t **ret_found, json_t **ret_reply,
                     struct err *err)
{
    AUTO_FREE char *source = forge_escape(json_text_or(f->args, "source", ""), "/");
    AUTO_FREE char *owner = str_dup((struct str){project, strcspn(project, "/")});
    for (int64_t page = 1; page > 0;) {
        AUTO_ANSWER a = {0};
        AUTO_FREE char *filter = mem_format("&head=%s:%s", owner, source);
        AUTO_FREE char *path =
            mem_format("/repos/%s/pulls?state=open&%s=%d&page=%lld%s", project, page_word(f),
                       page_size(f), (long long)page, is_gitea(f) ? "" : filter);
        int r = forge_need(forge_request(f, "GET", path, NULL, &a, ret_reply, err));
        if (r != 0)
            return r;
        const json_t *found = open_one(f, a.body);
        if (found) {
            *ret_found = json_deep_copy(found);
            return 0;
        }
        page = page < FORGE_PAGES_MAX ? a.next : 0;
    }
    return 0;
}

static json_t *merge_body(const struct forge *f)
{
    json_t *body = json_object();
    json_put_text(body, "title", json_text(f->args, "title"));
    json_put_text(body, "head", json_text(f->args, "source"));
    json_put_text(body, "base", json_text(f->args, "target"));
    json_put_text(body, "body", json_text(f->args, "text"));
    return body;
}

static int merge(struct forge *f, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *project = project_of(f);
    AUTO_FREE char *path = mem_format("/repos/%s/pulls", project);
    AUTO_JSON *found = NULL;
    AUTO_ANSWER made = {0};
    int r = find_open(f, project, &found, ret_reply, err);
    if (r != 0)
        return r < 0 ? -1 : 0;
    if (!found)
        r = forge_need(forge_request(f, "POST", path, merge_body(f), &made, ret_reply, err));
    if (r == 0)
        *ret_reply = merge_reply(found ? found : made.body);
    return r < 0 ? -1 : 0;
}

const struct forge_ways forge_github = {
    .api = "/api/v3", /* of an Enterprise Server; github.com's stands in forge.c */
    .token_header = "Authorization: Bearer ",
    .accept = "Accept: application/vnd.github+json",
    .user = user,
    .projects = projects,
    .branches = branches,
    .hook = hook,
    .status = status,
    .merge = merge,
};
const struct forge_ways forge_gitea = {
    .api = "/api/v1",
    .token_header = "Authorization: token ",
    .accept = "Accept: application/json",
    .user = user,
    .projects = projects,
    .branches = branches,
    .hook = hook,
    .status = status,
    .merge = merge,
};
