/* Lists of a forge, a page at a time. */
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "courier/forge/forge_priv.h"

json_t *forge_rows(const struct forge_answer *a, const char *name,
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

int forge_find_hook(struct forge *f, const char *path, const char *url, const char *inside,
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
