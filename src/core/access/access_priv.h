/* Inside core/access: random secrets, and people by name. */
#pragma once
#include "base/buf.h"
#include "base/sha.h"
#include "core/access/access.h"

#define ACCESS_RANDOM 40 /* base62: 238 bits */
#define ACCESS_SECRET_SIZE (8 + ACCESS_RANDOM + 1)
#define ACCESS_TOKEN_PREFIX "sw_"
#define ACCESS_LINK_PREFIX "swl_"
#define DAY_MS ((int64_t)24 * 3600 * 1000)

/* The prefix and 40 random characters. */
void access_secret_new(struct core *core, const char *prefix, char ret_text[ACCESS_SECRET_SIZE]);
/* Is this the prefix and 40 characters of base62? */
bool access_secret_formed(struct str text, const char *prefix);
/* E_NOT_FOUND when there is nobody of that name. */
int access_person_find(struct core *core, const char *name, int64_t *ret_id,
                       struct err *err) MUST_CHECK;
/* A session of 30 days, without a journal line of its own: {"user","token","expires"}. */
int access_session_make(struct core *core, int64_t person_id, const char *name, json_t **ret_reply,
                        struct err *err) MUST_CHECK;
int access_sessions_end(struct core *core, int64_t person_id, struct err *err) MUST_CHECK;
/* Give a role; 0 also when it was given before (*ret_new false). */
int access_grant_put(struct core *core, int64_t person_id, const char *role, int64_t app_id,
                     int64_t env_id, const char *by, bool *ret_new, struct err *err) MUST_CHECK;
/* E_STATE_CONFLICT when nobody is left who may administer; root may do even that. */
int access_keep_admin(struct core *core, const struct person *by, struct err *err) MUST_CHECK;
/* The same for what root may not do either. */
int access_admin_left(struct core *core, struct err *err) MUST_CHECK;
int access_role_check(struct core *core, const char *role, struct err *err) MUST_CHECK;
/* "developer, tester", from a query of one column; "none". */
int access_join_names(struct query *q, struct buf *names, struct err *err) MUST_CHECK;
/* journal_append with subject "user:NAME". */
int access_note(struct core *core, const char *actor, const char *kind, const char *name,
                const json_t *data, struct err *err) MUST_CHECK;
/* {"app","env"}: where a role holds, by name; null: everywhere. */
int access_scope_row(struct core *core, int64_t app_id, int64_t env_id, json_t **ret_row,
                     struct err *err) MUST_CHECK;
