/* What a build's spec may say. Core has checked it against slipway.yaml's rules; root checks again
 * what could hurt root. */
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "host/base_image/base_image.h"
#include "host/build/build_priv.h"

#define ARGS_MAX 1000
#define CACHES_MAX 8
#define SECRETS_MAX 64
#define NAME_MAX_BYTES 110

static const struct json_field spec_fields[] = {
    {"base", JSON_FIELD_OBJECT, true, 0, 0},      {"workdir", JSON_FIELD_STRING, false, 0, 200},
    {"steps", JSON_FIELD_ARRAY, false, 0, 200},   {"checks", JSON_FIELD_ARRAY, false, 0, 100},
    {"output", JSON_FIELD_ARRAY, true, 1, 100},   {"exclude", JSON_FIELD_ARRAY, false, 0, 100},
    {"network", JSON_FIELD_BOOL, false, 0, 0},    {"env", JSON_FIELD_OBJECT, false, 0, 0},
    {"cache", JSON_FIELD_ARRAY, false, 0, 8},     {"secrets", JSON_FIELD_ARRAY, false, 0, 64},
    {"memory", JSON_FIELD_INT, false, 0, 0},      {"pids", JSON_FIELD_INT, false, 0, 0},
    {"seconds", JSON_FIELD_INT, false, 0, 86400}, {"volume", JSON_FIELD_INT, false, 0, 0},
    {"image", JSON_FIELD_OBJECT, false, 0, 0},    {"provenance", JSON_FIELD_OBJECT, false, 0, 0}};
static const struct json_field step_fields[] = {{"name", JSON_FIELD_STRING, true, 1, 100},
                                                {"run", JSON_FIELD_ARRAY, true, 1, ARGS_MAX}};
static const struct json_field check_fields[] = {{"name", JSON_FIELD_STRING, true, 1, 100},
                                                 {"run", JSON_FIELD_ARRAY, true, 1, ARGS_MAX},
                                                 {"report", JSON_FIELD_ANY, false, 0, 0},
                                                 {"format", JSON_FIELD_STRING, false, 0, 10},
                                                 {"allow_empty", JSON_FIELD_BOOL, false, 0, 0}};
static const struct json_field secret_fields[] = {
    {"name", JSON_FIELD_STRING, true, 1, 128},
    {"value_b64", JSON_FIELD_STRING, true, 0, 256 << 10},
    {"file", JSON_FIELD_BOOL, false, 0, 0}};
static const struct json_field image_fields[] = {{"command", JSON_FIELD_ARRAY, false, 0, ARGS_MAX},
                                                 {"env", JSON_FIELD_OBJECT, false, 0, 0},
                                                 {"port", JSON_FIELD_INT, false, 0, 65535},
                                                 {"user", JSON_FIELD_STRING, false, 0, 64}};

/* Letters, digits and ".-_", not beginning with a dot: a folder's and a container's name. */
static bool is_file_name(struct str name, size_t max)
{
    if (name.length == 0 || name.length > max || name.data[0] == '.' || name.data[0] == '-')
        return false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(".-_", c))))
            return false;
    }
    return true;
}

bool build_name_ok(const char *name)
{
    return is_file_name(str_of(name), NAME_MAX_BYTES);
}

static int check_texts(const json_t *list, const char *what, struct err *err)
{
    size_t i;
    json_t *one;
    json_array_foreach(
        (json_t *)list, i,
        one) if (!json_is_string(one) ||
                 json_string_length(one) >
                     (128 << 10)) return FAIL(err, E_FIELD_INVALID,
                                              "'%s' holds something else than short texts", what);
    return 0;
}

/* An absolute path that may be bound: not the root, nothing of the kernel, no "..". */
static int check_path(const char *path, const char *what, struct err *err)
{
    static const char *const refused[] = {"",    "proc", "sys",  "dev", "run",   "etc",
                                          "usr", "bin",  "sbin", "lib", "lib64", "tmp"};
    struct str rest = str_of(path), first = {0};
    if (path[0] != '/' || strlen(path) > 200 || strpbrk(path, ",:\\"))
        return FAIL(err, E_FIELD_INVALID, "'%s' in '%s' is no plain absolute path", path, what);
    (void)str_cut(&rest, '/'); /* the empty part before the first slash */
    for (bool top = true; rest.data; top = false) {
        struct str part = str_cut(&rest, '/');
        if (part.length == 0 || str_is(part, ".") || str_is(part, "..") || str_has_control(part))
            return FAIL(err, E_PATH_ESCAPES, "'%s' in '%s' is no plain absolute path", path, what);
        first = top ? part : first;
    }
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (str_is(first, refused[i]))
            return FAIL(err, E_PATH_ESCAPES, "'%s' in '%s' belongs to the base", path, what);
    return 0;
}

static int check_steps(const json_t *list, const struct json_field *fields, size_t count,
                       struct err *err)
{
    size_t i;
    json_t *step;
    json_array_foreach((json_t *)list, i, step)
    {
        if (json_check(step, fields, count, err) < 0)
            return err_wrap(err, "step %zu", i + 1);
        json_t *run = json_list(step, "run");
        if (check_texts(run, "run", err) < 0)
            return err_wrap(err, "step '%s'", json_text(step, "name"));
        if (json_string_length(json_array_get(run, 0)) == 0)
            return FAIL(err, E_FIELD_INVALID, "step '%s' runs nothing", json_text(step, "name"));
    }
    return 0;
}

static int check_checks(const json_t *list, struct err *err)
{
    size_t i;
    json_t *check;
    if (check_steps(list, check_fields, ARRAY_SIZE(check_fields), err) < 0)
        return -1;
    json_array_foreach((json_t *)list, i, check)
    {
        const char *format = json_text_or(check, "format", "exit");
        json_t *report = json_object_get(check, "report");
        if (!text_is(format, "exit") && !text_is(format, "junit") && !text_is(format, "tap"))
            return FAIL(err, E_FIELD_INVALID, "check '%s': format '%s' is not exit, junit or tap",
                        json_text(check, "name"), format);
        if (report && !json_is_null(report) && !json_is_string(report))
            return FAIL(err, E_FIELD_INVALID, "check '%s': 'report' is no path",
                        json_text(check, "name"));
    }
    return 0;
}

static int check_env(const json_t *env, struct err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(
        (json_t *)env, name,
        value) if (!str_is_env_name(str_of(name)) ||
                   !json_is_string(value)) return FAIL(err, E_FIELD_INVALID,
                                                       "'%s' is no variable with a text", name);
    return 0;
}

static int check_secrets(const json_t *list, struct err *err)
{
    size_t i;
    json_t *secret;
    json_array_foreach((json_t *)list, i, secret)
    {
        if (json_check(secret, secret_fields, ARRAY_SIZE(secret_fields), err) < 0)
            return err_wrap(err, "secret %zu", i + 1);
        const char *name = json_text(secret, "name");
        bool file = json_bool(secret, "file", false);
        if (!is_file_name(str_of(name), 128) || (!file && !str_is_env_name(str_of(name))))
            return FAIL(err, E_NAME_INVALID, "'%s' cannot be the name of a secret", name);
    }
    return 0;
}

static int check_caches(const json_t *list, struct err *err)
{
    size_t i;
    json_t *path;
    if (check_texts(list, "cache", err) < 0)
        return -1;
    json_array_foreach((json_t *)list, i,
                       path) if (check_path(json_string_value(path), "cache", err) < 0) return -1;
    return 0;
}

static int check_image(const json_t *image, struct err *err)
{
    if (json_check(image, image_fields, ARRAY_SIZE(image_fields), err) < 0 ||
        check_texts(json_list(image, "command"), "command", err) < 0 ||
        check_env(json_dict(image, "env"), err) < 0)
        return err_wrap(err, "image");
    return 0;
}

int build_spec_check(const json_t *spec, struct err *err)
{
    if (json_check(spec, spec_fields, ARRAY_SIZE(spec_fields), err) < 0 ||
        base_image_check(json_dict(spec, "base"), err) < 0 ||
        check_path(json_text_or(spec, "workdir", "/app"), "workdir", err) < 0 ||
        check_steps(json_list(spec, "steps"), step_fields, ARRAY_SIZE(step_fields), err) < 0 ||
        check_checks(json_list(spec, "checks"), err) < 0 ||
        check_texts(json_list(spec, "output"), "output", err) < 0 ||
        check_texts(json_list(spec, "exclude"), "exclude", err) < 0 ||
        check_env(json_dict(spec, "env"), err) < 0 ||
        check_caches(json_list(spec, "cache"), err) < 0 ||
        check_secrets(json_list(spec, "secrets"), err) < 0 ||
        check_image(json_dict(spec, "image"), err) < 0)
        return err_wrap(err, "build spec");
    return 0;
}
