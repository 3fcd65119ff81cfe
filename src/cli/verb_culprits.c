/* slipway culprits: which branches make a build fail. */
#include "cli/verbs.h"

/* The one that is named ("12" or "b12"), or the latest that failed. */
static int which(struct cli *c, const char *word, int64_t *ret_number, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    size_t i;
    json_t *row;
    if (word)
        return str_to_int(str_of(*word == 'b' ? word + 1 : word), 1, 1000000000, "the build",
                          ret_number, err);
    if (cli_app_env_path(c, "/builds?limit=100", &path, err) < 0 ||
        cli_get(c, path, &reply, err) < 0)
        return -1;
    json_array_foreach(json_list(reply, "items"), i, row)
    {
        if (!text_is(json_text(row, "state"), "failed") || json_int(row, "culprits_of", 0))
            continue;
        *ret_number = json_int(row, "number", 0);
        return 0;
    }
    return FAIL(err, E_NOT_FOUND, "none of the latest builds in %s has failed", c->env);
}

static void print_found(const json_t *row)
{
    const json_t *culprits = json_list(row, "culprits");
    cli_print("b%lld fails ", (long long)json_int(row, "build", 0));
    if (json_array_size(culprits) == 0) {
        cli_print("on trunk alone: none of its branches does it\n");
        return;
    }
    cli_print(json_array_size(culprits) == 1 ? "because of " : "because of these together: ");
    cli_print_names(culprits);
    cli_print("\n");
}

static int cancel(struct cli *c, int64_t number, struct err *err)
{
    AUTO_FREE char *tail = mem_format("/builds/%lld/culprits/cancel", (long long)number);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    return cli_app_env_path(c, tail, &path, err) < 0 ? -1
                                                     : cli_call(c, "POST", path, NULL, &reply, err);
}

/* A search that is known or under way is told; else one begins. */
static int begin(struct cli *c, int64_t number, json_t **ret_row, struct err *err)
{
    AUTO_FREE char *tail = mem_format("/builds/%lld/culprits", (long long)number);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *row = NULL;
    struct err ignored = ERR_INIT; /* not found: none yet */
    if (cli_app_env_path(c, tail, &path, err) < 0)
        return -1;
    if (cli_get(c, path, &row, &ignored) == 0 && (text_is(json_text(row, "state"), "running") ||
                                                  text_is(json_text(row, "state"), "found"))) {
        *ret_row = TAKE(row);
        return 0;
    }
    AUTO_JSON *body = json_object();
    return cli_call(c, "POST", path, body, ret_row, err);
}

int verb_culprits(struct cli *c, struct err *err)
{
    bool cancels = text_is(cli_word(c, 0), "cancel");
    AUTO_JSON *row = NULL;
    AUTO_JSON *ended = NULL;
    int64_t number = 0;
    if (cancels && !cli_word(c, 1))
        return cli_usage(c->usage, err);
    if (!c->env)
        return FAIL(err, E_USAGE, "which env? -e ENV");
    if (which(c, cli_word(c, cancels ? 1 : 0), &number, err) < 0)
        return -1;
    if (cancels)
        return cancel(c, number, err);
    if (cli_at_most(c, 1, err) < 0 || begin(c, number, &row, err) < 0)
        return -1;
    if (c->no_wait) {
        if (c->json)
            cli_print_json(row);
        else
            cli_print("it is being found out: 'slipway culprits %lld -e %s' follows it\n",
                      (long long)number, c->env);
        return 0;
    }
    if (cli_follow_culprits(c, number, &ended, err) < 0)
        return -1;
    if (ended)
        print_found(ended);
    return 0;
}
