/* compare: what one release has that another has not; figures: how delivery goes. */
#include <stdio.h>

#include "base/str.h"
#include "cli/verbs.h"

/* ---- compare ---- */

static void print_title(const char *title, const json_t *rows)
{
    if (json_array_size(rows))
        cli_print("\n%s\n", title);
}

static void print_branches(const json_t *branches)
{
    static const struct {
        const char *key, *mark;
    } lists[] = {{"added", "+"}, {"removed", "-"}, {"changed", "~"}};
    for (size_t n = 0; n < ARRAY_SIZE(lists); n++) {
        size_t i;
        json_t *row;
        json_array_foreach(json_list(branches, lists[n].key), i, row)
        {
            cli_print("%s %s  %.9s", lists[n].mark, json_text_or(row, "branch", "?"),
                      json_text_or(row, "tip", json_text_or(row, "from", "")));
            if (json_text(row, "to"))
                cli_print(" -> %.9s", json_text(row, "to"));
            cli_print("\n");
        }
    }
}

static void print_commits(const json_t *reply)
{
    static const struct cli_column columns[] = {{"COMMIT", "id", CLI_SHORT},
                                                {"AUTHOR", "author", CLI_TEXT},
                                                {"AGE", "at", CLI_AGE},
                                                {"SUBJECT", "subject", CLI_TEXT}};
    const json_t *commits = json_list(reply, "commits");
    if (!json_is_array(json_object_get(reply, "commits")))
        cli_tell("the commits between them are not known now\n");
    print_title("commits", commits);
    if (json_array_size(commits))
        cli_print_table(commits, columns, ARRAY_SIZE(columns));
    if (json_bool(reply, "commits_more", false))
        cli_print("... and older ones\n");
}

/* A value of the configuration on one line. */
static char *value_text(const json_t *value)
{
    return !value || json_is_null(value) ? mem_strdup("-") : json_print(value);
}

static void print_changes(const char *title, const json_t *rows, const char *key)
{
    size_t i;
    json_t *row;
    print_title(title, rows);
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        AUTO_FREE char *from = value_text(json_object_get(row, "from"));
        AUTO_FREE char *to = value_text(json_object_get(row, "to"));
        cli_print("%s  %s -> %s\n", json_text_or(row, key, "?"), from, to);
    }
}

static char *side_text(const json_t *release)
{
    return mem_format("%s r%lld (%.9s)", json_text_or(release, "env", "?"),
                      (long long)json_int(release, "number", 0),
                      json_text_or(release, "commit", ""));
}

static void print_comparison(const json_t *reply)
{
    AUTO_FREE char *from = side_text(json_dict(reply, "from"));
    AUTO_FREE char *to = side_text(json_dict(reply, "to"));
    cli_print("%s -> %s: %s\n", from, to,
              json_bool(reply, "same_artifact", false) ? "the same artifact" : "another artifact");
    print_branches(json_dict(reply, "branches"));
    print_commits(reply);
    print_changes("configuration", json_list(reply, "config"), "path");
    print_changes("secrets", json_list(reply, "secrets"), "name");
}

int verb_compare(struct cli *c, struct err *err)
{
    size_t first = c->word_count == 3 ? 1 : 0;
    if (c->word_count < 2)
        return cli_usage(c->usage, err);
    if (first)
        c->app = cli_word(c, 0);
    AUTO_FREE char *from = cli_escape(cli_word(c, first));
    AUTO_FREE char *to = cli_escape(cli_word(c, first + 1));
    AUTO_FREE char *tail = mem_format("/compare?from=%s&to=%s", from, to);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *reply = NULL;
    if (cli_app_path(c, tail, &path, err) < 0 || cli_get(c, path, &reply, err) < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        print_comparison(reply);
    return 0;
}

/* ---- figures ---- */

static void put_duration(json_t *row, const char *key, const json_t *value)
{
    char text[24];
    int64_t seconds = json_integer_value(value) / 1000;
    if (!json_is_integer(value))
        (void)snprintf(text, sizeof(text), "-");
    else if (seconds < 120)
        (void)snprintf(text, sizeof(text), "%llds", (long long)seconds);
    else if (seconds < 7200)
        (void)snprintf(text, sizeof(text), "%lldm", (long long)seconds / 60);
    else
        (void)snprintf(text, sizeof(text), "%lldh", (long long)seconds / 3600);
    json_put_text(row, key, text);
}

static void push_figures(json_t *rows, const char *name, const json_t *figures)
{
    char text[24] = "-";
    json_t *row = json_object();
    const json_t *share = json_object_get(figures, "failed_share");
    json_put_text(row, "app", name);
    json_put(row, "deploys", json_incref(json_object_get(figures, "deploys")));
    put_duration(row, "lead", json_object_get(figures, "lead_time_ms"));
    if (json_is_number(share))
        (void)snprintf(text, sizeof(text), "%.0f%%", json_number_value(share) * 100);
    json_put_text(row, "failed", text);
    put_duration(row, "restore", json_object_get(figures, "restore_ms"));
    (void)snprintf(text, sizeof(text), "%.2f",
                   json_number_value(json_object_get(figures, "deploys_per_day")));
    json_put_text(row, "rate", text);
    json_push(rows, row);
}

int verb_figures(struct cli *c, struct err *err)
{
    static const struct cli_column columns[] = {
        {"APP", "app", CLI_TEXT},       {"DEPLOYS", "deploys", CLI_TEXT},
        {"A DAY", "rate", CLI_TEXT},    {"LEAD TIME", "lead", CLI_TEXT},
        {"FAILED", "failed", CLI_TEXT}, {"RESTORED IN", "restore", CLI_TEXT}};
    AUTO_FREE char *path = mem_format("/figures?days=%lld", (long long)(c->days ? c->days : 30));
    AUTO_JSON *reply = NULL;
    AUTO_JSON *rows = json_array();
    size_t i;
    json_t *app;
    if (cli_get(c, path, &reply, err) < 0)
        return -1;
    if (c->json) {
        cli_print_json(reply);
        return 0;
    }
    json_array_foreach(json_list(reply, "apps"), i, app)
        push_figures(rows, json_text_or(app, "app", "?"), app);
    push_figures(rows, "all", reply);
    cli_print("%s, the last %lld days\n", json_text_or(reply, "env", "?"),
              (long long)json_int(reply, "days", 0));
    cli_print_table(rows, columns, ARRAY_SIZE(columns));
    return 0;
}
