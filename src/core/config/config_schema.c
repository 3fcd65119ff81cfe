/* The one table of slipway.yaml's keys: name, type, default, range; and the reader that walks a
 * tree by it. Reading gives the normalised configuration with every key present; what the table
 * does not list is refused with its place and the nearest known key. A new key is one row here and
 * its line in docs. */
#include "base/json.h"
#include "base/mem.h"
#include "core/config/config_priv.h"

#define VALUE_MAX                                                                                  \
    ((size_t)128 * 1024) /* of a variable or file: as long as a kernel takes an argument */
#define SECOND ((int64_t)1000)
#define HOUR (3600 * SECOND)
#define MIB ((int64_t)1 << 20)
#define TIB ((int64_t)1 << 40)

#define KEY(name_, type_, ...)                                                                     \
    {                                                                                              \
        .name = (name_), .type = CONFIG_TYPE_##type_, ##__VA_ARGS__                                \
    }
#define RANGE(fallback_, min_, max_) .fallback = (fallback_), .min = (min_), .max = (max_)
#define TABLE(name_, shown_, ...)                                                                  \
    static const struct config_key name_##_keys[] = {__VA_ARGS__};                                 \
    const struct config_table config_##name_##_table = {shown_, name_##_keys,                      \
                                                        ARRAY_SIZE(name_##_keys)}
#define LOCAL_TABLE(name_, shown_, ...)                                                            \
    static const struct config_key name_##_keys[] = {__VA_ARGS__};                                 \
    static const struct config_table config_##name_##_table = {shown_, name_##_keys,               \
                                                               ARRAY_SIZE(name_##_keys)}

static const struct config_rule rule_name = {str_is_name, "a name (a-z, 0-9 and '-')", E_OK};
static const struct config_rule rule_label = {config_is_label, "a short text of one line", E_OK};
static const struct config_rule rule_package = {config_is_package, "a Debian package", E_OK};
static const struct config_rule rule_below = {config_is_path_below,
                                              "a relative path that stays in the folder", E_OK};
static const struct config_rule rule_cache = {
    config_is_cache_path,
    "an absolute path of at most 200 bytes, without ',', ':' and '\\', outside of the base (/usr, "
    "/etc, /tmp, ...)",
    E_OK};
static const struct config_rule rule_file = {config_is_file_name, "a relative path", E_OK};
static const struct config_rule rule_url = {config_is_url_path, "a path that begins with '/'",
                                            E_OK};
static const struct config_rule rule_variable = {
    config_is_variable, "a variable (letters, digits, '_'; PORT and SLIPWAY_* are given)", E_OK};
#define DOMAINS                                                                                    \
    "domains belong to the app-env: 'slipway env domains DOMAIN -a APP -e ENV' sets them"

/* clang-format off */
TABLE(step, "steps",
    KEY("name", TEXT, .rule = &rule_label),
    KEY("run", CUSTOM, .read = config_read_script));

TABLE(check, "checks",
    KEY("name", TEXT, .rule = &rule_label),
    KEY("run", CUSTOM, .read = config_read_script),
    KEY("report", TEXT, .rule = &rule_below),
    KEY("format", WORD, .words = "junit|tap|exit"),
    KEY("allow_empty", BOOL, .fallback = "false"));

LOCAL_TABLE(build, "build",
    KEY("packages", LIST, .rule = &rule_package, .max = 200),
    KEY("steps", ITEMS, .read = config_read_step, .max = 50),
    KEY("checks", ITEMS, .read = config_read_check, .max = 50),
    KEY("output", LIST, .rule = &rule_below, .max = 100),
    KEY("exclude", LIST, .rule = &rule_below, .max = 100),
    KEY("cache", LIST, .rule = &rule_cache, .max = 8),
    KEY("network", CUSTOM, .fallback = "true", .read = config_read_build_network),
    KEY("env", DICT, .rule = &rule_variable, .max = 200),
    KEY("memory", BYTES, RANGE("0", 64 * MIB, TIB)),
    KEY("pids", INT, RANGE("0", 16, 100000)),
    KEY("timeout", MS, RANGE("0s", SECOND, 24 * HOUR), .emit = "timeout_ms"));

LOCAL_TABLE(env, "env",
    KEY("clear", DICT, .rule = &rule_variable, .max = 500),
    KEY("secret", LIST, .rule = &rule_variable, .max = 200));

LOCAL_TABLE(healthcheck, "healthcheck",
    KEY("path", TEXT, .fallback = "/up", .rule = &rule_url),
    KEY("interval", MS, RANGE("1s", 100, HOUR), .emit = "interval_ms"),
    KEY("timeout", MS, RANGE("5s", 100, 60 * SECOND), .emit = "timeout_ms"));

LOCAL_TABLE(proxy, "proxy",
    KEY("app_port", INT, RANGE("3000", 1, 65535)),
    KEY("host", NEVER, .words = DOMAINS),
    KEY("hosts", NEVER, .words = DOMAINS),
    KEY("healthcheck", MAP, .keys = &config_healthcheck_table),
    KEY("response_timeout", MS, RANGE("30s", SECOND, 24 * HOUR), .emit = "response_timeout_ms"));

LOCAL_TABLE(limits, "limits",
    KEY("memory", BYTES, RANGE("256m", 16 * MIB, TIB)),
    KEY("cpus", CUSTOM, .fallback = "0", .read = config_read_cpus),
    KEY("pids", INT, RANGE("256", 8, 100000)));
LOCAL_TABLE(resources, "resources",
    KEY("limits", MAP, .keys = &config_limits_table));
LOCAL_TABLE(deploy, "deploy",
    KEY("resources", MAP, .keys = &config_resources_table));

LOCAL_TABLE(update, "update_config",
    KEY("parallelism", INT, RANGE("1", 0, 100)),
    KEY("order", WORD, .fallback = "start-first", .words = "start-first"),
    KEY("strategy", WORD, .fallback = "rolling", .words = "rolling|all-at-once"));

LOCAL_TABLE(network, "network",
    KEY("outside", BOOL, .fallback = "true"));

static const struct config_key root_keys[] = {
    KEY("service", TEXT, .rule = &rule_name),
    KEY("kind", WORD, .fallback = "server", .words = "server"),
    KEY("base", CUSTOM, .fallback = NULL, .read = config_read_base),
    KEY("build", MAP, .keys = &config_build_table),
    KEY("run", CUSTOM, .read = config_read_command),
    KEY("env", MAP, .keys = &config_env_table),
    KEY("files", DICT, .rule = &rule_file, .max = 100),
    KEY("proxy", MAP, .keys = &config_proxy_table),
    KEY("instances", INT, RANGE("2", 1, 100)),
    KEY("deploy", MAP, .keys = &config_deploy_table),
    KEY("update_config", MAP, .keys = &config_update_table),
    KEY("deploy_timeout", MS, RANGE("30s", SECOND, HOUR), .emit = "deploy_timeout_ms"),
    KEY("drain_timeout", MS, RANGE("30s", SECOND, 24 * HOUR), .emit = "drain_timeout_ms"),
    KEY("stop_timeout", MS, RANGE("10s", SECOND, HOUR), .emit = "stop_timeout_ms"),
    KEY("keep_warm", MS, RANGE("60s", 0, 24 * HOUR), .emit = "keep_warm_ms"),
    KEY("retain", INT, RANGE("5", 1, 5)),
    KEY("network", MAP, .keys = &config_network_table),
    KEY("envs", ENVS, .max = 50)};
/* clang-format on */
const struct config_table config_root = {"", root_keys, ARRAY_SIZE(root_keys)};

/* Texts. */

static const char *scalar_problem(const struct config_node *node)
{
    if (node->kind == CONFIG_MAP)
        return "a map";
    if (node->kind == CONFIG_SEQUENCE)
        return "a list";
    return node->plain && node->text.length == 0 ? "nothing" : NULL;
}

static int need_scalar(const struct config_key *key, const struct config_node *node,
                       struct err *err)
{
    const char *problem = scalar_problem(node);
    if (problem)
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "'%s' must be one value, it is %s",
                           key->name, problem);
    return 0;
}

static int check_rule(const struct config_rule *rule, const char *name, struct str text,
                      struct err *err)
{
    if (rule->good(text))
        return 0;
    return FAIL(err, rule->kind == E_OK ? E_CONFIG_INVALID : rule->kind,
                "'%s' must be %s: '%.*s' is not", name, rule->wanted,
                (int)(text.length < 60 ? text.length : 60), text.data);
}

static int read_text(const struct config_key *key, const struct config_node *node,
                     json_t **ret_value, struct err *err)
{
    if (need_scalar(key, node, err) < 0)
        return -1;
    if (check_rule(key->rule, key->name, node->text, err) < 0)
        return config_at(err, node);
    *ret_value = json_str_value(node->text);
    return 0;
}

static bool word_listed(const char *words, struct str text)
{
    struct str rest = str_of(words);
    while (rest.data)
        if (str_equal(str_cut(&rest, '|'), text))
            return true;
    return false;
}

static int read_word(const struct config_key *key, const struct config_node *node,
                     json_t **ret_value, struct err *err)
{
    if (need_scalar(key, node, err) < 0)
        return -1;
    bool later =
        text_is(key->name, "kind") && (str_is(node->text, "static") || str_is(node->text, "job"));
    if (later)
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID,
                           "kind '%s' is not supported yet, only 'server' is", node->text.data);
    if (!word_listed(key->words, node->text))
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "'%s' is one of %s, not '%.60s'", key->name,
                           key->words, node->text.data);
    *ret_value = json_str_value(node->text);
    return 0;
}

static int read_bool(const struct config_key *key, const struct config_node *node,
                     json_t **ret_value, struct err *err)
{
    bool on = node->kind == CONFIG_SCALAR && str_is(node->text, "true");
    if (!on && (node->kind != CONFIG_SCALAR || !str_is(node->text, "false")))
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "'%s' must be true or false", key->name);
    *ret_value = json_boolean(on);
    return 0;
}

/* Numbers: what is no number at all is E_CONFIG_INVALID, what is too small or large E_OUT_OF_RANGE.
 */
static int parse_number(const struct config_key *key, struct str text, int64_t *ret_value,
                        struct err *err)
{
    AUTO_FREE char *what = mem_format("'%s'", key->name);
    if (key->type == CONFIG_TYPE_BYTES)
        return str_to_bytes(text, what, ret_value, err);
    if (key->type == CONFIG_TYPE_MS)
        return str_to_ms(text, what, ret_value, err);
    return str_to_int(text, INT64_MIN, INT64_MAX, what, ret_value, err);
}

static int number_range(const struct config_key *key, const struct config_node *node,
                        struct err *err)
{
    long long min = (long long)key->min, max = (long long)key->max;
    if (key->type == CONFIG_TYPE_BYTES)
        return CONFIG_FAIL(err, node, E_OUT_OF_RANGE,
                           "'%s' is out of range: '%.30s' (%lldm to %lldg)", key->name,
                           node->text.data, min / MIB, max / 1024 / MIB);
    return CONFIG_FAIL(
        err, node, E_OUT_OF_RANGE, "'%s' is out of range: '%.30s' (%lld%s to %lld%s)", key->name,
        node->text.data, key->type == CONFIG_TYPE_MS && min % SECOND == 0 ? min / SECOND : min,
        key->type != CONFIG_TYPE_MS ? ""
        : min % SECOND == 0         ? "s"
                                    : "ms",
        key->type == CONFIG_TYPE_MS ? max / SECOND : max, key->type == CONFIG_TYPE_MS ? "s" : "");
}

static int read_number(const struct config_key *key, const struct config_node *node,
                       json_t **ret_value, struct err *err)
{
    int64_t value;
    if (need_scalar(key, node, err) < 0)
        return -1;
    if (parse_number(key, node->text, &value, err) < 0) {
        if (err->kind != E_OUT_OF_RANGE)
            err->kind = E_CONFIG_INVALID;
        return config_at(err, node);
    }
    bool ours = node->line == 0; /* a default may stand outside: 0, as the installation says */
    if (!ours && (value < key->min || value > key->max))
        return number_range(key, node, err);
    *ret_value = json_integer(value);
    return 0;
}

/* Lists and maps. */

static int need_kind(const struct config_key *key, const struct config_node *node,
                     enum config_node_kind kind, struct err *err)
{
    if (node->kind == kind)
        return 0;
    return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "'%s' must be a %s", key->name,
                       kind == CONFIG_MAP ? "map (key: value)" : "list (- item, or [item, item])");
}

static int need_count(const struct config_key *key, const struct config_node *node, size_t count,
                      struct err *err)
{
    if (count < (size_t)key->max)
        return 0;
    return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "'%s' holds more than %lld items", key->name,
                       (long long)key->max);
}

static int read_list(const struct config_key *key, const struct config_node *node,
                     json_t **ret_value, struct err *err)
{
    AUTO_JSON *list = json_array();
    if (need_kind(key, node, CONFIG_SEQUENCE, err) < 0)
        return -1;
    for (const struct config_node *n = node->first; n; n = n->next) {
        json_t *item = NULL;
        int result = need_count(key, n, json_array_size(list), err);
        if (result == 0)
            result = key->type == CONFIG_TYPE_LIST ? read_text(key, n, &item, err)
                                                   : key->read(n, &item, err);
        if (result < 0)
            return -1;
        json_push(list, item);
    }
    *ret_value = TAKE(list);
    return 0;
}

static int read_pair(const struct config_key *key, const struct config_node *node, struct err *err)
{
    if (!key->rule->good(node->key)) {
        (void)FAIL(err, E_CONFIG_INVALID, "'%.60s' under '%s' is not %s", node->key.data, key->name,
                   key->rule->wanted);
        return config_at_key(err, node);
    }
    if (node->kind != CONFIG_SCALAR)
        return CONFIG_FAIL(err, node, E_CONFIG_INVALID, "'%.60s' must be a text", node->key.data);
    if (node->text.length > VALUE_MAX)
        return CONFIG_FAIL(err, node, E_TOO_LARGE, "'%.60s' is larger than %zu KiB", node->key.data,
                           VALUE_MAX / 1024);
    return 0;
}

static int read_dict(const struct config_key *key, const struct config_node *node,
                     json_t **ret_value, struct err *err)
{
    AUTO_JSON *dict = json_object();
    if (need_kind(key, node, CONFIG_MAP, err) < 0)
        return -1;
    for (const struct config_node *n = node->first; n; n = n->next) {
        if (need_count(key, n, json_object_size(dict), err) < 0 || read_pair(key, n, err) < 0)
            return -1;
        json_put_str(dict, n->key.data, n->text);
    }
    *ret_value = TAKE(dict);
    return 0;
}

/* Unknown keys. */

/* The map in which a key of this name stands, to say where it belongs. */
static const char *table_of(const struct config_table *table, struct str key)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct config_table *below = table->keys[i].keys;
        if (str_is(key, table->keys[i].name) && table->keys[i].type != CONFIG_TYPE_NEVER)
            return table->name;
        const char *found = below ? table_of(below, key) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

static int unknown_key(const struct config_table *table, const struct config_node *node,
                       struct err *err)
{
    struct config_guess guess = {.word = node->key};
    for (size_t i = 0; i < table->count; i++)
        if (table->keys[i].type != CONFIG_TYPE_NEVER)
            config_guess_add(&guess, table->keys[i].name);
    const char *home = guess.best ? NULL : table_of(&config_root, node->key);
    if (guess.best)
        (void)FAIL(err, E_CONFIG_INVALID, "unknown key '%.60s' (did you mean '%s'?)",
                   config_shown(node->key), guess.best);
    else if (home)
        (void)FAIL(err, E_CONFIG_INVALID, "key '%s' does not belong here but %s%s%s",
                   node->key.data, home[0] ? "under '" : "at the top of the file", home,
                   home[0] ? "'" : "");
    else
        (void)FAIL(err, E_CONFIG_INVALID, "unknown key '%.60s'", config_shown(node->key));
    return config_at_key(err, node);
}

static const struct config_key *key_of(const struct config_table *table, struct str name)
{
    for (size_t i = 0; i < table->count; i++)
        if (str_is(name, table->keys[i].name))
            return &table->keys[i];
    return NULL;
}

static int check_known(const struct config_table *table, const struct config_node *map,
                       struct err *err)
{
    for (const struct config_node *n = map->first; n; n = n->next) {
        const struct config_key *key = key_of(table, n->key);
        if (key && key->type == CONFIG_TYPE_NEVER) {
            (void)FAIL(err, E_CONFIG_INVALID, "'%s' cannot stand here: %s", key->name, key->words);
            return config_at_key(err, n);
        }
        if (!key && !str_starts(n->key, "x-"))
            return unknown_key(table, n, err);
    }
    return 0;
}

/* The walk. */

static int read_value(const struct config_key *key, const struct config_node *node,
                      json_t **ret_value, struct err *err)
{
    switch (key->type) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_BYTES:
    case CONFIG_TYPE_MS:
        return read_number(key, node, ret_value, err);
    case CONFIG_TYPE_BOOL:
        return read_bool(key, node, ret_value, err);
    case CONFIG_TYPE_WORD:
        return read_word(key, node, ret_value, err);
    case CONFIG_TYPE_TEXT:
        return read_text(key, node, ret_value, err);
    case CONFIG_TYPE_LIST:
    case CONFIG_TYPE_ITEMS:
        return read_list(key, node, ret_value, err);
    case CONFIG_TYPE_DICT:
        return read_dict(key, node, ret_value, err);
    case CONFIG_TYPE_MAP:
        if (need_kind(key, node, CONFIG_MAP, err) < 0)
            return -1;
        return config_read_map(key->keys, node, ret_value, err);
    case CONFIG_TYPE_CUSTOM:
        return key->read(node, ret_value, err);
    case CONFIG_TYPE_ENVS:
    case CONFIG_TYPE_NEVER:
        break;
    }
    return 0;
}

static int read_absent(const struct config_key *key, json_t **ret_value, struct err *err)
{
    struct config_node fallback = {.kind = CONFIG_SCALAR};
    if (key->type == CONFIG_TYPE_MAP)
        return config_read_map(key->keys, NULL, ret_value, err);
    if (key->fallback) {
        fallback.text = str_of(key->fallback);
        return read_value(key, &fallback, ret_value, err);
    }
    if (key->type == CONFIG_TYPE_LIST || key->type == CONFIG_TYPE_ITEMS)
        *ret_value = json_array();
    else
        *ret_value = key->type == CONFIG_TYPE_DICT ? json_object() : json_null();
    return 0;
}

int config_read_map(const struct config_table *table, const struct config_node *map,
                    json_t **ret_object, struct err *err)
{
    AUTO_JSON *object = json_object();
    if (map && check_known(table, map, err) < 0)
        return -1;
    for (size_t i = 0; i < table->count; i++) {
        const struct config_key *key = &table->keys[i];
        const struct config_node *node = config_child(map, key->name);
        json_t *value = NULL;
        if (key->type == CONFIG_TYPE_ENVS || key->type == CONFIG_TYPE_NEVER)
            continue;
        if ((node ? read_value(key, node, &value, err) : read_absent(key, &value, err)) < 0)
            return -1;
        json_put(object, key->emit ? key->emit : key->name, value);
    }
    *ret_object = TAKE(object);
    return 0;
}
