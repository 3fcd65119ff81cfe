/* Inside the folder: the git call that serves a request of a client. Any thread. */
#pragma once
#include "courier/git/call.h"
#include "courier/git/request.h"

struct service {
    const struct git_route *route;
    const char *dir;
    bool v2;          /* the client speaks protocol version 2 (fetches only) */
    bool force;       /* may a push rewind branches */
    int64_t push_max; /* bytes */
};
void service_call(struct git_call *call, const struct service *s);
