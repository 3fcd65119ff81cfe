/* Signing in, people, grants and tokens. */
#include "base/check.h"
#include "core/api/handlers.h"
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

static int run_setup(struct api_call *call, void *context, struct err *err)
{
    return access_link_use(call->core, json_text(call->body, "link"), json_text(call->body, "name"),
                           context, &call->reply, err);
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
    return access_session_new(call->core, *(int64_t *)context, &call->reply, err);
}

static void on_verified(void *context, bool good, int64_t person_id)
{
    struct api_call *call = context;
    struct err err = ERR_INIT;
    if (good) {
        api_finish_input(call, run_login, &person_id);
        return;
    }
    (void)FAIL(&err, E_UNAUTHENTICATED, "the name or the password is wrong");
    api_fail(call, &err);
}

API_HANDLER(api_login)
{
    AUTO_SECRET password = {0};
    const char *text = json_text_or(call->body, "password", "");
    (void)err;
    secret_set(&password, text, strlen(text));
    access_verify_password(call->core, json_text_or(call->body, "name", ""), &password, on_verified,
                           api_ref(call));
    return API_LATER;
}

API_HANDLER(api_logout)
{
    call->reply = json_object();
    return store_run(call->core->store, err, "DELETE FROM token WHERE id=$1", "i",
                     call->who.token_id);
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

/* ---- people ---- */

API_HANDLER(api_users)
{
    json_t *rows = NULL;
    if (access_person_list(call->core, &rows, err) < 0)
        return -1;
    call->reply = api_page(rows, "name", 100000);
    return 0;
}

API_HANDLER(api_user_add)
{
    return access_person_add(call->core, &call->who, json_text(call->body, "name"),
                             json_text(call->body, "role"), &call->reply, err);
}

API_HANDLER(api_user_reset)
{
    return access_person_reset(call->core, &call->who, api_param(call, "user"), &call->reply, err);
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
    return env_name ? env_load(call->core, env_name, ret_env_id, err) : 0;
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

/* ---- tokens ---- */

API_HANDLER(api_tokens)
{
    json_t *rows = NULL;
    if (access_token_list(call->core, &call->who, &rows, err) < 0)
        return -1;
    call->reply = api_page(rows, "name", 100000);
    return 0;
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
