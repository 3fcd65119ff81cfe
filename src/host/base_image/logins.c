/* Who we are at mirrors and proxy: the file `mirror_logins` of the settings, root's alone, lines of
 * "HOST[:PORT] USER PASSWORD". It stands apart because everybody may read the settings. A login
 * goes into the URLs of its host when a build gets them, never into a layer; what a build prints of
 * it is masked (host/build). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/mem.h"
#include "host/base_image/base_image_priv.h"

#define LOGINS_MAX 16
#define FILE_MAX (64u << 10)

static struct login logins[LOGINS_MAX];
static size_t login_count;

static int login_line(struct str line, struct err *err)
{
    struct str rest = str_trim(line), word[3];
    if (rest.length == 0 || rest.data[0] == '#')
        return 0;
    for (size_t i = 0; i < 3; i++) {
        while (rest.length && (rest.data[0] == ' ' || rest.data[0] == '\t'))
            rest = (struct str){rest.data + 1, rest.length - 1};
        word[i] = rest;
        word[i].length = 0;
        while (word[i].length < rest.length && !strchr(" \t", rest.data[word[i].length]))
            word[i].length++;
        rest = (struct str){rest.data + word[i].length, rest.length - word[i].length};
    }
    if (word[2].length == 0 || str_trim(rest).length > 0 || str_has_control(word[2]))
        return FAIL(err, E_CONFIG_INVALID, "this is not a line of the form HOST USER PASSWORD");
    if (login_count == LOGINS_MAX)
        return FAIL(err, E_CONFIG_INVALID, "more than %d logins", LOGINS_MAX);
    logins[login_count++] = (struct login){str_dup(word[0]), str_dup(word[1]), str_dup(word[2])};
    return 0;
}

static int logins_check_file(const char *path, int fd, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return FAIL_SYS(err, "cannot look at '%s'", path);
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077))
        return FAIL(err, E_CONFIG_INVALID,
                    "'%s' holds passwords, but others than root may read it: chown root and chmod "
                    "600 it",
                    path);
    return 0;
}

static void logins_drop(void)
{
    while (login_count > 0) {
        struct login *l = &logins[--login_count];
        explicit_bzero(l->password, strlen(l->password));
        free(l->host);
        free(l->user);
        free(l->password);
    }
}

int logins_load(const char *path, struct err *err)
{
    AUTO_BUF text = BUF_INIT(FILE_MAX);
    logins_drop();
    if (!path || !path[0])
        return 0;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", path);
    if (logins_check_file(path, fd, err) < 0 || file_read_fd(fd, FILE_MAX, &text, err) < 0)
        return -1;
    int number = 1;
    for (struct str rest = buf_str(&text); rest.data; number++)
        if (login_line(str_cut(&rest, '\n'), err) < 0)
            return err_wrap(err, "%s:%d", path, number);
    return 0;
}

/* The part of a URL that names the host and port. */
static struct str authority_of(const char *url)
{
    const char *begin = strstr(url, "://");
    struct str rest = str_of(begin ? begin + 3 : url);
    struct str authority = str_cut(&rest, '/');
    return str_cut(&authority, ',');
}

const struct login *login_of(const char *url)
{
    struct str authority = authority_of(url);
    for (size_t i = 0; i < login_count; i++)
        if (str_is(authority, logins[i].host))
            return &logins[i];
    return NULL;
}

static void add_encoded(struct buf *out, const char *text)
{
    for (; *text; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9') || strchr("-._~", *text);
        if (plain)
            (void)buf_add_char(out, *text); /* no ceiling, here and below */
        else
            (void)buf_add_format(out, "%%%02X", (unsigned char)*text);
    }
}

char *login_url(const char *url)
{
    const struct login *login = login_of(url);
    const char *begin = strstr(url, "://");
    struct buf out = BUF_INIT(0);
    if (!login || !begin)
        return mem_strdup(url);
    (void)buf_add(&out, url, (size_t)(begin + 3 - url));
    add_encoded(&out, login->user);
    (void)buf_add_char(&out, ':');
    add_encoded(&out, login->password);
    (void)buf_add_char(&out, '@');
    (void)buf_add_text(&out, begin + 3);
    return buf_take(&out);
}

static void hide(struct buf *text, const char *word)
{
    size_t length = strlen(word);
    char *at = text->data, *end = text->data + text->length;
    while (length > 0 && at && (at = memmem(at, (size_t)(end - at), word, length)) != NULL)
        memset(at, '*', length);
}

void logins_hide(struct buf *text)
{
    for (size_t i = 0; i < login_count; i++) {
        AUTO_BUF encoded = BUF_INIT(0);
        add_encoded(&encoded, logins[i].password);
        hide(text, logins[i].password);
        hide(text, encoded.data);
    }
}

const char *base_image_password(size_t index)
{
    return index < login_count ? logins[index].password : NULL;
}
