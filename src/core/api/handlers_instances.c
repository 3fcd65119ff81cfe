/* Instances of an app-env: core's rows, with what each uses now, which host reads from its cgroup
 * when it is asked. */
#include "core/api/handlers.h"
#include "core/link/link.h"
#include "core/release/release.h"

#define HOST_MS 10000 /* a page waits for it */

static const char *const figures[] = {"memory", "memory_limit", "cpu_us", "pids", "up_since"};

/* Host's word on the instance; NULL: it knows none, or is away. */
static const json_t *known(const json_t *items, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        if (text_is(json_text(item, "instance"), name))
            return item;
    }
    return NULL;
}

static void put_figures(json_t *row, const json_t *item)
{
    for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
        json_t *value = json_object_get(item, figures[i]);
        json_put(row, figures[i], value ? json_incref(value) : json_null());
    }
    json_t *restarts = json_object_get(item, "restarts");
    json_put(row, "restarts", restarts ? json_incref(restarts) : json_null());
}

/* The rows wait in call->reply: core knows them without host. */
static void on_list(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    const json_t *items = error ? NULL : json_list(ok, "instances");
    size_t i;
    json_t *row;
    json_array_foreach(json_list(call->reply, "items"), i, row)
        put_figures(row, known(items, json_text_or(row, "name", "")));
    api_reply(call, 200, TAKE(call->reply));
}

API_HANDLER(api_instances)
{
    json_t *rows = NULL;
    if (instance_list(call->core, call->ae.id, &rows, err) < 0)
        return -1;
    call->reply = json_object();
    json_put(call->reply, "items", rows);
    json_t *args = json_object();
    json_put_text(args, "app_env", call->ae.subject);
    json_put_bool(args, "figures", true);
    link_call(call->core->host, "instance.list", args, HOST_MS, on_list, api_ref(call));
    return API_LATER;
}
