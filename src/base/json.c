/* JSON: jansson does the work. In front of it stands a quick scan that bounds what jansson may be
 * made to do (nesting, number of values) and refuses at once what needs no parser to see, because
 * jansson takes up to 100 ms for a hostile megabyte. Behind it stand the shapes: tables of fields.
 * Error texts never quote the input: a body may hold secrets. */
#include "base/json.h"
#include <pthread.h>
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

static json_t *json_check_memory(json_t *value)
{
    if (!value)
        PANIC("out of memory");
    return value;
}

/* The scan. */

struct json_scan {
    struct str text;
    size_t at;
    size_t depth;
    size_t values; /* counted by what separates and opens them */
};

/* Stands behind the opening quote; leaves behind the closing one, or at the end. */
static void json_scan_string(struct json_scan *scan)
{
    const char *data = scan->text.data;
    size_t at = scan->at, length = scan->text.length;
    while (at < length && data[at] != '"')
        at += data[at] == '\\' ? 2 : 1;
    scan->at = at < length ? at + 1 : length;
}

static bool json_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void json_scan_spaces(struct json_scan *scan)
{
    while (scan->at < scan->text.length && json_is_space(scan->text.data[scan->at]))
        scan->at++;
}

/* One byte of structure. NULL, or what is wrong. */
static const char *json_scan_byte(struct json_scan *scan)
{
    char c = scan->text.data[scan->at++];
    if (c == '"') {
        json_scan_string(scan);
    } else if (c == '[' || c == '{') {
        scan->values++;
        if (++scan->depth > JSON_DEPTH_LIMIT)
            return "nested too deep";
    } else if (c == ']' || c == '}') {
        scan->depth--;
    } else if (c == ',' && ++scan->values > JSON_VALUES_LIMIT) {
        return "too many values";
    } else if (c == '\0') {
        return "a NUL byte";
    }
    return NULL;
}

static const char *json_scan_text(struct json_scan *scan)
{
    json_scan_spaces(scan);
    if (scan->at == scan->text.length)
        return "empty";
    if (scan->text.data[scan->at] != '{' && scan->text.data[scan->at] != '[')
        return "neither an object nor an array";
    if (!str_is_utf8(scan->text))
        return "not UTF-8";
    do {
        const char *wrong = json_scan_byte(scan);
        if (wrong)
            return wrong;
    } while (scan->depth > 0 && scan->at < scan->text.length);
    if (scan->depth > 0)
        return "ends too early";
    json_scan_spaces(scan);
    return scan->at < scan->text.length ? "text after the end" : NULL;
}

int json_parse(struct str text, json_t **ret_value, struct err *err)
{
    struct json_scan scan = {.text = text};
    const char *wrong = json_scan_text(&scan);
    if (wrong)
        return FAIL(err, E_JSON_INVALID, "invalid JSON at byte %zu: %s", scan.at, wrong);
    json_error_t error;
    json_t *value = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES, &error);
    if (!value) {
        char *quoted = strstr(error.text, " near ");
        if (quoted)
            *quoted = '\0';
        return FAIL(err, E_JSON_INVALID, "invalid JSON at line %d, column %d: %s", error.line,
                    error.column, error.text);
    }
    *ret_value = value;
    return 0;
}

/* Printed JSON with each hidden character as its escape, which reads back as the same. NULL when
 * there is none. */
static char *json_escape_hidden(const char *text)
{
    struct buf out = BUF_INIT(0); /* unlimited: cannot fail */
    struct str rest = str_of(text);
    const char *kept = text;
    while (rest.length > 0) {
        size_t hidden = str_hidden_step(rest);
        size_t step = hidden ? hidden : 1;
        if (hidden) {
            (void)buf_add(&out, kept, (size_t)(rest.data - kept));
            buf_add_json_escape(&out, str_character(rest, hidden));
            kept = rest.data + step;
        }
        rest = (struct str){rest.data + step, rest.length - step};
    }
    if (kept == text)
        return NULL;
    (void)buf_add(&out, kept, (size_t)(rest.data - kept));
    return buf_take(&out);
}

char *json_print(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
    if (!text)
        PANIC("cannot print JSON");
    char *escaped = json_escape_hidden(text);
    if (!escaped)
        return text;
    free(text);
    return escaped;
}

/* Shapes. */

static const struct json_field *json_find_field(const struct json_field *fields, size_t count,
                                                const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (text_is(fields[i].name, name))
            return &fields[i];
    return NULL;
}

static bool json_is_kind(const json_t *value, enum json_kind kind)
{
    switch (kind) {
    case JSON_FIELD_STRING:
        return json_is_string(value);
    case JSON_FIELD_INT:
        return json_is_integer(value);
    case JSON_FIELD_BOOL:
        return json_is_boolean(value);
    case JSON_FIELD_OBJECT:
        return json_is_object(value);
    case JSON_FIELD_ARRAY:
        return json_is_array(value);
    case JSON_FIELD_ANY:
        return true;
    }
    return false;
}

static const char *json_kind_name(enum json_kind kind)
{
    static const char *const names[] = {"a string",  "an integer", "true or false",
                                        "an object", "an array",   "anything"};
    return names[kind];
}

/* A text or an array: `size` is its bytes or its elements. */
static int json_check_size(const struct json_field *field, const char *unit, size_t size,
                           int64_t default_max, struct err *err)
{
    int64_t max = field->min || field->max ? field->max : default_max;
    if ((int64_t)size > max)
        return FAIL(err, E_TOO_LARGE, "field '%s' has %zu %s, more than %lld", field->name, size,
                    unit, (long long)max);
    if ((int64_t)size < field->min)
        return FAIL(err, E_FIELD_INVALID, "field '%s' has %zu %s, fewer than %lld", field->name,
                    size, unit, (long long)field->min);
    return 0;
}

static int json_check_int(const struct json_field *field, int64_t value, struct err *err)
{
    bool defaults = !field->min && !field->max;
    int64_t max = defaults ? JSON_INT_LIMIT : field->max;
    if (value < field->min || value > max)
        return FAIL(err, E_OUT_OF_RANGE, "field '%s' is %lld, not %lld to %lld", field->name,
                    (long long)value, (long long)field->min, (long long)max);
    return 0;
}

static int json_check_field(const json_t *value, const struct json_field *field, struct err *err)
{
    bool null = json_is_null(value) && field->kind != JSON_FIELD_ANY;
    if (!value || null)
        return field->required ? FAIL(err, E_FIELD_INVALID, "field '%s' is missing", field->name)
                               : 0;
    if (!json_is_kind(value, field->kind))
        return FAIL(err, E_FIELD_INVALID, "field '%s' is not %s", field->name,
                    json_kind_name(field->kind));
    if (field->kind == JSON_FIELD_STRING)
        return json_check_size(field, "bytes", json_string_length(value), JSON_STRING_LIMIT, err);
    if (field->kind == JSON_FIELD_ARRAY)
        return json_check_size(field, "elements", json_array_size(value), JSON_ARRAY_LIMIT, err);
    if (field->kind == JSON_FIELD_INT)
        return json_check_int(field, json_integer_value(value), err);
    return 0;
}

int json_check(const json_t *object, const struct json_field *fields, size_t count, struct err *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object))
        return FAIL(err, E_FIELD_INVALID, "not an object");
    /* jansson's iteration takes a pointer that is not const, but changes nothing. */
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (!json_find_field(fields, count, name))
            return FAIL(err, E_FIELD_UNKNOWN, "unknown field '%.80s'", name);
    }
    for (size_t i = 0; i < count; i++)
        if (json_check_field(json_object_get(object, fields[i].name), &fields[i], err) < 0)
            return -1;
    return 0;
}

/* Getters. */

const char *json_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

const char *json_text_or(const json_t *object, const char *name, const char *fallback)
{
    const char *text = json_text(object, name);
    return text ? text : fallback;
}

int64_t json_int(const json_t *object, const char *name, int64_t fallback)
{
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

bool json_bool(const json_t *object, const char *name, bool fallback)
{
    const json_t *value = json_object_get(object, name);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

static json_t *json_empty_list, *json_empty_dict;
static pthread_once_t json_empty_once = PTHREAD_ONCE_INIT;

static void json_make_empty(void)
{
    json_empty_list = json_check_memory(json_array());
    json_empty_dict = json_check_memory(json_object());
}

json_t *json_list(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    (void)pthread_once(&json_empty_once, json_make_empty);
    return json_is_array(value) ? value : json_empty_list;
}

json_t *json_dict(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    (void)pthread_once(&json_empty_once, json_make_empty);
    return json_is_object(value) ? value : json_empty_dict;
}

/* Setters. */

/* What is no UTF-8, and NUL, which our own parser refuses, becomes U+FFFD. */
static void json_clean(struct buf *out, struct str text)
{
    while (text.length > 0) {
        size_t step = text.data[0] ? str_utf8_step(text) : 0, used = step ? step : 1;
        if (step)
            (void)buf_add(out, text.data, step);
        else
            (void)buf_add_text(out, "\xef\xbf\xbd");
        text.data += used;
        text.length -= used;
    }
}

static bool json_is_clean(struct str text)
{
    return text.length == 0 || (!memchr(text.data, '\0', text.length) && str_is_utf8(text));
}

json_t *json_str_value(struct str text)
{
    if (json_is_clean(text))
        return json_check_memory(json_stringn_nocheck(text.length ? text.data : "", text.length));
    AUTO_BUF clean = BUF_INIT(0);
    json_clean(&clean, text);
    return json_check_memory(json_stringn_nocheck(clean.data, clean.length));
}

void json_put(json_t *object, const char *name, json_t *value)
{
    ASSERT(json_is_object(object) && object != json_empty_dict && value);
    AUTO_BUF clean = BUF_INIT(0);
    if (!json_is_clean(str_of(name))) {
        json_clean(&clean, str_of(name));
        name = clean.data;
    }
    if (json_object_set_new_nocheck(object, name, value) < 0)
        PANIC("cannot set a JSON field");
}

void json_put_text(json_t *object, const char *name, const char *text)
{
    json_put(object, name, text ? json_str_value(str_of(text)) : json_null());
}

void json_put_str(json_t *object, const char *name, struct str text)
{
    json_put(object, name, json_str_value(text));
}

void json_put_int(json_t *object, const char *name, int64_t value)
{
    json_put(object, name, json_check_memory(json_integer(value)));
}

void json_put_bool(json_t *object, const char *name, bool value)
{
    json_put(object, name, json_boolean(value));
}

void json_push(json_t *array, json_t *value)
{
    ASSERT(json_is_array(array) && array != json_empty_list && value);
    if (json_array_append_new(array, value) < 0)
        PANIC("cannot append to a JSON array");
}

/* Errors. */

json_t *json_from_err(const struct err *err)
{
    json_t *object = json_check_memory(json_object());
    json_put_text(object, "error", err_name(err->kind));
    json_put_text(object, "class", err_class_name(err_class(err->kind)));
    json_put_text(object, "text", err->text);
    return object;
}

void json_to_err(const json_t *object, struct err *ret_err)
{
    enum err_kind kind = err_from_name(json_text(object, "error"));
    const char *text = json_text_or(object, "text", "an error without a text");
    (void)err_set(ret_err, kind, __FILE__, __LINE__, "%s", text); /* always -1 */
}
