/* Messages of the edge, made from rows. */
#include "core/edge/edge.h"

#include "base/json.h"
#include "core/link/link.h"

#define EDGE_MS 20000
#define EDGE_WEIGHT 100

static json_t *slot_servers(const json_t *servers, const char *slot)
{
    json_t *list = json_array();
    size_t i;
    json_t *server;
    json_array_foreach(servers, i, server)
    {
        if (!text_is(json_text(server, "slot"), slot))
            continue;
        json_t *copy = json_object();
        json_put_text(copy, "name", json_text(server, "name"));
        json_put_text(copy, "address", json_text(server, "address"));
        json_put_int(copy, "port", json_int(server, "port", 0));
        json_put_int(copy, "weight", EDGE_WEIGHT);
        json_put_bool(copy, "drain", json_int(server, "drain", 0) != 0);
        json_push(list, copy);
    }
    return list;
}

static int64_t slot_wait(const json_t *servers, const char *slot)
{
    int64_t longest = 0;
    size_t i;
    json_t *server;
    json_array_foreach(servers, i, server)
    {
        int64_t wait = json_int(server, "wait_ms", 0);
        if (text_is(json_text(server, "slot"), slot) && wait > longest)
            longest = wait;
    }
    return longest;
}

static json_t *edge_args(const struct app_env *ae)
{
    json_t *args = json_object();
    json_put_text(args, "app_env", ae->subject);
    json_put_int(args, "app_env_id", ae->id);
    return args;
}

void edge_apply(struct core *core, const struct app_env *ae, json_t *servers, edge_done_fn *done,
                void *context)
{
    struct err err = ERR_INIT;
    AUTO_JSON *owned = servers;
    json_t *domains = NULL;
    if (domains_list(core, ae, &domains, &err) < 0) {
        done(context, NULL, &err);
        return;
    }
    json_t *slots = json_object();
    json_put(slots, "a", slot_servers(owned, "a"));
    json_put(slots, "b", slot_servers(owned, "b"));
    json_t *state = json_object();
    json_put(state, "domains", domains);
    json_put_text(state, "live", ae->live_slot);
    json_put_int(state, "share", ae->share);
    json_put(state, "slots", slots);
    json_t *wait = json_object();
    json_put_int(wait, "a", slot_wait(owned, "a"));
    json_put_int(wait, "b", slot_wait(owned, "b"));
    json_put(state, "wait_ms", wait);
    json_t *args = edge_args(ae);
    json_put_int(args, "version", ae->edge_version > 0 ? ae->edge_version : 1);
    json_put(args, "state", state);
    link_call(core->host, "edge.apply", args, EDGE_MS, done, context);
}

void edge_drained(struct core *core, const struct app_env *ae, json_t *names, int64_t deadline_ms,
                  edge_done_fn *done, void *context)
{
    json_t *args = edge_args(ae);
    json_put(args, "servers", names);
    json_put_int(args, "deadline_ms", deadline_ms);
    link_call(core->host, "edge.drained", args, deadline_ms + EDGE_MS, done, context);
}
