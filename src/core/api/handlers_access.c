/* Signing in, people, grants and tokens. */
#include <unistd.h>

#include "base/check.h"
#include "base/version.h"
#include "core/api/handlers.h"
#include "core/tick/tick.h"
#include "wire/settings.h"

API_HANDLER(api_version)
{
    int64_t people = 0;
    if (store_one_int(call->core->store, &people, err, "SELECT count(*) FROM person", "") < 0)
        return -1;
    call->reply = json_object();
    json_put_text(call->reply, "version", SLIPWAY_VERSION);
    json_put_bool(call->reply, "setup", people == 0);
    AUTO_FREE char *git = mem_format("slipway.%s", call->core->settings->base_domain);
    json_put_text(call->reply, "git_host", git);
    return 0;
}

/* ---- set-up and login: the password work is done on the pool first ---- */

static void forget_setup_link(void *context, const struct err *error)
{
    const struct core *core = context;
    AUTO_FREE char *path = settings_data(core->settings, ACCESS_SETUP_FILE);
    if (!error)
        (void)unlink(path); /* absent is usual; what stays goes at the next start */
}

static void no_drop(void *context)
{
    (void)context; /* core itself */
}

/* To a browser that asked for it as a cookie; else the token stands in the reply. */
static void give_session(struct api_call *call)
{
    if (json_bool(call->body, "cookie", false))
        session_give(call);
}

/* Somebody is signed up: the first link has done its work, whichever was used now. */
static int run_setup(struct api_call *call, void *context, struct err *err)
{
    if (access_link_use(call->core, json_text(call->body, "link"), json_text(call->body, "name"),
                        context, &call->reply, err) < 0)
        return -1;
    tick_after(call->core->tick, forget_setup_link, no_drop, call->core);
    give_session(call);
    return 0;
}

static void on_hashed(void *context, const char *hash, const struct err *error)
{
    struct api_call *call = context;
    if (error)
        api_fail(call, error);
    else
        api_finish_input(call, run_setup, (void *)(uintptr_t)hash);
}

API_HANDLER(api_setup)
{
    AUTO_SECRET password = {0};
    const char *text = json_text_or(call->body, "password", "");
    if (strlen(text) < 8)
        return FAIL(err, E_FIELD_INVALID, "'password' must have at least 8 characters");
    if (access_link_check(call->core, json_text_or(call->body, "link", ""), err) < 0)
        return -1; /* hashing is dear: not for strangers */
    secret_set(&password, text, strlen(text));
    access_hash_password(&password, on_hashed, api_ref(call));
    return API_LATER;
}

static int run_login(struct api_call *call, void *context, struct err *err)
{
    if (access_session_new(call->core, *(int64_t *)context, &call->reply, err) < 0)
        return -1;
    give_session(call);
    return 0;
}

static void on_verified(void *context, int64_t person_id, const struct err *error)
{
    struct api_call *call = context;
    struct err wrong = ERR_INIT;
    if (person_id) {
        AUTO_FREE char *address = call->http ? api_address(call) : NULL;
        if (address)
            access_attempt_good(call->core, json_text_or(call->body, "name", ""), address);
        api_finish_input(call, run_login, &person_id);
        return;
    }
    (void)FAIL(&wrong, E_UNAUTHENTICATED, "the name or the password is wrong");
    api_fail(call, error ? error : &wrong);
}

/* A try of a password, of which nobody has many. */
static int verify_password(struct api_call *call, const char *name, const char *text,
                           void (*done)(void *context, int64_t person_id, const struct err *error),
                           struct err *err)
{
    AUTO_SECRET password = {0};
    AUTO_FREE char *address = api_address(call);
    int64_t wait_ms = 0;
    if (access_attempt(call->core, name, address, &wait_ms, err) < 0) {
        call->retry_after_s = (wait_ms + 999) / 1000;
        return -1;
    }
    secret_set(&password, text, strlen(text));
    access_verify_password(call->core, name, &password, done, api_ref(call));
    return API_LATER;
}

API_HANDLER(api_login)
{
    return verify_password(call, json_text_or(call->body, "name", ""),
                           json_text_or(call->body, "password", ""), on_verified, err);
}

API_HANDLER(api_logout)
{
    call->reply = json_object();
    if (call->by_cookie)
        session_take(call);
    return access_sign_out(call->core, &call->who, err);
}

API_HANDLER(api_me)
{
    json_t *rights = NULL;
    if (access_rights(call->core, &call->who, 0, 0, &rights, err) < 0)
        return -1;
    call->reply = json_object();
    json_put_text(call->reply, "name", call->who.name);
    json_put_bool(call->reply, "admin", call->who.admin);
    json_put(call->reply, "rights", rights);
    return 0;
}

/* ---- a new password: the old one is proven first, then the new one hashed, both on the pool ----
 */

static int run_password(struct api_call *call, void *context, struct err *err)
{
    if (access_password_change(call->core, &call->who, context, &call->reply, err) < 0)
        return -1;
    if (call->by_cookie)
        session_give(call);
    return 0;
}

static void on_new_hashed(void *context, const char *hash, const struct err *error)
{
    struct api_call *call = context;
    if (error)
        api_fail(call, error);
    else
        api_finish_input(call, run_password, (void *)(uintptr_t)hash);
}

static void on_old_verified(void *context, int64_t person_id, const struct err *error)
{
    struct api_call *call = context;
    AUTO_SECRET password = {0};
    struct err wrong = ERR_INIT;
    if (!person_id || person_id != call->who.id) {
        (void)FAIL(&wrong, E_DENIED, "the old password is wrong");
        api_fail(call, error ? error : &wrong);
        return;
    }
    AUTO_FREE char *address = call->http ? api_address(call) : NULL;
    if (address)
        access_attempt_good(call->core, call->who.name, address);
    const char *text = json_text_or(call->body, "new", "");
    secret_set(&password, text, strlen(text));
    access_hash_password(&password, on_new_hashed, call);
}

API_HANDLER(api_password)
{
    const char *new = json_text_or(call->body, "new", "");
    if (call->who.id == 0)
        return FAIL(err, E_STATE_CONFLICT, "root has no password: sign in as a person");
    if (strlen(new) < 8)
        return FAIL(err, E_FIELD_INVALID, "'new' must have at least 8 characters");
    return verify_password(call, call->who.name, json_text_or(call->body, "old", ""),
                           on_old_verified, err);
}

/* ---- people ---- */

API_HANDLER(api_users)
{
    json_t *rows = NULL;
    if (access_person_list(call->core, &rows, err) < 0)
        return -1;
    return api_page_by_name(call, rows, NULL, err);
}

static void put_address(struct api_call *call)
{
    AUTO_FREE char *address = settings_address(call->core->settings);
    json_put_text(call->reply, "address", address);
}

/* app and env by name: 0 when not given */
static int grant_scope(struct api_call *call, int64_t *ret_app_id, int64_t *ret_env_id,
                       struct err *err)
{
    struct app app = {0};
    const char *app_name = json_text(call->body, "app");
    const char *env_name = json_text(call->body, "env");
    if (app_name && app_load(call->core, app_name, &app, err) < 0)
        return -1;
    *ret_app_id = app.id;
    *ret_env_id = 0;
    if (env_name && text_starts(env_name, ENV_TRY_PREFIX))
        return FAIL(err, E_FIELD_INVALID, "the rights in a try are those of the env it is like");
    return env_name ? env_load(call->core, env_name, ret_env_id, err) : 0;
}

API_HANDLER(api_user_add)
{
    int64_t app_id = 0, env_id = 0;
    if (grant_scope(call, &app_id, &env_id, err) < 0 ||
        access_person_add(call->core, &call->who, json_text(call->body, "name"),
                          json_text(call->body, "role"), app_id, env_id, &call->reply, err) < 0)
        return -1;
    put_address(call);
    return 0;
}

API_HANDLER(api_user_reset)
{
    if (access_person_reset(call->core, &call->who, api_param(call, "user"), &call->reply, err) < 0)
        return -1;
    put_address(call);
    return 0;
}

API_HANDLER(api_user_remove)
{
    call->reply = json_object();
    return access_person_remove(call->core, &call->who, api_param(call, "user"), err);
}

API_HANDLER(api_grants)
{
    return access_matrix(call->core, &call->reply, err);
}

API_HANDLER(api_grant_add)
{
    int64_t app_id = 0;
    int64_t env_id = 0;
    if (grant_scope(call, &app_id, &env_id, err) < 0)
        return -1;
    call->reply = json_object();
    return access_grant(call->core, &call->who, json_text(call->body, "user"),
                        json_text(call->body, "role"), app_id, env_id, err);
}

API_HANDLER(api_grant_remove)
{
    int64_t app_id = 0;
    int64_t env_id = 0;
    if (grant_scope(call, &app_id, &env_id, err) < 0)
        return -1;
    call->reply = json_object();
    return access_revoke(call->core, &call->who, json_text(call->body, "user"),
                         json_text(call->body, "role"), app_id, env_id, err);
}

/* ---- roles ---- */

API_HANDLER(api_role_allow)
{
    call->reply = json_object();
    return access_role_allow(call->core, &call->who, api_param(call, "role"),
                             json_text_or(call->body, "env", "*"),
                             json_text(call->body, "permission"), err);
}

API_HANDLER(api_role_deny)
{
    call->reply = json_object();
    return access_role_deny(call->core, &call->who, api_param(call, "role"),
                            json_text_or(call->body, "env", "*"),
                            json_text(call->body, "permission"), err);
}

/* ---- tokens ---- */

API_HANDLER(api_tokens)
{
    json_t *rows = NULL;
    if (access_token_list(call->core, &call->who, &rows, err) < 0)
        return -1;
    return api_page_by_name(call, rows, "user", err);
}

API_HANDLER(api_token_add)
{
    struct app app = {0};
    const char *app_name = json_text(call->body, "app");
    if (app_name && app_load(call->core, app_name, &app, err) < 0)
        return -1;
    return access_token_new(call->core, &call->who, json_text(call->body, "name"),
                            json_int(call->body, "days", 0),
                            json_bool(call->body, "read_only", false), app.id, &call->reply, err);
}

API_HANDLER(api_token_remove)
{
    call->reply = json_object();
    return access_token_revoke(call->core, &call->who, api_param(call, "token"), err);
}
