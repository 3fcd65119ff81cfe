/* Where packages come from. The machine's own apt configuration decides: of its one-line and deb822
 * entries we take Debian's archive (the suite is this machine's codename, the component main), and
 * never a third party's. A mirror in the settings replaces the archive, not the security updates.
 * Every line we make demands the signature of Debian's own keyring. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "host/base_image/base_image_priv.h"

#define FILE_MAX (1u << 20)
#define KEYRING "/usr/share/keyrings/debian-archive-keyring.gpg"

static void add_line(struct sources *s, struct str uri, const char *suite)
{
    const char *signed_by = file_exists(KEYRING) ? "[signed-by=" KEYRING "] " : "";
    AUTO_FREE char *line =
        mem_format("deb %s%.*s %s main", signed_by, (int)uri.length, uri.data, suite);
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->lines[i], line) == 0)
            return;
    if (s->count < ARRAY_SIZE(s->lines))
        s->lines[s->count++] = TAKE(line);
}

static struct str next_word(struct str *rest)
{
    while (rest->length > 0 && isspace((unsigned char)rest->data[0])) {
        rest->data++;
        rest->length--;
    }
    struct str word = {rest->data, 0};
    while (word.length < rest->length && !isspace((unsigned char)rest->data[word.length]))
        word.length++;
    rest->data += word.length;
    rest->length -= word.length;
    return word;
}

static bool has_word(struct str list, const char *wanted)
{
    for (struct str word = next_word(&list); word.length > 0; word = next_word(&list))
        if (str_is(word, wanted))
            return true;
    return false;
}

static struct str without_slash(struct str uri)
{
    while (uri.length > 0 && uri.data[uri.length - 1] == '/')
        uri.length--;
    return uri;
}

/* Debian's archive is told by its path (".../debian", ".../debian-security"), whoever mirrors it;
 * the signature settles the rest. */
static bool is_debian(struct str uri)
{
    return (str_starts(uri, "http://") || str_starts(uri, "https://")) &&
           (str_ends(uri, "/debian") || str_ends(uri, "/debian-security"));
}

static void add_entry(struct sources *s, struct str uris, struct str suites, struct str components)
{
    static const char *const kinds[] = {"", "-updates", "-security"};
    if (!has_word(components, "main"))
        return;
    for (struct str uri = next_word(&uris); uri.length > 0; uri = next_word(&uris)) {
        uri = without_slash(uri);
        for (size_t i = 0; i < ARRAY_SIZE(kinds) && is_debian(uri); i++) {
            AUTO_FREE char *suite = mem_format("%s%s", s->suite, kinds[i]);
            if (has_word(suites, suite))
                add_line(s, uri, suite);
        }
    }
}

/* "deb [options] URI SUITE COMPONENT..." */
static void read_one_line(struct sources *s, struct str line)
{
    if (!str_is(next_word(&line), "deb"))
        return;
    struct str rest = line, word = next_word(&rest);
    if (str_starts(word, "[")) {
        while (word.length > 0 && !str_ends(word, "]"))
            word = next_word(&rest);
        line = rest;
    }
    struct str uri = next_word(&line), suite = next_word(&line);
    add_entry(s, uri, suite, line);
}

static void read_list(struct sources *s, struct str text)
{
    while (text.data && text.length > 0) {
        struct str line = str_cut(&text, '\n');
        read_one_line(s, str_cut(&line, '#'));
    }
}

struct stanza {
    struct str types, uris, suites, components, enabled;
};

static void end_stanza(struct sources *s, struct stanza *st)
{
    bool off = st->enabled.length > 0 && str_equal_nocase(st->enabled, "no");
    if (!off && has_word(st->types, "deb"))
        add_entry(s, st->uris, st->suites, st->components);
    *st = (struct stanza){0};
}

static struct str *field_of(struct stanza *st, struct str name)
{
    return str_equal_nocase(name, "types")        ? &st->types
           : str_equal_nocase(name, "uris")       ? &st->uris
           : str_equal_nocase(name, "suites")     ? &st->suites
           : str_equal_nocase(name, "components") ? &st->components
           : str_equal_nocase(name, "enabled")    ? &st->enabled
                                                  : NULL;
}

/* deb822. A value that goes on in the next line is taken as one span of the text. */
static void read_deb822(struct sources *s, struct str text)
{
    struct stanza st = {0};
    struct str *field = NULL;
    while (text.data && text.length > 0) {
        struct str line = str_cut(&text, '\n');
        bool more = line.length > 0 && (line.data[0] == ' ' || line.data[0] == '\t');
        if (str_trim(line).length == 0) {
            end_stanza(s, &st);
            field = NULL;
        } else if (more && field) {
            field->length = (size_t)(line.data + line.length - field->data);
        } else if (line.data[0] != '#') {
            struct str value = line, name = str_cut(&value, ':');
            field = field_of(&st, name);
            if (field)
                *field = str_trim(value);
        }
    }
    end_stanza(s, &st);
}

static int read_file(struct sources *s, const char *path, struct err *err)
{
    AUTO_BUF text = BUF_INIT(0);
    bool deb822 = str_ends(str_of(path), ".sources");
    if ((!deb822 && !str_ends(str_of(path), ".list")) || !file_exists(path))
        return 0;
    if (file_read(path, FILE_MAX, &text, err) < 0)
        return -1;
    if (deb822)
        read_deb822(s, buf_str(&text));
    else
        read_list(s, buf_str(&text));
    return 0;
}

static int read_folder(struct sources *s, const char *folder, struct err *err)
{
    struct dirent **names = NULL;
    int count = scandir(folder, &names, NULL, alphasort), r = 0;
    for (int i = 0; i < count; i++) {
        AUTO_FREE char *path = mem_format("%s/%s", folder, names[i]->d_name);
        if (r == 0)
            r = read_file(s, path, err);
        free(names[i]);
    }
    free(names);
    return r;
}

static int read_codename(const char *os_release, char suite[32], struct err *err)
{
    AUTO_BUF text = BUF_INIT(0);
    if (file_read(os_release, FILE_MAX, &text, err) < 0)
        return -1;
    for (struct str rest = buf_str(&text); rest.data && rest.length > 0;) {
        struct str value = str_cut(&rest, '\n'), name = str_cut(&value, '=');
        if (!str_is(name, "VERSION_CODENAME"))
            continue;
        if (value.length > 1 && value.data[0] == '"')
            value = (struct str){value.data + 1, value.length - 2};
        if (str_is_name(value) && value.length < 24) {
            memcpy(suite, value.data, value.length);
            return 0;
        }
    }
    return FAIL(err, E_BASE_FAILED, "'%s' does not name this machine's Debian release", os_release);
}

static void use_mirror(struct sources *s, const char *mirror)
{
    struct sources own = *s;
    AUTO_FREE char *updates = mem_format("%s-updates", s->suite);
    *s = (struct sources){0};
    memcpy(s->suite, own.suite, sizeof(s->suite));
    add_line(s, without_slash(str_of(mirror)), s->suite);
    add_line(s, without_slash(str_of(mirror)), updates);
    for (size_t i = 0; i < own.count; i++) {
        if (strstr(own.lines[i], "-security main") && s->count < ARRAY_SIZE(s->lines))
            s->lines[s->count++] = mem_strdup(own.lines[i]);
    }
    sources_done(&own);
}

int sources_find(const char *apt_dir, const char *os_release, const char *mirror,
                 struct sources *ret_sources, struct err *err)
{
    struct sources s = {0};
    AUTO_FREE char *list = mem_format("%s/sources.list", apt_dir);
    AUTO_FREE char *folder = mem_format("%s/sources.list.d", apt_dir);
    if (read_codename(os_release, s.suite, err) < 0 || read_file(&s, list, err) < 0 ||
        read_folder(&s, folder, err) < 0) {
        sources_done(&s);
        return -1;
    }
    if (mirror[0] != '\0')
        use_mirror(&s, mirror);
    if (s.count == 0)
        return FAIL(err, E_BASE_FAILED,
                    "no Debian '%s' main archive in '%s': add one there, or set debian_mirror",
                    s.suite, apt_dir);
    *ret_sources = s;
    return 0;
}

void sources_done(struct sources *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->lines[i]);
    *s = (struct sources){0};
}

static bool is_package(struct str name)
{
    if (name.length < 2 || name.length > 128)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || !strchr("+.-", c)))
            return false;
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int packages_read(const json_t *list, struct packages *ret_packages, struct err *err)
{
    size_t count = json_array_size(list), kept = 0;
    struct packages p = {.names = mem_array(count + 1, sizeof(char *))};
    if (count > PACKAGES_MAX) {
        free(p.names);
        return FAIL(err, E_TOO_LARGE, "%zu packages are more than %d", count, PACKAGES_MAX);
    }
    for (; p.count < count; p.count++) {
        const char *name = json_string_value(json_array_get(list, p.count));
        if (!name || !is_package(str_of(name))) {
            packages_done(&p);
            return FAIL(err, E_NAME_INVALID, "'%s' is no Debian package name", name ? name : "");
        }
        p.names[p.count] = mem_strdup(name);
    }
    qsort(p.names, p.count, sizeof(char *), compare_names);
    for (size_t i = 0; i < p.count; i++) {
        if (kept > 0 && strcmp(p.names[kept - 1], p.names[i]) == 0)
            free(p.names[i]);
        else
            p.names[kept++] = p.names[i];
    }
    p.count = kept;
    *ret_packages = p;
    return 0;
}

void packages_done(struct packages *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->names[i]);
    free(p->names);
    *p = (struct packages){0};
}
