/* JSON by jansson, with our limits and our errors.
 *
 * Parsing is strict: duplicate keys, NUL, bad UTF-8, lone surrogates, a byte-order mark and
 * trailing text are refused with E_JSON_INVALID. A shape (a table of fields) says what an object
 * may hold: what is not listed is refused with E_FIELD_UNKNOWN; the same tables describe API bodies
 * and messages. Any thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

#define JSON_DEPTH_LIMIT 64     /* json_parse refuses deeper nesting ... */
#define JSON_VALUES_LIMIT 50000 /* ... and more values, counted over the whole text */
/* What a field may hold when its shape says nothing: */
#define JSON_STRING_LIMIT 4096            /* bytes */
#define JSON_INT_LIMIT ((int64_t)1 << 53) /* from 0: what every reader of JSON keeps */
#define JSON_ARRAY_LIMIT 1000             /* elements */

#define AUTO_JSON __attribute__((cleanup(json_decrefp), unused)) json_t
/* Take a new reference out of an AUTO_JSON variable: TAKE from base/mem.h works. */

int json_parse(struct str text, json_t **ret_value,
               struct err *err) MUST_CHECK; /* object or array */
/* Compact, keys in insertion order, heap. Controls and invisible marks (str_hidden_step) stand as
 * escapes: JSON of ours steers no terminal that it is shown on. */
char *json_print(const json_t *value);

enum json_kind {
    JSON_FIELD_STRING,
    JSON_FIELD_INT,
    JSON_FIELD_BOOL,
    JSON_FIELD_OBJECT,
    JSON_FIELD_ARRAY,
    JSON_FIELD_ANY
};
struct json_field {
    const char *name;
    enum json_kind kind;
    bool required;
    int64_t
        min; /* strings: length in bytes; ints: value; arrays: count. min = max = 0: the default */
    int64_t max; /* defaults: 0 to JSON_STRING_LIMIT, JSON_INT_LIMIT, JSON_ARRAY_LIMIT */
};
/* Refuses unknown fields, missing required ones, wrong kinds (E_FIELD_INVALID) and out-of-range
 * values (ints: E_OUT_OF_RANGE; a string too long: E_TOO_LARGE). */
int json_check(const json_t *object, const struct json_field *fields, size_t count,
               struct err *err) MUST_CHECK;

/* Getters for objects that were checked: the fallback when absent or null. Strings are borrowed. */
const char *json_text(const json_t *object, const char *name); /* NULL when absent */
const char *json_text_or(const json_t *object, const char *name, const char *fallback);
int64_t json_int(const json_t *object, const char *name, int64_t fallback);
bool json_bool(const json_t *object, const char *name, bool fallback);
json_t *json_list(const json_t *object,
                  const char *name); /* borrowed; an empty static array when absent */
json_t *json_dict(const json_t *object,
                  const char *name); /* borrowed; an empty static object when absent */
/* Setters that abort when memory is out. A NULL text sets null. */
void json_put_text(json_t *object, const char *name,
                   const char *text); /* bad UTF-8 bytes become U+FFFD */
void json_put_str(json_t *object, const char *name, struct str text);
void json_put_int(json_t *object, const char *name, int64_t value);
void json_put_bool(json_t *object, const char *name, bool value);
void json_put(json_t *object, const char *name, json_t *value); /* takes value; must not be NULL */
void json_push(json_t *array, json_t *value);                   /* takes value */
json_t *json_str_value(struct str text);                        /* a string, bad UTF-8 replaced */
/* {"error": name, "class": CLASS, "text": ...} and back. */
json_t *json_from_err(const struct err *err);
void json_to_err(const json_t *object, struct err *ret_err);
