/* Inside the folder: one request of a git client, from its headers to the end of git. Loop thread.
 *
 * A session lives as long as any of: the HTTP request, the git child, core's outstanding answer,
 * the look at the refs after a push. */
#pragma once
#include "courier/git/commands.h"
#include "courier/git/git.h"
#include "courier/git/request.h"
#include "io/child.h"
#include "io/http_server.h"
#include "io/loop.h"

struct git_hosting {
    struct git_hosting_options options;
    struct http_server *server;
    struct session *sessions; /* all of them, newest first */
    size_t session_count;
    bool closing;
};
struct session;
/* Take over a request whose route is known. */
void session_start(struct git_hosting *h, struct http_request *r, const struct git_route *route);
json_t *session_dump(const struct session *first);
/* A text answer that git shows to its user ("remote: slipway: ..."). */
void hosting_answer_error(struct http_request *r, const struct err *error);
/* The last session of a hosting that is being freed has ended. */
void hosting_settle(struct git_hosting *h);
