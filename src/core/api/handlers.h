/* Every handler of the route table, by the file it stands in. */
#pragma once
#include "core/api/api_priv.h"

/* handlers_access.c */
API_HANDLER(api_version);
API_HANDLER(api_setup);
API_HANDLER(api_login);
API_HANDLER(api_logout);
API_HANDLER(api_me);
API_HANDLER(api_password);
API_HANDLER(api_users);
API_HANDLER(api_user_add);
API_HANDLER(api_user_reset);
API_HANDLER(api_user_remove);
API_HANDLER(api_grants);
API_HANDLER(api_grant_add);
API_HANDLER(api_grant_remove);
API_HANDLER(api_role_allow);
API_HANDLER(api_role_deny);
API_HANDLER(api_tokens);
API_HANDLER(api_token_add);
API_HANDLER(api_token_remove);
/* handlers_app.c */
API_HANDLER(api_envs);
API_HANDLER(api_env_add);
API_HANDLER(api_env_change);
API_HANDLER(api_conflicts);
API_HANDLER(api_conflicts_try);
API_HANDLER(api_apps);
API_HANDLER(api_app_add);
API_HANDLER(api_app_get);
API_HANDLER(api_app_remove);
API_HANDLER(api_branches);
API_HANDLER(api_branch_add);
API_HANDLER(api_branch_remove);
API_HANDLER(api_config);
API_HANDLER(api_config_check);
API_HANDLER(api_app_env);
API_HANDLER(api_domains_set);
API_HANDLER(api_automation_set);
API_HANDLER(api_certificate_put);
API_HANDLER(api_secrets);
API_HANDLER(api_secret_put);
API_HANDLER(api_secret_remove);
/* handlers_release.c */
API_HANDLER(api_plan);
API_HANDLER(api_builds);
API_HANDLER(api_build_add);
API_HANDLER(api_build_get);
API_HANDLER(api_build_cancel);
API_HANDLER(api_build_output);
API_HANDLER(api_releases);
API_HANDLER(api_release_get);
API_HANDLER(api_release_provenance);
API_HANDLER(api_rollouts);
API_HANDLER(api_rollout_add);
API_HANDLER(api_rollout_get);
API_HANDLER(api_rollout_cancel);
/* handlers_finding.c */
API_HANDLER(api_findings);
API_HANDLER(api_finding_add);
API_HANDLER(api_finding_get);
API_HANDLER(api_finding_act);
API_HANDLER(api_findings_all);
API_HANDLER(api_finding_picture_add);
API_HANDLER(api_finding_picture);
API_HANDLER(api_touching);
/* handlers_forge.c */
API_HANDLER(api_forges);
API_HANDLER(api_forge_put);
API_HANDLER(api_forge_remove);
API_HANDLER(api_forge_projects);
API_HANDLER(api_origin);
API_HANDLER(api_origin_set);
API_HANDLER(api_origin_remove);
API_HANDLER(api_origin_fetch);
API_HANDLER(api_origin_branches);
API_HANDLER(api_origin_hook);
API_HANDLER(api_hook);
/* handlers_culprit.c */
API_HANDLER(api_culprits);
API_HANDLER(api_culprits_add);
API_HANDLER(api_culprits_cancel);
/* handlers_resolution.c */
API_HANDLER(api_resolutions);
API_HANDLER(api_resolution_add);
API_HANDLER(api_resolution_fold);
API_HANDLER(api_resolution_drop);
/* handlers_signals.c */
API_HANDLER(api_logs);
API_HANDLER(api_requests);
API_HANDLER(api_top);
API_HANDLER(api_events);
/* handlers_system.c */
API_HANDLER(api_audit);
API_HANDLER(api_audit_verify);
API_HANDLER(api_df);
API_HANDLER(api_doctor);
API_HANDLER(api_dump);
API_HANDLER(api_fault);
API_HANDLER(api_faults);
/* handlers_try.c */
API_HANDLER(api_tries);
API_HANDLER(api_try_add);
API_HANDLER(api_try_end);
API_HANDLER(api_try_extend);
/* handlers_ticks.c */
API_HANDLER(api_ticks);
API_HANDLER(api_ticks_change);
/* handlers_overview.c */
API_HANDLER(api_overview);
API_HANDLER(api_figures);
API_HANDLER(api_mine);
/* handlers_compare.c */
API_HANDLER(api_compare);
/* handlers_instances.c */
API_HANDLER(api_instances);
/* handlers_land.c */
API_HANDLER(api_landing);
API_HANDLER(api_landings);
API_HANDLER(api_landing_get);
API_HANDLER(api_landing_add);
API_HANDLER(api_landing_cancel);

/* handlers_app.c: an app for people. */
json_t *api_app_json(const struct api_call *call, const struct app *app);
/* handlers_origin.c: a new app whose repository is elsewhere; its name was checked. API_LATER. */
int api_app_import(struct api_call *call, struct err *err) MUST_CHECK;
/* What following (core/follow) does with `id`, once what this input writes is durable. */
struct follow;
void api_follow_later(struct core *core, int64_t id, void (*act)(struct follow *f, int64_t id));
/* handlers_ticks.c: run within an input, once the courier has said that these branches exist; the
 * reply is run's. API_LATER; E_REF_INVALID, and then E_BRANCH_UNKNOWN. */
int api_with_branches(struct api_call *call, const json_t *names,
                      int (*run)(struct api_call *call, void *context, struct err *err),
                      struct err *err) MUST_CHECK;
/* handlers_release.c: integrating any set is for who may tick or release there. */
int api_may_try(struct api_call *call, struct err *err) MUST_CHECK;
