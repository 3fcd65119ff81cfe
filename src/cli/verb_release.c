/* plan, build, deploy, promote, rollback, cancel. */
#include <stdio.h>

#include "base/str.h"
#include "cli/verbs.h"

static int release_number(const char *word, int64_t *ret_number, struct err *err)
{
    if (!word)
        return 0;
    if (word[0] == 'r')
        word++;
    return str_to_int(str_of(word), 1, 1000000000, "RELEASE", ret_number, err);
}

static json_t *rollout_body(const struct cli *c, const char *kind, int64_t release)
{
    json_t *body = json_object();
    json_put_text(body, "kind", kind);
    if (release)
        json_put_int(body, "release", release);
    if (c->from)
        json_put_text(body, "from", c->from);
    if (c->same_artifact)
        json_put_bool(body, "same_artifact", true);
    if (c->latest)
        json_put_bool(body, "latest", true);
    if (c->strategy || c->all_at_once)
        json_put_text(body, "strategy", c->all_at_once ? "all-at-once" : c->strategy);
    if (c->batches)
        json_put_int(body, "batches", c->batches);
    return body;
}

static void say_address(struct cli *c)
{
    struct err ignored = ERR_INIT;
    AUTO_FREE char *path = NULL;
    AUTO_JSON *state = NULL;
    if (c->json || cli_app_env_path(c, "", &path, &ignored) < 0 ||
        cli_get(c, path, &state, &ignored) < 0)
        return;
    cli_print_address(state);
}

/* The build that a rollout begins with. Nice to know: NULL when it cannot be had. */
static json_t *build_of(struct cli *c, const json_t *rollout)
{
    size_t i;
    json_t *step;
    json_array_foreach(json_list(rollout, "steps"), i, step)
    {
        struct err ignored = ERR_INIT;
        AUTO_FREE char *path = NULL;
        json_t *build = NULL;
        AUTO_FREE char *tail =
            mem_format("/builds/%lld", (long long)json_int(json_dict(step, "args"), "build", 0));
        if (!text_is(json_text(step, "kind"), "build"))
            continue;
        return cli_app_env_path(c, tail, &path, &ignored) == 0 &&
                       cli_get(c, path, &build, &ignored) == 0
                   ? build
                   : NULL;
    }
    return NULL;
}

static void say_left_out(struct cli *c, const json_t *left_out)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)left_out, i, row)
    {
        AUTO_FREE char *text = cli_left_out_text(row);
        cli_progress(c, "%s\n", text);
    }
}

static void say_start(struct cli *c, const char *kind, const json_t *rollout)
{
    AUTO_JSON *build = build_of(c, rollout);
    int64_t same = json_int(build, "same_as", 0);
    cli_progress(c, "%s of r%lld to %s (rollout %lld)", kind,
                 (long long)json_int(rollout, "release", 0), c->env,
                 (long long)json_int(rollout, "id", 0));
    if (same)
        cli_progress(c, " (same source as build %lld)", (long long)same);
    cli_progress(c, "\n");
    say_left_out(c, json_list(build, "left_out"));
}

static int start_rollout(struct cli *c, const char *kind, int64_t release, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = rollout_body(c, kind, release);
    AUTO_JSON *reply = NULL;
    if (cli_app_env_path(c, "/rollouts", &path, err) < 0 ||
        cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    const json_t *rollout = json_dict(reply, "rollout");
    int64_t id = json_int(rollout, "id", 0);
    if (c->no_wait) {
        if (c->json)
            cli_print_json(rollout);
        else
            cli_print("rollout %lld of r%lld has started: 'slipway status -e %s -w' watches it\n",
                      (long long)id, (long long)json_int(rollout, "release", 0), c->env);
        return 0;
    }
    say_start(c, kind, rollout);
    if (cli_follow_rollout(c, id, err) < 0)
        return -1;
    say_address(c);
    return 0;
}

/* The words of deploy [RELEASE], rollback [RELEASE], promote FROM TO and stop, from `first` on; the
 * same for the verbs and for their plans. */
static int read_words(struct cli *c, const char *kind, size_t first, int64_t *ret_release,
                      struct err *err)
{
    *ret_release = c->release;
    if (text_is(kind, "stop"))
        return cli_at_most(c, first, err);
    if (!text_is(kind, "promote")) {
        if (cli_at_most(c, first + 1, err) < 0)
            return -1;
        return release_number(cli_word(c, first), ret_release, err);
    }
    if (cli_word(c, first))
        c->from = cli_word(c, first);
    if (cli_word(c, first + 1))
        c->env = cli_word(c, first + 1);
    return c->from && c->env ? 0 : cli_usage(c->usage, err);
}

static int carry(struct cli *c, const char *kind, struct err *err)
{
    int64_t release = 0;
    return read_words(c, kind, 0, &release, err) < 0 ? -1 : start_rollout(c, kind, release, err);
}

int verb_deploy(struct cli *c, struct err *err)
{
    return carry(c, "deploy", err);
}

int verb_promote(struct cli *c, struct err *err)
{
    return carry(c, "promote", err);
}

int verb_rollback(struct cli *c, struct err *err)
{
    return carry(c, "rollback", err);
}

int verb_stop(struct cli *c, struct err *err)
{
    return carry(c, "stop", err);
}

int verb_plan(struct cli *c, struct err *err)
{
    const char *kind = cli_word(c, 0) ? cli_word(c, 0) : "deploy";
    int64_t release = 0;
    if (!text_is(kind, "deploy") && !text_is(kind, "promote") && !text_is(kind, "rollback") &&
        !text_is(kind, "stop"))
        return cli_usage(c->usage, err);
    if (read_words(c, kind, 1, &release, err) < 0)
        return -1;
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = rollout_body(c, kind, release);
    AUTO_JSON *reply = NULL;
    if (cli_app_env_path(c, "/plan", &path, err) < 0 ||
        cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    size_t i;
    json_t *step;
    json_array_foreach(json_list(reply, "steps"), i, step)
        cli_print("%3zu  %s\n", i + 1, json_text_or(step, "text", "?"));
    say_left_out(c, json_list(reply, "left_out"));
    return 0;
}

int verb_build(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    if (cli_app_env_path(c, "/builds", &path, err) < 0 ||
        cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    const json_t *build = json_dict(reply, "build");
    int64_t number = json_int(build, "number", 0);
    int64_t same = json_int(build, "same_as", 0);
    if (c->no_wait && c->json) {
        cli_print_json(build);
        return 0;
    }
    cli_progress(c, "build b%lld of %.9s", (long long)number, json_text_or(build, "commit", "?"));
    if (same)
        cli_progress(c, " (same source as build %lld)", (long long)same);
    cli_progress(c, "\n");
    say_left_out(c, json_list(build, "left_out"));
    if (c->no_wait) {
        cli_print("it has started: 'slipway logs build %lld -e %s -f' shows its output\n",
                  (long long)number, c->env);
        return 0;
    }
    return cli_follow_build(c, number, err);
}

static int cancel_path(struct cli *c, char **ret_path, struct err *err)
{
    AUTO_FREE char *tail = NULL;
    AUTO_FREE char *state_path = NULL;
    AUTO_JSON *state = NULL;
    bool of_build = text_is(cli_word(c, 0), "build");
    if (of_build != (cli_word(c, 1) != NULL))
        return cli_usage("cancel [build N|ROLLOUT] -e ENV", err);
    if (of_build) {
        AUTO_FREE char *number = cli_escape(cli_word(c, 1));
        tail = mem_format("/builds/%s/cancel", number);
        return cli_app_env_path(c, tail, ret_path, err);
    }
    if (cli_at_most(c, 1, err) < 0)
        return -1;
    if (cli_word(c, 0)) {
        AUTO_FREE char *number = cli_escape(cli_word(c, 0));
        tail = mem_format("/rollouts/%s/cancel", number);
        return cli_app_env_path(c, tail, ret_path, err);
    }
    if (cli_app_env_path(c, "", &state_path, err) < 0 || cli_get(c, state_path, &state, err) < 0)
        return -1;
    if (!json_is_object(json_object_get(state, "rollout")))
        return FAIL(err, E_STATE_CONFLICT, "no rollout is running in %s", c->env);
    tail = mem_format("/rollouts/%lld/cancel",
                      (long long)json_int(json_dict(state, "rollout"), "id", 0));
    return cli_app_env_path(c, tail, ret_path, err);
}

int verb_cancel(struct cli *c, struct err *err)
{
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    if (cancel_path(c, &path, err) < 0 || cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        cli_print("%s\n", json_text_or(reply, "state", "?"));
    return 0;
}
