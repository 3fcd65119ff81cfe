/* Inside courier/forge: a forge's ways, and asking it. Pool threads. */
#pragma once
#include <stdbool.h>
#include "base/buf.h"
#include "courier/forge/forge.h"
#include "courier/outside.h"

struct forge;
/* What differs between forges. Each call asks and gives its reply, or fails. `args` is as in
 * wire/courier.h. */
struct forge_ways {
    const char *api;          /* behind the forge's url: "/api/v4" */
    const char *token_header; /* "PRIVATE-TOKEN: " */
    const char *accept;       /* a header, or NULL */
    int (*user)(struct forge *f, json_t **ret_reply, struct err *err);
    int (*projects)(struct forge *f, json_t **ret_reply, struct err *err);
    int (*branches)(struct forge *f, json_t **ret_reply, struct err *err);
    int (*hook)(struct forge *f, json_t **ret_reply, struct err *err);
    int (*status)(struct forge *f, json_t **ret_reply, struct err *err);
    int (*merge)(struct forge *f, json_t **ret_reply, struct err *err);
};
extern const struct forge_ways forge_gitlab, forge_github, forge_gitea;

struct forge {
    struct outside at;
    const struct forge_ways *ways;
    const char *api; /* of its ways, or "" */
    const json_t *args;
    struct http_client *client;
};
#define FORGE_PAGE 100      /* rows of a page; Gitea gives 50 at most */
#define FORGE_PAGES_MAX 100 /* that are looked through for one thing */

/* call.c: one request. */
#define FORGE_WAIT 1    /* *ret_reply is {"wait_s"}: stop here */
#define FORGE_ABSENT 2  /* 404: nothing is given, `err` says so */
#define FORGE_REFUSED 3 /* 409 or 422: likewise */
struct forge_answer {
    json_t *body; /* NULL: empty; owned */
    int64_t next; /* page; 0: this is the last */
};
/* body: taken; may be NULL. */
int forge_request(struct forge *f, const char *method, const char *path, json_t *body,
                  struct forge_answer *ret_answer, json_t **ret_reply, struct err *err) MUST_CHECK;
void forge_answer_done(struct forge_answer *a);
static inline void forge_answer_donep(struct forge_answer *a)
{
    forge_answer_done(a);
}
#define AUTO_ANSWER __attribute__((cleanup(forge_answer_donep))) struct forge_answer
/* For who takes neither of the last two. */
static inline int forge_need(int outcome)
{
    return outcome > FORGE_WAIT ? -1 : outcome;
}
/* Text for a part of a path or a query: heap. Letters, digits, - . _ ~ stay; `keep`: these, too. */
char *forge_escape(const char *text, const char *keep);

/* rows.c: what is alike. Each returns 0 with a reply, which may be {"wait_s"}, or -1. */
/* {"name"}: `field` of who asks. */
int forge_user_as(struct forge *f, const char *field, json_t **ret_reply,
                  struct err *err) MUST_CHECK;
/* A row of "projects"; which fields hold its name and its addresses. */
json_t *forge_project_row(const json_t *project, const char *name, const char *url,
                          const char *ssh);
/* {name: rows, "next": page or null} of the array at `path`. */
int forge_page(struct forge *f, const char *path, const char *name,
               json_t *(*row)(const json_t *item), json_t **ret_reply, struct err *err) MUST_CHECK;
/* Sends `body` (taken); {}. */
int forge_tell(struct forge *f, const char *method, const char *path, json_t *body,
               json_t **ret_reply, struct err *err) MUST_CHECK;
/* Makes the webhook of `path` that calls args.url, or changes it by the method `change`. The url
 * of one that is there stands in its object `inside` (NULL: in the row itself). body: taken. */
int forge_put_hook(struct forge *f, const char *path, const char *inside, const char *change,
                   json_t *body, json_t **ret_reply, struct err *err) MUST_CHECK;
