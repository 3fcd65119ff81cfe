/* What each forge's way does alike: lists a page at a time, the webhook, what is only told. */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "courier/forge/forge_priv.h"

static json_t *page_of(const struct forge_answer *a, const char *name,
                       json_t *(*row)(const json_t *item))
{
    json_t *reply = json_object(), *rows = json_array(), *item;
    size_t i;
    json_array_foreach(a->body, i, item) json_push(rows, row(item));
    json_put(reply, name, rows);
    if (a->next)
        json_put_int(reply, "next", a->next);
    else
        json_put(reply, "next", json_null());
    return reply;
}

int forge_user_as(struct forge *f, const char *field, json_t **ret_reply, struct err *err)
{
    AUTO_ANSWER a = {0};
    int r = forge_need(forge_request(f, "GET", "/user", NULL, &a, ret_reply, err));
    if (r != 0)
        return r < 0 ? -1 : 0;
    *ret_reply = json_object();
    json_put_text(*ret_reply, "name", json_text(a.body, field));
    return 0;
}

json_t *forge_project_row(const json_t *project, const char *name, const char *url, const char *ssh)
{
    json_t *row = json_object();
    json_put_text(row, "project", json_text(project, name));
    json_put_text(row, "trunk", json_text(project, "default_branch"));
    json_put_text(row, "url", json_text(project, url));
    json_put_text(row, "ssh", json_text(project, ssh));
    json_put_bool(row, "archived", json_bool(project, "archived", false));
    return row;
}

int forge_page(struct forge *f, const char *path, const char *name,
               json_t *(*row)(const json_t *item), json_t **ret_reply, struct err *err)
{
    AUTO_ANSWER a = {0};
    int r = forge_need(forge_request(f, "GET", path, NULL, &a, ret_reply, err));
    if (r == 0)
        *ret_reply = page_of(&a, name, row);
    return r < 0 ? -1 : 0;
}

int forge_tell(struct forge *f, const char *method, const char *path, json_t *body,
               json_t **ret_reply, struct err *err)
{
    AUTO_ANSWER a = {0};
    int r = forge_need(forge_request(f, method, path, body, &a, ret_reply, err));
    if (r == 0)
        *ret_reply = json_object();
    return r < 0 ? -1 : 0;
}

static int find_hook(struct forge *f, const char *path, const char *url, const char *inside,
                     int64_t *ret_id, json_t **ret_reply, struct err *err)
{
    *ret_id = 0;
    for (int64_t page = 1; page > 0 && page <= FORGE_PAGES_MAX;) {
        AUTO_ANSWER a = {0};
        AUTO_FREE char *one = mem_format("%s?page=%lld", path, (long long)page);
        size_t i;
        json_t *row;
        int r = forge_need(forge_request(f, "GET", one, NULL, &a, ret_reply, err));
        if (r != 0)
            return r;
        json_array_foreach(a.body, i, row)
        {
            const json_t *holder = inside ? json_dict(row, inside) : row;
            if (text_is(json_text(holder, "url"), url))
                *ret_id = json_int(row, "id", 0);
        }
        page = *ret_id ? 0 : a.next;
    }
    return 0;
}

int forge_put_hook(struct forge *f, const char *path, const char *inside, const char *change,
                   json_t *body, json_t **ret_reply, struct err *err)
{
    AUTO_JSON *owned = body;
    int64_t id = 0;
    int r = find_hook(f, path, json_text_or(f->args, "url", ""), inside, &id, ret_reply, err);
    if (r != 0)
        return r < 0 ? -1 : 0;
    AUTO_FREE char *one = mem_format("%s/%lld", path, (long long)id);
    return forge_tell(f, id ? change : "POST", id ? one : path, TAKE(owned), ret_reply, err);
}
