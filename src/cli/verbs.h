/* The entries of the verbs, one file each (files of one noun hold its two or three verbs). */
#pragma once
#include "cli/cli.h"

cli_verb_fn verb_setup, verb_login, verb_logout, verb_git_credential;
cli_verb_fn verb_user, verb_role, verb_app, verb_env, verb_branch, verb_tick, verb_untick;
cli_verb_fn verb_plan, verb_build, verb_deploy, verb_promote, verb_rollback, verb_stop, verb_cancel;
cli_verb_fn verb_status, verb_logs, verb_requests, verb_top, verb_history;
cli_verb_fn verb_config, verb_secret, verb_token, verb_audit, verb_df, verb_doctor, verb_debug;
cli_verb_fn verb_compare, verb_figures, verb_land, verb_hotfix, verb_culprits, verb_finding,
    verb_forge, verb_try;
cli_verb_fn verb_completion, verb_version;
/* verb_app.c: the words from this one on, as a list. */
json_t *cli_words_from(const struct cli *c, size_t first);
/* verb_forge.c: what an app follows. */
void cli_put_origin(const struct cli *c, const char *url, json_t *body);
int cli_origin_fetch(struct cli *c, const char *path, struct err *err) MUST_CHECK;
int cli_app_origin(struct cli *c, const char *what, const char *path, struct err *err) MUST_CHECK;
/* verb_branch.c: its row of the list of branches; E_BRANCH_UNKNOWN. */
int cli_branch_find(struct cli *c, const char *name, json_t **ret_row, struct err *err) MUST_CHECK;
/* from NULL: trunk. */
int cli_branch_create(struct cli *c, const char *name, const char *from, json_t **ret_reply,
                      struct err *err) MUST_CHECK;
/* verb_conflicts.c: of the env's ticked branches, or of these (names; taken) when there are any. */
int cli_conflicts(struct cli *c, json_t *branches, struct err *err) MUST_CHECK;
/* verb_resolve.c: of the words after "branch". */
int cli_resolve(struct cli *c, struct err *err) MUST_CHECK;
int cli_resolutions(struct cli *c, struct err *err) MUST_CHECK;
int cli_fold(struct cli *c, struct err *err) MUST_CHECK;
int cli_drop(struct cli *c, struct err *err) MUST_CHECK;
/* "left out: X conflicts with Y, Z": of a row of left_out; heap, safe to print. */
char *cli_left_out_text(const json_t *row);
/* verb_certificate.c */
int cli_certificate_set(struct cli *c, const char *domain, struct err *err) MUST_CHECK;
