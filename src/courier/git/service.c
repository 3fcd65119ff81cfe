/* upload-pack and receive-pack, as we let them run: see service.h.
 *
 * A pack is checked as it comes in (fsckObjects, which also refuses hostile .gitmodules and names
 * such as .git); what old histories are known to hold and harms nobody passes. It is kept as a
 * pack, never as loose objects: one fsync. */
#include "courier/git/service.h"
#include "base/mem.h"

static void push_settings(struct git_call *call, const struct service *s)
{
    static const char *const settings[] = {
        "receive.unpackLimit=1", /* always a pack: one fsync, no loose objects */
        "receive.autogc=false",
        "receive.fsckObjects=true",
        "receive.shallowUpdate=false",
        "receive.denyDeleteCurrent=refuse",
        "receive.advertisePushOptions=false",
        "receive.updateServerInfo=false",
        /* Old histories have these, and they harm nobody. */
        "receive.fsck.zeroPaddedFilemode=warn",
        "receive.fsck.badTimezone=warn",
        "receive.fsck.missingSpaceBeforeDate=warn",
        "receive.fsck.missingEmail=warn",
        "receive.fsck.missingNameBeforeEmail=warn",
        "receive.fsck.missingSpaceBeforeEmail=warn",
        "receive.fsck.zeroPaddedDate=warn",
        "receive.fsck.missingTaggerEntry=warn",
        "receive.fsck.badTagName=warn",
        "receive.fsck.emptyName=warn",
    };
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        git_config(call, settings[i]);
    git_config(call,
               s->force ? "receive.denyNonFastForwards=false" : "receive.denyNonFastForwards=true");
    git_config(call,
               arena_format(&call->arena, "receive.maxInputSize=%lld", (long long)s->push_max));
}

void service_call(struct git_call *call, const struct service *s)
{
    bool push = s->route->service == GIT_PUSH;
    git_call_init(call, NULL);
    git_writes(call, s->dir);
    if (push)
        push_settings(call, s);
    git_verb(call, push ? "receive-pack" : "upload-pack");
    git_arg(call, "--stateless-rpc");
    if (s->route->advertise)
        git_arg(call, "--advertise-refs");
    if (!push) {
        git_arg(call, "--strict");
        git_arg(call, "--timeout=600");
    }
    git_end(call);
    git_arg(call, s->dir);
    if (s->v2)
        git_env(call, "GIT_PROTOCOL=version=2");
}
