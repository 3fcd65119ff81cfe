/* Options, the table of verbs, and the way out: the error's text on stderr, its class as exit code.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/verbs.h"

#define MANY CLI_WORDS_MAX

const struct cli_verb cli_verbs[] = {
    {"setup", verb_setup, "setup LINK [--server URL] [--name NAME] [--stdin]",
     "use a one-time link: choose your password, sign in", 1, .need = CLI_OFFLINE},
    {"login", verb_login, "login [--server URL] [--name NAME] [--stdin]",
     "sign in, and let git use it", 0, .need = CLI_OFFLINE},
    {"logout", verb_logout, "logout", "forget the stored token", 0},
    {"user", verb_user,
     "user ls | user add NAME [--role ROLE [-a APP] [-e ENV]] | user reset|remove NAME | user "
     "grant|revoke NAME --role ROLE [-a APP] [-e ENV]",
     "people and their roles", 2},
    {"role", verb_role, "role ls|allow|deny [ROLE RIGHT...] [-e ENV]",
     "what a role may do, in an env or in every one", MANY},
    {"app", verb_app,
     "app ls|create|show|remove|origin|follow|unfollow|fetch|hook [NAME] [URL] [--ref TRUNK] "
     "[--from URL | --forge FORGE --project PROJECT] [--once] [--replace]",
     "apps, and the repositories elsewhere that they follow", 3},
    {"forge", verb_forge,
     "forge ls | forge set NAME gitlab|github|gitea|git URL [--login USER] [--key FILE "
     "--known-hosts FILE] [--cert FILE] | forge projects NAME [--match TEXT] | forge rm NAME",
     "where repositories elsewhere live (the token is read from stdin)", 4},
    {"env", verb_env,
     "env ls | env add NAME [--like ENV] | env purpose NAME TEXT | env policy NAME "
     "stop|skip|last-good | env culprits NAME click|always | env gate NAME "
     "none|low|medium|high|critical | env position NAME N | env automation click|push|HH:MM -e ENV "
     "| env domains "
     "[DOMAIN...|none] -e ENV | env certificate DOMAIN -e ENV",
     "environments and domains", MANY},
    {"branch", verb_branch,
     "branch ls [--match TEXT] [-n COUNT] [--after NAME] | branch show|rm NAME | branch new NAME "
     "[--from BRANCH] | branch tick|untick|order|conflicts [BRANCH...] -e ENV | branch resolve "
     "BRANCH BRANCH... | branch resolutions | branch fold RESOLUTION [INTO] | branch drop "
     "RESOLUTION",
     "branches, what conflicts in an env, and resolving it", MANY},
    {"tick", verb_tick, "tick BRANCH... -e ENV", "put branches into an env's set", MANY},
    {"untick", verb_untick, "untick BRANCH... -e ENV", "take branches out of it", MANY},
    {"plan", verb_plan,
     "plan [deploy [RELEASE] | promote FROM TO | rollback [RELEASE] | stop] -e ENV [--from ENV] "
     "[--release N]",
     "print the steps, do nothing", 3},
    {"build", verb_build, "build -e ENV [--no-wait]", "build the ticked set without releasing it",
     0},
    {"culprits", verb_culprits, "culprits [BUILD | cancel BUILD] -e ENV [--no-wait]",
     "which branches make a build fail, found by building others of them", 2},
    {"deploy", verb_deploy,
     "deploy [RELEASE] -e ENV [--strategy rolling|all-at-once] [--batches N] [--no-wait] "
     "[--timeout S] [-v]",
     "integrate, check, build, release", 1},
    {"promote", verb_promote, "promote FROM TO [--same-artifact|--latest] [--no-wait]",
     "carry what is live in one env to another", 2},
    {"rollback", verb_rollback, "rollback [RELEASE] -e ENV [--no-wait]",
     "bring an earlier release back", 1},
    {"stop", verb_stop, "stop -e ENV [--no-wait]", "take an app out of service in an env", 0},
    {"try", verb_try,
     "try ls | try new BRANCH... [--like ENV] [--hours N] [--text TEXT] [--no-wait] | try "
     "end|extend "
     "TRY [--hours N]",
     "throw-away environments of some branches", MANY},
    {"hotfix", verb_hotfix, "hotfix new NAME [--temporary]",
     "a branch from exactly what the last env runs", 2},
    {"finding", verb_finding,
     "finding ls [--state STATE] [--branch BRANCH] [-e ENV] | finding new TITLE [TEXT] -e ENV "
     "[--severity low|medium|high|critical] [--branch BRANCH] [--picture FILE] [--link PATH] | "
     "finding show N | finding fix|close|reopen|note N [TEXT] [--picture FILE] [--link PATH] | "
     "finding assign N BRANCH | finding who PATH -e ENV",
     "what testers find wrong with a release", 3},
    {"land", verb_land, "land [RELEASE|plan|ls|rebuild|cancel ID]",
     "make what the last env runs trunk", 2},
    {"cancel", verb_cancel, "cancel [build N|ROLLOUT] -e ENV", "undo and end what runs", 2},
    {"status", verb_status, "status [-e ENV] [-w]", "what runs where", 0},
    {"logs", verb_logs,
     "logs -e ENV [-f] [-n LINES] [--since 10m] [--grep TEXT] [--release N] [--instance I]",
     "output of the instances; 'logs build N' of a build", 2},
    {"requests", verb_requests, "requests -e ENV [-f] [-n LINES] [--since 10m] [--grep TEXT]",
     "requests at the edge", 0},
    {"top", verb_top, "top [-e ENV] [--since 10m] [-w]", "requests, errors and time", 0},
    {"history", verb_history, "history [releases|rollouts|builds] -e ENV [-n LINES] [--after N]",
     "what was released when, by whom", 1},
    {"compare", verb_compare, "compare [APP] ENV/RELEASE ENV/RELEASE",
     "what the second release has that the first has not", 3},
    {"figures", verb_figures, "figures [--days N]", "deploys, lead time, failures, time to restore",
     0},
    {"config", verb_config, "config check [FILE] | config show [-e ENV] [--ref BRANCH]",
     "slipway.yaml", 2},
    {"secret", verb_secret, "secret ls|set|rm [NAME] -e ENV [--kind file|env|build]",
     "secrets (the value is read from stdin)", 2},
    {"token", verb_token, "token ls|new|rm [NAME] [--days N] [--read-only] [-a APP]", "API tokens",
     2},
    {"audit", verb_audit, "audit [verify] [-n LINES] [--after SEQ]", "the journal", 1},
    {"df", verb_df, "df", "disk in use", 0},
    {"doctor", verb_doctor, "doctor", "what is wrong, and how to mend it", 0, .need = CLI_OFFLINE},
    {"debug", verb_debug, "debug dump|faults|fault ROLE POINT [NTH]", "look inside", 4},
    {"git-credential", verb_git_credential, "git-credential get", "for git: name and token", 1,
     .need = CLI_OFFLINE, .output = CLI_OWN_FORMAT},
    {"completion", verb_completion, "completion bash", "shell completion", 1, .need = CLI_OFFLINE,
     .output = CLI_OWN_FORMAT},
    {"version", verb_version, "version", "program and server", 0, .need = CLI_OFFLINE},
};
const size_t cli_verb_count = ARRAY_SIZE(cli_verbs);

enum option_form { OPTION_TEXT, OPTION_NUMBER, OPTION_FLAG };
struct option_row {
    const char *name;
    enum option_form form;
    size_t offset;
};
#define OPTION(name_, form_, field_)                                                               \
    {                                                                                              \
        (name_), (form_), offsetof(struct cli, field_)                                             \
    }
static const struct option_row options[] = {
    OPTION("-a", OPTION_TEXT, app),
    OPTION("--app", OPTION_TEXT, app),
    OPTION("-e", OPTION_TEXT, env),
    OPTION("--env", OPTION_TEXT, env),
    OPTION("--settings", OPTION_TEXT, settings),
    OPTION("--server", OPTION_TEXT, server),
    OPTION("--ca", OPTION_TEXT, ca),
    OPTION("--name", OPTION_TEXT, name),
    OPTION("--from", OPTION_TEXT, from),
    OPTION("--strategy", OPTION_TEXT, strategy),
    OPTION("--role", OPTION_TEXT, role),
    OPTION("--kind", OPTION_TEXT, kind),
    OPTION("--grep", OPTION_TEXT, grep),
    OPTION("--instance", OPTION_TEXT, instance),
    OPTION("--since", OPTION_TEXT, since),
    OPTION("--match", OPTION_TEXT, match),
    OPTION("--ref", OPTION_TEXT, ref),
    OPTION("--like", OPTION_TEXT, like),
    OPTION("--after", OPTION_TEXT, after),
    OPTION("--severity", OPTION_TEXT, severity),
    OPTION("--branch", OPTION_TEXT, branch),
    OPTION("--state", OPTION_TEXT, state),
    OPTION("--login", OPTION_TEXT, login),
    OPTION("--key", OPTION_TEXT, key),
    OPTION("--known-hosts", OPTION_TEXT, known_hosts),
    OPTION("--cert", OPTION_TEXT, cert),
    OPTION("--forge", OPTION_TEXT, forge),
    OPTION("--project", OPTION_TEXT, project),
    OPTION("--text", OPTION_TEXT, text),
    OPTION("--picture", OPTION_TEXT, picture),
    OPTION("--link", OPTION_TEXT, link),
    OPTION("-n", OPTION_NUMBER, lines),
    OPTION("--timeout", OPTION_NUMBER, timeout_s),
    OPTION("--release", OPTION_NUMBER, release),
    OPTION("--batches", OPTION_NUMBER, batches),
    OPTION("--days", OPTION_NUMBER, days),
    OPTION("--hours", OPTION_NUMBER, hours),
    OPTION("-f", OPTION_FLAG, follow),
    OPTION("-w", OPTION_FLAG, watch),
    OPTION("--no-wait", OPTION_FLAG, no_wait),
    OPTION("--same-artifact", OPTION_FLAG, same_artifact),
    OPTION("--latest", OPTION_FLAG, latest),
    OPTION("--read-only", OPTION_FLAG, read_only),
    OPTION("--all-at-once", OPTION_FLAG, all_at_once),
    OPTION("--stdin", OPTION_FLAG, from_stdin),
    OPTION("-v", OPTION_FLAG, verbose),
    OPTION("--once", OPTION_FLAG, once),
    OPTION("--temporary", OPTION_FLAG, temporary),
    OPTION("--replace", OPTION_FLAG, replace),
};

#define USAGE_MAX 160 /* bytes of it that an error's line has room for */

/* Where a form ends: at " | " outside of brackets, or with the text. */
static const char *form_end(const char *at)
{
    int depth = 0;
    for (; *at && (depth > 0 || strncmp(at, " | ", 3) != 0); at++)
        depth += (*at == '[') - (*at == ']');
    return at;
}

/* As many of its forms as fit: *ret_more when there are others. */
static int usage_fits(const char *text, bool *ret_more)
{
    const char *fits = text, *end = form_end(text);
    while (end - text <= USAGE_MAX && *end) {
        fits = end;
        end = form_end(end + 3);
    }
    if (end - text <= USAGE_MAX)
        fits = end;
    else if (fits == text) /* the first alone is too long: some words of it */
        for (fits = text + USAGE_MAX; *fits != ' '; fits--)
            ;
    *ret_more = *fits != '\0';
    return (int)(fits - text);
}

int cli_usage(const char *text, struct err *err)
{
    bool more;
    int fits = usage_fits(text, &more);
    return FAIL(err, E_USAGE, "usage: slipway %.*s%s%.*s%s", fits, text,
                more ? "; 'slipway help " : "", more ? (int)strcspn(text, " ") : 0, text,
                more ? "' shows all" : "");
}

int cli_at_most(const struct cli *c, size_t words, struct err *err)
{
    if (c->word_count <= words)
        return 0;
    (void)cli_usage(c->usage, err);
    return err_wrap(err, "'%.40s' is a word too many", c->words[words]);
}

static int set_option(struct cli *c, const struct option_row *row, const char *value,
                      struct err *err)
{
    char *field = (char *)c + row->offset;
    if (row->form == OPTION_FLAG) {
        *(bool *)(void *)field = true;
        return 0;
    }
    if (!value)
        return FAIL(err, E_USAGE, "'%s' wants a value", row->name);
    if (row->form == OPTION_TEXT) {
        *(const char **)(void *)field = value;
        return 0;
    }
    /* from 1: in struct cli 0 says that it was not given */
    return str_to_int(str_of(value), 1, 1000000000, row->name, (int64_t *)(void *)field, err);
}

/* -o json, --wait (the default), -eENV is not known: one form only. Everything after -- is a word.
 */
static int parse_option(struct cli *c, const char *word, const char *next, int *used,
                        struct err *err)
{
    if (text_is(word, "--wait"))
        return 0;
    if (text_is(word, "-o")) {
        *used = 1;
        if (!text_is(next, "json") && !text_is(next, "text"))
            return FAIL(err, E_USAGE, "'-o' is json or text");
        c->json = text_is(next, "json");
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        if (!text_is(options[i].name, word))
            continue;
        *used = options[i].form == OPTION_FLAG ? 0 : 1;
        return set_option(c, &options[i], next, err);
    }
    return FAIL(err, E_USAGE, "unknown option '%.60s': see 'slipway help'", word);
}

static int parse(struct cli *c, int argc, char **argv, struct err *err)
{
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        int used = 0;
        if (!only_words && text_is(argv[i], "--")) {
            only_words = true;
        } else if (only_words || argv[i][0] != '-' || argv[i][1] == 0) {
            if (c->word_count == CLI_WORDS_MAX)
                return FAIL(err, E_USAGE, "too many words");
            c->words[c->word_count++] = argv[i];
        } else if (parse_option(c, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used, err) < 0) {
            return -1;
        }
        i += used;
    }
    return 0;
}

static int help(void)
{
    cli_print("slipway: from ticked branches to live traffic\n\n");
    for (size_t i = 0; i < cli_verb_count; i++)
        cli_print("  %-15s %s\n", cli_verbs[i].name, cli_verbs[i].summary);
    cli_print("\n  slipway help VERB   how a verb is used\n"
              "  slipway serve|down|backup|restore   for root on the server (see slipway(8))\n\n"
              "Everywhere: -a APP, -e ENV, -o json. The app is also taken from $SLIPWAY_APP or "
              "./slipway.yaml.\n"
              "Exit code: 0 done, 2 wrong usage, 10-18 an error by its class (see slipway(1)).\n");
    return 0;
}

static const struct cli_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < cli_verb_count; i++) {
        if (text_is(cli_verbs[i].name, name))
            return &cli_verbs[i];
    }
    return NULL;
}

/* Its forms, one a line. */
static void print_usage(const char *usage)
{
    const char *lead = "usage: ";
    for (const char *end = form_end(usage);; end = form_end(usage)) {
        cli_print("%sslipway %.*s\n", lead, (int)(end - usage), usage);
        if (!*end)
            return;
        lead = "       ";
        usage = end + 3;
    }
}

static int help_verb(const char *name, struct err *err)
{
    const struct cli_verb *verb = name ? find_verb(name) : NULL;
    if (!name)
        return help();
    if (!verb)
        return FAIL(err, E_USAGE, "there is no verb '%.60s': see 'slipway help'", name);
    print_usage(verb->usage);
    cli_print("\n%s\n", verb->summary);
    return 0;
}

/* The first word is the verb, wherever it stands: "slipway -o json status" is as good as the other
 * way round. */
static int take_verb(struct cli *c, const struct cli_verb **ret_verb, struct err *err)
{
    if (c->word_count == 0)
        return cli_usage("VERB ...: see 'slipway help'", err);
    *ret_verb = find_verb(c->words[0]);
    if (!*ret_verb)
        return FAIL(err, E_USAGE, "unknown verb '%.60s': see 'slipway help'", c->words[0]);
    c->usage = (*ret_verb)->usage;
    c->word_count--;
    memmove(c->words, c->words + 1, c->word_count * sizeof(c->words[0]));
    return 0;
}

/* A verb that has nothing to say still has an answer for a program. */
static void print_last_reply(const struct cli *c)
{
    AUTO_JSON *nothing = json_object();
    cli_print_json(c->last_reply ? c->last_reply : nothing);
}

static int run(struct cli *c, int argc, char **argv, struct err *err)
{
    const struct cli_verb *verb = NULL;
    for (int i = 2; i < argc && !text_is(argv[i], "--"); i++)
        if (text_is(argv[i], "--help") || (i == 2 && text_is(argv[i], "-h")))
            return help_verb(argv[1], err);
    if (parse(c, argc, argv, err) < 0 || take_verb(c, &verb, err) < 0)
        return -1;
    if (cli_at_most(c, verb->words_max, err) < 0 ||
        (verb->need == CLI_ONLINE && cli_connect(c, err) < 0) || verb->run(c, err) < 0)
        return -1;
    if (c->json && verb->output == CLI_ANY && !cli_has_printed_json())
        print_last_reply(c);
    return 0;
}

static void print_names(const char *title, const json_t *names)
{
    size_t i;
    json_t *name;
    json_array_foreach((json_t *)names, i, name)
    {
        cli_tell("%s%s\n", i ? "            " : title, json_string_value(name));
    }
}

/* What the error's one line has no room for. */
static void print_conflict(const json_t *conflict)
{
    int64_t count = json_int(conflict, "file_count", 0);
    int64_t listed = (int64_t)json_array_size(json_list(conflict, "files"));
    if (listed == 0)
        return;
    AUTO_JSON *branch = json_pack("[s]", json_text_or(conflict, "branch", "?"));
    print_names("  branch    ", branch);
    print_names("  against   ", json_list(conflict, "against"));
    print_names("  files     ", json_list(conflict, "files"));
    if (count > listed)
        cli_tell("            and %lld more\n", (long long)(count - listed));
}

static int finish(const struct cli *c, const struct err *err)
{
    if (c->json && !cli_has_printed_json()) {
        AUTO_JSON *json = json_from_err(err);
        if (c->detail)
            json_put(json, "detail", json_incref(c->detail));
        cli_print_json(json);
    } else {
        (void)fflush(stdout);
        cli_tell("slipway: ");
        cli_tell("%s (%s)\n", err->text, err_name(err->kind));
        print_conflict(json_dict(c->detail, "conflict"));
    }
    return err_exit_code(err->kind);
}

/* -o json holds for errors in the words before it, too. */
static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc && !text_is(argv[i], "--"); i++) {
        if (text_is(argv[i], "-o") && text_is(argv[i + 1], "json"))
            return true;
    }
    return false;
}

int cli_main(int argc, char **argv)
{
    struct cli c = {0};
    struct err err = ERR_INIT;
    log_setup("cli", LOG_WARN);
    if (argc < 2 || text_is(argv[1], "help") || text_is(argv[1], "--help") ||
        text_is(argv[1], "-h"))
        return help_verb(argc > 2 ? argv[2] : NULL, &err) < 0 ? finish(&c, &err) : 0;
    if (text_is(argv[1], "--version"))
        argv[1] = mem_strdup("version");
    c.json = wants_json(argc, argv);
    int result = run(&c, argc, argv, &err);
    http_client_free(c.client);
    free(c.address);
    free(c.app_owned);
    int code = result < 0 ? finish(&c, &err) : 0;
    json_decref(c.detail);
    json_decref(c.last_reply);
    return code;
}
