/* The one table of routes. A route without a row does not exist; a handler gets its objects only
 * from the gate that this table drives. */
#include "core/api/handlers.h"
#include "core/finding/finding.h"
#include "core/try/try.h"
#include "wire/verb.h" /* the words for shapes */

#define P "/apps/{app}/envs/{env}"
#define BODY(shape) .fields = (shape), .field_count = ARRAY_SIZE(shape)
#define NO_BODY_FIELDS .fields = NULL, .field_count = 0
#define QUERY(shape) .query = (shape), .query_count = ARRAY_SIZE(shape)

static const struct json_field setup_fields[] = {
    WIRE_TEXT("link", 200), WIRE_TEXT_OPTIONAL("name", 100), WIRE_TEXT("password", 1000),
    WIRE_BOOL_OPTIONAL("cookie")};
static const struct json_field login_fields[] = {
    WIRE_TEXT("name", 100), WIRE_TEXT("password", 1000), WIRE_BOOL_OPTIONAL("cookie")};
static const struct json_field password_fields[] = {WIRE_TEXT("old", 1000), WIRE_TEXT("new", 1000)};
static const struct json_field user_fields[] = {
    WIRE_TEXT("name", 300), WIRE_TEXT_OPTIONAL("role", 40), WIRE_TEXT_OPTIONAL("app", 100),
    WIRE_TEXT_OPTIONAL("env", 100)};
static const struct json_field grant_fields[] = {WIRE_TEXT("user", 100), WIRE_TEXT("role", 40),
                                                 WIRE_TEXT_OPTIONAL("app", 100),
                                                 WIRE_TEXT_OPTIONAL("env", 100)};
static const struct json_field token_fields[] = {
    WIRE_TEXT("name", 100), WIRE_INT_OPTIONAL("days", 1, 3650), WIRE_BOOL_OPTIONAL("read_only"),
    WIRE_TEXT_OPTIONAL("app", 100)};
static const struct json_field env_fields[] = {WIRE_TEXT("name", 300),
                                               WIRE_INT_OPTIONAL("position", 0, 100000),
                                               WIRE_TEXT_OPTIONAL("like", 100)};
static const struct json_field try_fields[] = {
    WIRE_LIST("branches", TICKS_MAX), WIRE_TEXT_OPTIONAL("like", 40),
    WIRE_INT_OPTIONAL("hours", 1, TRY_HOURS_MAX), WIRE_TEXT_OPTIONAL("text", TRY_TEXT_MAX)};
static const struct json_field try_extend_fields[] = {WIRE_INT_OPTIONAL("hours", 1, TRY_HOURS_MAX)};
static const struct json_field automation_fields[] = {WIRE_TEXT("when", 20)};
static const struct json_field landing_fields[] = {WIRE_INT_OPTIONAL("release", 1, 1000000000)};
static const struct json_field conflicts_fields[] = {WIRE_LIST("branches", 100)};
static const struct json_field resolution_fields[] = {WIRE_LIST("branches", 8)};
static const struct json_field finding_fields[] = {WIRE_TEXT("env", 40),
                                                   WIRE_TEXT("title", FINDING_TITLE_MAX),
                                                   WIRE_TEXT_OPTIONAL("text", FINDING_TEXT_MAX),
                                                   WIRE_TEXT_OPTIONAL("severity", 20),
                                                   WIRE_TEXT_OPTIONAL("branch", 200),
                                                   WIRE_TEXT_OPTIONAL("link", 500)};
static const struct json_field finding_act_fields[] = {
    WIRE_TEXT("act", 20), WIRE_TEXT_OPTIONAL("text", FINDING_TEXT_MAX),
    WIRE_TEXT_OPTIONAL("severity", 20), WIRE_TEXT_OPTIONAL("branch", 200),
    WIRE_TEXT_OPTIONAL("link", 500)};
static const struct json_field findings_query[] = {
    WIRE_INT_OPTIONAL("after", 0, WIRE_ANY), WIRE_INT_OPTIONAL("limit", 1, 1000),
    WIRE_TEXT_OPTIONAL("state", 20),         WIRE_TEXT_OPTIONAL("env", 40),
    WIRE_TEXT_OPTIONAL("branch", 200),       WIRE_TEXT_OPTIONAL("person", 100)};
static const struct json_field findings_all_query[] = {WIRE_INT_OPTIONAL("limit", 1, 1000),
                                                       WIRE_TEXT_OPTIONAL("state", 20),
                                                       WIRE_TEXT_OPTIONAL("person", 100)};
static const struct json_field touching_query[] = {WIRE_TEXT("path", 500)};
static const struct json_field fold_fields[] = {WIRE_TEXT_OPTIONAL("into", 200)};
static const struct json_field env_change_fields[] = {
    WIRE_TEXT_OPTIONAL("purpose", ENV_PURPOSE_MAX), WIRE_TEXT_OPTIONAL("policy", 20),
    WIRE_TEXT_OPTIONAL("culprits", 20), WIRE_TEXT_OPTIONAL("gate", 20),
    WIRE_INT_OPTIONAL("position", 0, 100000)};
static const struct json_field right_fields[] = {WIRE_TEXT("permission", 40),
                                                 WIRE_TEXT_OPTIONAL("env", 100)};
static const struct json_field app_fields[] = {{"name", JSON_FIELD_STRING, true, 0, 4096},
                                               WIRE_TEXT_OPTIONAL("trunk", 1000),
                                               WIRE_TEXT_OPTIONAL("url", 1000),
                                               WIRE_TEXT_OPTIONAL("forge", 100),
                                               WIRE_TEXT_OPTIONAL("project", 500),
                                               WIRE_BOOL_OPTIONAL("once")};
static const struct json_field forge_fields[] = {WIRE_TEXT("name", 300),
                                                 WIRE_TEXT("kind", 20),
                                                 WIRE_TEXT("url", 1000),
                                                 WIRE_TEXT_OPTIONAL("login", 100),
                                                 WIRE_TEXT_OPTIONAL("token", 4000),
                                                 WIRE_TEXT_OPTIONAL("key", 20000),
                                                 WIRE_TEXT_OPTIONAL("known_hosts", 20000),
                                                 WIRE_TEXT_OPTIONAL("ca", 65536)};
static const struct json_field origin_fields[] = {
    WIRE_TEXT_OPTIONAL("forge", 100), WIRE_TEXT_OPTIONAL("project", 500),
    WIRE_TEXT_OPTIONAL("url", 1000), WIRE_BOOL_OPTIONAL("once"), WIRE_BOOL_OPTIONAL("replace")};
static const struct json_field projects_query[] = {WIRE_TEXT_OPTIONAL("match", 200),
                                                   WIRE_INT_OPTIONAL("page", 1, 100000)};
static const struct json_field forge_page_query[] = {WIRE_INT_OPTIONAL("page", 1, 100000)};
static const struct json_field branch_fields[] = {WIRE_TEXT("name", 1000),
                                                  WIRE_TEXT_OPTIONAL("from", 1000)};
static const struct json_field check_fields[] = {{"text", JSON_FIELD_STRING, true, 0, 262144},
                                                 WIRE_TEXT_OPTIONAL("env", 100)};
static const struct json_field ticks_fields[] = {WIRE_LIST_OPTIONAL("add", 100),
                                                 WIRE_LIST_OPTIONAL("remove", 100),
                                                 WIRE_LIST_OPTIONAL("set", 100)};
static const struct json_field domains_fields[] = {WIRE_LIST("domains", 100)};
static const struct json_field certificate_fields[] = {WIRE_TEXT("domain", 253),
                                                       {"pem", JSON_FIELD_STRING, true, 1, 65536}};
static const struct json_field secret_fields[] = {
    {"value", JSON_FIELD_STRING, false, 0, 131072},
    {"value_b64", JSON_FIELD_STRING, false, 0, 200000},
    WIRE_TEXT_OPTIONAL("kind", 20)};
/* A plan may be asked for other branches than those that are ticked; a rollout may not. */
#define ROLLOUT_FIELDS                                                                             \
    WIRE_TEXT_OPTIONAL("kind", 20), WIRE_TEXT_OPTIONAL("from", 100),                               \
        WIRE_INT_OPTIONAL("release", 1, 1000000000), WIRE_BOOL_OPTIONAL("same_artifact"),          \
        WIRE_BOOL_OPTIONAL("latest"), WIRE_TEXT_OPTIONAL("strategy", 20),                          \
        WIRE_INT_OPTIONAL("batches", 1, 100), WIRE_LIST_OPTIONAL("branches", TICKS_MAX)
static const struct json_field plan_fields[] = {ROLLOUT_FIELDS};
/* What was planned: the rollout is refused when it would be another one by now. */
static const struct json_field rollout_fields[] = {ROLLOUT_FIELDS,
                                                   WIRE_TEXT_OPTIONAL("expect_commit", 40),
                                                   WIRE_INT_OPTIONAL("expect_live", 0, 1000000000)};
static const struct json_field empty_fields[] = {{"wait", JSON_FIELD_BOOL, false, 0, 0}};
static const struct json_field fault_fields[] = {WIRE_TEXT("role", 20), WIRE_TEXT("point", 100),
                                                 WIRE_INT_OPTIONAL("nth", 0, 1000000)};

/* What the query may hold. The handlers read it by these names and limits: keep them equal. */
static const struct json_field names_query[] = {WIRE_TEXT_OPTIONAL("after", 200),
                                                WIRE_INT_OPTIONAL("limit", 1, 1000)};
static const struct json_field page_query[] = {WIRE_INT_OPTIONAL("after", 0, WIRE_ANY),
                                               WIRE_INT_OPTIONAL("limit", 1, 1000)};
static const struct json_field branches_query[] = {WIRE_TEXT_OPTIONAL("match", 200),
                                                   WIRE_TEXT_OPTIONAL("after", 250),
                                                   WIRE_INT_OPTIONAL("limit", 1, 1000)};
static const struct json_field branch_query[] = {WIRE_TEXT("name", 200)};
static const struct json_field config_query[] = {WIRE_TEXT_OPTIONAL("env", 100),
                                                 WIRE_TEXT_OPTIONAL("ref", 200)};
static const struct json_field output_query[] = {WIRE_INT_OPTIONAL("offset", 0, WIRE_ANY)};
static const struct json_field lines_query[] = {
    WIRE_INT_OPTIONAL("limit", 1, 10000),    WIRE_INT_OPTIONAL("follow", 0, 1),
    WIRE_INT_OPTIONAL("after", 0, WIRE_ANY), WIRE_INT_OPTIONAL("before", 0, WIRE_ANY),
    WIRE_INT_OPTIONAL("since", 0, WIRE_ANY), WIRE_INT_OPTIONAL("release", 0, WIRE_ANY),
    WIRE_TEXT_OPTIONAL("instance", 128),     WIRE_TEXT_OPTIONAL("grep", 200)};
static const struct json_field top_query[] = {WIRE_INT_OPTIONAL("seconds", 1, 3600)};
static const struct json_field events_query[] = {
    WIRE_TEXT_OPTIONAL("app", 100), WIRE_TEXT_OPTIONAL("env", 100),
    WIRE_INT_OPTIONAL("after", 0, WIRE_ANY), WIRE_INT_OPTIONAL("limit", 1, 1000)};
static const struct json_field figures_query[] = {WIRE_INT_OPTIONAL("days", 1, 365)};
static const struct json_field compare_query[] = {WIRE_TEXT("from", 100), WIRE_TEXT("to", 100)};
static const struct json_field audit_query[] = {
    WIRE_INT_OPTIONAL("after", 0, WIRE_ANY), WIRE_INT_OPTIONAL("limit", 1, 1000),
    WIRE_INT_OPTIONAL("newest", 0, 1), WIRE_TEXT_OPTIONAL("subject", 200)};

const struct api_route api_routes[] = {
    {"GET", "/version", PERMISSION_NONE, API_READ, api_version, NO_BODY_FIELDS, 200,
     "program and whether set-up is open"},
    {"POST", "/setup", PERMISSION_NONE, API_NO_INPUT, api_setup, BODY(setup_fields), 200,
     "use a one-time link"},
    {"POST", "/login", PERMISSION_NONE, API_NO_INPUT, api_login, BODY(login_fields), 200,
     "name and password for a session token"},
    {"POST", "/logout", PERMISSION_PERSON, API_WRITE, api_logout, BODY(empty_fields), 200,
     "end this session"},
    {"GET", "/me", PERMISSION_PERSON, API_READ, api_me, NO_BODY_FIELDS, 200, "who am I"},
    {"PUT", "/me/password", PERMISSION_PERSON, API_NO_INPUT, api_password, BODY(password_fields),
     200, "a new password; every other session ends"},
    {"GET", "/users", PERMISSION_ADMIN, API_READ, api_users, NO_BODY_FIELDS, 200, "people",
     QUERY(names_query)},
    {"POST", "/users", PERMISSION_ADMIN, API_WRITE, api_user_add, BODY(user_fields), 201,
     "a new person and a one-time link"},
    {"POST", "/users/{user}/reset", PERMISSION_ADMIN, API_WRITE, api_user_reset, BODY(empty_fields),
     200, "a new one-time link"},
    {"DELETE", "/users/{user}", PERMISSION_ADMIN, API_WRITE, api_user_remove, NO_BODY_FIELDS, 200,
     "remove a person"},
    {"GET", "/grants", PERMISSION_ADMIN, API_READ, api_grants, NO_BODY_FIELDS, 200,
     "roles, rights and who holds them"},
    {"POST", "/grants", PERMISSION_ADMIN, API_WRITE, api_grant_add, BODY(grant_fields), 201,
     "give a role"},
    {"DELETE", "/grants", PERMISSION_ADMIN, API_WRITE, api_grant_remove, BODY(grant_fields), 200,
     "take a role away"},
    {"PUT", "/roles/{role}/rights", PERMISSION_ADMIN, API_WRITE, api_role_allow, BODY(right_fields),
     200, "a role may do this, in an env or in every one"},
    {"DELETE", "/roles/{role}/rights", PERMISSION_ADMIN, API_WRITE, api_role_deny,
     BODY(right_fields), 200, "it may no longer"},
    {"GET", "/tokens", PERMISSION_PERSON, API_READ, api_tokens, NO_BODY_FIELDS, 200, "my tokens",
     QUERY(names_query)},
    {"POST", "/tokens", PERMISSION_PERSON, API_WRITE, api_token_add, BODY(token_fields), 201,
     "a new token, shown once"},
    {"DELETE", "/tokens/{token}", PERMISSION_PERSON, API_WRITE, api_token_remove, NO_BODY_FIELDS,
     200, "revoke a token"},
    {"GET", "/envs", PERMISSION_PERSON, API_READ, api_envs, NO_BODY_FIELDS, 200,
     "the environments in order", QUERY(names_query)},
    {"POST", "/envs", PERMISSION_ADMIN, API_WRITE, api_env_add, BODY(env_fields), 201,
     "a new environment"},
    {"PUT", "/envs/{env}", PERMISSION_ADMIN, API_WRITE, api_env_change, BODY(env_change_fields),
     200, "what an environment is for, and what it does at a conflict"},
    {"GET", "/overview", PERMISSION_PERSON, API_READ, api_overview, NO_BODY_FIELDS, 200,
     "what runs where, of all that I may see", QUERY(names_query)},
    {"GET", "/figures", PERMISSION_PERSON, API_READ, api_figures, NO_BODY_FIELDS, 200,
     "deploys, lead time, failures and time to restore of the last env", QUERY(figures_query)},
    {"GET", "/mine", PERMISSION_PERSON, API_READ, api_mine, NO_BODY_FIELDS, 200,
     "the branches I made or pushed"},
    {"GET", "/apps", PERMISSION_PERSON, API_READ, api_apps, NO_BODY_FIELDS, 200,
     "the apps I may see", QUERY(names_query)},
    {"POST", "/apps", PERMISSION_APP, API_NO_INPUT, api_app_add, BODY(app_fields), 201,
     "a new app and its repository"},
    {"GET", "/tries", PERMISSION_PERSON, API_READ, api_tries, NO_BODY_FIELDS, 200,
     "the tries that I may see"},
    {"GET", "/apps/{app}/tries", PERMISSION_VIEW, API_READ, api_tries, NO_BODY_FIELDS, 200,
     "throw-away envs of an app"},
    {"POST", "/apps/{app}/tries", PERMISSION_VIEW, API_NO_INPUT, api_try_add, BODY(try_fields), 201,
     "a throw-away env of some branches"},
    {"DELETE", "/apps/{app}/tries/{try}", PERMISSION_VIEW, API_WRITE, api_try_end, NO_BODY_FIELDS,
     200, "stop and forget it"},
    {"POST", "/apps/{app}/tries/{try}/extend", PERMISSION_VIEW, API_WRITE, api_try_extend,
     BODY(try_extend_fields), 200, "it ends later, or sooner"},
    {"GET", "/forges", PERMISSION_PERSON, API_READ, api_forges, NO_BODY_FIELDS, 200,
     "where repositories elsewhere live", QUERY(names_query)},
    {"PUT", "/forges", PERMISSION_ADMIN, API_NO_INPUT, api_forge_put, BODY(forge_fields), 200,
     "a forge and what we are there, new or changed"},
    {"DELETE", "/forges/{forge}", PERMISSION_ADMIN, API_WRITE, api_forge_remove, NO_BODY_FIELDS,
     200, "forget a forge that nobody follows"},
    {"GET", "/forges/{forge}/projects", PERMISSION_APP, API_READ, api_forge_projects,
     NO_BODY_FIELDS, 200, "what we see there, a page of it", QUERY(projects_query)},
    {"POST", "/hooks/{hook}", PERMISSION_NONE, API_RAW, api_hook, NO_BODY_FIELDS, 202,
     "a webhook's delivery: fetch that app soon"},
    {"GET", "/apps/{app}/origin", PERMISSION_VIEW, API_READ, api_origin, NO_BODY_FIELDS, 200,
     "the repository elsewhere that it follows"},
    {"PUT", "/apps/{app}/origin", PERMISSION_ADMIN, API_NO_INPUT, api_origin_set,
     BODY(origin_fields), 200, "follow a repository elsewhere"},
    {"DELETE", "/apps/{app}/origin", PERMISSION_ADMIN, API_WRITE, api_origin_remove, NO_BODY_FIELDS,
     200, "follow it no more: the repository here is its own"},
    {"POST", "/apps/{app}/origin/fetch", PERMISSION_BRANCH, API_NO_INPUT, api_origin_fetch,
     BODY(empty_fields), 200, "fetch it now"},
    {"GET", "/apps/{app}/origin/branches", PERMISSION_VIEW, API_READ, api_origin_branches,
     NO_BODY_FIELDS, 200, "its branches as its forge has them, with those that are protected",
     QUERY(forge_page_query)},
    {"GET", "/apps/{app}/origin/hook", PERMISSION_ADMIN, API_READ, api_origin_hook, NO_BODY_FIELDS,
     200, "the address and the secret of its webhook"},
    {"GET", "/apps/{app}", PERMISSION_VIEW, API_READ, api_app_get, NO_BODY_FIELDS, 200, "one app"},
    {"DELETE", "/apps/{app}", PERMISSION_APP, API_WRITE, api_app_remove, NO_BODY_FIELDS, 200,
     "remove an app that runs nowhere"},
    {"GET", "/apps/{app}/branches", PERMISSION_VIEW, API_READ, api_branches, NO_BODY_FIELDS, 200,
     "branches", QUERY(branches_query)},
    {"POST", "/apps/{app}/branches", PERMISSION_BRANCH, API_NO_INPUT, api_branch_add,
     BODY(branch_fields), 201, "a new branch"},
    {"DELETE", "/apps/{app}/branches", PERMISSION_TRUNK, API_NO_INPUT, api_branch_remove,
     NO_BODY_FIELDS, 200, "delete a branch", QUERY(branch_query)},
    {"GET", "/apps/{app}/config", PERMISSION_VIEW, API_READ, api_config, NO_BODY_FIELDS, 200,
     "effective configuration", QUERY(config_query)},
    {"POST", "/config/check", PERMISSION_PERSON, API_READ, api_config_check, BODY(check_fields),
     200, "check a slipway.yaml"},
    {"GET", "/apps/{app}/compare", PERMISSION_VIEW, API_READ, api_compare, NO_BODY_FIELDS, 200,
     "what differs between two releases, each as ENV/N", QUERY(compare_query)},
    {"GET", "/apps/{app}/landing", PERMISSION_VIEW, API_READ, api_landing, NO_BODY_FIELDS, 200,
     "what would become trunk now: the release of the last env"},
    {"GET", "/apps/{app}/landings", PERMISSION_VIEW, API_READ, api_landings, NO_BODY_FIELDS, 200,
     "what has become trunk, newest first", QUERY(page_query)},
    {"POST", "/apps/{app}/landings", PERMISSION_TRUNK, API_NO_INPUT, api_landing_add,
     BODY(landing_fields), 201, "make the release of the last env trunk"},
    {"POST", "/apps/{app}/landings/{landing}/cancel", PERMISSION_TRUNK, API_WRITE,
     api_landing_cancel, BODY(empty_fields), 200, "wait no more for its merge request"},
    {"GET", "/apps/{app}/landings/{landing}", PERMISSION_VIEW, API_READ, api_landing_get,
     NO_BODY_FIELDS, 200, "one landing"},
    {"GET", "/findings", PERMISSION_PERSON, API_READ, api_findings_all, NO_BODY_FIELDS, 200,
     "findings of all apps that I may see, newest first", QUERY(findings_all_query)},
    {"POST", "/apps/{app}/findings/{finding}/pictures", PERMISSION_VIEW, API_WRITE | API_RAW,
     api_finding_picture_add, NO_BODY_FIELDS, 201, "a picture: PNG, JPEG or WebP, 4 MiB at most"},
    {"GET", "/apps/{app}/findings/{finding}/pictures/{picture}", PERMISSION_VIEW, API_READ,
     api_finding_picture, NO_BODY_FIELDS, 200, "the picture itself"},
    {"GET", P "/touching", PERMISSION_VIEW, API_READ, api_touching, NO_BODY_FIELDS, 200,
     "branches of what is live that change files with that in their path", QUERY(touching_query)},
    {"GET", "/apps/{app}/findings", PERMISSION_VIEW, API_READ, api_findings, NO_BODY_FIELDS, 200,
     "what testers found, newest first", QUERY(findings_query)},
    {"POST", "/apps/{app}/findings", PERMISSION_VIEW, API_WRITE, api_finding_add,
     BODY(finding_fields), 201, "file one against what is live in an env"},
    {"GET", "/apps/{app}/findings/{finding}", PERMISSION_VIEW, API_READ, api_finding_get,
     NO_BODY_FIELDS, 200, "one finding, and what was said of it"},
    {"POST", "/apps/{app}/findings/{finding}", PERMISSION_VIEW, API_NO_INPUT, api_finding_act,
     BODY(finding_act_fields), 200, "fix, close, reopen, note or assign it"},
    {"GET", "/apps/{app}/resolutions", PERMISSION_VIEW, API_READ, api_resolutions, NO_BODY_FIELDS,
     200, "branches in which conflicts are resolved, and whether they can be used"},
    {"POST", "/apps/{app}/resolutions", PERMISSION_BRANCH, API_NO_INPUT, api_resolution_add,
     BODY(resolution_fields), 201, "open one: a branch with the conflict of these in it"},
    {"POST", "/apps/{app}/resolutions/{resolution}/fold", PERMISSION_BRANCH, API_NO_INPUT,
     api_resolution_fold, BODY(fold_fields), 200, "what is in it goes into the side that is left"},
    {"DELETE", "/apps/{app}/resolutions/{resolution}", PERMISSION_BRANCH, API_NO_INPUT,
     api_resolution_drop, NO_BODY_FIELDS, 200, "use it no more"},
    {"GET", P, PERMISSION_VIEW, API_READ, api_app_env, NO_BODY_FIELDS, 200, "state of an app-env"},
    {"GET", P "/ticks", PERMISSION_VIEW, API_READ, api_ticks, NO_BODY_FIELDS, 200,
     "the ticked set"},
    {"GET", P "/conflicts", PERMISSION_VIEW, API_READ, api_conflicts, NO_BODY_FIELDS, 200,
     "who of the ticked branches merges, who conflicts with whom, and since when"},
    {"POST", P "/conflicts", PERMISSION_VIEW, API_READ, api_conflicts_try, BODY(conflicts_fields),
     200, "the same of other branches; nothing is ticked"},
    {"POST", P "/ticks", PERMISSION_TICK, API_NO_INPUT, api_ticks_change, BODY(ticks_fields), 200,
     "tick and untick"},
    {"GET", P "/instances", PERMISSION_VIEW, API_READ, api_instances, NO_BODY_FIELDS, 200,
     "its instances, with what they use now"},
    {"PUT", P "/domains", PERMISSION_APP, API_WRITE, api_domains_set, BODY(domains_fields), 200,
     "own domains"},
    {"PUT", P "/automation", PERMISSION_APP, API_WRITE, api_automation_set, BODY(automation_fields),
     200, "when it is released without a click"},
    {"PUT", P "/certificate", PERMISSION_APP, API_NO_INPUT, api_certificate_put,
     BODY(certificate_fields), 200, "an own certificate for one of its domains"},
    {"GET", P "/secrets", PERMISSION_VIEW, API_READ, api_secrets, NO_BODY_FIELDS, 200,
     "names and versions of secrets", QUERY(names_query)},
    {"PUT", P "/secrets/{secret}", PERMISSION_SECRET, API_WRITE, api_secret_put,
     BODY(secret_fields), 200, "write a secret"},
    {"DELETE", P "/secrets/{secret}", PERMISSION_SECRET, API_WRITE, api_secret_remove,
     NO_BODY_FIELDS, 200, "delete a secret"},
    {"POST", P "/plan", PERMISSION_VIEW, API_READ, api_plan, BODY(plan_fields), 200,
     "what a rollout would do"},
    {"GET", P "/builds", PERMISSION_VIEW, API_READ, api_builds, NO_BODY_FIELDS, 200,
     "builds, newest first", QUERY(page_query)},
    {"POST", P "/builds", PERMISSION_DEPLOY, API_NO_INPUT, api_build_add, BODY(empty_fields), 201,
     "build without releasing"},
    {"GET", P "/builds/{build}", PERMISSION_VIEW, API_READ, api_build_get, NO_BODY_FIELDS, 200,
     "one build"},
    {"GET", P "/builds/{build}/output", PERMISSION_VIEW, API_READ, api_build_output, NO_BODY_FIELDS,
     200, "its output", QUERY(output_query)},
    {"GET", P "/builds/{build}/culprits", PERMISSION_VIEW, API_READ, api_culprits, NO_BODY_FIELDS,
     200, "which branches make it fail, as far as is known"},
    {"POST", P "/builds/{build}/culprits", PERMISSION_DEPLOY, API_WRITE, api_culprits_add,
     BODY(empty_fields), 201, "find out which branches make it fail, by building others of them"},
    {"POST", P "/builds/{build}/culprits/cancel", PERMISSION_DEPLOY, API_WRITE, api_culprits_cancel,
     BODY(empty_fields), 200, "stop searching"},
    {"POST", P "/builds/{build}/cancel", PERMISSION_DEPLOY, API_WRITE, api_build_cancel,
     BODY(empty_fields), 200, "cancel a build"},
    {"GET", P "/releases", PERMISSION_VIEW, API_READ, api_releases, NO_BODY_FIELDS, 200,
     "releases, newest first", QUERY(page_query)},
    {"GET", P "/releases/{release}", PERMISSION_VIEW, API_READ, api_release_get, NO_BODY_FIELDS,
     200, "one release"},
    {"GET", P "/releases/{release}/provenance", PERMISSION_VIEW, API_READ, api_release_provenance,
     NO_BODY_FIELDS, 200, "how its artifact was made"},
    {"GET", P "/rollouts", PERMISSION_VIEW, API_READ, api_rollouts, NO_BODY_FIELDS, 200,
     "rollouts, newest first", QUERY(page_query)},
    {"POST", P "/rollouts", PERMISSION_VIEW, API_NO_INPUT, api_rollout_add, BODY(rollout_fields),
     201, "deploy, promote or roll back"},
    {"GET", P "/rollouts/{rollout}", PERMISSION_VIEW, API_READ, api_rollout_get, NO_BODY_FIELDS,
     200, "one rollout with its steps"},
    {"POST", P "/rollouts/{rollout}/cancel", PERMISSION_DEPLOY, API_WRITE, api_rollout_cancel,
     BODY(empty_fields), 200, "undo and end it"},
    {"GET", P "/logs", PERMISSION_VIEW, API_STREAM, api_logs, NO_BODY_FIELDS, 200, "output lines",
     QUERY(lines_query)},
    {"GET", P "/requests", PERMISSION_VIEW, API_STREAM, api_requests, NO_BODY_FIELDS, 200,
     "request lines", QUERY(lines_query)},
    {"GET", P "/top", PERMISSION_VIEW, API_READ, api_top, NO_BODY_FIELDS, 200,
     "requests, errors and time per second", QUERY(top_query)},
    {"GET", "/top", PERMISSION_PERSON, API_READ, api_top, NO_BODY_FIELDS, 200,
     "the same for all that the person may see", QUERY(top_query)},
    {"GET", "/events", PERMISSION_PERSON, API_STREAM, api_events, NO_BODY_FIELDS, 200,
     "the event feed, or with a limit a page of it", QUERY(events_query)},
    {"GET", "/audit", PERMISSION_ADMIN, API_READ, api_audit, NO_BODY_FIELDS, 200, "the journal",
     QUERY(audit_query)},
    {"GET", "/audit/verify", PERMISSION_ADMIN, API_READ, api_audit_verify, NO_BODY_FIELDS, 200,
     "walk the journal's chain"},
    {"GET", "/df", PERMISSION_ADMIN, API_READ, api_df, NO_BODY_FIELDS, 200, "disk in use"},
    {"GET", "/doctor", PERMISSION_ADMIN, API_READ, api_doctor, NO_BODY_FIELDS, 200,
     "what is wrong and how to mend it"},
    {"GET", "/debug/dump", PERMISSION_ADMIN, API_READ, api_dump, NO_BODY_FIELDS, 200,
     "every object"},
    {"POST", "/debug/fault", PERMISSION_ADMIN, API_READ, api_fault, BODY(fault_fields), 200,
     "arm a failpoint"},
    {"GET", "/debug/faults", PERMISSION_ADMIN, API_READ, api_faults, NO_BODY_FIELDS, 200,
     "failpoints passed"},
};
const size_t api_route_count = ARRAY_SIZE(api_routes);
