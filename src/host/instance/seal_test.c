/* Secrets in a record: unreadable in the file, back after a load, and bound to key and instance. */
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tap.h"
#include "host/instance/instance_priv.h"

#define NAME "shop.dev.r1.1"
#define CLEAR "c3VwZXJzZWNyZXQ=" /* "supersecret" */
#define ARGS                                                                                       \
    "\"instance\":\"" NAME "\",\"app\":\"shop\",\"env\":\"dev\",\"app_env_id\":1,\"release\":1,"   \
    "\"artifact\":\"x\",\"rollout\":1,\"epoch\":1,\"address\":\"10.213.0.7\",\"spec\":{"           \
    "\"port\":3000,\"secrets\":[{\"name\":\"db\",\"value_b64\":\"" CLEAR "\"}]}"

static struct host host;

static char *path_of(const char *below)
{
    return mem_format("%s/%s", tap_dir(), below);
}

static void key_write(char byte)
{
    struct err err = ERR_INIT;
    char key[32];
    AUTO_FREE char *path = path_of("master.key");
    memset(key, byte, sizeof(key));
    OK(file_write(path, (struct str){key, sizeof(key)}, 0600, &err) == 0);
}

static void set_up(void)
{
    struct err err = ERR_INIT;
    struct settings *s = NULL;
    AUTO_FREE char *path = path_of("settings");
    AUTO_FREE char *text = mem_format("data_dir = %s\nrun_dir = /tmp/x\n", tap_dir());
    AUTO_FREE char *folder = path_of("host/instances/" NAME);
    OK(file_make_dirs(folder, 0700, &err) == 0);
    OK(file_write(path, str_of(text), 0600, &err) == 0);
    OK(settings_load(path, &s, &err) == 0);
    host.settings = s;
    instances.host = &host;
    instances.folder = path_of("host/instances");
    key_write('k');
}

static void tear_down(void)
{
    settings_free((struct settings *)(uintptr_t)host.settings);
    host.settings = NULL;
    free(TAKE(instances.folder));
}

static void record_of(struct buf *ret_text)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = path_of("host/instances/" NAME "/record.json");
    OK(file_read(path, 100000, ret_text, &err) == 0);
}

static struct instance *instance_new(void)
{
    struct err err = ERR_INIT;
    AUTO_JSON *args = NULL;
    struct instance *i = NULL;
    OK(json_parse(STR("{" ARGS "}"), &args, &err) == 0);
    OK(record_from_args(args, &i, &err) == 0);
    i->address = 0x0ad50007;
    OK(record_write(i, &err) == 0);
    return i;
}

static const char *secret_of(const struct instance *i)
{
    return json_text(json_array_get(json_list(i->spec, "secrets"), 0), "value_b64");
}

TEST(a_record_holds_no_secret_in_clear_and_gives_it_back)
{
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(0);
    set_up();
    AUTO(instance) *written = instance_new();
    AUTO(instance) *read = NULL;
    IS_STR(secret_of(written), CLEAR); /* what runs keeps it */
    record_of(&text);
    OK(strstr(text.data, "supersecret") == NULL && strstr(text.data, CLEAR) == NULL);
    OK(strstr(text.data, "sealed_secrets") != NULL);
    OK(record_load(NAME, &read, &err) == 0);
    IS_STR(secret_of(read), CLEAR);
    OK(!read->outdated);
    tear_down();
}

TEST(a_record_of_version_1_is_read_and_marked)
{
    struct err err = ERR_INIT;
    AUTO(instance) *i = NULL;
    set_up();
    AUTO_FREE char *path = path_of("host/instances/" NAME "/record.json");
    OK(file_write(path, STR("{\"version\":1," ARGS "}"), 0600, &err) == 0);
    OK(record_load(NAME, &i, &err) == 0);
    IS_STR(secret_of(i), CLEAR);
    OK(i->outdated);
    tear_down();
}

TEST(without_the_key_nothing_opens_and_nothing_is_written)
{
    struct err err = ERR_INIT, second = ERR_INIT, third = ERR_INIT;
    struct instance *none = NULL;
    set_up();
    AUTO(instance) *i = instance_new();
    key_write('x');
    OK(record_load(NAME, &none, &err) < 0 && err.kind == E_CORRUPT);
    AUTO_FREE char *key = path_of("master.key");
    OK(unlink(key) == 0);
    OK(record_load(NAME, &none, &second) < 0 && strstr(second.text, "master.key") != NULL);
    OK(record_write(i, &third) < 0 && strstr(third.text, "master.key") != NULL);
    tear_down();
}

TEST(what_is_sealed_for_one_instance_opens_for_no_other)
{
    struct err err = ERR_INIT;
    AUTO_JSON *secrets = json_array(), *opened = NULL;
    AUTO_FREE char *sealed = NULL;
    set_up();
    OK(seal_close("shop.dev.r1.1", secrets, &sealed, &err) == 0);
    OK(seal_open("shop.prod.r1.1", sealed, &opened, &err) < 0 && err.kind == E_CORRUPT);
    struct err fine = ERR_INIT;
    OK(seal_open("shop.dev.r1.1", sealed, &opened, &fine) == 0);
    tear_down();
}

TAP_MAIN()
