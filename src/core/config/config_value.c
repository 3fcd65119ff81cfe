/* Values of slipway.yaml that have a shape of their own: commands, build steps and checks, the
 * base, the number of processors, and what a name, path or variable may be. Each reader gives the
 * normalised value; its errors name the place. Called by the table in config_schema.c. */
#include "base/json.h"
#include "base/mem.h"
#include "core/config/config_priv.h"

#define WORDS_MAX 200
#define CPUS_MAX ((int64_t)1024)
#define LABEL_MAX 64

/* What a text may be. */

bool config_is_package(struct str text)
{
    if (text.length < 2 || text.length > 100)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || !(c == '+' || c == '-' || c == '.')))
            return false;
    }
    return true;
}

static bool path_parts_ok(struct str rest)
{
    while (rest.data) {
        struct str part = str_cut(&rest, '/');
        if (part.length == 0 || part.length > 255 || str_is(part, ".") || str_is(part, ".."))
            return false;
    }
    return true;
}

bool config_is_path_below(struct str text)
{
    if (text.length == 0 || text.length > 1000 || str_has_control(text))
        return false;
    if (str_is(text, "."))
        return true;
    if (str_starts(text, "./"))
        text = (struct str){text.data + 2, text.length - 2};
    if (str_ends(text, "/"))
        text.length--;
    return path_parts_ok(text);
}

/* As host takes it: root checks again what it binds (host/build/build_spec.c). */
bool config_is_cache_path(struct str text)
{
    static const char *const bases[] = {"proc", "sys",  "dev", "run",   "etc", "usr",
                                        "bin",  "sbin", "lib", "lib64", "tmp"};
    if (text.length < 2 || text.length > 200 || str_has_control(text) || !str_starts(text, "/"))
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (strchr(",:\\", text.data[i]))
            return false;
    struct str rest = {text.data + 1, text.length - 1}, first = rest;
    first = str_cut(&first, '/');
    for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
        if (str_is(first, bases[i]))
            return false;
    return path_parts_ok(rest);
}

bool config_is_file_name(struct str text)
{
    return text.length <= 200 && config_is_path_below(text) && !str_is(text, ".") &&
           !str_starts(text, "./") && !str_ends(text, "/");
}

bool config_is_url_path(struct str text)
{
    if (!str_starts(text, "/") || text.length > 500)
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || strchr("#\"<>\\^`{|}", text.data[i]))
            return false;
    return true;
}

/* Variables that every instance is given by Slipway cannot be set. */
bool config_is_variable(struct str text)
{
    return str_is_env_name(text) && !str_is(text, "PORT") && !str_starts(text, "SLIPWAY_");
}

bool config_is_label(struct str text)
{
    return text.length > 0 && text.length <= LABEL_MAX && !str_has_control(text) &&
           str_equal(str_trim(text), text);
}

/* Commands. */

static int read_words(const struct config_node *node, json_t **ret_value, struct err *err)
{
    AUTO_JSON *argv = json_array();
    for (const struct config_node *n = node->first; n; n = n->next) {
        if (n->kind != CONFIG_SCALAR)
            return CONFIG_FAIL(err, n, E_CONFIG_INVALID, "a command is a list of words");
        if (json_array_size(argv) == WORDS_MAX)
            return CONFIG_FAIL(err, n, E_CONFIG_INVALID, "the command has more than %d words",
                               WORDS_MAX);
        json_push(argv, json_str_value(n->text));
    }
    if (!node->first || node->first->text.length == 0)
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "the command is empty");
    *ret_value = TAKE(argv);
    return 0;
}

int config_read_command(const struct config_node *node, json_t **ret_value, struct err *err)
{
    if (node->kind == CONFIG_SEQUENCE)
        return read_words(node, ret_value, err);
    if (node->kind == CONFIG_MAP)
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "a command is a text or a list of words");
    if (config_split(node->text, ret_value, err) < 0)
        return config_at(err, node);
    return 0;
}

/* A build step: a text is a shell script (it runs inside the build's sandbox only). */
int config_read_script(const struct config_node *node, json_t **ret_value, struct err *err)
{
    if (node->kind != CONFIG_SCALAR)
        return config_read_command(node, ret_value, err);
    if (str_trim(node->text).length == 0)
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "the command is empty");
    json_t *argv = json_array();
    json_push(argv, json_string("/bin/sh"));
    json_push(argv, json_string("-ec"));
    json_push(argv, json_str_value(node->text));
    *ret_value = argv;
    return 0;
}

/* A step without a name is called by its first line. */
static json_t *step_label(const struct config_node *node)
{
    struct str text = node->text;
    if (node->kind == CONFIG_SEQUENCE)
        text = node->first->text;
    while (text.length && strchr(" \t\n", text.data[0]))
        text = (struct str){text.data + 1, text.length - 1};
    text = str_trim(str_cut(&text, '\n'));
    size_t length = 0;
    for (size_t step; length < text.length; length += step) {
        step = str_utf8_step((struct str){text.data + length, text.length - length});
        if (step == 0 || length + step > LABEL_MAX)
            break;
    }
    return json_str_value((struct str){text.data, length});
}

static int read_stage(const struct config_table *table, const struct config_node *node,
                      json_t **ret_value, struct err *err)
{
    AUTO_JSON *stage = NULL, *argv = NULL;
    if (node->kind == CONFIG_MAP) {
        if (config_read_map(table, node, &stage, err) < 0)
            return -1;
        if (json_is_null(json_object_get(stage, "run")))
            return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "'run' is missing here");
        if (json_is_null(json_object_get(stage, "name")))
            json_put(stage, "name", step_label(config_child(node, "run")));
    } else {
        if (config_read_script(node, &argv, err) < 0 ||
            config_read_map(table, NULL, &stage, err) < 0)
            return -1;
        json_put(stage, "name", step_label(node));
        json_put(stage, "run", TAKE(argv));
    }
    *ret_value = TAKE(stage);
    return 0;
}

int config_read_step(const struct config_node *node, json_t **ret_value, struct err *err)
{
    return read_stage(&config_step_table, node, ret_value, err);
}

int config_read_check(const struct config_node *node, json_t **ret_value, struct err *err)
{
    AUTO_JSON *check = NULL;
    if (read_stage(&config_check_table, node, &check, err) < 0)
        return -1;
    bool report = json_text(check, "report") != NULL;
    if (!json_text(check, "format"))
        json_put_text(check, "format", report ? "junit" : "exit");
    bool by_exit = text_is(json_text(check, "format"), "exit");
    if (report && by_exit)
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID,
                           "a check with a report has the format junit or tap");
    if (!report && text_is(json_text(check, "format"), "junit"))
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID,
                           "a check with the format junit needs 'report', the path of its report");
    *ret_value = TAKE(check);
    return 0;
}

/* The rest. */

int config_read_base(const struct config_node *node, json_t **ret_value, struct err *err)
{
    AUTO_JSON *packages = json_array();
    bool host = node->kind == CONFIG_SCALAR && str_is(node->text, "host");
    if (node->kind != CONFIG_SEQUENCE && !host)
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID,
                           "'base' must be a list of Debian packages, or the word host");
    for (const struct config_node *n = node->first; n; n = n->next) {
        if (n->kind != CONFIG_SCALAR || !config_is_package(n->text))
            return CONFIG_FAIL(err, n, E_CONFIG_INVALID,
                               "'base' must be a list of Debian packages: '%.60s' is not the name "
                               "of one",
                               n->kind == CONFIG_SCALAR ? n->text.data : "");
        if (json_array_size(packages) == WORDS_MAX)
            return CONFIG_FAIL(err, n, E_CONFIG_INVALID, "'base' has more than %d packages",
                               WORDS_MAX);
        json_push(packages, json_str_value(n->text));
    }
    json_t *base = json_object();
    json_put_text(base, "kind", host ? "host" : "packages");
    if (!host)
        json_put(base, "packages", TAKE(packages));
    *ret_value = base;
    return 0;
}

/* "0.5" -> 500 thousandths; at most three digits after the point. */
int config_read_cpus(const struct config_node *node, json_t **ret_value, struct err *err)
{
    struct str fraction = node->text;
    int64_t whole = 0, thousandths = 0;
    struct str integer = str_cut(&fraction, '.');
    struct err ignored = ERR_INIT;
    bool good = node->kind == CONFIG_SCALAR &&
                str_to_int(integer, 0, CPUS_MAX, "cpus", &whole, &ignored) == 0 &&
                (!fraction.data || (fraction.length >= 1 && fraction.length <= 3));
    for (size_t i = 0; good && i < 3; i++) {
        int c = fraction.data && i < fraction.length ? fraction.data[i] : '0';
        good = c >= '0' && c <= '9';
        thousandths = thousandths * 10 + (c - '0');
    }
    int64_t value = whole * 1000 + thousandths;
    if (!good || (value != 0 && value < 10) || value > CPUS_MAX * 1000)
        return CONFIG_FAIL(err, node, E_OUT_OF_RANGE,
                           "'cpus' must be a number of processors such as 0.5 (0.01 to %lld, 0: "
                           "no limit)",
                           (long long)CPUS_MAX);
    *ret_value = json_integer(value);
    return 0;
}

int config_read_build_network(const struct config_node *node, json_t **ret_value, struct err *err)
{
    bool on = node->kind == CONFIG_SCALAR && str_is(node->text, "true");
    bool off =
        node->kind == CONFIG_SCALAR && (str_is(node->text, "none") || str_is(node->text, "false"));
    if (!on && !off)
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "'network' must be true or none");
    *ret_value = json_boolean(on);
    return 0;
}
