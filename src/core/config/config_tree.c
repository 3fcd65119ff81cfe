/* slipway.yaml as a small tree with places, from libyaml's events.
 *
 * What makes YAML dangerous or surprising is refused here, before anything is interpreted: aliases
 * and anchors (billion laughs), tags, merge keys, duplicate keys, several documents. Size, depth
 * and number of nodes are bounded, so that the worst file costs a few milliseconds. Scalars stay
 * text: the reader of a field decides what "no" or 1:20 means. Called by config.c only. */
#include <ctype.h>
#include <yaml.h>
#include "base/check.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/config/config_priv.h"

#define SHOWN_MAX 40

struct tree_level {
    struct config_node *node;
    struct map keys; /* of a map: those seen so far */
    struct str key;  /* of a map: the key whose value is awaited; data NULL when none is */
    int key_line, key_column;
};
struct tree {
    struct arena *arena;
    yaml_parser_t parser;
    struct tree_level levels[CONFIG_DEPTH_MAX];
    size_t depth;
    size_t nodes;
    struct config_node *root;
    bool ended;
};

int config_at(struct err *err, const struct config_node *node)
{
    if (node->line == 0) /* a default: our own */
        return err_wrap(err, CONFIG_FILE);
    return err_wrap(err, CONFIG_FILE ":%d:%d", node->line, node->column);
}

int config_at_key(struct err *err, const struct config_node *node)
{
    return err_wrap(err, CONFIG_FILE ":%d:%d", node->key_line, node->key_column);
}

static int tree_at(struct err *err, const yaml_mark_t *mark)
{
    return err_wrap(err, CONFIG_FILE ":%d:%d", (int)mark->line + 1, (int)mark->column + 1);
}

struct config_node *config_child(const struct config_node *map, const char *key)
{
    for (struct config_node *n = map ? map->first : NULL; n; n = n->next)
        if (str_is(n->key, key))
            return n;
    return NULL;
}

void config_append(struct config_node *parent, struct config_node *child)
{
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

static struct tree_level *tree_top(struct tree *t)
{
    return t->depth ? &t->levels[t->depth - 1] : NULL;
}

const char *config_shown(struct str key)
{
    bool word = key.length > 0 && key.length <= SHOWN_MAX;
    for (size_t i = 0; word && i < key.length; i++)
        word = isalnum((unsigned char)key.data[i]) || strchr("_-./", key.data[i]);
    return word ? key.data : "...";
}

/* A plain or quoted scalar where a map's key is due. */
static int tree_key(struct tree_level *level, struct config_node *key, struct err *err)
{
    if (key->kind != CONFIG_SCALAR)
        return FAIL(err, E_CONFIG_INVALID, "a key must be a word, not a list or a map");
    if (key->text.length == 0 || key->text.length > CONFIG_KEY_MAX)
        return FAIL(err, E_CONFIG_INVALID, "a key has 1 to %d bytes", CONFIG_KEY_MAX);
    if (str_is(key->text, "<<") && key->plain)
        return FAIL(err, E_CONFIG_INVALID, "merge keys ('<<') are refused: write the keys out");
    if (map_put(&level->keys, key->text.data, key))
        return FAIL(err, E_CONFIG_INVALID, "key '%.60s' is given twice", config_shown(key->text));
    if (level->keys.count > CONFIG_KEYS_MAX)
        return FAIL(err, E_CONFIG_INVALID, "a map holds more than %d keys", CONFIG_KEYS_MAX);
    level->key = key->text;
    level->key_line = key->line;
    level->key_column = key->column;
    return 0;
}

/* Put a node where it belongs: as the root, an item, a key, or the value of the last key. */
static int tree_place(struct tree *t, struct config_node *node, struct err *err)
{
    struct tree_level *level = tree_top(t);
    if (!level) {
        if (node->kind != CONFIG_MAP)
            return FAIL(err, E_CONFIG_INVALID, "the file must be a map (key: value)");
        t->root = node;
        return 0;
    }
    if (level->node->kind == CONFIG_MAP && !level->key.data)
        return tree_key(level, node, err);
    node->key = level->key;
    node->key_line = level->key_line;
    node->key_column = level->key_column;
    level->key = (struct str){NULL, 0};
    config_append(level->node, node);
    return 0;
}

/* NULL with the error set when there are too many. */
static struct config_node *tree_add(struct tree *t, const yaml_event_t *event,
                                    enum config_node_kind kind, struct err *err)
{
    struct config_node *node = arena_alloc(t->arena, sizeof(*node));
    if (++t->nodes > CONFIG_NODES_MAX) {
        (void)FAIL(err, E_CONFIG_INVALID, "the file holds more than %d values", CONFIG_NODES_MAX);
        return NULL;
    }
    node->kind = kind;
    node->line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
    return node;
}

static int tree_scalar(struct tree *t, const yaml_event_t *event, struct err *err)
{
    struct config_node *node = tree_add(t, event, CONFIG_SCALAR, err);
    struct str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    if (!node)
        return -1;
    if (text.length && memchr(text.data, 0, text.length))
        return FAIL(err, E_CONFIG_INVALID, "the value holds a NUL character");
    node->text = (struct str){arena_dup(t->arena, text), text.length};
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return tree_place(t, node, err);
}

static int tree_begin(struct tree *t, const yaml_event_t *event, enum config_node_kind kind,
                      struct err *err)
{
    if (t->depth == CONFIG_DEPTH_MAX)
        return FAIL(err, E_CONFIG_INVALID, "lists and maps are nested deeper than %d",
                    CONFIG_DEPTH_MAX);
    struct config_node *node = tree_add(t, event, kind, err);
    if (!node || tree_place(t, node, err) < 0)
        return -1;
    t->levels[t->depth] = (struct tree_level){.node = node};
    map_init(&t->levels[t->depth].keys);
    t->depth++;
    return 0;
}

static void tree_end(struct tree *t)
{
    map_done(&tree_top(t)->keys);
    t->depth--;
}

static int tree_no_anchor(const yaml_char_t *anchor, const yaml_char_t *tag, struct err *err)
{
    if (anchor)
        return FAIL(err, E_CONFIG_INVALID, "anchors (&name) are refused");
    if (tag)
        return FAIL(err, E_CONFIG_INVALID, "tags (!name) are refused");
    return 0;
}

static int tree_document(struct tree *t, const yaml_event_t *event, struct err *err)
{
    if (t->root)
        return FAIL(err, E_CONFIG_INVALID, "the file holds more than one document ('---')");
    if (event->data.document_start.tag_directives.start !=
        event->data.document_start.tag_directives.end)
        return FAIL(err, E_CONFIG_INVALID, "tags are refused");
    return 0;
}

static int tree_event(struct tree *t, const yaml_event_t *event, struct err *err)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return FAIL(err, E_CONFIG_INVALID, "aliases (*name) are refused: write the value out");
    case YAML_DOCUMENT_START_EVENT:
        return tree_document(t, event, err);
    case YAML_SCALAR_EVENT:
        if (tree_no_anchor(event->data.scalar.anchor, event->data.scalar.tag, err) < 0)
            return -1;
        return tree_scalar(t, event, err);
    case YAML_SEQUENCE_START_EVENT:
        if (tree_no_anchor(event->data.sequence_start.anchor, event->data.sequence_start.tag, err) <
            0)
            return -1;
        return tree_begin(t, event, CONFIG_SEQUENCE, err);
    case YAML_MAPPING_START_EVENT:
        if (tree_no_anchor(event->data.mapping_start.anchor, event->data.mapping_start.tag, err) <
            0)
            return -1;
        return tree_begin(t, event, CONFIG_MAP, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        tree_end(t);
        return 0;
    case YAML_STREAM_END_EVENT:
        t->ended = true;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return 0;
}

/* Where libyaml's reader stopped (a control character): it tells a byte offset only. */
static yaml_mark_t tree_offset(const struct tree *t, struct str text)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < t->parser.problem_offset && i < text.length; i++) {
        mark.line += text.data[i] == '\n';
        mark.column = text.data[i] == '\n' ? 0 : mark.column + 1;
    }
    return mark;
}

/* What libyaml did not like, with the reason that is nearly always behind it. */
static int tree_syntax(struct tree *t, struct str text, struct err *err)
{
    bool reader = t->parser.error == YAML_READER_ERROR;
    yaml_mark_t mark = reader ? tree_offset(t, text) : t->parser.problem_mark;
    const char *problem = t->parser.problem ? t->parser.problem : "not valid YAML";
    if (t->parser.error == YAML_MEMORY_ERROR)
        PANIC("out of memory"); /* the file may be a good one */
    bool tab = !reader && mark.index < text.length && text.data[mark.index] == '\t';
    (void)FAIL(err, E_CONFIG_INVALID, "%s%s", problem,
               tab ? " (indent with spaces, not with tabs)" : "");
    return tree_at(err, &mark);
}

static int tree_step(struct tree *t, struct str text, struct err *err)
{
    yaml_event_t event;
    if (!yaml_parser_parse(&t->parser, &event))
        return tree_syntax(t, text, err);
    int result = tree_event(t, &event, err);
    if (result < 0)
        (void)tree_at(err, &event.start_mark);
    yaml_event_delete(&event);
    return result;
}

static int tree_check_text(struct str text, struct err *err)
{
    if (text.length > CONFIG_MAX)
        return FAIL(err, E_CONFIG_INVALID, CONFIG_FILE ": larger than %zu KiB", CONFIG_MAX / 1024);
    if (!str_is_utf8(text))
        return FAIL(err, E_CONFIG_INVALID, CONFIG_FILE ": not UTF-8 text");
    return 0;
}

int config_tree_parse(struct arena *arena, struct str text, struct config_node **ret_root,
                      struct err *err)
{
    struct tree t = {.arena = arena};
    if (!text.data)
        text = STR("");
    int result = tree_check_text(text, err);
    if (result < 0)
        return -1;
    if (!yaml_parser_initialize(&t.parser))
        PANIC("out of memory");
    yaml_parser_set_encoding(&t.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&t.parser, (const unsigned char *)text.data, text.length);
    while (result == 0 && !t.ended)
        result = tree_step(&t, text, err);
    while (t.depth > 0)
        tree_end(&t);
    yaml_parser_delete(&t.parser);
    if (result == 0 && !t.root)
        result = FAIL(err, E_CONFIG_INVALID, CONFIG_FILE ": the file is empty");
    if (result == 0)
        *ret_root = t.root;
    return result;
}

static struct config_node *config_copy(struct arena *arena, const struct config_node *node)
{
    struct config_node *copy = arena_alloc(arena, sizeof(*copy));
    *copy = *node; /* children may be shared: nobody changes them */
    copy->next = NULL;
    return copy;
}

static bool config_has(const struct config_node *map, struct str key)
{
    for (const struct config_node *n = map->first; n; n = n->next)
        if (str_equal(n->key, key))
            return true;
    return false;
}

/* A child of the base as it stands in the merged map. */
static struct config_node *config_merged_child(struct arena *arena, const struct config_node *under,
                                               const struct config_node *overlay)
{
    for (const struct config_node *over = overlay->first; over; over = over->next) {
        if (!str_equal(over->key, under->key))
            continue;
        if (over->kind == CONFIG_MAP && under->kind == CONFIG_MAP)
            return config_merge(arena, under, over);
        return config_copy(arena, over);
    }
    return config_copy(arena, under);
}

struct config_node *config_merge(struct arena *arena, const struct config_node *base,
                                 const struct config_node *overlay)
{
    struct config_node *merged = config_copy(arena, overlay);
    merged->first = merged->last = NULL;
    for (const struct config_node *n = base->first; n; n = n->next)
        config_append(merged, config_merged_child(arena, n, overlay));
    for (const struct config_node *n = overlay->first; n; n = n->next)
        if (!config_has(base, n->key))
            config_append(merged, config_copy(arena, n));
    return merged;
}
