/* setup, login, logout, and git's credential helper. */
#include <stdio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/secret.h"
#include "cli/verbs.h"

#define PASSWORD_MAX 1000

static int read_line(int fd, char *line, size_t size)
{
    size_t used = 0;
    char byte;
    while (read(fd, &byte, 1) == 1 && byte != '\n') {
        if (used + 1 < size)
            line[used++] = byte;
    }
    line[used] = 0;
    return used > 0 ? 0 : -1;
}

static int read_password(const struct cli *c, const char *prompt, char *line, size_t size,
                         struct err *err)
{
    struct termios before;
    bool terminal = !c->from_stdin && tcgetattr(STDIN_FILENO, &before) == 0;
    if (terminal) {
        struct termios quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &quiet); /* worst case: it is seen */
        cli_tell("%s", prompt);
    }
    int result = read_line(STDIN_FILENO, line, size);
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
        cli_tell("\n");
    }
    if (result < 0)
        return FAIL(err, E_USAGE, "no password given");
    return 0;
}

static const char *server_of(const struct cli *c)
{
    const char *env = getenv("SLIPWAY_SERVER");
    if (c->server)
        return c->server;
    if (c->address)
        return c->address; /* of the link */
    return env && *env ? env : "http://127.0.0.1:7000";
}

static int store_login(struct cli *c, const json_t *reply, struct err *err)
{
    AUTO_JSON *login = json_object();
    AUTO_JSON *version = NULL;
    struct err ignored = ERR_INIT;
    json_put_text(login, "server", server_of(c));
    json_put_text(login, "name", json_text(reply, "user"));
    json_put_text(login, "token", json_text(reply, "token"));
    AUTO_FREE char *ca = c->ca ? realpath(c->ca, NULL) : NULL;
    json_put_text(login, "ca", ca);
    /* where its repositories are: an older server does not say */
    if (cli_get(c, "/version", &version, &ignored) == 0)
        json_put_text(login, "git_host", json_text(version, "git_host"));
    return cli_login_write(login, err);
}

/* git asks us for the password of our own server only. */
static void offer_to_git(void)
{
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0)
        return;
    self[length] = 0;
    AUTO_FREE char *helper = mem_format("!'%s' git-credential", self);
    char *const argv[] = {(char[]){"git"},
                          (char[]){"config"},
                          (char[]){"--global"},
                          (char[]){"--replace-all"},
                          (char[]){"credential.helper"},
                          helper,
                          (char[]){"git-credential"},
                          NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execvp("git", argv);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
        cli_tell("note: git was not told about this login; give it your name and token yourself\n");
}

static int signed_in(struct cli *c, const json_t *reply, struct err *err)
{
    if (store_login(c, reply, err) < 0)
        return -1;
    offer_to_git();
    if (c->json)
        cli_print_json(reply);
    else
        cli_print("signed in as %s\n", json_text_or(reply, "user", "?"));
    if (geteuid() == 0 && !c->json)
        cli_tell("note: on the server itself root's commands are root's, whoever has signed in\n");
    return 0;
}

static int post_sign_in(struct cli *c, const char *path, const json_t *body, struct err *err)
{
    AUTO_JSON *reply = NULL;
    if (cli_call(c, "POST", path, body, &reply, err) < 0)
        return -1;
    return signed_in(c, reply, err);
}

/* A link is the whole address that was printed, or only its secret. The address says which server
 * is meant: the new password goes there and nowhere else, unless --server says otherwise. */
static int read_link(struct cli *c, const char *link, const char **ret_secret, struct err *err)
{
    const char *scheme = strstr(link, "://");
    const char *secret = strrchr(link, '/');
    if (!secret) {
        *ret_secret = link;
        return 0;
    }
    const char *authority = scheme ? scheme + 3 : link;
    size_t length = strcspn(authority, "/");
    if (!(text_starts(link, "http://") || text_starts(link, "https://")) || length == 0 ||
        secret < authority + length || memchr(authority, '@', length))
        return FAIL(
            err, E_USAGE,
            "the link is none: give the whole of what was printed, http://HOST/setup/swl_...");
    c->address = mem_strndup(link, (size_t)(authority - link) + length);
    *ret_secret = secret + 1;
    return 0;
}

int verb_setup(struct cli *c, struct err *err)
{
    const char *link = NULL;
    if (!cli_word(c, 0))
        return cli_usage("setup LINK [--server URL] [--name NAME] [--stdin]", err);
    if (read_link(c, cli_word(c, 0), &link, err) < 0)
        return -1;
    AUTO_SECRET secret = {0};
    char password[PASSWORD_MAX];
    if (cli_connect_to(c, server_of(c), NULL, NULL, err) < 0)
        return -1; /* before anybody types a password for it */
    if (read_password(c, "choose a password (8 characters or more): ", password, sizeof(password),
                      err) < 0)
        return -1;
    secret_set(&secret, password, strlen(password));
    explicit_bzero(password, sizeof(password));
    AUTO_JSON *body = json_object();
    json_put_text(body, "link", link);
    if (c->name)
        json_put_text(body, "name", c->name);
    json_put_str(body, "password", secret_str(&secret));
    return post_sign_in(c, "/setup", body, err);
}

static int ask_name(struct cli *c, char *name, size_t size, struct err *err)
{
    if (c->name) {
        (void)snprintf(name, size, "%s", c->name);
        return 0;
    }
    cli_tell("name: ");
    return read_line(STDIN_FILENO, name, size) < 0 ? FAIL(err, E_USAGE, "no name given") : 0;
}

int verb_login(struct cli *c, struct err *err)
{
    char name[100];
    char password[PASSWORD_MAX];
    if (cli_connect_to(c, server_of(c), NULL, NULL, err) < 0 ||
        ask_name(c, name, sizeof(name), err) < 0 ||
        read_password(c, "password: ", password, sizeof(password), err) < 0)
        return -1;
    AUTO_JSON *body = json_object();
    json_put_text(body, "name", name);
    json_put_text(body, "password", password);
    explicit_bzero(password, sizeof(password));
    return post_sign_in(c, "/login", body, err);
}

int verb_logout(struct cli *c, struct err *err)
{
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    AUTO_FREE char *path = cli_login_path();
    int result = cli_call(c, "POST", "/logout", body, &reply, err);
    (void)unlink(path); /* absent is fine */
    return result;
}

/* Is this host, as git asks about it, the one we signed in to, or where its repositories are? Never
 * by a part of the name: "slipway.evil.example" is somebody else. */
static bool host_is_ours(const json_t *login, const char *host)
{
    const char *own = strstr(json_text_or(login, "server", ""), "://");
    const char *git = json_text_or(login, "git_host", "");
    struct str authority = str_of(own ? own + 3 : "");
    struct str name = str_of(host);
    if (str_equal(str_cut(&authority, '/'), name))
        return *host != 0;
    return *git && str_is(str_cut(&name, ':'), git);
}

/* git's own protocol: key=value lines in, key=value lines out. Other servers' questions are left to
 * other helpers. */
int verb_git_credential(struct cli *c, struct err *err)
{
    char line[1000];
    char host[1000] = "";
    (void)err;
    if (!text_is(cli_word(c, 0), "get"))
        return 0; /* store and erase: login and logout do that */
    while (read_line(STDIN_FILENO, line, sizeof(line)) == 0) {
        if (text_starts(line, "host="))
            (void)snprintf(host, sizeof(host), "%s", line + 5);
    }
    AUTO_JSON *login = cli_login_read();
    if (login && host_is_ours(login, host))
        cli_print("username=%s\npassword=%s\n", json_text_or(login, "name", ""),
                  json_text_or(login, "token", ""));
    return 0;
}
