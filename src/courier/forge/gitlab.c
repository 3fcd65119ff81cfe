/* GitLab, API v4: docs.gitlab.com/api. A project is named by its escaped path. */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "courier/forge/forge_priv.h"

static char *project_of(const struct forge *f)
{
    return forge_escape(json_text_or(f->args, "project", ""), "");
}

static int user(struct forge *f, json_t **ret_reply, struct err *err)
{
    return forge_user_as(f, "username", ret_reply, err);
}

static json_t *project_row(const json_t *p)
{
    return forge_project_row(p, "path_with_namespace", "http_url_to_repo", "ssh_url_to_repo");
}

static int projects(struct forge *f, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *match = forge_escape(json_text_or(f->args, "match", ""), "");
    AUTO_FREE char *path = mem_format(
        "/projects?membership=true&simple=true&order_by=last_activity_at&per_page=%d"
        "&page=%lld%s%s",
        FORGE_PAGE, (long long)json_int(f->args, "page", 1), *match ? "&search=" : "", match);
    return forge_page(f, path, "projects", project_row, ret_reply, err);
}

static json_t *branch_row(const json_t *b)
{
    json_t *row = json_object();
    json_put_text(row, "name", json_text(b, "name"));
    json_put_text(row, "tip", json_text(json_dict(b, "commit"), "id"));
    json_put_bool(row, "protected",
                  json_bool(b, "protected", false) && !json_bool(b, "can_push", true));
    return row;
}

static int branches(struct forge *f, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *project = project_of(f);
    AUTO_FREE char *path = mem_format("/projects/%s/repository/branches?per_page=%d&page=%lld",
                                      project, FORGE_PAGE, (long long)json_int(f->args, "page", 1));
    return forge_page(f, path, "branches", branch_row, ret_reply, err);
}

/* ---- the webhook ---- */

static json_t *hook_body(const struct forge *f)
{
    json_t *body = json_object();
    json_put_text(body, "url", json_text(f->args, "url"));
    json_put_str(body, "token", secret_str(&f->at.hook));
    json_put_bool(body, "push_events", true);
    json_put_bool(body, "tag_push_events", true);
    json_put_bool(body, "merge_requests_events", true);
    json_put_bool(body, "enable_ssl_verification", true);
    return body;
}

static int hook(struct forge *f, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *project = project_of(f);
    AUTO_FREE char *path = mem_format("/projects/%s/hooks", project);
    return forge_put_hook(f, path, NULL, "PUT", hook_body(f), ret_reply, err);
}

/* ---- what became of a commit ---- */

static const char *status_name(const char *state)
{
    return text_is(state, "failure") ? "failed" : text_is(state, "error") ? "canceled" : state;
}

/* "Cannot transition status": it is in that state already. */
static int status(struct forge *f, json_t **ret_reply, struct err *err)
{
    AUTO_ANSWER a = {0};
    AUTO_FREE char *project = project_of(f);
    AUTO_FREE char *path =
        mem_format("/projects/%s/statuses/%s", project, json_text(f->args, "commit"));
    json_t *body = json_object();
    json_put_text(body, "state", status_name(json_text(f->args, "state")));
    json_put_text(body, "name", json_text(f->args, "context"));
    json_put_text(body, "description", json_text(f->args, "text"));
    json_put_text(body, "target_url", json_text(f->args, "link"));
    int r = forge_request(f, "POST", path, body, &a, ret_reply, err);
    bool there = r < 0 && err->kind == E_FIELD_INVALID && strstr(err->text, "transition");
    r = there ? 0 : forge_need(r);
    if (r == 0)
        *ret_reply = json_object();
    return r < 0 ? -1 : 0;
}

/* ---- a merge request ---- */

static json_t *merge_reply(const json_t *m)
{
    json_t *reply = json_object();
    json_put_int(reply, "number", json_int(m, "iid", 0));
    json_put_text(reply, "link", json_text(m, "web_url"));
    json_put_text(reply, "state", json_text(m, "state"));
    return reply;
}

/* Not one of a stranger's fork, whose branch has the same name. */
static const json_t *own_one(const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        if (json_int(row, "source_project_id", 0) == json_int(row, "target_project_id", -1))
            return row;
    }
    return NULL;
}

static json_t *merge_body(const struct forge *f)
{
    json_t *body = json_object();
    json_put_text(body, "source_branch", json_text(f->args, "source"));
    json_put_text(body, "target_branch", json_text(f->args, "target"));
    json_put_text(body, "title", json_text(f->args, "title"));
    json_put_text(body, "description", json_text(f->args, "text"));
    json_put_bool(body, "remove_source_branch", true);
    json_put_bool(body, "squash", false); /* trunk shall have the commit that was tried */
    return body;
}

static int merge(struct forge *f, json_t **ret_reply, struct err *err)
{
    AUTO_ANSWER found = {0}, made = {0};
    AUTO_FREE char *project = project_of(f);
    AUTO_FREE char *source = forge_escape(json_text_or(f->args, "source", ""), "");
    AUTO_FREE char *target = forge_escape(json_text_or(f->args, "target", ""), "");
    AUTO_FREE char *path = mem_format("/projects/%s/merge_requests", project);
    AUTO_FREE char *open =
        mem_format("%s?state=opened&source_branch=%s&target_branch=%s", path, source, target);
    int r = forge_need(forge_request(f, "GET", open, NULL, &found, ret_reply, err));
    if (r != 0)
        return r < 0 ? -1 : 0;
    const json_t *ours = own_one(found.body);
    if (ours) {
        *ret_reply = merge_reply(ours);
        return 0;
    }
    r = forge_need(forge_request(f, "POST", path, merge_body(f), &made, ret_reply, err));
    if (r == 0)
        *ret_reply = merge_reply(made.body);
    return r < 0 ? -1 : 0;
}

const struct forge_ways forge_gitlab = {
    .api = "/api/v4",
    .token_header = "PRIVATE-TOKEN: ",
    .user = user,
    .projects = projects,
    .branches = branches,
    .hook = hook,
    .status = status,
    .merge = merge,
};
