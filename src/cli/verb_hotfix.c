/* slipway hotfix: a branch from exactly what the last env runs. */
#include "base/json.h"
#include "base/mem.h"
#include "cli/verbs.h"

/* The last env, and the commit of what it runs. */
static int what_runs(struct cli *c, json_t **ret_landing, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (cli_app_path(c, "/landing", &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    if (!json_text(reply, "commit"))
        return FAIL(err, E_STATE_CONFLICT, "nothing is live in %s: there is nothing to mend",
                    json_text_or(reply, "env", "the last env"));
    *ret_landing = TAKE(reply);
    return 0;
}

/* What is only patched up stays a finding there, until somebody has seen that the real fix is in.
 */
static int follow_up(struct cli *c, const char *name, const json_t *runs, json_t **ret_finding,
                     struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *title = mem_format("%.100s is temporary: the permanent fix is missing", name);
    AUTO_JSON *body = json_object();
    json_put_text(body, "env", json_text(runs, "env"));
    json_put_text(body, "title", title);
    json_put_text(body, "severity", "low");
    json_put_text(
        body, "text",
        "Assign the branch of the permanent fix to this ('slipway finding assign'); close "
        "it when that is released and tried.");
    return cli_app_path(c, "/findings", &path, err) < 0
               ? -1
               : cli_call(c, "POST", path, body, ret_finding, err);
}

/* Commits of trunk that the new branch has not: a release is trunk and what is ticked, so they go
 * along. 0: none, or nobody can tell. */
static int64_t trunk_ahead(struct cli *c, const char *name)
{
    struct err ignored = ERR_INIT;
    AUTO_JSON *row = NULL;
    return cli_branch_find(c, name, &row, &ignored) < 0 ? 0 : json_int(row, "behind", 0);
}

int verb_hotfix(struct cli *c, struct err *err)
{
    AUTO_JSON *runs = NULL;
    AUTO_JSON *reply = NULL;
    AUTO_JSON *finding = NULL;
    if (!text_is(cli_word(c, 0), "new") || !cli_word(c, 1))
        return cli_usage(c->usage, err);
    AUTO_FREE char *name = mem_format("hotfix/%s", cli_word(c, 1));
    if (what_runs(c, &runs, err) < 0 ||
        cli_branch_create(c, name, json_text(runs, "commit"), &reply, err) < 0 ||
        (c->temporary && follow_up(c, name, runs, &finding, err) < 0))
        return -1;
    int64_t ahead = trunk_ahead(c, name);
    json_put_int(reply, "trunk_ahead", ahead);
    if (finding)
        json_put_int(reply, "finding", json_int(finding, "number", 0));
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    AUTO_FREE char *word = cli_shell_word(name);
    const char *env = json_text_or(runs, "env", "?");
    cli_print("created %s from r%lld of %s (%.9s)\n", name, (long long)json_int(runs, "release", 0),
              env, json_text_or(runs, "commit", "?"));
    cli_print("work on it:  git fetch && git checkout %s\n", word);
    cli_print("release it:  slipway tick %s -e %s && slipway deploy -e %s\n", word, env, env);
    if (ahead > 0)
        cli_print(
            "note:        trunk has %lld commits that %s does not run: they are released with "
            "it\n",
            (long long)ahead, env);
    cli_print("then:        slipway land, and slipway land rebuild for the envs that lack it\n");
    if (finding)
        cli_print("finding %lld stays open until the permanent fix is there\n",
                  (long long)json_int(finding, "number", 0));
    return 0;
}
