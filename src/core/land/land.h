/* Landing: what the last env runs, and people have tried there, becomes trunk.
 *
 * Trunk moves forward onto the release's own commit (the courier refuses when trunk has more than
 * that), a tag names the release, the branches that are on trunk now are unticked in every env, and
 * the envs that run something else are named: they lack the new trunk. Going back afterwards undoes
 * none of it: it marks the release bad, as ever. Loop thread. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/sm.h"
#include "core/access/access.h"
#include "core/core.h"
#include "core/env/env.h"

extern const char land_schema[]; /* landing */

enum landing_state {
    LANDING_DOING,
    LANDING_ASKED, /* trunk is protected at its forge: people merge it there */
    LANDING_DONE,
    LANDING_FAILED
};
enum landing_event { LANDING_ASK, LANDING_SUCCEED, LANDING_FAIL };
extern const struct sm landing_sm;

/* What would land: {"env","release","commit","branches": [{"branch","tip"}],"tag","refused": null
 * or why not ({"error","class","text"}),"landed": bool: it has landed already}. */
int landing_preview(struct core *core, const struct app *app, json_t **ret_preview,
                    struct err *err) MUST_CHECK;
/* Within an input: begin. It acts once durable. Refusals as in the preview; `expect` (0: any): the
 * release that was looked at, else E_STATE_CONFLICT. */
int landing_create(struct core *core, const struct person *by, const struct app *app,
                   int64_t expect, int64_t *ret_id, struct err *err) MUST_CHECK;
/* When it has ended, or it is not known yet what came of it (it is tried again): done exactly once,
 * with the error of a turn that did not become durable. */
void landing_await(int64_t id, void (*done)(void *context, const struct err *error), void *context);
/* Rows for people: {"id","env","release","commit","branches","tag","state","by","at","ended_at",
 * "result": null, {"merge_request": {"branch","number","link"}} while it is asked for, or
 * {"from","moved","squashed": trunk has what is in it, by other commits,"unticked": {env: [names]},
 * "behind": [{"env","release"}]}, "error"}. */
int landing_row(struct core *core, int64_t app_id, int64_t id, json_t **ret_row,
                struct err *err) MUST_CHECK;
int landing_list(struct core *core, int64_t app_id, int64_t before, int64_t limit,
                 json_t **ret_rows, struct err *err) MUST_CHECK;
/* Within an input: one that has not ended is waited for no more. E_STATE_CONFLICT otherwise. */
int landing_cancel(struct core *core, const struct person *by, const struct app *app, int64_t id,
                   struct err *err) MUST_CHECK;
void landing_init(struct core *core);   /* once, when there is a feed */
void landing_resume(struct core *core); /* act again on those that have not ended */
void landing_done(struct core *core);   /* before the core ends, after the links */
