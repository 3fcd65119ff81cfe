/* What makes a build fail. */
#include "core/api/handlers.h"
#include "core/culprit/culprit.h"

static int find_build(struct api_call *call, struct build *ret_build, struct err *err)
{
    int64_t number = 0;
    if (api_param_int(call, "build", &number, err) < 0)
        return -1;
    return build_find(call->core, call->ae.id, number, ret_build, err);
}

API_HANDLER(api_culprits)
{
    struct build b;
    if (find_build(call, &b, err) < 0)
        return -1;
    int found = culprit_row(call->core, call->ae.id, b.number, &call->reply, err);
    if (found == 0 || err->kind != E_NOT_FOUND)
        return found;
    *err = (struct err)ERR_INIT;
    call->reply = json_object();
    json_put_text(call->reply, "state", "none");
    json_put(call->reply, "tried", json_array());
    return 0;
}

API_HANDLER(api_culprits_add)
{
    struct build b;
    int64_t id = 0;
    if (find_build(call, &b, err) < 0 ||
        culprit_create(call->core, &call->who, &call->ae, &b, &id, err) < 0)
        return -1;
    return culprit_row(call->core, call->ae.id, b.number, &call->reply, err);
}

API_HANDLER(api_culprits_cancel)
{
    struct build b;
    AUTO_JSON *row = NULL;
    if (find_build(call, &b, err) < 0 ||
        culprit_row(call->core, call->ae.id, b.number, &row, err) < 0 ||
        culprit_cancel(call->core, &call->who, json_int(row, "id", 0), err) < 0)
        return -1;
    return culprit_row(call->core, call->ae.id, b.number, &call->reply, err);
}
