/* What builds are given to go out: logins in URLs, the files of Maven, cargo and npm, Java's store.
 */
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/tap.h"
#include "host/base_image/base_image_priv.h"

static char *file_of(const char *name, const char *text, mode_t mode)
{
    struct err err = ERR_INIT;
    char *path = mem_format("%s/%s", tap_dir(), name);
    OK(file_write(path, str_of(text), mode, &err) == 0);
    return path;
}

static const char *logins_refused(const char *text, mode_t mode)
{
    static struct err err;
    AUTO_FREE char *path = file_of("bad", text, mode);
    err = (struct err)ERR_INIT;
    return logins_load(path, &err) < 0 ? strchr(err.text, ':') : "accepted";
}

TEST(logins_are_roots_alone)
{
    struct err err = ERR_INIT;
    if (geteuid() != 0) {
        printf("# skipped: needs root\n");
        return;
    }
    IS_STR(logins_refused("a b c\n", 0600), "accepted");
    IS_STR(logins_refused("# c\n\na b\n", 0600),
           ":3: this is not a line of the form HOST USER PASSWORD");
    IS_STR(logins_refused("a b c d\n", 0600),
           ":1: this is not a line of the form HOST USER PASSWORD");
    AUTO_FREE char *open = file_of("open", "a b c\n", 0640);
    IS_INT(logins_load(open, &err), -1);
    IS_INT(err.kind, E_CONFIG_INVALID);
    OK(strstr(err.text, "chmod 600") != NULL);
    IS_INT(logins_load("", &err), 0);
    OK(!base_image_password(0));
}

TEST(a_login_goes_into_the_urls_of_its_host)
{
    struct err err = ERR_INIT;
    if (geteuid() != 0)
        return;
    AUTO_FREE char *path =
        file_of("logins", "proxy.corp:3128 me p@ss/word\nnpm.corp bot t0ken\n", 0600);
    IS_INT(logins_load(path, &err), 0);
    AUTO_FREE char *proxy = login_url("http://proxy.corp:3128");
    AUTO_FREE char *other = login_url("http://proxy.corp:3129/");
    AUTO_FREE char *npm = login_url("https://npm.corp/repo/");
    IS_STR(proxy, "http://me:p%40ss%2Fword@proxy.corp:3128");
    IS_STR(other, "http://proxy.corp:3129/");
    IS_STR(npm, "https://bot:t0ken@npm.corp/repo/");
    IS_STR(base_image_password(1), "t0ken");
    AUTO_BUF said = BUF_INIT(0);
    (void)buf_add_text(&said, "E: http://me:p%40ss%2Fword@proxy t0ken p@ss/word!");
    logins_hide(&said);
    IS_STR(said.data, "E: http://me:*************@proxy ***** *********!");
    struct settings s = {.npm_registry = (char *)"https://npm.corp/repo/",
                         .http_proxy = (char *)"http://proxy.corp:3128",
                         .no_proxy = (char *)"localhost,.corp",
                         .cargo_index = (char *)"https://npm.corp/index",
                         .maven_mirror = (char *)"https://npm.corp/maven?a&b"};
    AUTO_BUF text = BUF_INIT(0);
    outside_npm(&s, &text);
    IS_STR(text.data, "registry=https://npm.corp/repo/\n//npm.corp/repo/:_auth=Ym90OnQwa2Vu\n");
    buf_clear(&text);
    outside_cargo(&s, &text);
    OK(strstr(text.data, "registry = \"sparse+https://bot:t0ken@npm.corp/index/\"\n") != NULL);
    buf_clear(&text);
    outside_maven(&s, &text);
    OK(strstr(text.data, "<url>https://npm.corp/maven?a&amp;b</url>") != NULL);
    OK(strstr(text.data, "<server><id>slipway</id><username>bot</username><password>t0ken<") !=
       NULL);
    OK(strstr(text.data, "<port>3128</port><host>proxy.corp</host><username>me</username>"
                         "<password>p@ss/word</password>"
                         "<nonProxyHosts>localhost|*.corp</nonProxyHosts>") != NULL);
    IS_INT(logins_load("", &err), 0);
}

TEST(nothing_is_said_when_nothing_is_set)
{
    struct settings s = {.npm_registry = (char *)"",
                         .http_proxy = (char *)"",
                         .cargo_index = (char *)"",
                         .maven_mirror = (char *)""};
    AUTO_BUF text = BUF_INIT(0);
    outside_npm(&s, &text);
    outside_cargo(&s, &text);
    outside_maven(&s, &text);
    IS_INT((int64_t)text.length, 0);
}

TEST(a_truststore_has_the_bundles_certificates)
{
    static const char pem[] =
        "x\n-----BEGIN CERTIFICATE-----\nAQIDBAU=\n-----END CERTIFICATE-----\n"
        "-----BEGIN CERTIFICATE-----\nBg==\n-----END CERTIFICATE-----\n";
    static const unsigned char head[] = {0xfe, 0xed, 0xfe, 0xed, 0, 0, 0,   2,   0,   0,   0,   2,
                                         0,    0,    0,    2,    0, 3, 'c', 'a', '1', 0,   0,   0,
                                         0,    0,    0,    0,    0, 0, 5,   'X', '.', '5', '0', '9',
                                         0,    0,    0,    5,    1, 2, 3,   4,   5};
    struct err err = ERR_INIT;
    AUTO_BUF store = BUF_INIT(0);
    AUTO_FREE char *bundle = file_of("ca.pem", pem, 0644);
    AUTO_FREE char *none = file_of("none.pem", "no certificate\n", 0644);
    AUTO_FREE char *path = mem_format("%s/cacerts.jks", tap_dir());
    IS_INT(truststore_write(none, path, &err), -1);
    IS_INT(err.kind, E_CONFIG_INVALID);
    IS_INT(truststore_write(bundle, path, &err), 0);
    IS_INT(file_read(path, 1u << 20, &store, &err), 0);
    IS_INT((int64_t)store.length, 12 + 33 + 29 + 20);
    OK(memcmp(store.data, head, sizeof(head)) == 0);
}

TAP_MAIN()
