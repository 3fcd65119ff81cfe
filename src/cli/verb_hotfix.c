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

int verb_hotfix(struct cli *c, struct err *err)
{
    AUTO_JSON *runs = NULL;
    AUTO_JSON *reply = NULL;
    if (!text_is(cli_word(c, 0), "new") || !cli_word(c, 1))
        return cli_usage(c->usage, err);
    AUTO_FREE char *name = mem_format("hotfix/%s", cli_word(c, 1));
    if (what_runs(c, &runs, err) < 0 ||
        cli_branch_create(c, name, json_text(runs, "commit"), &reply, err) < 0)
        return -1;
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
    cli_print("then:        slipway land\n");
    return 0;
}
