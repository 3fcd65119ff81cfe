/* What an instance's container is made of: the artifact's layers and binds, its environment, its
 * limits. The bundle's folder is the record's. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "host/instance/instance_priv.h"
#include "host/network/network.h"

struct bundle {
    struct arena memory;
    struct artifact_root root;
    json_t *variables; /* name -> text; insertion order */
    struct sandbox_spec spec;
    const char **argv;
    const char **env;
};

/* Environment: the image's, then the release's, then its secrets, then ours. */

static int env_put(struct bundle *b, const char *name, const char *value, struct err *err)
{
    if (!str_is_env_name(str_of(name)))
        return FAIL(err, E_NAME_INVALID, "'%s' is no name of a variable", name);
    json_put_text(b->variables, name, value);
    return 0;
}

static int env_put_all(struct bundle *b, const json_t *object, struct err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) if (!json_is_string(value)) return FAIL(
        err, E_FIELD_INVALID, "variable '%s' is no text", name);
    else if (env_put(b, name, json_string_value(value), err) < 0) return -1;
    return 0;
}

static int env_put_secrets(struct bundle *b, const struct instance *i, struct err *err)
{
    size_t index;
    json_t *secret;
    json_array_foreach(json_list(i->spec, "secrets"), index, secret)
    {
        AUTO_SECRET value = {0};
        if (!json_bool(secret, "env", false))
            continue;
        if (live_secret(secret, &value, err) < 0 ||
            env_put(b, json_text_or(secret, "name", ""), value.data, err) < 0)
            return -1;
    }
    return 0;
}

static int env_build(struct bundle *b, const struct instance *i, struct err *err)
{
    const char *name;
    json_t *value;
    size_t count = 0;
    json_put_text(b->variables, "PATH",
                  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    json_put_text(b->variables, "HOME", "/tmp");
    json_put_text(b->variables, "LANG", "C.UTF-8");
    if (env_put_all(b, json_dict(b->root.config, "env"), err) < 0 ||
        env_put_all(b, json_dict(i->spec, "env"), err) < 0 || env_put_secrets(b, i, err) < 0)
        return -1;
    json_put_text(b->variables, "PORT", arena_format(&b->memory, "%d", i->port));
    json_put_text(b->variables, "SLIPWAY_APP", i->app);
    json_put_text(b->variables, "SLIPWAY_ENV", i->env);
    json_put_text(b->variables, "SLIPWAY_RELEASE",
                  arena_format(&b->memory, "r%d", (int)i->release));
    json_put_text(b->variables, "SLIPWAY_INSTANCE", i->name);
    b->env = arena_alloc(&b->memory, (json_object_size(b->variables) + 1) * sizeof(char *));
    json_object_foreach(b->variables, name, value) b->env[count++] =
        arena_format(&b->memory, "%s=%s", name, json_string_value(value));
    return 0;
}

static int argv_build(struct bundle *b, const struct instance *i, struct err *err)
{
    json_t *command = json_list(i->spec, "command");
    size_t index;
    json_t *word;
    if (json_array_size(command) == 0)
        command = json_list(b->root.config, "command");
    if (json_array_size(command) == 0)
        return FAIL(err, E_CONFIG_MISSING, "neither release nor artifact name a command");
    b->argv = arena_alloc(&b->memory, (json_array_size(command) + 1) * sizeof(char *));
    json_array_foreach(command, index, word)
    {
        if (!json_is_string(word))
            return FAIL(err, E_FIELD_INVALID, "word %zu of the command is no text", index + 1);
        b->argv[index] = json_string_value(word); /* lives in spec or root */
    }
    return 0;
}

/* Binds. */

static void bind_add(struct bundle *b, const char *source, const char *target)
{
    ASSERT(b->spec.bind_count < ARRAY_SIZE(b->spec.binds));
    b->spec.binds[b->spec.bind_count++] = (struct sandbox_bind){source, target, false};
}

static int hosts_write(const char *path, const struct instance *i, struct err *err)
{
    char address[NETWORK_TEXT];
    network_text(i->address, address);
    AUTO_FREE char *text =
        mem_format("127.0.0.1\tlocalhost\n%s\t%.63s\n", address, i->name); /* = its hostname */
    size_t length = strlen(text);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, length) != (ssize_t)length)
        return FAIL_SYS(err, "cannot write '%s'", path);
    return 0;
}

static int binds_build(struct bundle *b, const struct instance *i, struct err *err)
{
    const char *hosts = arena_format(&b->memory, "%s/hosts", i->folder);
    if (hosts_write(hosts, i, err) < 0)
        return -1;
    for (size_t n = 0; n < b->root.bind_count; n++)
        bind_add(b, b->root.binds[n].source, b->root.binds[n].target);
    bind_add(b, network_resolv_path(), "/etc/resolv.conf");
    bind_add(b, hosts, "/etc/hosts");
    bind_add(b, i->live, "/run/slipway");
    return 0;
}

static int bundle_build(struct bundle *b, const struct instance *i, struct err *err)
{
    struct sandbox_spec *s = &b->spec;
    if (env_build(b, i, err) < 0 || argv_build(b, i, err) < 0 || binds_build(b, i, err) < 0)
        return -1;
    s->name = i->name;
    s->cgroup = i->cgroup;
    s->folder = i->folder;
    s->config = arena_format(&b->memory, "%s/bundle.json", i->live); /* goes with it */
    s->lower = b->root.lower;
    s->range = i->range;
    s->argv = b->argv;
    s->env = b->env;
    s->cwd = json_text_or(b->root.config, "workdir", "/");
    s->uid = i->uid;
    s->gid = i->gid;
    s->tmp_size = "256m"; /* counts as memory of the instance */
    s->caps = SANDBOX_CAPS_NONE;
    s->memory = json_int(i->spec, "memory", 0);
    s->cpu_millis = json_int(i->spec, "cpus", 0);
    s->pids = json_int(i->spec, "pids", 0);
    s->network = true;
    s->files_max = 65536;
    return sandbox_prepare(s, err);
}

int bundle_prepare(struct instance *i, struct err *err)
{
    struct bundle b = {0};
    FAULT("instance.bundle");
    if (live_write(i, err) < 0 || instances.roots.get(i->artifact, &b.root, err) < 0)
        return -1;
    arena_init(&b.memory);
    b.variables = json_object();
    int result = bundle_build(&b, i, err);
    json_decref(b.variables);
    arena_done(&b.memory);
    instances.roots.done(&b.root);
    return result;
}
