/* audit, df, debug, version. */
#include <stdio.h>

#include "base/str.h"
#include "base/time.h"
#include "base/version.h"
#include "cli/verbs.h"

static int verify_audit(struct cli *c, struct err *err)
{
    AUTO_JSON *reply = NULL;
    if (cli_get(c, "/audit/verify", &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        cli_print("%lld rows, head %.12s: %s\n", (long long)json_int(reply, "rows", 0),
                  json_text_or(reply, "head", "?"), json_text_or(reply, "text", "?"));
    if (!json_bool(reply, "ok", false) && json_is_null(json_object_get(reply, "first_bad")))
        return FAIL(err, err_from_name(json_text_or(reply, "error", "internal")),
                    "the journal could not be compared with what host keeps");
    if (!json_bool(reply, "ok", false))
        return FAIL(err, E_JOURNAL_BROKEN, "the journal is broken at row %lld",
                    (long long)json_int(reply, "first_bad", 0));
    return 0;
}

int verb_audit(struct cli *c, struct err *err)
{
    AUTO_JSON *reply = NULL;
    if (text_is(cli_word(c, 0), "verify"))
        return verify_audit(c, err);
    if (cli_at_most(c, 0, err) < 0)
        return -1;
    AUTO_FREE char *after = cli_escape(c->after ? c->after : "0");
    AUTO_FREE char *path = mem_format("/audit?newest=1&limit=%lld&after=%s",
                                      (long long)(c->lines ? c->lines : 50), after);
    if (cli_get(c, path, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    const json_t *items = json_list(reply, "items");
    for (size_t i = json_array_size(items); i-- > 0;) {
        const json_t *row = json_array_get(items, i);
        char at[25];
        time_format(json_int(row, "at", 0), at);
        AUTO_FREE char *data = json_print(json_dict(row, "data"));
        cli_print("%6lld %.19s %-16s %-20s %-16s ", (long long)json_int(row, "seq", 0), at,
                  json_text_or(row, "actor", "?"), json_text_or(row, "kind", "?"),
                  json_text_or(row, "subject", "-"));
        cli_print_safe(data);
        cli_print("\n");
    }
    cli_say_more(reply);
    return 0;
}

static void add_row(json_t *rows, const char *what, int64_t bytes)
{
    json_t *row = json_object();
    json_put_text(row, "what", what);
    json_put_int(row, "bytes", bytes);
    json_push(rows, row);
}

/* What host counts, and beside it what the others keep. A role that is away says so. */
static json_t *df_rows(const json_t *reply)
{
    json_t *rows = json_deep_copy(json_list(json_dict(reply, "host"), "volumes"));
    size_t i;
    json_t *repository;
    add_row(rows, "store", json_int(reply, "store_bytes", 0));
    json_array_foreach(json_list(json_dict(reply, "courier"), "repositories"), i, repository)
    {
        AUTO_FREE char *what = mem_format("repository %s", json_text_or(repository, "app", "?"));
        add_row(rows, what, json_int(repository, "bytes", 0));
    }
    return rows;
}

static void say_absent(const json_t *reply, const char *role)
{
    const json_t *part = json_dict(reply, role);
    if (json_text(part, "error"))
        cli_tell("%s is left out: %s\n", role, json_text_or(part, "text", "?"));
}

int verb_df(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {{"WHAT", "what", CLI_TEXT},
                                                {"BYTES", "bytes", CLI_TEXT},
                                                {"FILES", "files", CLI_TEXT},
                                                {"PATH", "path", CLI_TEXT}};
    AUTO_JSON *reply = NULL;
    if (cli_get(c, "/df", &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    const json_t *host = json_dict(reply, "host");
    const json_t *limits = json_dict(reply, "limits");
    AUTO_JSON *rows = df_rows(reply);
    cli_print_table(rows, columns, ARRAY_SIZE(columns));
    if (json_int(host, "total", 0))
        cli_print("free %lld MB of %lld MB\n", (long long)json_int(host, "free", 0) >> 20,
                  (long long)json_int(host, "total", 0) >> 20);
    cli_print("builds are refused below %lld MB free; each has a volume of %lld MB at most\n",
              (long long)json_int(limits, "disk_reserve", 0) >> 20,
              (long long)json_int(limits, "build_volume", 0) >> 20);
    (void)fflush(stdout);
    say_absent(reply, "host");
    say_absent(reply, "courier");
    return 0;
}

static int arm_fault(struct cli *c, struct err *err)
{
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    int64_t nth = 1;
    if (!cli_word(c, 2))
        return cli_usage("debug fault ROLE POINT [NTH]", err);
    if (cli_word(c, 3) && str_to_int(str_of(cli_word(c, 3)), 0, 1000000, "NTH", &nth, err) < 0)
        return -1;
    json_put_text(body, "role", cli_word(c, 1));
    json_put_text(body, "point", cli_word(c, 2));
    json_put_int(body, "nth", nth);
    return cli_call(c, "POST", "/debug/fault", body, &reply, err);
}

int verb_debug(struct cli *c, struct err *err)
{
    AUTO_JSON *reply = NULL;
    const char *what = cli_word(c, 0) ? cli_word(c, 0) : "dump";
    if (text_is(what, "fault"))
        return arm_fault(c, err);
    if (cli_at_most(c, 1, err) < 0)
        return -1;
    if (!text_is(what, "dump") && !text_is(what, "faults"))
        return cli_usage("debug dump|faults|fault ROLE POINT [NTH]", err);
    AUTO_FREE char *path = mem_format("/debug/%s", what);
    if (cli_get(c, path, &reply, err) < 0)
        return -1;
    cli_print_json(reply);
    return 0;
}

int verb_version(struct cli *c, struct err *err)
{
    struct err ignored = ERR_INIT;
    AUTO_JSON *reply = NULL;
    (void)err;
    bool server = cli_connect(c, &ignored) == 0 && cli_get(c, "/version", &reply, &ignored) == 0;
    if (c->json) {
        AUTO_JSON *both = json_object();
        json_put_text(both, "program", SLIPWAY_VERSION);
        json_put(both, "server", server ? json_incref(reply) : json_null());
        cli_print_json(both);
        return 0;
    }
    cli_print("slipway %s\n", SLIPWAY_VERSION);
    if (server)
        cli_print("server  %s\n", json_text_or(reply, "version", "?"));
    return 0;
}
