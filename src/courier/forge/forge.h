/* Forges: GitLab (API v4), GitHub (REST, 2022-11-28) and Gitea (API v1), as far as a release
 * platform needs one: who we are, projects, branches, a webhook, commit statuses, merge requests.
 *
 * A verb is one blocking function for a pool thread, one request or a few. Every reply may instead
 * be {"wait_s": n}: asked too often, not before then. Errors: E_FORGE_DENIED (it knows us not, or
 * does not let us), E_NOT_FOUND, E_UNAVAILABLE (not there, broken, elsewhere), E_TIMEOUT,
 * E_FIELD_INVALID (it found what we sent wrong, and says why), and those of outside_open. */
#pragma once
#include <jansson.h>
#include "courier/git/git.h"

git_work_fn forge_user;
git_work_fn forge_projects;
git_work_fn forge_branches;
git_work_fn forge_hook;
git_work_fn forge_status;
git_work_fn forge_merge;
