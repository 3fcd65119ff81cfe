/* doctor: what core and host found, and (to root on the machine itself) what can be seen there
 * whether or not core answers. */
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/doctor_local.h"
#include "cli/verbs.h"
#include "wire/settings.h"

#define ANSWER_MS 15000 /* host is given eight seconds by core */

/* Core may be stopped or stuck: who asks what is wrong must not wait for ever. */
static int ask_here(struct cli *c, json_t **ret_reply, struct err *err)
{
    AUTO(settings) *s = NULL;
    if (settings_load(cli_settings_path(c), &s, err) < 0)
        return -1;
    AUTO_FREE char *socket = settings_run(s, "api.sock");
    c->client = http_client_new(&(struct http_client_options){
        .unix_socket = socket, .base_url = "http://localhost", .timeout_ms = ANSWER_MS});
    return cli_get(c, "/doctor", ret_reply, err);
}

static int ask_there(struct cli *c, json_t **ret_reply, struct err *err)
{
    return cli_connect(c, err) < 0 ? -1 : cli_get(c, "/doctor", ret_reply, err);
}

static void print_check(const json_t *check)
{
    bool ok = json_bool(check, "ok", false);
    size_t i;
    json_t *line;
    cli_print("%-5s %-24s ", ok ? "ok" : "BAD", json_text_or(check, "name", "?"));
    cli_print_safe(json_text_or(check, "text", ""));
    cli_print("\n");
    if (!ok)
        cli_print("      mend: %s\n", json_text_or(check, "fix", "?"));
    json_array_foreach(json_list(check, "log"), i, line)
    {
        cli_print("      log:  ");
        cli_print_safe(json_string_value(line));
        cli_print("\n");
    }
}

static int show(struct cli *c, const json_t *reply, struct err *err)
{
    const json_t *checks = json_list(reply, "checks");
    size_t bad = 0, i;
    json_t *check;
    json_array_foreach(checks, i, check)
    {
        bad += !json_bool(check, "ok", false);
        if (!c->json)
            print_check(check);
    }
    if (c->json)
        cli_print_json(reply);
    if (bad)
        return FAIL(err, E_UNAVAILABLE, "%zu of %zu checks failed", bad, json_array_size(checks));
    return 0;
}

int verb_doctor(struct cli *c, struct err *err)
{
    const char *token = getenv("SLIPWAY_TOKEN");
    struct err trouble = ERR_INIT;
    AUTO_JSON *reply = NULL;
    AUTO_JSON *local = json_array();
    bool here = geteuid() == 0 && !c->server && !(token && *token);
    int asked = here ? ask_here(c, &reply, &trouble) : ask_there(c, &reply, &trouble);
    if (asked < 0 && !here)
        return FAIL(err, trouble.kind, "%s", trouble.text);
    if (!reply)
        reply = json_object();
    if (here)
        doctor_local(cli_settings_path(c), asked < 0 ? trouble.text : NULL, local);
    json_t *checks = doctor_merge(local, json_list(reply, "checks"));
    size_t i;
    json_t *check;
    bool ok = true;
    json_array_foreach(checks, i, check) ok = ok && json_bool(check, "ok", false);
    json_put(reply, "checks", checks);
    json_put_bool(reply, "core_answers", asked == 0);
    json_put_bool(reply, "ok", ok);
    return show(c, reply, err);
}
