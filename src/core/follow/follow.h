/* Following: what apps' origins have is fetched, what became of commits is told to their forges.
 *
 * A webhook is a hint and a fetch is the truth. Whatever a delivery says, and however often, in
 * whatever order, it has one effect: that app is fetched soon, once for many. Without deliveries it
 * is fetched every minute or few, so that a missed one is found. A forge that is slow, down, or
 * asks to be left alone is left alone, with growing pauses; nothing else waits for it. Loop thread.
 */
#pragma once
#include <jansson.h>
#include "base/str.h"
#include "core/core.h"
#include "core/env/env.h"

struct follow;
struct follow *follow_new(struct core *core);
void follow_free(struct follow *f);
/* The courier is there: look at every origin, soon; go on telling. */
void follow_resume(struct follow *f);

/* Fetch it now. done (NULL: nobody waits) exactly once, with what came of it: {"count": refs that
 * moved}, or the error. An app without an origin: E_NOT_FOUND. */
void follow_fetch(struct follow *f, int64_t app_id,
                  void (*done)(void *context, json_t *ok, const struct err *error), void *context);
/* A forge is another by now, or what we are there: what was refused is asked again, and now. */
void follow_forge_changed(struct follow *f, int64_t forge_id);
/* Its origin is new, or another: make its webhook, if its forge has such, and fetch it. */
void follow_begin(struct follow *f, int64_t app_id);

/* A webhook's delivery: headers as they came (data NULL: absent) and the body, byte for byte. */
struct delivery {
    struct str event;           /* X-GitHub-Event, X-Gitea-Event, X-Gitlab-Event */
    struct str id;              /* X-GitHub-Delivery, X-Gitea-Delivery, Idempotency-Key, ... */
    struct str signature256;    /* X-Hub-Signature-256: "sha256=" and hex, GitHub's and Gitea's */
    struct str gitea_signature; /* X-Gitea-Signature: hex */
    struct str gitlab_token;    /* X-Gitlab-Token: the secret itself */
    struct str body;
};
#define FOLLOW_DUPLICATE 1 /* it came before */
/* E_UNAUTHENTICATED: not signed with this app's secret. Nothing is written: a delivery that is lost
 * with us was a hint. */
int follow_deliver(struct follow *f, const struct app *app, const struct delivery *d,
                   struct err *err) MUST_CHECK;

/* origin_row for people, with "fetched_at", "next_at" and "moved_at" (ms or null), "moved" (refs,
 * with the last good fetch), "fetching", "progress": {"stage": counting, compressing, receiving or
 * resolving,"percent"} meanwhile, "failures", "deliveries", "duplicates" and "refused" (since our
 * start). */
void follow_put(struct follow *f, int64_t app_id, json_t *row);
json_t *follow_dump(struct follow *f);
