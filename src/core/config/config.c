/* slipway.yaml from text to the effective configuration of one env, and from there to the specs of
 * wire/host.h.
 *
 * The file becomes a tree (config_tree.c); the env's overlay is laid over it; the result is read by
 * the table (config_schema.c) and finished here: what concerns more than one key. Base and every
 * overlay are checked whichever env is asked for, so that a mistake for prod shows in dev. Called
 * by core/build and core/release; fails with the place of the first mistake. */
#include "core/config/config.h"
#include <sodium.h>
#include "base/buf.h"
#include "base/check.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/config/config_priv.h"

#define ENVS_MAX 50
#define PROBE_INTERVAL_MS 10 /* while an instance starts: milliseconds count */
#define STRATEGY_ALL "all-at-once"

/* What concerns more than one key. */

static int finish_base(json_t *config, struct err *err)
{
    json_t *base = json_object_get(config, "base");
    json_t *packages = json_list(json_dict(config, "build"), "packages");
    if (json_is_null(base)) {
        base = json_object();
        json_put_text(base, "kind", "packages");
        json_put(base, "packages", json_array());
        json_put(config, "base", base);
    }
    bool host = text_is(json_text(base, "kind"), "host");
    if (host && json_array_size(packages) > 0)
        return FAIL(err, E_CONFIG_INVALID,
                    CONFIG_FILE ": 'build.packages' needs a 'base' of packages: with base: host "
                                "install them on the machine");
    if (!host)
        json_put(base, "build_packages", json_incref(packages));
    return 0;
}

/* parallelism 0 and strategy all-at-once say the same. */
static void finish_strategy(json_t *config)
{
    json_t *update = json_dict(config, "update_config");
    bool all = text_is(json_text(update, "strategy"), STRATEGY_ALL);
    if (all || json_int(update, "parallelism", 1) == 0) {
        json_put_int(update, "parallelism", 0);
        json_put_text(update, "strategy", STRATEGY_ALL);
    }
}

/* Steps are told apart by name: in events, in the console, in errors. */
static void finish_names(json_t *stages)
{
    AUTO_JSON *seen = json_object();
    size_t i;
    json_t *stage;
    json_array_foreach(stages, i, stage)
    {
        const char *name = json_text(stage, "name");
        if (json_object_get(seen, name)) {
            AUTO_FREE char *other = mem_format("%s #%zu", name, i + 1);
            json_put_text(stage, "name", other);
        }
        json_put_bool(seen, json_text(stage, "name"), true);
    }
}

static int finish_build(json_t *config, struct err *err)
{
    json_t *build = json_dict(config, "build");
    finish_names(json_list(build, "steps"));
    finish_names(json_list(build, "checks"));
    if (json_array_size(json_list(build, "output")) == 0)
        json_push(json_list(build, "output"), json_string("."));
    return finish_base(config, err);
}

static int finish_env(json_t *config, struct err *err)
{
    json_t *env = json_dict(config, "env"), *name;
    size_t i;
    json_array_foreach(json_list(env, "secret"), i, name)
    {
        if (json_object_get(json_dict(env, "clear"), json_string_value(name)))
            return FAIL(err, E_CONFIG_INVALID,
                        CONFIG_FILE ": '%.60s' is given under env.clear and under env.secret",
                        json_string_value(name));
    }
    return 0;
}

/* "a" cannot be a file and a folder. */
static int finish_files(json_t *config, struct err *err)
{
    json_t *files = json_dict(config, "files"), *value, *other;
    const char *name, *longer;
    json_object_foreach(files, name, value)
    {
        size_t length = strlen(name);
        json_object_foreach(files, longer, other)
        {
            if (text_starts(longer, name) && longer[length] == '/')
                return FAIL(err, E_CONFIG_INVALID,
                            CONFIG_FILE ": '%.60s' under 'files' is a file and a folder", name);
        }
    }
    return 0;
}

static int finish(json_t *config, struct err *err)
{
    if (json_is_null(json_object_get(config, "run")))
        return FAIL(err, E_CONFIG_INVALID,
                    CONFIG_FILE ": 'run' is missing: the command that starts the app");
    finish_strategy(config);
    if (finish_build(config, err) < 0 || finish_env(config, err) < 0)
        return -1;
    return finish_files(config, err);
}

/* Base and overlays. */

/* The names as "dev, test, prod"; and the one that was meant, when one is near. */
static const char *env_guess(const json_t *envs, struct str name, struct buf *names)
{
    struct config_guess guess = {.word = name};
    size_t i;
    json_t *env;
    json_array_foreach(envs, i, env)
    {
        (void)buf_add_format(names, "%s%s", i ? ", " : "", json_text_or(env, "name", "?"));
        config_guess_add(&guess, json_text_or(env, "name", ""));
    }
    return guess.best;
}

static int check_env(const json_t *envs, struct str name, struct err *err)
{
    AUTO_BUF names = BUF_INIT(120); /* more of them are cut */
    size_t i;
    json_t *env;
    if (!envs)
        return 0;
    json_array_foreach(envs, i, env)
    {
        if (str_is(name, json_text_or(env, "name", "")))
            return 0;
    }
    const char *guess = env_guess(envs, name, &names);
    if (guess)
        return FAIL(err, E_CONFIG_INVALID, "unknown env '%.40s' (did you mean '%s'?)", name.data,
                    guess);
    return FAIL(err, E_CONFIG_INVALID, "unknown env '%.40s': there are %s", name.data,
                names.data ? names.data : "none");
}

static int check_overlay(const struct config_node *overlay, const json_t *known, struct err *err)
{
    static const char *const same[] = {"service", "kind", "envs"};
    if (!str_is_name(overlay->key)) {
        (void)FAIL(err, E_CONFIG_INVALID, "'%.60s' is not the name of an env", overlay->key.data);
        return config_at_key(err, overlay);
    }
    if (check_env(known, overlay->key, err) < 0)
        return config_at_key(err, overlay);
    if (overlay->kind != CONFIG_MAP)
        return CONFIG_FAIL(err, overlay, E_CONFIG_INVALID, "env '%s' must be a map (key: value)",
                           overlay->key.data);
    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        const struct config_node *found = config_child(overlay, same[i]);
        if (found) {
            (void)FAIL(err, E_CONFIG_INVALID, "'%s' is the same in every env: it cannot stand here",
                       same[i]);
            return config_at_key(err, found);
        }
    }
    return 0;
}

static int check_envs(const struct config_node *envs, const json_t *known, struct err *err)
{
    size_t count = 0;
    if (envs && envs->kind != CONFIG_MAP)
        return CONFIG_FAIL(err, envs, E_CONFIG_INVALID, "'envs' must be a map (key: value)");
    for (const struct config_node *n = envs ? envs->first : NULL; n; n = n->next) {
        if (++count > ENVS_MAX)
            return CONFIG_FAIL(err, n, E_CONFIG_INVALID, "'envs' holds more than %d envs",
                               ENVS_MAX);
        if (!str_starts(n->key, "x-") && check_overlay(n, known, err) < 0)
            return -1;
    }
    return 0;
}

static int read_effective(const struct config_node *root, json_t **ret_config, struct err *err)
{
    AUTO_JSON *config = NULL;
    if (config_read_map(&config_root, root, &config, err) < 0 || finish(config, err) < 0)
        return -1;
    *ret_config = TAKE(config);
    return 0;
}

static int read_overlays(struct arena *arena, struct config_node *root, const char *env,
                         json_t **ret_config, struct err *err)
{
    struct config_node *envs = config_child(root, "envs");
    for (struct config_node *n = envs ? envs->first : NULL; n; n = n->next) {
        AUTO_JSON *config = NULL;
        if (str_starts(n->key, "x-"))
            continue;
        if (read_effective(config_merge(arena, root, n), &config, err) < 0)
            return -1;
        if (env && str_is(n->key, env))
            *ret_config = TAKE(config);
    }
    return 0;
}

/* A file of another app, copied or from the wrong repository. */
static int check_service(const struct config_node *root, const char *app, struct err *err)
{
    const struct config_node *service = config_child(root, "service");
    if (!app || !service || str_is(service->text, app))
        return 0;
    return CONFIG_FAIL(
        err, service, E_CONFIG_INVALID,
        "'service' is '%.40s', but this is the app '%s': give its name, or leave the "
        "key out",
        service->text.data, app);
}

static int parse_in(struct arena *arena, struct str text, const struct config_target *target,
                    json_t **ret_config, struct err *err)
{
    struct config_node *root;
    AUTO_JSON *plain = NULL, *config = NULL;
    if (config_tree_parse(arena, text, &root, err) < 0)
        return -1;
    if (config_read_map(&config_root, root, &plain, err) < 0 ||
        check_service(root, target->app, err) < 0 ||
        check_envs(config_child(root, "envs"), target->envs, err) < 0 ||
        read_overlays(arena, root, target->env, &config, err) < 0)
        return -1;
    if (!config && read_effective(root, &config, err) < 0)
        return -1;
    *ret_config = TAKE(config);
    return 0;
}

int config_parse_for(struct str text, const struct config_target *target, json_t **ret_config,
                     struct err *err)
{
    struct arena arena;
    if (target->env && check_env(target->envs, str_of(target->env), err) < 0)
        return -1;
    arena_init(&arena);
    int result = parse_in(&arena, text, target, ret_config, err);
    arena_done(&arena);
    return result;
}

int config_parse(struct str text, const char *env, json_t **ret_config, struct err *err)
{
    struct config_target target = {.env = env};
    return config_parse_for(text, &target, ret_config, err);
}

/* Specs. */

/* Specs are the caller's to change: nothing in them is shared with the configuration. */
static void copy_as(json_t *to, const char *name, const json_t *value)
{
    json_t *copy = json_deep_copy(value);
    ASSERT(copy);
    json_put(to, name, copy);
}

static void copy_keys(json_t *to, const json_t *from, const char *const *keys)
{
    for (; *keys; keys++)
        copy_as(to, *keys, json_object_get(from, *keys));
}

/* The OCI config. Without variables: one artifact goes through every env, each gives its own. */
static json_t *image_spec(const json_t *config)
{
    json_t *image = json_object();
    copy_as(image, "command", json_object_get(config, "run"));
    json_put(image, "env", json_object());
    json_put_int(image, "port", json_int(json_dict(config, "proxy"), "app_port", 0));
    json_put_text(image, "user", "1000:1000");
    return image;
}

json_t *config_build_spec(const json_t *config)
{
    static const char *const same[] = {"steps", "checks",  "output", "exclude", "cache",
                                       "env",   "network", "memory", "pids",    NULL};
    const json_t *build = json_dict(config, "build");
    json_t *spec = json_object();
    copy_as(spec, "base", json_object_get(config, "base"));
    json_put_text(spec, "workdir", "/app");
    copy_keys(spec, build, same);
    json_put_int(spec, "seconds", (json_int(build, "timeout_ms", 0) + 999) / 1000);
    json_put_int(spec, "volume", 0);
    json_put(spec, "image", image_spec(config));
    return spec;
}

static json_t *health_spec(const json_t *config)
{
    const json_t *check = json_dict(json_dict(config, "proxy"), "healthcheck");
    json_t *health = json_object();
    json_put_text(health, "path", json_text(check, "path"));
    json_put_int(health, "interval_ms", PROBE_INTERVAL_MS);
    json_put_int(health, "timeout_ms", json_int(check, "timeout_ms", 0));
    json_put_int(health, "deadline_ms", json_int(config, "deploy_timeout_ms", 0));
    json_put_int(health, "liveness_ms", json_int(check, "interval_ms", 0));
    return health;
}

static json_t *file_spec(const char *path, const json_t *text)
{
    size_t length = json_string_length(text);
    size_t room = sodium_base64_encoded_len(length, sodium_base64_VARIANT_ORIGINAL);
    AUTO_FREE char *encoded = mem_alloc(room);
    (void)sodium_bin2base64(encoded, room, (const unsigned char *)json_string_value(text), length,
                            sodium_base64_VARIANT_ORIGINAL); /* the room is right: cannot fail */
    json_t *file = json_object();
    json_put_text(file, "path", path);
    json_put_text(file, "value_b64", encoded);
    return file;
}

static json_t *files_spec(const json_t *config)
{
    json_t *files = json_array(), *text;
    const char *path;
    json_object_foreach(json_dict(config, "files"), path, text)
    {
        json_push(files, file_spec(path, text));
    }
    return files;
}

static json_t *stop_spec(const json_t *config)
{
    json_t *stop = json_object();
    json_put_text(stop, "signal", "TERM");
    json_put_int(stop, "grace_ms", json_int(config, "stop_timeout_ms", 0));
    return stop;
}

json_t *config_instance_spec(const json_t *config)
{
    static const char *const limits[] = {"memory", "cpus", "pids", NULL};
    json_t *spec = json_object();
    copy_as(spec, "command", json_object_get(config, "run"));
    copy_as(spec, "env", json_dict(json_dict(config, "env"), "clear"));
    json_put_int(spec, "port", json_int(json_dict(config, "proxy"), "app_port", 0));
    json_put_text(spec, "user", "1000:1000");
    json_put(spec, "health", health_spec(config));
    copy_keys(spec, json_dict(json_dict(json_dict(config, "deploy"), "resources"), "limits"),
              limits);
    json_put(spec, "stop", stop_spec(config));
    json_put(spec, "files", files_spec(config));
    copy_as(spec, "network", json_object_get(config, "network"));
    return spec;
}
