/* Secrets with a real store: versions, what a release freezes, what host gets, and that a sealed
 * value opens in its own place only. */
#include "core/secret/secret.h"
#include <fcntl.h>
#include "base/file.h"
#include "core/access/access_fixture.h"

#define FINE(call) is_fine((call), &err)
static void is_fine(int result, const struct err *err)
{
    if (result != 0)
        IS_STR(err->text, "");
    IS_INT(result, 0);
}

#define IS_REFUSED(call, kind_)                                                                    \
    do {                                                                                           \
        err = (struct err)ERR_INIT;                                                                \
        IS_INT((call), -1);                                                                        \
        IS_STR(err_name(err.kind), err_name(kind_));                                               \
    } while (0)

static int key_fd(const char *bytes, size_t length)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/key", tap_dir());
    FINE(file_write(path, (struct str){bytes, length}, 0600, &err));
    return open(path, O_RDONLY | O_CLOEXEC);
}

static struct core *secret_core(void)
{
    struct err err = ERR_INIT;
    struct core *core = fixture_open();
    FINE(secret_box_open(key_fd("0123456789abcdef0123456789abcdef", 32), &core->secrets, &err));
    return core;
}

static int64_t put(struct core *core, int64_t app_env, const char *name, enum secret_kind kind,
                   const char *value)
{
    struct err err = ERR_INIT;
    struct person root;
    int64_t version = 0;
    person_root(&root);
    FINE(secret_put(core, &root, app_env, "shop.prod", name, kind, str_of(value), &version, &err));
    return version;
}

#define IS_JSON(value, want)                                                                       \
    do {                                                                                           \
        AUTO_FREE char *text_ = json_print(value);                                                 \
        IS_STR(text_, (want));                                                                     \
    } while (0)

TEST(a_release_freezes_versions_and_gets_them_back)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    AUTO_JSON *frozen = NULL, *current = NULL, *old = NULL, *builds = NULL;
    IS_INT(put(core, 7, "DB_PASSWORD", SECRET_ENV, "hunter2"), 1);
    IS_INT(put(core, 7, "tls.key", SECRET_FILE, "line1\nline2\n"), 1);
    IS_INT(put(core, 7, "NPM_TOKEN", SECRET_BUILD, "npm"), 1);
    IS_INT(put(core, 8, "DB_PASSWORD", SECRET_ENV, "other"), 1);
    FINE(secret_versions(core, 7, &frozen, &err));
    IS_JSON(frozen, "{\"DB_PASSWORD\":1,\"tls.key\":1}");
    IS_INT(put(core, 7, "DB_PASSWORD", SECRET_ENV, "hunter3"), 2);
    FINE(secret_versions(core, 7, &current, &err));
    IS_JSON(current, "{\"DB_PASSWORD\":2,\"tls.key\":1}");
    FINE(secret_reveal(core, 7, frozen, NULL, &old, &err));
    IS_JSON(old, "[{\"name\":\"DB_PASSWORD\",\"value_b64\":\"aHVudGVyMg==\",\"env\":true},"
                 "{\"name\":\"tls.key\",\"value_b64\":\"bGluZTEKbGluZTIK\",\"env\":false}]");
    FINE(secret_reveal(core, 7, NULL, NULL, &builds, &err));
    IS_JSON(builds, "[{\"name\":\"NPM_TOKEN\",\"value_b64\":\"bnBt\",\"file\":true}]");
    fixture_close(core);
}

TEST(a_list_and_the_journal_never_show_a_value)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    AUTO_JSON *rows = NULL, *journal = NULL;
    (void)put(core, 7, "DB_PASSWORD", SECRET_ENV, "canary-value");
    FINE(secret_list(core, 7, &rows, &err));
    IS_JSON(rows, "[{\"name\":\"DB_PASSWORD\",\"kind\":\"env\",\"version\":1,\"at\":"
                  "1700000000000,\"by\":\"root\"}]");
    FINE(journal_list(core, 0, 10, false, NULL, &journal, &err));
    AUTO_FREE char *text = json_print(journal);
    OK(strstr(text, "secret.set") != NULL);
    OK(strstr(text, "canary") == NULL);
    IS_INT(fixture_count(core, "SELECT count(*) FROM secret_version WHERE sealed LIKE '%canary%'"
                               " OR sealed LIKE '%Y2FuYXJ5%'"),
           0);
    fixture_close(core);
}

TEST(a_deleted_secret_stays_for_releases_that_froze_it)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    struct person root;
    AUTO_JSON *frozen = NULL, *none = NULL, *secrets = NULL;
    person_root(&root);
    (void)put(core, 7, "A", SECRET_ENV, "one");
    FINE(secret_versions(core, 7, &frozen, &err));
    FINE(secret_delete(core, &root, 7, "shop.prod", "A", &err));
    IS_REFUSED(secret_delete(core, &root, 7, "shop.prod", "A", &err), E_NOT_FOUND);
    FINE(secret_versions(core, 7, &none, &err));
    IS_JSON(none, "{}");
    FINE(secret_reveal(core, 7, frozen, NULL, &secrets, &err));
    IS_INT(put(core, 7, "A", SECRET_ENV, "two"), 2); /* a version never means another value */
    fixture_close(core);
}

TEST(every_byte_comes_back)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    struct person root;
    int64_t version;
    AUTO_JSON *frozen = NULL, *secrets = NULL;
    static const char bytes[] = "a\0b\n\"'$(id)\xff";
    person_root(&root);
    FINE(secret_put(core, &root, 7, "s", "bin", SECRET_FILE, (struct str){bytes, 12}, &version,
                    &err));
    FINE(secret_versions(core, 7, &frozen, &err));
    FINE(secret_reveal(core, 7, frozen, NULL, &secrets, &err));
    IS_STR(json_text(json_array_get(secrets, 0), "value_b64"), "YQBiCiInJChpZCn/");
    /* nobody means to: what should have come by a pipe has not */
    IS_REFUSED(secret_put(core, &root, 9, "s", "EMPTY", SECRET_ENV, STR(""), &version, &err),
               E_VALUE_INVALID);
    fixture_close(core);
}

TEST(bad_names_and_values_are_refused)
{
    static const char *const names[] = {"", "1A", "A=B", "A\nB", "a b", "../x", ".x", "-x", "é"};
    static const char *const variables[] = {"tls.key", "a-b", "PORT", "SLIPWAY_ENV"};
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    struct person root;
    int64_t version;
    person_root(&root);
#define PUT(name, kind, value)                                                                     \
    secret_put(core, &root, 7, "s", (name), (kind), (value), &version, &err)
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        IS_REFUSED(PUT(names[i], SECRET_FILE, STR("x")), E_NAME_INVALID);
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
        IS_REFUSED(PUT(variables[i], SECRET_ENV, STR("x")), E_NAME_INVALID);
    IS_REFUSED(PUT("A", SECRET_ENV, ((struct str){"a\0b", 3})), E_VALUE_INVALID);
    AUTO_FREE char *large = mem_alloc(SECRET_VALUE_MAX + 1);
    IS_REFUSED(PUT("A", SECRET_FILE, ((struct str){large, SECRET_VALUE_MAX + 1})), E_TOO_LARGE);
    FINE(PUT("A", SECRET_FILE, ((struct str){large, SECRET_VALUE_MAX})));
#undef PUT
    enum secret_kind kind;
    FINE(secret_kind_parse("build", &kind, &err));
    IS_INT(kind, SECRET_BUILD);
    IS_REFUSED(secret_kind_parse("x", &kind, &err), E_FIELD_INVALID);
    IS_REFUSED(secret_kind_parse(NULL, &kind, &err), E_FIELD_INVALID);
    fixture_close(core);
}

TEST(a_sealed_value_opens_in_its_place_only)
{
    static const char *const moves[] = {
        "UPDATE secret_version SET app_env_id=8",
        "UPDATE secret_version SET app_env_id=7, name='B'",
        "UPDATE secret_version SET name='A', version=2",
        "UPDATE secret_version SET version=1, kind='file'",
        "UPDATE secret_version SET kind='env', sealed='AAAA'",
        "UPDATE secret_version SET sealed='not base64'",
    };
    static const struct {
        int64_t app_env;
        const char *versions;
    } asks[] = {{8, "{\"A\":1}"}, {7, "{\"B\":1}"}, {7, "{\"A\":2}"},
                {7, "{\"A\":1}"}, {7, "{\"A\":1}"}, {7, "{\"A\":1}"}};
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    (void)put(core, 7, "A", SECRET_ENV, "value");
    for (size_t i = 0; i < ARRAY_SIZE(moves); i++) {
        AUTO_JSON *versions = NULL, *secrets = NULL;
        FINE(store_run(core->store, &err, moves[i], ""));
        FINE(json_parse(str_of(asks[i].versions), &versions, &err));
        IS_REFUSED(secret_reveal(core, asks[i].app_env, versions, NULL, &secrets, &err), E_CORRUPT);
    }
    AUTO_JSON *absent = NULL, *secrets = NULL;
    FINE(json_parse(STR("{\"A\":9}"), &absent, &err));
    IS_REFUSED(secret_reveal(core, 7, absent, NULL, &secrets, &err), E_NOT_FOUND);
    fixture_close(core);
}

TEST(another_key_opens_nothing)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    AUTO_JSON *versions = NULL, *secrets = NULL;
    (void)put(core, 7, "A", SECRET_ENV, "value");
    FINE(secret_versions(core, 7, &versions, &err));
    secret_box_free(core->secrets);
    FINE(secret_box_open(key_fd("another key another key another!", 32), &core->secrets, &err));
    IS_REFUSED(secret_reveal(core, 7, versions, NULL, &secrets, &err), E_CORRUPT);
    fixture_close(core);
}

TEST(a_key_of_the_wrong_length_is_refused)
{
    struct err err = ERR_INIT;
    struct secret_box *box = NULL;
    IS_REFUSED(secret_box_open(key_fd("short", 5), &box, &err), E_CORRUPT);
    IS_REFUSED(secret_box_open(key_fd("0123456789abcdef0123456789abcdef!", 33), &box, &err),
               E_CORRUPT);
    IS_REFUSED(secret_box_open(key_fd("", 0), &box, &err), E_CORRUPT);
    IS_REFUSED(secret_box_open(-1, &box, &err), E_SYSTEM);
    int fd = key_fd("0123456789abcdef0123456789abcdef", 32);
    FINE(secret_box_open(fd, &box, &err));
    IS_INT(fcntl(fd, F_GETFD), -1); /* closed */
    secret_box_free(box);
}

TEST(old_versions_go_when_no_release_names_them)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    AUTO_JSON *frozen = NULL;
    for (int i = 0; i < 30; i++)
        (void)put(core, 7, "A", SECRET_ENV, "value");
    FINE(json_parse(STR("[{\"A\":3},{\"B\":4},{\"A\":29}]"), &frozen, &err));
    FINE(secret_retain(core, 7, frozen, &err));
    IS_INT(fixture_count(core, "SELECT count(*) FROM secret_version"), 21);
    IS_INT(fixture_count(core, "SELECT min(version) FROM secret_version WHERE version>3"), 11);
    FINE(secret_forget(core, 7, &err));
    IS_INT(fixture_count(core, "SELECT count(*) FROM secret_version"), 0);
    IS_INT(put(core, 7, "A", SECRET_ENV, "value"), 1);
    fixture_close(core);
}

TEST(what_the_file_names_is_a_variable)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    struct person root;
    int64_t version;
    AUTO_JSON *frozen = NULL, *secrets = NULL;
    AUTO_JSON *names = json_pack("[s]", "URL");
    person_root(&root);
    IS_INT(secret_is_variable(core, 7, "URL", &err), SECRET_ABSENT);
    (void)put(core, 7, "URL", SECRET_FILE, "x");
    (void)put(core, 7, "OTHER", SECRET_FILE, "y");
    FINE(secret_is_variable(core, 7, "URL", &err));
    FINE(secret_versions(core, 7, &frozen, &err));
    FINE(secret_reveal(core, 7, frozen, names, &secrets, &err));
    IS_JSON(secrets, "[{\"name\":\"OTHER\",\"value_b64\":\"eQ==\",\"env\":false},"
                     "{\"name\":\"URL\",\"value_b64\":\"eA==\",\"env\":false},"
                     "{\"name\":\"URL\",\"value_b64\":\"eA==\",\"env\":true}]");
    (void)put(core, 7, "TOKEN", SECRET_BUILD, "z");
    IS_REFUSED(secret_is_variable(core, 7, "TOKEN", &err), E_CONFIG_INVALID);
    FINE(secret_put(core, &root, 7, "s", "URL", SECRET_FILE, (struct str){"a\0b", 3}, &version,
                    &err));
    IS_REFUSED(secret_is_variable(core, 7, "URL", &err), E_CONFIG_INVALID);
    FINE(secret_delete(core, &root, 7, "s", "URL", &err));
    IS_INT(secret_is_variable(core, 7, "URL", &err), SECRET_ABSENT);
    fixture_close(core);
}

TEST(builds_have_a_limit_of_their_own)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    struct person root;
    int64_t version;
    person_root(&root);
    for (int i = 0; i < SECRETS_BUILD_MAX; i++) {
        AUTO_FREE char *name = mem_format("B%d", i);
        (void)put(core, 7, name, SECRET_BUILD, "v");
    }
    IS_INT(put(core, 7, "B1", SECRET_BUILD, "again"), 2);
    IS_REFUSED(secret_put(core, &root, 7, "s", "MORE", SECRET_BUILD, STR("v"), &version, &err),
               E_TOO_MANY);
    fixture_close(core);
}

TEST(an_app_env_has_a_limit_of_secrets)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    struct person root;
    int64_t version;
    person_root(&root);
    for (int i = 0; i < SECRETS_MAX; i++) {
        AUTO_FREE char *name = mem_format("S%d", i);
        (void)put(core, 7, name, SECRET_ENV, "v");
    }
    IS_REFUSED(secret_put(core, &root, 7, "s", "MORE", SECRET_ENV, STR("v"), &version, &err),
               E_TOO_MANY);
    fixture_close(core);
}

static void use_key(struct core *core, const char *key)
{
    struct err err = ERR_INIT;
    secret_box_free(core->secrets);
    core->secrets = NULL;
    FINE(secret_box_open(key_fd(key, 32), &core->secrets, &err));
}

TEST(another_key_is_found_at_the_start)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    FINE(secret_check_key(core, &err));
    FINE(secret_check_key(core, &err)); /* at the next start */
    use_key(core, "fedcba9876543210fedcba9876543210");
    IS_REFUSED(secret_check_key(core, &err), E_KEY_WRONG);
    use_key(core, "0123456789abcdef0123456789abcdef");
    FINE(secret_check_key(core, &err));
    fixture_close(core);
}

TEST(a_store_without_a_check_is_judged_by_its_secrets)
{
    struct err err = ERR_INIT;
    struct core *core = secret_core();
    (void)put(core, 7, "A", SECRET_FILE, "one");
    (void)put(core, 7, "B", SECRET_ENV, "two");
    use_key(core, "fedcba9876543210fedcba9876543210");
    IS_REFUSED(secret_check_key(core, &err), E_KEY_WRONG);
    use_key(core, "0123456789abcdef0123456789abcdef");
    FINE(
        store_run(core->store, &err, "UPDATE secret_version SET sealed='AAAA' WHERE name='B'", ""));
    FINE(secret_check_key(core, &err)); /* one that is damaged is not the key's fault */
    IS_INT(fixture_count(core, "SELECT count(*) FROM secret_version WHERE app_env_id=0"), 1);
    fixture_close(core);
}

TAP_MAIN()
