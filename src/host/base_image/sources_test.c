/* Sources: Debian's own archive is found in both formats, a third party's never. */
#include <string.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/tap.h"
#include "host/base_image/base_image_priv.h"

static void put(const char *name, const char *content)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/%s", tap_dir(), name);
    AUTO_FREE char *folder = mem_strdup(path);
    *strrchr(folder, '/') = '\0';
    IS_INT(file_make_dirs(folder, 0755, &err), 0);
    IS_INT(file_write(path, str_of(content), 0644, &err), 0);
}

static int find(const char *mirror, struct sources *s, struct err *err)
{
    AUTO_FREE char *release = mem_format("%s/os-release", tap_dir());
    return sources_find(tap_dir(), release, mirror, s, err);
}

static bool has(const struct sources *s, const char *end)
{
    for (size_t i = 0; i < s->count; i++)
        if (str_ends(str_of(s->lines[i]), end))
            return true;
    return false;
}

TEST(both_formats_and_no_third_party)
{
    struct sources s;
    struct err err = ERR_INIT;
    put("os-release", "NAME=x\nVERSION_CODENAME=bookworm\n");
    put("sources.list",
        "# deb http://c.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/x] http://a.example/debian/ bookworm main contrib\n"
        "deb-src http://a.example/debian bookworm main\n"
        "deb http://other.example/debian bookworm-pgdg main\n"
        "deb http://other.example/linux/debian bookworm stable\n"
        "deb http://evil.example/apt bookworm main\n");
    put("sources.list.d/d.sources",
        "Types: deb deb-src\n# comment\nURIs: http://b.example/debian-security\n"
        "Suites:\n bookworm-security\n other\nComponents: main\n\n"
        "Types: deb\nEnabled: no\nURIs: http://off.example/debian\n"
        "Suites: bookworm\nComponents: main\n");
    IS_INT(find("", &s, &err), 0);
    IS_STR(err.text, "");
    IS_INT(s.count, 2);
    IS_STR(s.suite, "bookworm");
    OK(has(&s, "http://a.example/debian bookworm main"));
    OK(has(&s, "http://b.example/debian-security bookworm-security main"));
    sources_done(&s);
    IS_INT(find("https://m.example/debian/", &s, &err), 0);
    IS_INT(s.count, 3);
    OK(has(&s, "https://m.example/debian bookworm-updates main"));
    OK(has(&s, "http://b.example/debian-security bookworm-security main"));
    sources_done(&s);
}

TEST(nothing_found_says_what_to_do)
{
    struct sources s;
    struct err err = ERR_INIT;
    put("os-release", "VERSION_CODENAME=\"trixie\"\n");
    OK(find("", &s, &err) < 0);
    IS_STR(err_name(err.kind), "base_failed");
    OK(strstr(err.text, "debian_mirror") != NULL);
}

TEST(package_names_are_checked_and_sorted)
{
    struct packages p;
    struct err err = ERR_INIT;
    AUTO_JSON *good = json_pack("[s,s,s,s]", "nodejs", "g++", "libc6-dev", "nodejs");
    IS_INT(packages_read(good, &p, &err), 0);
    IS_INT(p.count, 3);
    IS_STR(p.names[0], "g++");
    packages_done(&p);
    static const char *const bad[] = {"", "a", "-y", "x=1", "a b", "A", "a/b", "$(x)", "a,b"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO_JSON *list = json_pack("[s]", bad[i]);
        OK(packages_read(list, &p, &err) < 0);
    }
}

TAP_MAIN()
