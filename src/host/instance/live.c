/* The live directory of an instance: run_dir/live/NAME on tmpfs, read-only at /run/slipway inside.
 *
 *     config/PATH     files of the release's config
 *     secrets/NAME    one secret a file
 *
 * All of it belongs to the app's mapped user and to nobody else (0500 and 0400). Content may be
 * replaced while the instance runs, by rename within. It is gone after a reboot and written anew
 * from the record. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/secret.h"
#include "host/instance/instance_priv.h"

#define VALUE_MAX (4u << 20)

static const struct json_field file_fields[] = {{"path", JSON_FIELD_STRING, true, 1, 500},
                                                {"value_b64", JSON_FIELD_STRING, true, 0, 6 << 20}};
static const struct json_field secret_fields[] = {
    {"name", JSON_FIELD_STRING, true, 1, 128},
    {"value_b64", JSON_FIELD_STRING, true, 0, 6 << 20},
    {"env", JSON_FIELD_BOOL, false, 0, 0}};

static int live_decode(const char *base64, const char *what, struct secret *ret_value,
                       struct err *err)
{
    size_t length = strlen(base64), padding = 0;
    if (length % 4 != 0 || length > VALUE_MAX / 3 * 4)
        return FAIL(err, E_FIELD_INVALID, "value of '%s' is no base64 or too long", what);
    while (padding < 2 && padding < length && base64[length - 1 - padding] == '=')
        padding++;
    AUTO_FREE unsigned char *bytes = mem_alloc(length / 4 * 3 + 1);
    int count = EVP_DecodeBlock(bytes, (const unsigned char *)base64, (int)length);
    if (count < 0 || (size_t)count < padding)
        return FAIL(err, E_FIELD_INVALID, "value of '%s' is no base64", what);
    secret_set(ret_value, bytes, (size_t)count - padding);
    explicit_bzero(bytes, length / 4 * 3 + 1);
    return 0;
}

int live_secret(const json_t *secret, struct secret *ret_value, struct err *err)
{
    const char *name = json_text_or(secret, "name", "");
    if (json_check(secret, secret_fields, ARRAY_SIZE(secret_fields), err) < 0)
        return err_wrap(err, "spec.secrets");
    return live_decode(json_text_or(secret, "value_b64", ""), name, ret_value, err);
}

/* Relative, plain components. */
static int check_below(const char *path, struct err *err)
{
    for (struct str rest = str_of(path); rest.data;) {
        struct str part = str_cut(&rest, '/');
        if (part.length == 0 || str_is(part, ".") || str_is(part, "..") || str_has_control(part))
            return FAIL(err, E_PATH_ESCAPES, "'%s' is no path for a file", path);
    }
    return 0;
}

static int give(const struct instance *i, const char *path, mode_t mode, struct err *err)
{
    if (chown(path, i->range + i->uid, i->range + i->gid) < 0 || chmod(path, mode) < 0)
        return FAIL_SYS(err, "cannot give '%s' to the app", path);
    return 0;
}

/* Make the folders of a path below `base`, each the app's. */
static int live_folders(const struct instance *i, const char *base, const char *below,
                        struct err *err)
{
    AUTO_FREE char *path = mem_format("%s/%s", base, below);
    for (char *slash = path + strlen(base) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return FAIL_SYS(err, "cannot make '%s'", path);
        if (give(i, path, 0500, err) < 0)
            return -1;
        *slash = '/';
    }
    return 0;
}

static int live_file(const struct instance *i, const char *folder, const char *name,
                     struct str content, struct err *err)
{
    AUTO_FREE char *path = mem_format("%s/%s", folder, name);
    AUTO_FREE char *temporary = mem_format("%s/.new", i->live);
    if (check_below(name, err) < 0 || live_folders(i, folder, name, err) < 0)
        return -1;
    AUTO_CLOSE int fd =
        open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, content.data, content.length) != (ssize_t)content.length)
        return FAIL_SYS(err, "cannot write '%s'", path);
    if (fchown(fd, i->range + i->uid, i->range + i->gid) < 0 || fchmod(fd, 0400) < 0 ||
        rename(temporary, path) < 0)
        return FAIL_SYS(err, "cannot put '%s' in its place", path);
    return 0;
}

static int live_configs(const struct instance *i, const char *folder, struct err *err)
{
    size_t index;
    json_t *file;
    json_array_foreach(json_list(i->spec, "files"), index, file)
    {
        AUTO_SECRET value = {0};
        const char *path = json_text_or(file, "path", "");
        if (json_check(file, file_fields, ARRAY_SIZE(file_fields), err) < 0)
            return err_wrap(err, "spec.files");
        if (live_decode(json_text_or(file, "value_b64", ""), path, &value, err) < 0 ||
            live_file(i, folder, path, secret_str(&value), err) < 0)
            return -1;
    }
    return 0;
}

static int live_secrets(const struct instance *i, const char *folder, struct err *err)
{
    size_t index;
    json_t *secret;
    json_array_foreach(json_list(i->spec, "secrets"), index, secret)
    {
        AUTO_SECRET value = {0};
        const char *name = json_text_or(secret, "name", "");
        if (live_secret(secret, &value, err) < 0)
            return -1;
        if (strchr(name, '/'))
            return FAIL(err, E_NAME_INVALID, "'%s' is no name of a secret", name);
        if (!json_bool(secret, "env", false) &&
            live_file(i, folder, name, secret_str(&value), err) < 0)
            return -1;
    }
    return 0;
}

int live_write(struct instance *i, struct err *err)
{
    AUTO_FREE char *config = mem_format("%s/config", i->live);
    AUTO_FREE char *secrets = mem_format("%s/secrets", i->live);
    FAULT("instance.live");
    if (file_make_dirs(config, 0700, err) < 0 || file_make_dirs(secrets, 0700, err) < 0 ||
        live_configs(i, config, err) < 0 || live_secrets(i, secrets, err) < 0)
        return -1;
    if (give(i, config, 0500, err) < 0 || give(i, secrets, 0500, err) < 0)
        return -1;
    return give(i, i->live, 0500, err);
}
