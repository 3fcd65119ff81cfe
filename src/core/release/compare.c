/* What differs between two releases, of whatever envs: pure functions over their stored rows. */
#include "base/json.h"
#include "base/mem.h"
#include "core/release/release_priv.h"

/* ---- branches ---- */

static const char *tip_of(const json_t *branches, const char *name)
{
    size_t i;
    json_t *row;
    json_array_foreach(branches, i, row)
    {
        if (text_is(json_text(row, "branch"), name))
            return json_text_or(row, "tip", "");
    }
    return NULL;
}

static json_t *branch_row(const char *name, const char *key, const char *tip)
{
    json_t *row = json_object();
    json_put_text(row, "branch", name);
    json_put_text(row, key, tip);
    return row;
}

json_t *compare_branches(const json_t *from, const json_t *to)
{
    json_t *reply = json_object(), *added = json_array(), *removed = json_array(),
           *changed = json_array(), *row;
    size_t i;
    json_array_foreach(to, i, row)
    {
        const char *name = json_text_or(row, "branch", ""), *tip = json_text_or(row, "tip", "");
        const char *before = tip_of(from, name);
        if (!before) {
            json_push(added, branch_row(name, "tip", tip));
        } else if (!text_is(before, tip)) {
            json_t *change = branch_row(name, "from", before);
            json_put_text(change, "to", tip);
            json_push(changed, change);
        }
    }
    json_array_foreach(from, i, row)
    {
        const char *name = json_text_or(row, "branch", "");
        if (!tip_of(to, name))
            json_push(removed, branch_row(name, "tip", json_text(row, "tip")));
    }
    json_put(reply, "added", added);
    json_put(reply, "removed", removed);
    json_put(reply, "changed", changed);
    return reply;
}

/* ---- configuration ---- */

struct differ {
    json_t *rows;
    size_t max;
};

static void add_difference(struct differ *d, const char *path, json_t *from, json_t *to)
{
    if (json_array_size(d->rows) >= d->max)
        return;
    json_t *row = json_object();
    json_put_text(row, "path", path);
    json_put(row, "from", from ? json_incref(from) : json_null());
    json_put(row, "to", to ? json_incref(to) : json_null());
    json_push(d->rows, row);
}

/* Both are objects, or both lists; the absent one (NULL) is as empty. */
static bool is_tree(const json_t *from, const json_t *to)
{
    const json_t *any = from ? from : to;
    return (json_is_object(any) || json_is_array(any)) &&
           (!from || !to || json_typeof(from) == json_typeof(to));
}

static void differ(struct differ *d, const char *path, json_t *from, json_t *to);

static void differ_below(struct differ *d, const char *path, const char *key, json_t *from,
                         json_t *to)
{
    AUTO_FREE char *below = mem_format("%s%s%s", path, *path ? "." : "", key);
    differ(d, below, from, to);
}

static void differ_objects(struct differ *d, const char *path, json_t *from, json_t *to)
{
    const char *key;
    json_t *value;
    json_object_foreach(from, key, value)
        differ_below(d, path, key, value, json_object_get(to, key));
    json_object_foreach(to, key, value)
    {
        if (!json_object_get(from, key))
            differ_below(d, path, key, NULL, value);
    }
}

static void differ_lists(struct differ *d, const char *path, json_t *from, json_t *to)
{
    size_t before = json_array_size(from), after = json_array_size(to);
    for (size_t i = 0; i < (before > after ? before : after); i++) {
        AUTO_FREE char *key = mem_format("%zu", i);
        differ_below(d, path, key, json_array_get(from, i), json_array_get(to, i));
    }
}

/* An empty object or list has no leaves: it is one itself. */
static bool is_empty(const json_t *value)
{
    return (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

/* The trees come from json_parse, which bounds their depth. */
static void differ(struct differ *d, const char *path, json_t *from, json_t *to)
{
    if (from && to && json_equal(from, to))
        return;
    if (!is_tree(from, to) || (!from && is_empty(to)) || (!to && is_empty(from)))
        add_difference(d, path, from, to);
    else if (json_is_object(from ? from : to))
        differ_objects(d, path, from, to);
    else
        differ_lists(d, path, from, to);
}

json_t *compare_config(json_t *from, json_t *to, size_t max)
{
    struct differ d = {json_array(), max};
    differ(&d, "", from, to);
    return d.rows;
}

/* ---- secrets ---- */

json_t *compare_secrets(const json_t *from, const json_t *to)
{
    json_t *rows = json_array();
    AUTO_JSON *all = json_object();
    const char *name;
    json_t *version;
    (void)json_object_update(all, (json_t *)(uintptr_t)from); /* only memory can be out */
    (void)json_object_update(all, (json_t *)(uintptr_t)to);
    json_object_foreach(all, name, version)
    {
        json_t *before = json_object_get(from, name), *after = json_object_get(to, name);
        if (before && after && json_equal(before, after))
            continue;
        json_t *row = json_object();
        json_put_text(row, "name", name);
        json_put(row, "from", before ? json_incref(before) : json_null());
        json_put(row, "to", after ? json_incref(after) : json_null());
        json_push(rows, row);
    }
    return rows;
}

/* ---- two rows ---- */

#define CONFIG_ROWS_MAX 500

int release_compare(struct core *core, const struct release_at *from, const struct release_at *to,
                    json_t **ret_reply, struct err *err)
{
    AUTO_JSON *before = NULL;
    AUTO_JSON *after = NULL;
    if (release_get(core, from->app_env_id, from->number, &before, err) < 0 ||
        release_get(core, to->app_env_id, to->number, &after, err) < 0)
        return -1;
    json_t *reply = json_object();
    json_put(reply, "branches",
             compare_branches(json_list(before, "branches"), json_list(after, "branches")));
    json_put(
        reply, "config",
        compare_config(json_dict(before, "config"), json_dict(after, "config"), CONFIG_ROWS_MAX));
    json_put(reply, "secrets",
             compare_secrets(json_dict(before, "secrets"), json_dict(after, "secrets")));
    json_put_bool(reply, "same_artifact",
                  text_is(json_text(before, "artifact"), json_text(after, "artifact")));
    *ret_reply = reply;
    return 0;
}
