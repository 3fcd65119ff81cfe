/* A command line that stands as one text: split into words as a shell would split plain words and
 * quotes. Nothing is expanded; whatever a shell would treat as more than a word is refused, because
 * quietly passing "$PORT" or "*.js" on as it stands would only fail later and elsewhere. */
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/config/config_priv.h"

#define COMMAND_WORDS_MAX 200

struct split {
    struct str rest;
    json_t *argv;
    struct buf word;
    bool in_word;
};

static int split_refuse(char c, struct err *err)
{
    char shown[2] = {c, '\0'};
    return FAIL(err, E_CONFIG_INVALID,
                "the command holds %s%s%s, which only a shell understands: write it as a list, or "
                "call a script",
                c == '\n' ? "" : "'", c == '\n' ? "a line break" : shown, c == '\n' ? "" : "'");
}

static bool split_is_space(char c)
{
    return c == ' ' || c == '\t';
}

static int split_end_word(struct split *s, struct err *err)
{
    if (!s->in_word)
        return 0;
    if (json_array_size(s->argv) == COMMAND_WORDS_MAX)
        return FAIL(err, E_CONFIG_INVALID, "the command has more than %d words", COMMAND_WORDS_MAX);
    json_push(s->argv, json_str_value(buf_str(&s->word)));
    buf_clear(&s->word);
    s->in_word = false;
    return 0;
}

/* Up to the closing quote. Single quotes: all literal. Double quotes: \" and \\ are escapes; what a
 * shell would expand there is refused too. */
static int split_quoted(struct split *s, char quote, struct err *err)
{
    for (size_t i = 0; i < s->rest.length; i++) {
        char c = s->rest.data[i];
        if (c == quote) {
            s->rest = (struct str){s->rest.data + i + 1, s->rest.length - i - 1};
            return 0;
        }
        if (quote == '"' && (c == '$' || c == '`'))
            return split_refuse(c, err);
        if (quote == '"' && c == '\\' && i + 1 < s->rest.length &&
            (s->rest.data[i + 1] == '"' || s->rest.data[i + 1] == '\\'))
            c = s->rest.data[++i];
        (void)buf_add_char(&s->word, c);
    }
    return FAIL(err, E_CONFIG_INVALID, "the command has a quote (%c) that is never closed", quote);
}

static int split_char(struct split *s, char c, struct err *err)
{
    bool starts = !s->in_word && (c == '#' || c == '~');
    if (split_is_space(c))
        return split_end_word(s, err);
    if (starts || strchr("$`;|&<>*?()\n\r\\", c))
        return split_refuse(c, err);
    s->in_word = true;
    if (c == '\'' || c == '"')
        return split_quoted(s, c, err);
    (void)buf_add_char(&s->word, c);
    return 0;
}

/* "A=b node x" sets a variable in a shell; here it would be the program's name. */
static int split_check_first(json_t *argv, struct err *err)
{
    const char *first = json_string_value(json_array_get(argv, 0));
    if (!first || !first[0])
        return FAIL(err, E_CONFIG_INVALID, "the command is empty");
    const char *equals = strchr(first, '=');
    if (equals && str_is_env_name((struct str){first, (size_t)(equals - first)}))
        return FAIL(err, E_CONFIG_INVALID,
                    "the command begins with a variable: put '%.60s' under env, clear", first);
    return 0;
}

static int split_all(struct split *s, struct err *err)
{
    while (s->rest.length > 0) {
        char c = s->rest.data[0];
        s->rest = (struct str){s->rest.data + 1, s->rest.length - 1};
        if (split_char(s, c, err) < 0)
            return -1;
    }
    if (split_end_word(s, err) < 0)
        return -1;
    return split_check_first(s->argv, err);
}

int config_split(struct str text, json_t **ret_argv, struct err *err)
{
    while (text.length && strchr(" \t\n", text.data[text.length - 1]))
        text.length--; /* the line break at the end of a block scalar */
    AUTO_JSON *argv = json_array();
    struct split s = {.rest = text, .argv = argv, .word = BUF_INIT(CONFIG_MAX)};
    int result = split_all(&s, err);
    buf_done(&s.word);
    if (result == 0)
        *ret_argv = TAKE(argv);
    return result;
}
