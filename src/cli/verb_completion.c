/* Completion for bash. Which verbs, sub-verbs, options and values there are comes from the one
 * table of verbs: the words of its usage lines. Names (branches, apps, envs) are asked of the
 * server when they are wanted; they are what other people wrote, and `compgen -W` expands its words
 * as the shell does: it would run a branch called "$(id)". So names are read line by line, compared
 * as text, and quoted. */
#include <stdio.h>

#include "base/str.h"
#include "cli/verbs.h"

enum word_role { WORD_SUB, WORD_OPTION, WORD_VALUE };
typedef void word_fn(void *context, enum word_role role, struct str option, struct str word);

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

/* "secret ls|set [NAME] [--kind file|env] | secret rm NAME": ls, set and rm are sub-verbs, --kind
 * an option, file and env its values; a bracket ends what belongs to an option. Words that do not
 * begin small are for people, as are those that follow them ("env policy NAME stop|skip"). */
static void usage_words(const struct cli_verb *verb, word_fn *take, void *context)
{
    struct str option = {NULL, 0};
    bool first = true; /* of a form */
    for (const char *at = verb->usage; *at;) {
        struct str word = {at, 0};
        while (is_word_byte(at[word.length]))
            word.length++;
        if (word.length == 0) {
            if (*at == '[' || *at == ']' || strncmp(at, " | ", 3) == 0)
                option.data = NULL;
            first |= strncmp(at, " | ", 3) == 0;
            at++;
            continue;
        }
        at += word.length;
        if (first && str_is(word, verb->name))
            continue;
        if (word.data[0] == '-') {
            option = word;
            take(context, WORD_OPTION, option, word);
        } else if (word.data[0] >= 'a' && (option.data || first)) {
            take(context, option.data ? WORD_VALUE : WORD_SUB, option, word);
        }
        first = first && *at == '|';
    }
}

struct wanted {
    enum word_role role;
    struct str option; /* of WORD_VALUE */
    size_t count;
};

static void print_word(void *context, enum word_role role, struct str option, struct str word)
{
    struct wanted *w = context;
    if (role != w->role || (role == WORD_VALUE && !str_equal(option, w->option)))
        return;
    cli_print("%s%.*s", w->count++ ? " " : "", (int)word.length, word.data);
}

struct values {
    const struct cli_verb *verb;
    struct str last; /* the option that was printed: its values come one after the other */
};

static void print_values(void *context, enum word_role role, struct str option, struct str word)
{
    struct values *v = context;
    (void)word;
    if (role != WORD_VALUE || v->last.data == option.data)
        return;
    v->last = option;
    cli_print("    '%s %.*s') _slipway_offer ", v->verb->name, (int)option.length, option.data);
    usage_words(v->verb, print_word, &(struct wanted){.role = WORD_VALUE, .option = option});
    cli_print("; return;;\n");
}

static const char script_head[] =
    "# slipway: completion for bash. Names are foreign text: never compgen -W, which expands "
    "them.\n"
    "_slipway_names() { # the first column of a list, without its title\n"
    "  slipway \"$@\" 2>/dev/null </dev/null | awk 'NR > 1 { print $1 }'\n"
    "}\n"
    "_slipway_offer() {\n"
    "  local name quoted\n"
    "  for name in \"$@\"; do\n"
    "    printf -v quoted %q \"$name\"\n"
    "    if [[ $name == \"$cur\"* || $quoted == \"$cur\"* ]]; then COMPREPLY+=(\"$quoted\"); fi\n"
    "  done\n"
    "}\n"
    "_slipway_offer_names() {\n"
    "  local names\n"
    "  mapfile -t names < <(_slipway_names \"$@\")\n"
    "  _slipway_offer \"${names[@]}\"\n"
    "}\n"
    "_slipway_branches() {\n"
    "  local i app=()\n"
    "  for ((i = 1; i + 1 < ${#COMP_WORDS[@]}; i++)); do\n"
    "    case ${COMP_WORDS[i]} in -a | --app) app=(-a \"${COMP_WORDS[i + 1]}\");; esac\n"
    "  done\n"
    "  _slipway_offer_names branch ls -n 1000 \"${app[@]}\"\n"
    "}\n"
    "_slipway() {\n"
    "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} "
    "verb=${COMP_WORDS[1]}\n"
    "  local subs='' options=''\n"
    "  COMPREPLY=()\n"
    "  case $prev in\n"
    "    -e | --env) _slipway_offer_names env ls; return;;\n"
    "    -a | --app) _slipway_offer_names app ls; return;;\n"
    "    --from | --ref) _slipway_branches; return;;\n"
    "    -o) _slipway_offer json text; return;;\n"
    "  esac\n"
    "  case \"$verb $prev\" in\n";

static const char script_tail[] =
    "  esac\n"
    "  if [[ $cur == -* ]]; then\n"
    "    read -ra options <<<\"$options -a -e -o\"\n"
    "    _slipway_offer \"${options[@]}\"\n"
    "    return\n"
    "  fi\n"
    "  if ((COMP_CWORD == 2)); then\n"
    "    read -ra subs <<<\"$subs\"\n"
    "    _slipway_offer \"${subs[@]}\"\n"
    "  fi\n"
    "  case \"$verb ${COMP_WORDS[2]}\" in\n"
    "    tick\\ * | untick\\ * | 'branch rm') _slipway_branches;;\n"
    "    promote\\ *) _slipway_offer_names env ls;;\n"
    "    compare\\ * | 'app show' | 'app remove') _slipway_offer_names app ls;;\n"
    "    'config check' | serve\\ *) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\");;\n"
    "  esac\n"
    "}\n"
    "complete -F _slipway slipway\n";

static void print_script(void)
{
    cli_print("%s", script_head);
    for (size_t i = 0; i < cli_verb_count; i++)
        usage_words(&cli_verbs[i], print_values, &(struct values){.verb = &cli_verbs[i]});
    cli_print("  esac\n  if ((COMP_CWORD == 1)); then\n    _slipway_offer");
    for (size_t i = 0; i < cli_verb_count; i++)
        cli_print(" %s", cli_verbs[i].name);
    cli_print(" serve down help\n    return\n  fi\n  case $verb in\n");
    for (size_t i = 0; i < cli_verb_count; i++) {
        cli_print("    %s) subs='", cli_verbs[i].name);
        usage_words(&cli_verbs[i], print_word, &(struct wanted){.role = WORD_SUB});
        cli_print("' options='");
        usage_words(&cli_verbs[i], print_word, &(struct wanted){.role = WORD_OPTION});
        cli_print("';;\n");
    }
    cli_print("%s", script_tail);
}

int verb_completion(struct cli *c, struct err *err)
{
    if (!text_is(cli_word(c, 0), "bash"))
        return cli_usage("completion bash", err);
    print_script();
    return 0;
}
