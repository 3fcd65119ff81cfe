/* The record of an instance: what was asked, as JSON with a version, root-only, with the secrets
 * that a start after a reboot needs sealed (seal.c). Version 1 had them as they were: such a record
 * is read, and written anew at once.
 *
 * Two strengths of safety: a rename makes it safe against our own death at any moment, before any
 * side effect; the fsync that makes it safe against a power cut runs on the pool beside the
 * creation, and the start is answered when both are done. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/time.h"
#include "host/instance/instance_priv.h"
#include "host/network/network.h"

#define RECORD_VERSION 2
#define RECORD_MAX (16u << 20)

void instance_free(struct instance *i)
{
    if (!i)
        return;
    run_let_go(i);
    timer_free(&i->deadline);
    timer_free(&i->wait);
    timer_free(&i->comeback_timer);
    ASSERT(i->starter_count == 0 && i->stopper_count == 0 && !i->next_ticket);
    json_decref(i->spec);
    json_decref(i->next);
    free(i->name);
    free(i->app);
    free(i->env);
    free(i->app_env);
    free(i->artifact);
    free(i->folder);
    free(i->live);
    free(i->cgroup);
    free(i);
}

/* What a spec may hold. */

static const struct json_field spec_fields[] = {
    {"command", JSON_FIELD_ARRAY, false, 0, 1000}, {"env", JSON_FIELD_OBJECT, false, 0, 0},
    {"port", JSON_FIELD_INT, true, 1, 65535},      {"user", JSON_FIELD_STRING, false, 0, 40},
    {"health", JSON_FIELD_OBJECT, false, 0, 0},    {"memory", JSON_FIELD_INT, false, 0, 0},
    {"cpus", JSON_FIELD_INT, false, 0, 1000000},   {"pids", JSON_FIELD_INT, false, 0, 1000000},
    {"stop", JSON_FIELD_OBJECT, false, 0, 0},      {"files", JSON_FIELD_ARRAY, false, 0, 1000},
    {"secrets", JSON_FIELD_ARRAY, false, 0, 1000}, {"network", JSON_FIELD_OBJECT, false, 0, 0},
};
static const struct json_field health_fields[] = {
    {"path", JSON_FIELD_STRING, false, 0, 1000},
    {"interval_ms", JSON_FIELD_INT, false, 0, 3600000},
    {"timeout_ms", JSON_FIELD_INT, false, 0, 3600000},
    {"deadline_ms", JSON_FIELD_INT, false, 0, 86400000},
    {"liveness_ms", JSON_FIELD_INT, false, 0, 3600000},
};
static const struct json_field stop_fields[] = {
    {"signal", JSON_FIELD_STRING, false, 0, 20},
    {"grace_ms", JSON_FIELD_INT, false, 0, 86400000},
};
static const struct json_field network_fields[] = {{"outside", JSON_FIELD_BOOL, false, 0, 0}};

static int check_path(const char *path, struct err *err)
{
    if (*path == '\0' || (path[0] == '/' && !str_has_control(str_of(path)) && !strchr(path, ' ')))
        return 0;
    return FAIL(err, E_FIELD_INVALID, "health.path '%s' must begin with '/' and hold no space",
                path);
}

static int check_spec(const json_t *spec, struct err *err)
{
    const json_t *health = json_dict(spec, "health");
    const json_t *stop = json_dict(spec, "stop");
    const json_t *network = json_dict(spec, "network");
    if (json_check(spec, spec_fields, ARRAY_SIZE(spec_fields), err) < 0 ||
        json_check(health, health_fields, ARRAY_SIZE(health_fields), err) < 0 ||
        json_check(stop, stop_fields, ARRAY_SIZE(stop_fields), err) < 0 ||
        json_check(network, network_fields, ARRAY_SIZE(network_fields), err) < 0)
        return err_wrap(err, "spec");
    return check_path(json_text_or(health, "path", ""), err);
}

/* "1000:1000", "1000", or nothing: 1000:1000. */
static int check_user(const char *text, uint32_t *ret_uid, uint32_t *ret_gid, struct err *err)
{
    struct str rest = str_of(text && *text ? text : "1000:1000");
    struct str user = str_cut(&rest, ':');
    int64_t uid, gid;
    if (str_to_int(user, 0, 65535, "user", &uid, err) < 0)
        return -1;
    gid = uid;
    if (rest.data && str_to_int(rest, 0, 65535, "group", &gid, err) < 0)
        return -1;
    *ret_uid = (uint32_t)uid;
    *ret_gid = (uint32_t)gid;
    return 0;
}

/* Becomes a folder, a container id and part of a cgroup path. */
static int check_name(const char *name, struct err *err)
{
    for (const char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789.-", *c))
            return FAIL(err, E_NAME_INVALID, "instance '%s' holds '%c'", name, *c);
    if (name[0] == '.' || name[0] == '-' || strstr(name, ".."))
        return FAIL(err, E_NAME_INVALID, "instance '%s' is no name", name);
    return 0;
}

static int instance_from_json(const json_t *args, struct instance **ret_instance, struct err *err)
{
    const struct settings *settings = instances.host->settings;
    json_t *spec = json_object_get(args, "spec");
    AUTO(instance) *i = mem_alloc(sizeof(*i));
    i->pid_fd = i->conmon_fd = i->sync_fd = -1;
    i->name = mem_strdup(json_text_or(args, "instance", ""));
    i->app = mem_strdup(json_text_or(args, "app", ""));
    i->env = mem_strdup(json_text_or(args, "env", ""));
    i->artifact = mem_strdup(json_text_or(args, "artifact", ""));
    i->app_env_id = json_int(args, "app_env_id", 0);
    i->release = json_int(args, "release", 0);
    i->rollout = json_int(args, "rollout", 0);
    i->epoch = json_int(args, "epoch", 0);
    if (check_name(i->name, err) < 0 || check_spec(spec, err) < 0 ||
        check_user(json_text(spec, "user"), &i->uid, &i->gid, err) < 0 ||
        host_id_range(settings, args, &i->id_range, err) < 0)
        return -1;
    if (!str_is_name(str_of(i->app)) || !str_is_name(str_of(i->env)))
        return FAIL(err, E_NAME_INVALID, "'%s.%s' is no app-env", i->app, i->env);
    i->spec = json_incref(spec);
    i->app_env = mem_format("%s.%s", i->app, i->env);
    size_t length = strlen(i->app_env);
    if (!text_starts(i->name, i->app_env) || i->name[length] != '.' || !i->name[length + 1])
        return FAIL(err, E_NAME_INVALID, "instance '%s' is none of '%s'", i->name, i->app_env);
    i->serial = ++instances.serial;
    i->folder = mem_format("%s/%s", instances.folder, i->name);
    i->cgroup = mem_format("%s/%s", i->app_env, i->name);
    AUTO_FREE char *live = mem_format("live/%s", i->name);
    i->live = settings_run(settings, live);
    i->range = settings_range(settings, i->id_range, 0);
    i->port = (uint16_t)json_int(spec, "port", 0);
    i->since = clock_wall_ms(clock_system());
    *ret_instance = TAKE(i);
    return 0;
}

int record_from_args(json_t *args, struct instance **ret_instance, struct err *err)
{
    return instance_from_json(args, ret_instance, err);
}

/* Put the secrets back where the verb had them. */
static int unseal(const char *name, json_t *record, struct err *err)
{
    const char *sealed = json_text(record, "sealed_secrets");
    json_t *spec = json_object_get(record, "spec"), *secrets;
    if (!sealed || !json_is_object(spec))
        return 0; /* the check of the spec says what is wrong with it */
    if (seal_open(name, sealed, &secrets, err) < 0)
        return -1;
    json_put(spec, "secrets", secrets);
    return 0;
}

int record_load(const char *name, struct instance **ret_instance, struct err *err)
{
    AUTO_BUF text = BUF_INIT(RECORD_MAX);
    AUTO_JSON *record = NULL;
    AUTO_FREE char *path = mem_format("%s/%s/record.json", instances.folder, name);
    AUTO(instance) *i = NULL;
    if (file_read(path, RECORD_MAX, &text, err) < 0 || json_parse(buf_str(&text), &record, err) < 0)
        return -1;
    if (json_int(record, "version", 0) > RECORD_VERSION)
        return FAIL(err, E_SCHEMA_NEWER, "record of instance '%s' is of a newer version", name);
    if (unseal(name, record, err) < 0 || instance_from_json(record, &i, err) < 0)
        return -1;
    if (!text_is(i->name, name))
        return FAIL(err, E_CORRUPT, "record in '%s' is of '%s'", name, i->name);
    if (network_parse(json_text(record, "address"), &i->address, err) < 0) {
        i->address = 0;
        return -1;
    }
    i->ever_ready = json_bool(record, "ever_ready", false);
    i->stopping = json_bool(record, "stopping", false);
    i->outdated = json_int(record, "version", 0) < RECORD_VERSION;
    i->synced = true;
    *ret_instance = TAKE(i);
    return 0;
}

static int record_json(const struct instance *i, json_t **ret_record, struct err *err)
{
    char address[NETWORK_TEXT];
    AUTO_JSON *r = json_object();
    AUTO_JSON *spec = json_copy(i->spec);
    AUTO_FREE char *sealed = NULL;
    const json_t *secrets = json_list(spec, "secrets");
    if (json_array_size(secrets) > 0 && seal_close(i->name, secrets, &sealed, err) < 0)
        return -1;
    (void)json_object_del(spec, "secrets"); /* absent is fine */
    network_text(i->address, address);
    json_put_int(r, "version", RECORD_VERSION);
    json_put_text(r, "instance", i->name);
    json_put_text(r, "app", i->app);
    json_put_text(r, "env", i->env);
    json_put_int(r, "app_env_id", i->app_env_id);
    json_put_int(r, "id_range", i->id_range);
    json_put_int(r, "release", i->release);
    json_put_text(r, "artifact", i->artifact);
    json_put_int(r, "rollout", i->rollout);
    json_put_int(r, "epoch", i->epoch);
    json_put_text(r, "address", address);
    json_put_bool(r, "ever_ready", i->ever_ready);
    json_put_bool(r, "stopping", i->stopping);
    json_put(r, "spec", TAKE(spec));
    if (sealed)
        json_put_text(r, "sealed_secrets", sealed);
    *ret_record = TAKE(r);
    return 0;
}

static int write_new(const char *path, const char *text, struct err *err)
{
    size_t length = strlen(text), written = 0;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return FAIL_SYS(err, "cannot make '%s'", path);
    while (written < length) {
        ssize_t count = write(fd, text + written, length - written);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return FAIL_SYS(err, "cannot write '%s'", path);
        written += (size_t)count;
    }
    return 0;
}

int record_write(struct instance *i, struct err *err)
{
    AUTO_JSON *record = NULL;
    if (record_json(i, &record, err) < 0)
        return -1;
    AUTO_FREE char *text = json_print(record);
    AUTO_FREE char *path = mem_format("%s/record.json", i->folder);
    AUTO_FREE char *temporary = mem_format("%s/record.new", i->folder);
    FAULT("instance.record");
    if (write_new(temporary, text, err) < 0)
        return -1;
    if (rename(temporary, path) < 0)
        return FAIL_SYS(err, "cannot put '%s' in its place", path);
    FAULT("instance.recorded");
    return 0;
}

/* The sync, on the pool: the file, its folder, the folder above. */

struct sync {
    char *paths[3];
    char *name;
    int64_t serial;
    bool failed;
};

static void sync_work(void *context)
{
    struct sync *s = context;
    for (size_t n = 0; n < ARRAY_SIZE(s->paths); n++) {
        AUTO_CLOSE int fd = open(s->paths[n], O_RDONLY | O_CLOEXEC);
        if (fd < 0 ? errno != ENOENT : fsync(fd) < 0) /* absent: being removed */
            s->failed = true;
    }
}

static void sync_done(void *context)
{
    struct sync *s = context;
    struct instance *i = instance_find(s->name);
    if (i && i->serial == s->serial) {
        if (s->failed)
            log_error("cannot sync an instance's record, going on: a power cut may forget it",
                      F_STR("instance", i->name));
        i->synced = true;
        instance_answer_start(i);
    }
    for (size_t n = 0; n < ARRAY_SIZE(s->paths); n++)
        free(s->paths[n]);
    free(s->name);
    free(s);
}

void record_sync(struct instance *i)
{
    struct sync *s = mem_alloc(sizeof(*s));
    s->paths[0] = mem_format("%s/record.json", i->folder);
    s->paths[1] = mem_strdup(i->folder);
    s->paths[2] = mem_strdup(instances.folder);
    s->name = mem_strdup(i->name);
    s->serial = i->serial;
    loop_work(sync_work, sync_done, s);
}
