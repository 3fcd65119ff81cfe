/* See courier_fixture.h. */
#include "courier/courier_fixture.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "courier/courier.h"

char *home;
int port;
struct channel *core;
json_t *changes;
struct run last;
static pid_t courier;

/* --- our side of the channel ---------------------------------------------------------------- */

static void deny(struct message *m, enum err_kind kind, const char *text)
{
    struct err err = ERR_INIT;
    (void)FAIL(&err, kind, "%s", text);
    message_fail(m, &err);
}

static bool touches_trunk(const json_t *refs)
{
    for (size_t i = 0; i < json_array_size(refs); i++)
        if (text_is(json_text(json_array_get(refs, i), "ref"), "refs/heads/main"))
            return true;
    return false;
}

static void authorize(void *context, struct message *m)
{
    const char *user = json_text_or(m->args, "user", "");
    bool push = text_is(json_text(m->args, "service"), "push");
    (void)context;
    if (!text_is(json_text(m->args, "secret"), "token")) {
        deny(m, E_UNAUTHENTICATED, "this token is not known");
    } else if (text_is(json_text(m->args, "app"), "secret")) {
        deny(m, E_NOT_FOUND, "no such app");
    } else if (push && text_is(user, "reader")) {
        deny(m, E_DENIED, "reader may not push: ask for the role developer");
    } else if (text_is(json_text(m->args, "app"), "locked") && text_is(user, "dev") &&
               touches_trunk(json_list(m->args, "refs"))) {
        deny(m, E_DENIED, "nobody but operations pushes 'main': tick your branch instead");
    } else {
        json_t *ok = json_object();
        json_put_bool(ok, "allowed", true);
        json_put_text(ok, "user", user);
        json_put_bool(ok, "force", text_is(user, "ops"));
        message_ok(m, ok);
    }
}

static void repo_changed(void *context, struct message *m)
{
    (void)context;
    json_decref(changes);
    changes = json_incref(m->args);
}

static const struct message_verb verbs[] = {
    {WIRE("git.authorize", courier_git_authorize), 0, authorize},
    {WIRE("repo.changed", courier_repo_changed), 0, repo_changed},
};
const struct channel_handlers handlers = {.verbs = verbs, .verb_count = ARRAY_SIZE(verbs)};

struct answer {
    json_t *ok;
    struct err err;
    bool done;
};

static void on_reply(void *context, json_t *ok, const struct err *error)
{
    struct answer *a = context;
    a->ok = error ? NULL : json_incref(ok);
    if (error)
        a->err = *error;
    a->done = true;
}

json_t *ask_fd(const char *verb, json_t *args, int fd, enum err_kind *ret_kind)
{
    struct answer a = {0};
    struct channel_request request = {.verb = verb,
                                      .args = args,
                                      .fds = {fd},
                                      .fd_count = fd >= 0,
                                      .timeout_ms = 60000,
                                      .on_reply = on_reply,
                                      .context = &a};
    channel_request(core, &request);
    while (!a.done)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    if (ret_kind)
        *ret_kind = a.err.kind;
    else if (!a.ok)
        printf("# %s: %s: %s\n", verb, err_name(a.err.kind), a.err.text);
    return a.ok;
}

json_t *ask(const char *verb, json_t *args)
{
    return ask_fd(verb, args, -1, NULL);
}

enum err_kind ask_kind(const char *verb, json_t *args)
{
    enum err_kind kind = E_OK;
    json_decref(ask_fd(verb, args, -1, &kind));
    return kind;
}

void connect_core(int64_t epoch)
{
    AUTO_FREE char *path = mem_format("%s/courier.sock", home);
    struct err err = ERR_INIT;
    OK(channel_connect(path, &handlers, &core, &err) == 0);
    AUTO_JSON *reply = ask("hello", json_pack("{s:i, s:I}", "protocol", 1, "epoch", epoch));
    IS_INT(json_int(reply, "protocol", 0), WIRE_PROTOCOL);
}

/* --- git and files -------------------------------------------------------------------------- */

static void on_exit_git(void *context, const struct child_result *r)
{
    struct run *run = context;
    run->exit_code = r->exit_code;
    run->out = str_dup(r->out);
    run->error = str_dup(r->error);
    run->done = true;
}

int run_input(const char *cwd, const char *const *argv, const char *input)
{
    AUTO_FREE char *at_home = mem_format("HOME=%s", home);
    const char *env[] = {"PATH=/usr/bin:/bin",
                         at_home,
                         "LC_ALL=C.UTF-8",
                         "GIT_CONFIG_NOSYSTEM=1",
                         "GIT_TERMINAL_PROMPT=0",
                         "GIT_AUTHOR_NAME=Li Wei",
                         "GIT_AUTHOR_EMAIL=li@x.org",
                         "GIT_COMMITTER_NAME=Li Wei",
                         "GIT_COMMITTER_EMAIL=li@x.org",
                         NULL};
    struct child_spec spec = {.argv = argv,
                              .env = env,
                              .cwd = cwd,
                              .stdin_fd = -1,
                              .stdin_pipe = true,
                              .stdin_data = str_of(input),
                              .out = CHILD_COLLECT,
                              .error = CHILD_COLLECT,
                              .output_max = 8u << 20,
                              .timeout_ms = 120000,
                              .on_exit = on_exit_git,
                              .context = &last};
    struct err err = ERR_INIT;
    free(last.out);
    free(last.error);
    last = (struct run){0};
    OK(child_start(&spec, NULL, &err) == 0);
    while (!last.done)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    return last.exit_code;
}

int run_argv(const char *cwd, const char *const *argv)
{
    return run_input(cwd, argv, "");
}

int run_git_in(const char *folder, const char *const *argv)
{
    AUTO_FREE char *cwd = mem_format("%s/%s", home, folder);
    return run_argv(cwd, argv);
}

char *git_text(const char *folder, const char *const *argv)
{
    int code = run_git_in(folder, argv);
    if (code != 0)
        printf("# git %s: %d: %s\n", argv[1], code, last.error);
    IS_INT(code, 0);
    struct str text = str_of(last.out);
    if (str_ends(text, "\n"))
        text.length--;
    return str_dup(text);
}

void put_file(const char *folder, const char *name, const char *text)
{
    AUTO_FREE char *path = mem_format("%s/%s/%s", home, folder, name);
    struct err err = ERR_INIT;
    OK(file_write(path, str_of(text), 0644, &err) == 0);
}

void commit_file(const char *folder, const char *name, const char *text)
{
    put_file(folder, name, text);
    free(GIT_TEXT(folder, "add", "-A"));
    free(GIT_TEXT(folder, "commit", "-q", "-m", name));
}

char *url(const char *user, const char *app)
{
    return mem_format("http://%s:token@127.0.0.1:%d/git/%s.git", user, port, app);
}

char *tip(const char *folder, const char *name)
{
    return GIT_TEXT(folder, "rev-parse", "--verify", name);
}

void make_app(const char *app)
{
    static const char *const users[] = {"dev", "ops", "reader"};
    set_up();
    json_decref(ask("repo.create", json_pack("{s:s, s:s}", "app", app, "trunk", "main")));
    free(GIT_TEXT(".", "init", "-q", "-b", "main", app));
    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        AUTO_FREE char *remote = url(users[i], app);
        free(GIT_TEXT(app, "remote", "add", users[i], remote));
    }
    commit_file(app, "README", "one\ntwo\nthree\nfour\nfive\nsix\nseven\n");
}

/* --- the courier ---------------------------------------------------------------------------- */

static int listen_unix(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", home, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    OK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 16) == 0);
    return fd;
}

int listen_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    OK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 64) == 0);
    OK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    port = ntohs(address.sin_port);
    return fd;
}

static void start_courier(const char *settings)
{
    AUTO_CLOSE int role = listen_unix("courier.sock");
    AUTO_CLOSE int http = listen_tcp();
    AUTO_CLOSE int high_role = fcntl(role, F_DUPFD_CLOEXEC, 10);
    AUTO_CLOSE int high_http = fcntl(http, F_DUPFD_CLOEXEC, 10);
    courier = fork();
    if (courier > 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
    if (dup2(high_role, 3) < 0 || dup2(high_http, 4) < 0)
        _exit(126);
    (void)execl("/proc/self/exe", "courier_test", "courier", "--settings", settings, NULL);
    _exit(127);
}

void set_up(void)
{
    struct err err = ERR_INIT;
    if (home)
        return;
    char template[] = "/tmp/slipway-courier-XXXXXX";
    home = mem_strdup(mkdtemp(template));
    AUTO_FREE char *settings = mem_format("%s/settings", home);
    AUTO_FREE char *text = mem_format("data_dir = %s/data\nrun_dir = %s\nuser_core = root\n"
                                      "log_level = warn\n",
                                      home, home);
    OK(file_write(settings, str_of(text), 0600, &err) == 0);
    AUTO_FREE char *data = mem_format("%s/data", home);
    OK(file_make_dirs(data, 0700, &err) == 0);
    start_courier(settings);
    connect_core(7);
}

int64_t status_kb(const char *key)
{
    AUTO_FREE char *path = mem_format("/proc/%d/status", courier);
    AUTO_BUF text = BUF_INIT(65536);
    struct err err = ERR_INIT;
    OK(file_read(path, 65536, &text, &err) == 0);
    const char *found = strstr(text.data, key);
    return found ? strtoll(found + strlen(key), NULL, 10) : 0;
}

void put_random(const char *folder, const char *name, size_t mib)
{
    AUTO_FREE char *path = mem_format("%s/%s/%s", home, folder, name);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    AUTO_FREE char *piece = mem_alloc(1u << 20);
    for (size_t i = 0; i < mib; i++) {
        clock_random(clock_system(), piece, 1u << 20);
        OK(write(fd, piece, 1u << 20) == 1 << 20);
    }
}

/* --- the end -------------------------------------------------------------------------------- */

void end_in_order(void)
{
    int status = -1;
    OK(kill(courier, SIGTERM) == 0);
    OK(waitpid(courier, &status, 0) == courier);
    OK(WIFEXITED(status));
    IS_INT(WEXITSTATUS(status), 0);
    const char *const find[] = {"/usr/bin/find", home,     "/tmp/CANARY", "/CANARY",
                                "-name",         "CANARY", NULL};
    (void)run_argv("/", find);
    IS_STR(last.out, "");
    struct err err = ERR_INIT;
    OK(file_remove_tree(home, &err) == 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && text_is(argv[1], "courier"))
        return courier_main(argc - 1, argv + 1);
    return tap_main(argc, argv);
}
