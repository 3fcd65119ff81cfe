/* Resolutions: branches in which people have merged branches that conflict, once and for every env
 * where these are ticked. A row says which branches those are and what they were when it was
 * opened; whether it can be used is found out by the courier from commits alone (wire/courier.h),
 * each time. It is closed when a side has landed or left what was resolved, and that is said. Loop
 * thread; writes only within an input. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "core/access/access.h"
#include "core/core.h"
#include "core/env/env.h"

extern const char resolution_schema[]; /* resolution */
#define RESOLUTIONS_MAX 20             /* open ones of an app */
#define RESOLUTION_SIDES_MAX 8

/* Rows: {"id","branch","sides": [{"branch","tip"}],"opened","files": [paths],"state": "open" or why
 * it was closed ("landed", "moved_off", "gone", "folded", "dropped"),"text": in words, or
 * null,"by","at", "closed_at"}. */
int resolution_row(struct core *core, int64_t app_id, int64_t id, json_t **ret_row,
                   struct err *err) MUST_CHECK;
/* The open ones, then those closed last. */
int resolution_list(struct core *core, int64_t app_id, json_t **ret_rows,
                    struct err *err) MUST_CHECK;
/* Those to be used: the open ones; with pins ({branch: tip}, not empty) those that are pinned. */
int resolutions_wanted(struct core *core, int64_t app_id, const json_t *pins, json_t **ret_rows,
                       struct err *err) MUST_CHECK;
/* Whose tips are needed: added to names. */
void resolutions_names(const json_t *rows, json_t *names);
/* One as the courier wants it, and all of them. tips: {name: commit or null}; pins as above. */
json_t *resolution_arg(const json_t *row, const json_t *tips, const json_t *pins);
json_t *resolutions_args(const json_t *rows, const json_t *tips, const json_t *pins);
/* Of states in a courier's reply, those that are used: [{"branch","tip","sides": [names]}]. */
json_t *resolutions_used(const json_t *states);

/* A branch for a new one of these sides (names): heap. E_FIELD_INVALID, E_TOO_MANY. *ret_row: one
 * that is open for the same sides; then no name is made. */
int resolution_name(struct core *core, const struct app *app, const json_t *sides, char **ret_name,
                    json_t **ret_row, struct err *err) MUST_CHECK;
/* opened: the courier's reply to resolve.open. */
int resolution_insert(struct core *core, const struct person *by, const struct app *app,
                      const json_t *opened, int64_t *ret_id, struct err *err) MUST_CHECK;
/* why: as the state above. */
int resolution_close(struct core *core, const char *actor, const char *app, const json_t *row,
                     const char *why, const char *text, struct err *err) MUST_CHECK;
/* Close those that a courier's reply says are over: an input of its own, not within one. */
void resolutions_expire(struct core *core, const struct app *app, const json_t *states);
