/* What is known of the ticked branches, and what would be of others. */
#include "core/api/handlers.h"
#include "core/facts/facts.h"

static void on_facts(void *context, const json_t *facts, const struct err *error)
{
    struct api_call *call = context;
    if (error) {
        api_fail(call, error);
        return;
    }
    json_t *reply = json_copy((json_t *)(uintptr_t)facts);
    const char *last = json_text(json_dict(facts, "last"), "env");
    if (last && !api_may_view_env(call, call->ae.app_id, last)) { /* what it runs is not theirs */
        json_put(reply, "last", json_null());
        json_put(reply, "on_live", json_array());
    }
    api_reply(call, 200, reply);
}

API_HANDLER(api_conflicts)
{
    (void)err;
    facts_ask(call->core->facts, &call->ae, on_facts, api_ref(call));
    return API_LATER;
}

API_HANDLER(api_conflicts_try)
{
    const json_t *branches = json_list(call->body, "branches");
    size_t i;
    json_t *name;
    if (api_may_try(call, err) < 0)
        return -1;
    if (json_array_size(branches) > TICKS_MAX)
        return FAIL(err, E_TOO_MANY, "more than %d branches", TICKS_MAX);
    json_array_foreach((json_t *)branches, i, name)
    {
        if (!json_is_string(name) || !str_is_branch(str_of(json_string_value(name))))
            return FAIL(err, E_REF_INVALID, "a branch name in the list is not valid");
    }
    facts_try(call->core->facts, &call->ae, json_deep_copy(branches), on_facts, api_ref(call));
    return API_LATER;
}
