/* Who may do what: people, one-time links, tokens, roles per app-env, and the one gate.
 *
 * A person is told by a bearer token (only its SHA-256 is stored), or by uid 0 on the unix socket
 * (admin, actor "root"). Passwords are argon2id (libsodium, computed on the pool). Roles are data:
 * a grant gives a person a role for an app or all apps; the table `role_right` says what a role may
 * do in which env. Nobody learns whether a foreign object exists: no right to view is not_found.
 * Loop thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"
#include "base/secret.h"
#include "core/core.h"
#include "core/store/store.h"

extern const char
    access_schema[]; /* person, link, token, person_grant, role_right with the default matrix */

enum permission {
    PERMISSION_NONE,     /* anybody, even anonymous: version, setup, login */
    PERMISSION_PERSON,   /* any signed-in person */
    PERMISSION_VIEW,     /* see the app-env, its logs, requests, history */
    PERMISSION_BRANCH,   /* push and create feature branches (app-wide) */
    PERMISSION_TRUNK,    /* push trunk, force-push, delete (app-wide) */
    PERMISSION_TICK,     /* tick and untick in this env */
    PERMISSION_DEPLOY,   /* build, deploy, cancel, promote into this env */
    PERMISSION_ROLLBACK, /* roll back in this env */
    PERMISSION_SECRET,   /* set and delete secrets of this env */
    PERMISSION_APP,      /* create apps; change or delete this app, its domains */
    PERMISSION_ADMIN,    /* people, grants, audit verify, doctor, dump */
    PERMISSION_COUNT
};
const char *permission_name(enum permission p);

#define PERSON_NAME_MAX 41
struct person {
    int64_t id; /* 0: root on the unix socket, or the anonymous */
    bool anonymous;
    bool admin; /* root, or holder of an installation-wide admin grant */
    char name[PERSON_NAME_MAX];
    int64_t token_id;
    bool read_only;       /* the token may only read */
    int64_t token_app_id; /* 0: all apps; otherwise the token works for this app alone */
    char actor[96];       /* for the journal */
};
void person_root(struct person *ret_person);
void person_anonymous(struct person *ret_person);
/* The person behind "Bearer X" or git's basic password. E_UNAUTHENTICATED for anything wrong,
 * always with the same text and after the same work. */
int access_authenticate(struct core *core, struct str token, struct person *ret_person,
                        struct err *err) MUST_CHECK;
/* Still valid? (token not revoked or expired, person not disabled; grants may have changed: asks
 * afresh). For streams. */
bool access_still_valid(struct core *core, const struct person *p);

/* The gate. app_id 0 and env_id 0: an installation-wide act (needs a grant for all apps); app_id
 * alone: app-wide (granted when some env of the app, or "*", grants it; but trunk, app and admin
 * reach into every env, so a grant for one env does not give them). Returns 0 allowed; -1 with
 * E_UNAUTHENTICATED (anonymous), E_NOT_FOUND (may not even view; text ACCESS_HIDDEN, the same as
 * for what does not exist), E_DENIED (views, but lacks this right; the text names role and right).
 * Used through core/api's table and for git only. */
#define ACCESS_HIDDEN "no such app or env"
int access_check(struct core *core, const struct person *p, enum permission permission,
                 int64_t app_id, int64_t env_id, bool writes, struct err *err) MUST_CHECK;
/* The permissions that a person has, for "me" and for pages: array of names. */
int access_rights(struct core *core, const struct person *p, int64_t app_id, int64_t env_id,
                  json_t **ret_names, struct err *err) MUST_CHECK;

/* Where the first link lies below the data folder, for root, until it was used. */
#define ACCESS_SETUP_FILE "core/setup-link"
/* At every start, within an input: the set-up link if nobody exists. `known` (NULL: none) is the
 * one that lies there: it stays while it is good, else a new one is made and older ones end.
 * Returns the link's secret (heap) or NULL when set-up is done. `slipway user add` and `reset` make
 * links in the same way. Links live 7 days and work once. */
int access_setup_link(struct core *core, const char *known, char **ret_secret,
                      struct err *err) MUST_CHECK;

/* API handlers' work; each runs within an input, journals what it did, and gives the reply.
 * Password work is done before, on the pool: access_hash_password runs on the loop, calls back on
 * the loop, later (error: E_VALUE_INVALID under 8 or over 1024 bytes, E_TOO_MANY when 100 wait
 * already). The hash is valid during the callback. */
void access_hash_password(const struct secret *password,
                          void (*done)(void *context, const char *hash, const struct err *error),
                          void *context);
/* Verify against the stored hash of `name` (or against a dummy when there is none): same time
 * either way. Calls back on the loop, later, with the person (0: the name or the password is wrong)
 * or with why there is no verdict (E_TOO_MANY when 100 wait already, E_UNAVAILABLE without memory).
 */
void access_verify_password(struct core *core, const char *name, const struct secret *password,
                            void (*done)(void *context, int64_t person_id, const struct err *error),
                            void *context);
/* May this name be tried from this address once more? E_TOO_MANY_ATTEMPTS, with the time until
 * then. A try counts until access_attempt_good says that the password was right. */
int access_attempt(struct core *core, const char *name, const char *address, int64_t *ret_wait_ms,
                   struct err *err) MUST_CHECK;
void access_attempt_good(struct core *core, const char *name, const char *address);
void access_attempts_forget(void); /* for tests */
/* Is the link good (E_LINK_USED, E_SETUP_DONE)? Asked before the costly hash of a password. */
int access_link_check(struct core *core, const char *secret, struct err *err) MUST_CHECK;
/* {"user","token","expires"}; LINK_USED, SETUP_DONE. name: needed for set-up; otherwise NULL, or
 * the name that the link is for (else E_DENIED). A reset ends the person's sessions. */
int access_link_use(struct core *core, const char *secret, const char *name,
                    const char *password_hash, json_t **ret_reply, struct err *err) MUST_CHECK;
int access_session_new(struct core *core, int64_t person_id, json_t **ret_reply,
                       struct err *err) MUST_CHECK; /* {"user","token","expires"} */
/* One's own, proven before: the new hash is stored, every session ends and a new one begins, given
 * as access_session_new does. API tokens stay. */
int access_password_change(struct core *core, const struct person *by, const char *password_hash,
                           json_t **ret_reply, struct err *err) MUST_CHECK;
/* The token that asks is gone. */
int access_sign_out(struct core *core, const struct person *p, struct err *err) MUST_CHECK;
/* {"name","token","expires" (null: never)}; expires_days 0: never, or with the token that asks;
 * app_id 0: all apps. */
int access_token_new(struct core *core, const struct person *by, const char *name,
                     int64_t expires_days, bool read_only, int64_t app_id, json_t **ret_reply,
                     struct err *err) MUST_CHECK;
/* [{"user","name","kind","read_only","app","created_at","expires_at","used_at"}]: one's own; root:
 * all. */
int access_token_list(struct core *core, const struct person *by, json_t **ret_rows,
                      struct err *err) MUST_CHECK;
/* One's own by name; an admin anybody's as "USER/NAME". */
int access_token_revoke(struct core *core, const struct person *by, const char *name,
                        struct err *err) MUST_CHECK;
int access_person_add(struct core *core, const struct person *by, const char *name,
                      const char *role /* NULL */, int64_t app_id /* 0: every one */,
                      int64_t env_id /* 0 */, json_t **ret_reply,
                      struct err *err) MUST_CHECK; /* {"user","link"} */
int access_person_reset(struct core *core, const struct person *by, const char *name,
                        json_t **ret_reply, struct err *err) MUST_CHECK;
int access_person_remove(struct core *core, const struct person *by, const char *name,
                         struct err *err) MUST_CHECK;
/* [{"name","created_at","invited": bool,"grants": [{"role","app","env"}]}]: never a link. */
int access_person_list(struct core *core, json_t **ret_rows, struct err *err) MUST_CHECK;
/* role: viewer developer tester ops admin, and what was made by access_role_allow; app_id 0: all
 * apps; env name NULL: as the role's matrix says in every env. */
int access_grant(struct core *core, const struct person *by, const char *name, const char *role,
                 int64_t app_id, int64_t env_id, struct err *err) MUST_CHECK;
int access_revoke(struct core *core, const struct person *by, const char *name, const char *role,
                  int64_t app_id, int64_t env_id, struct err *err) MUST_CHECK;
/* {"permissions": [..], "envs": [..], "roles": {"ops": {"*": [permissions]}}, "grants":
 * [{"user","role","app","env"}]} (app, env null: all) */
int access_matrix(struct core *core, json_t **ret_reply, struct err *err) MUST_CHECK;
/* What a role may do in an env ("*": in every one). allow makes the role when it is new, and does
 * nothing when it has the right; deny: E_NOT_FOUND when it has not, E_STATE_CONFLICT when nobody
 * would be left who may administer. */
int access_role_allow(struct core *core, const struct person *by, const char *role, const char *env,
                      const char *permission, struct err *err) MUST_CHECK;
int access_role_deny(struct core *core, const struct person *by, const char *role, const char *env,
                     const char *permission, struct err *err) MUST_CHECK;
/* The apps that a grant of the person or their token names (ids; 0 among them: all apps). What the
 * gate says of an app that none of them names, it says of every such app. */
int access_apps_named(struct core *core, const struct person *p, json_t **ret_ids,
                      struct err *err) MUST_CHECK;
/* Who may do that in this app-env: names, at most `limit`, by name. */
int access_people_who_may(struct core *core, enum permission permission, int64_t app_id,
                          int64_t env_id, int64_t limit, json_t **ret_names,
                          struct err *err) MUST_CHECK;
/* Roles may do in `env`, which is new, what they may do in `like` by name. */
int access_rights_like(struct core *core, const char *like, const char *env, int64_t *ret_count,
                       struct err *err) MUST_CHECK;
/* The app is gone: so are grants and tokens for it, before its id is given to another. */
int access_forget_app(struct core *core, int64_t app_id, struct err *err) MUST_CHECK;
