/* Inside core/config: the tree that slipway.yaml becomes, and the table-driven reader of it. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "core/config/config.h"

#define CONFIG_DEPTH_MAX 16
#define CONFIG_NODES_MAX 5000
#define CONFIG_KEYS_MAX 500 /* of one map */
#define CONFIG_KEY_MAX 256

/* One node of the tree, in an arena. Children are a list; those of a map carry their key. */
enum config_node_kind { CONFIG_SCALAR, CONFIG_SEQUENCE, CONFIG_MAP };
struct config_node {
    enum config_node_kind kind;
    int line, column; /* from 1 */
    bool plain;       /* a scalar without quotes */
    struct str text;  /* of a scalar; NUL-terminated, holds no NUL */
    struct str key;   /* of a map's child; data NULL otherwise */
    int key_line, key_column;
    struct config_node *first, *last, *next;
};
/* E_CONFIG_INVALID with line and column. The tree lives in the arena; its root is a map. */
int config_tree_parse(struct arena *arena, struct str text, struct config_node **ret_root,
                      struct err *err) MUST_CHECK;
struct config_node *config_child(const struct config_node *map, const char *key); /* or NULL */
void config_append(struct config_node *parent, struct config_node *child);
/* A new map: base with overlay laid over it; maps merge, the rest replaces. */
struct config_node *config_merge(struct arena *arena, const struct config_node *base,
                                 const struct config_node *overlay);

/* Put the place of a node before an error's text; return -1. */
int config_at(struct err *err, const struct config_node *node);
/* A key that nobody knows, as an error shows it: "..." when it is no word. Whoever checks the wrong
 * file (/etc/shadow is a YAML map to libyaml) must not read its text in our error. */
const char *config_shown(struct str key);
int config_at_key(struct err *err, const struct config_node *node);
#define CONFIG_FAIL(err, node, kind, ...)                                                          \
    ((void)FAIL((err), (kind), __VA_ARGS__), config_at((err), (node)))

/* A row of the table. */
struct config_rule { /* what a text must be */
    bool (*good)(struct str text);
    const char *wanted;
    enum err_kind kind; /* E_OK: E_CONFIG_INVALID */
};
enum config_type {
    CONFIG_TYPE_INT,
    CONFIG_TYPE_BYTES,
    CONFIG_TYPE_MS,
    CONFIG_TYPE_BOOL,
    CONFIG_TYPE_WORD,   /* one of `words` */
    CONFIG_TYPE_TEXT,   /* follows `rule`; absent: null */
    CONFIG_TYPE_LIST,   /* of texts that follow `rule`; absent: [] */
    CONFIG_TYPE_DICT,   /* text to text, keys follow `rule`; absent: {} */
    CONFIG_TYPE_MAP,    /* of `keys` */
    CONFIG_TYPE_ITEMS,  /* a list whose items `read` reads; absent: [] */
    CONFIG_TYPE_CUSTOM, /* `read` reads it; absent: `fallback`, or null */
    CONFIG_TYPE_ENVS,   /* the overlays: not read by the table */
    CONFIG_TYPE_NEVER,  /* people look for it here: refused, `words` says where it belongs */
};
struct config_table;
struct config_key {
    const char *name;
    enum config_type type;
    const char *fallback; /* the default as it would stand in the file */
    int64_t min, max;     /* of numbers; LIST, DICT, ITEMS: max is the most items */
    const char *emit;     /* name in the normalised configuration, when it differs */
    const char *words;    /* "rolling|all-at-once" */
    const struct config_rule *rule;
    const struct config_table *keys;
    int (*read)(const struct config_node *node, json_t **ret_value, struct err *err);
};
struct config_table {
    const char *name; /* of the map, for errors; "" for the whole file */
    const struct config_key *keys;
    size_t count;
};
extern const struct config_table config_root;
/* Read a map (NULL: all defaults) by its table: unknown keys are refused, defaults filled in. */
int config_read_map(const struct config_table *table, const struct config_node *map,
                    json_t **ret_object, struct err *err) MUST_CHECK;

/* Values with a shape of their own (config_value.c). */
int config_read_base(const struct config_node *node, json_t **ret_value, struct err *err);
int config_read_command(const struct config_node *node, json_t **ret_value, struct err *err);
int config_read_script(const struct config_node *node, json_t **ret_value, struct err *err);
int config_read_step(const struct config_node *node, json_t **ret_value, struct err *err);
int config_read_check(const struct config_node *node, json_t **ret_value, struct err *err);
int config_read_cpus(const struct config_node *node, json_t **ret_value, struct err *err);
int config_read_build_network(const struct config_node *node, json_t **ret_value, struct err *err);
extern const struct config_table config_step_table, config_check_table;
bool config_is_package(struct str text);
bool config_is_path_below(struct str text); /* relative, stays below its folder */
bool config_is_cache_path(struct str text); /* absolute, nothing of the base */
bool config_is_file_name(struct str text);
bool config_is_url_path(struct str text);
bool config_is_variable(struct str text);
bool config_is_label(struct str text);

/* Split a command line into words; no expansion. On refusal says what was found. */
int config_split(struct str text, json_t **ret_argv, struct err *err) MUST_CHECK;
/* The candidate nearest to a mistyped word, or NULL when none is near. */
struct config_guess {
    struct str word;
    const char *best;
    size_t distance;
};
void config_guess_add(struct config_guess *guess, const char *candidate);
