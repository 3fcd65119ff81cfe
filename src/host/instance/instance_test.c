/* Instances for real: needs root, crun, conmon, nft. This program is three: the test, the host
 * under test ("host SETTINGS", so that it can be killed) and its probe ("host-probe"). Its own
 * installation id, subnet and folders; the fixture app (static C) as artifact on the base "host".
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "base/buf.h"
#include "base/log.h"
#include "base/time.h"
#include "host/instance/instance_priv.h"
#include "host/network/network_priv.h"
#include "host/probe/probe.h"
#include "host/root_test.h"
#include "host/sandbox/sandbox_priv.h"
#include "io/loop.h"
#include "io/message.h"
#include "wire/host.h"
#include "wire/signals.h"

#define NUMBER 1
#define PORT 3000
#define PATIENCE_MS 5000 /* $TEST_PATIENCE_MS on very slow machines */

/* The host under test. */

static char *place; /* the folder of everything */

static int test_root(const char *artifact, struct artifact_root *ret_root, struct err *err)
{
    if (text_is(artifact, "absent"))
        return FAIL(err, E_NOT_FOUND, "no artifact '%s'", artifact);
    *ret_root = (struct artifact_root){.base = "host"};
    arena_init(&ret_root->memory);
    ret_root->lower[0] = arena_format(&ret_root->memory, "%s/base", place);
    ret_root->binds[0] = (struct sandbox_bind){"/usr", "/usr", false};
    ret_root->bind_count = 1;
    return json_parse(STR("{\"command\":[\"/app/server\"],\"workdir\":\"/app\","
                          "\"env\":{\"FROM\":\"image\",\"BOTH\":\"image\"}}"),
                      &ret_root->config, err);
}

static void test_root_done(struct artifact_root *root)
{
    json_decref(root->config);
    arena_done(&root->memory);
}

static struct host host;

void host_notify(struct host *h, const char *verb, json_t *args)
{
    if (h->core)
        channel_notify(h->core, verb, args, NULL, 0);
    else
        json_decref(args);
}

static void verb_dump(void *context, struct message *m)
{
    (void)context;
    json_t *checks = json_array(), *ok = instance_dump();
    sandbox_doctor(checks);
    instance_doctor(checks);
    json_put(ok, "checks", checks);
    message_ok(m, ok);
}

static void core_came(void *context, struct channel *c)
{
    struct host *h = context;
    h->core = c;
}

static void core_went(void *context, struct channel *c)
{
    struct host *h = context;
    if (h->core == c)
        h->core = NULL;
}

static int mini_host(const char *path)
{
    static const struct message_verb verbs[] = {
        {WIRE("instance.start", host_instance_start), 0, instance_verb_start},
        {WIRE("instance.stop", host_instance_stop), 0, instance_verb_stop},
        {WIRE("instance.list", host_instance_list), 0, instance_verb_list},
        {WIRE("dump", host_dump), 0, verb_dump},
    };
    static const struct instance_roots roots = {test_root, test_root_done};
    static const struct channel_handlers handlers = {
        .verbs = verbs, .verb_count = ARRAY_SIZE(verbs), .on_close = core_went, .context = &host};
    struct settings *settings = NULL;
    struct err err = ERR_INIT;
    log_setup("host", getenv("HOST_LOG") ? LOG_DEBUG : LOG_ERROR);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever happens to the test */
    (void)loop_get();
    if (settings_load(path, &settings, &err) < 0) {
        log_error("cannot load", F_ERR(&err));
        return 1;
    }
    host.settings = settings;
    place = mem_strndup(settings->run_dir, strlen(settings->run_dir) - strlen("/run"));
    if (sandbox_setup(settings, &err) < 0 || instance_init(&host, &roots, NULL, &err) < 0) {
        log_error("cannot start", F_ERR(&err));
        return 1;
    }
    (void)fcntl(3, F_SETFD, FD_CLOEXEC);
    (void)channel_listen(3, NULL, 0, &handlers, core_came);
    loop_run(NULL, NULL);
    instance_shutdown();
    settings_free(settings);
    return 0;
}

/* The test's side. */

static struct settings *settings;
static int listener = -1;
static struct child *process;
static struct channel *channel;
static json_t *notices; /* instance.changed, in order */

static void wake(void *context)
{
    (void)context;
}

static bool until(bool (*condition)(void))
{
    const char *patience = getenv("TEST_PATIENCE_MS");
    int64_t limit =
        clock_mono_ms(clock_system()) + (patience ? strtol(patience, NULL, 10) : PATIENCE_MS);
    static struct timer *tick;
    timer_start(&tick, 2, 2, wake, NULL);
    while (!condition() && clock_mono_ms(clock_system()) < limit)
        (void)uv_run(loop_get(), UV_RUN_ONCE);
    timer_free(&tick);
    return condition();
}

static void notice(void *context, struct message *m)
{
    (void)context;
    json_push(notices, json_incref(json_object_get(m->args, "instance")));
}

static void channel_closed(void *context, struct channel *c)
{
    (void)context;
    if (c == channel)
        channel = NULL;
}

static bool connected(void)
{
    static const struct message_verb verbs[] = {
        {WIRE("instance.changed", host_instance_changed), 0, notice}};
    static const struct channel_handlers handlers = {
        .verbs = verbs, .verb_count = 1, .on_close = channel_closed};
    struct err err = ERR_INIT;
    AUTO_FREE char *path = settings_run(settings, "host.sock");
    return channel || channel_connect(path, &handlers, &channel, &err) == 0;
}

static void host_exited(void *context, const struct child_result *result)
{
    (void)context;
    (void)result;
    process = NULL;
}

static bool host_gone(void)
{
    return !process;
}

static bool host_start_process(void)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/settings", place);
    const char *argv[] = {"/proc/self/exe", "host", path, NULL};
    struct child_spec spec = {.argv = argv,
                              .env = (const char *const *)environ,
                              .stdin_fd = -1,
                              .out = CHILD_INHERIT,
                              .error = CHILD_INHERIT,
                              .fds = {listener},
                              .fd_count = 1,
                              .on_exit = host_exited};
    return child_start(&spec, &process, &err) == 0;
}

static bool host_start(void)
{
    return host_start_process() && until(connected);
}

static bool host_kill(void)
{
    if (process)
        child_kill(process, SIGKILL);
    bool gone = until(host_gone);
    channel_free(channel);
    channel = NULL;
    return gone;
}

/* Requests. */

struct answer {
    json_t *ok;
    struct err err;
    bool over;
    int64_t us;
};
#define ANSWERS 64
static struct answer answers[ANSWERS];
static size_t asked;

static void replied(void *context, json_t *ok, const struct err *error)
{
    struct answer *a = context;
    a->over = true;
    a->us = clock_mono_us();
    if (ok)
        a->ok = json_incref(ok);
    else
        a->err = *error;
}

static struct answer *ask(const char *verb, json_t *args)
{
    struct answer *a = &answers[asked++ % ANSWERS];
    json_decref(a->ok);
    *a = (struct answer){0};
    struct channel_request request = {
        .verb = verb, .args = args, .on_reply = replied, .context = a};
    channel_request(channel, &request);
    return a;
}

static struct answer *awaited;
static bool is_over(void)
{
    return awaited->over;
}

static bool wait_for(struct answer *a)
{
    awaited = a;
    bool over = until(is_over);
    if (a->err.kind != E_OK)
        (void)fprintf(stderr, "# %s: %s\n", err_name(a->err.kind), a->err.text);
    return over;
}

/* "APP.ENV.rN.M"; what is in prod has the number 4, all else 1. */
static json_t *start_args(const char *name, const char *spec)
{
    struct err err = ERR_INIT;
    struct str rest = str_of(name), app = str_cut(&rest, '.'), env = str_cut(&rest, '.');
    AUTO_FREE char *text = mem_format(
        "{\"instance\":\"%s\",\"app\":\"%.*s\",\"env\":\"%.*s\",\"app_env_id\":%d,\"release\":42,"
        "\"artifact\":\"here\",\"rollout\":7,\"epoch\":1,\"spec\":{\"port\":%d%s%s}}",
        name, (int)app.length, app.data, (int)env.length, env.data, str_is(env, "prod") ? 4 : 1,
        PORT, *spec ? "," : "", spec);
    json_t *args = NULL;
    if (json_parse(str_of(text), &args, &err) < 0)
        (void)fprintf(stderr, "# %s\n", err.text);
    return args;
}

#define UP "\"health\":{\"path\":\"/up\",\"liveness_ms\":100}"

static struct answer *start(const char *name, const char *spec)
{
    return ask("instance.start", start_args(name, spec));
}

static struct answer *stop(const char *name)
{
    json_t *args = json_object();
    json_put_text(args, "instance", name);
    return ask("instance.stop", args);
}

static bool start_well(const char *name, const char *spec)
{
    struct answer *a = start(name, spec);
    return wait_for(a) && a->ok;
}

static bool stop_well(const char *name)
{
    struct answer *a = stop(name);
    return wait_for(a) && a->ok;
}

/* The list's entry of that name; borrowed until the next call. */
static json_t *listed(const char *name)
{
    struct answer *a = ask("instance.list", json_object());
    size_t index;
    json_t *one;
    if (!wait_for(a) || !a->ok)
        return NULL;
    json_array_foreach(json_list(a->ok, "instances"), index,
                       one) if (text_is(json_text(one, "instance"), name)) return one;
    return NULL;
}

static const char *wanted_name, *wanted_state;
static int64_t wanted_restarts;
static bool in_state(void)
{
    json_t *one = listed(wanted_name);
    return one && text_is(json_text(one, "state"), wanted_state) &&
           json_int(one, "restarts", 0) >= wanted_restarts;
}

static bool until_state(const char *name, const char *state, int64_t restarts)
{
    wanted_name = name;
    wanted_state = state;
    wanted_restarts = restarts;
    return until(in_state);
}

/* The first notice of that state since they were cleared. */
static const json_t *noticed(const char *state)
{
    size_t index;
    json_t *one;
    json_array_foreach(notices, index, one)
    {
        if (text_is(json_text(one, "state"), state))
            return one;
    }
    return NULL;
}

static struct buf body;

/* GET from our own network namespace; the body (after the head) or "" on failure. */
static const char *get(const char *name, const char *path)
{
    json_t *one = listed(name);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct timeval limit = {.tv_sec = 3};
    buf_clear(&body);
    if (!one || inet_pton(AF_INET, json_text_or(one, "address", ""), &to.sin_addr) != 1)
        return "";
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    AUTO_FREE char *request = mem_format("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
        write(fd, request, strlen(request)) < 0)
        return "";
    for (char chunk[4096];;) {
        ssize_t count = read(fd, chunk, sizeof(chunk));
        if (count <= 0)
            break;
        (void)buf_add(&body, chunk, (size_t)count);
    }
    const char *end = body.data ? strstr(body.data, "\r\n\r\n") : NULL;
    return end ? end + 4 : "";
}

/* A stand-in for signals that keeps what it is given. */

static int log_fds[64];
static char *log_names[64];
static size_t log_count;
static size_t log_closes;

static void signals_hello_verb(void *context, struct message *m)
{
    (void)context;
    message_ok(m, NULL);
}

static void signals_open(void *context, struct message *m)
{
    (void)context;
    if (log_count < ARRAY_SIZE(log_fds)) {
        log_names[log_count] = mem_strdup(json_text_or(m->args, "instance", ""));
        log_fds[log_count++] = TAKE_FD(m->fds[0]);
    }
    message_ok(m, NULL);
}

static void signals_close(void *context, struct message *m)
{
    (void)context;
    (void)m;
    log_closes++;
}

static int listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO_FREE char *path = settings_run(settings, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0)
        return -1;
    return fd;
}

static void signals_start(void)
{
    static const struct message_verb verbs[] = {
        {WIRE("hello", signals_hello), 0, signals_hello_verb},
        {WIRE("log.open", signals_log_open), 1, signals_open},
        {WIRE("log.close", signals_log_close), 0, signals_close}};
    static const struct channel_handlers handlers = {.verbs = verbs, .verb_count = 3};
    (void)channel_listen(listen_at("signals.sock"), NULL, 0, &handlers, NULL);
}

/* Preparing and cleaning. */

static bool base_make(void)
{
    static const char *const links[] = {"bin", "lib", "lib64", "sbin"};
    struct err err = ERR_INIT;
    AUTO_BUF app = BUF_INIT(16u << 20);
    AUTO_FREE char *usr = mem_format("%s/base/usr", place);
    AUTO_FREE char *folder = mem_format("%s/base/app", place);
    AUTO_FREE char *server = mem_format("%s/base/app/server", place);
    const char *fixture = getenv("FIXTURE_APP");
    if (!fixture || file_read(fixture, 16u << 20, &app, &err) < 0 ||
        file_make_dirs(usr, 0755, &err) < 0 || file_make_dirs(folder, 0755, &err) < 0 ||
        file_write(server, buf_str(&app), 0755, &err) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        AUTO_FREE char *path = mem_format("%s/base/%s", place, links[i]);
        AUTO_FREE char *target = mem_format("usr/%s", links[i]);
        if (symlink(target, path) < 0)
            return false;
    }
    return true;
}

static void clean(void)
{
    struct err err = ERR_INIT;
    if (!settings)
        return;
    (void)host_kill();
    sandbox_teardown(settings);
    if (file_remove_tree(place, &err) < 0)
        (void)fprintf(stderr, "# %s\n", err.text);
}

static bool prepare(void)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *hide = NULL;
    place = mem_format("%s/swt-instance-%d", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp",
                       (int)getpid());
    notices = json_array();
    if (file_make_dirs(place, 0755, &err) < 0)
        return false;
    settings = root_test_settings(place, NUMBER);
    if (!settings || !base_make() || cgroup_setup(settings->id, &hide, &err) < 0)
        return false;
    (void)atexit(clean);
    listener = listen_at("host.sock");
    return listener >= 0 && host_start();
}

static bool ready(void)
{
    static int state; /* 0: not tried, 1: good, -1: not */
    if (geteuid() != 0)
        return false;
    if (state == 0) {
        (void)loop_get();
        log_setup("test", LOG_ERROR);
        state = prepare() ? 1 : -1;
        if (state < 0)
            OK(state > 0); /* prepared */
    }
    return state > 0 && (channel || host_start());
}

/* Groups of our installation that exist. */
static size_t groups(void)
{
    json_t *list = sandbox_cgroup_list();
    size_t count = json_array_size(list);
    json_decref(list);
    return count;
}

/* What stands in a folder, hidden names left out. */
static size_t entries(const char *path)
{
    size_t count = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    (void)closedir(folder);
    return count;
}

/* Veths go with their network namespace, which the kernel takes apart in the background. */
static bool no_ports(void)
{
    AUTO_FREE char *path = mem_format("/sys/class/net/%s0/brif", settings->id);
    return entries(path) == 0;
}

static bool not_listed(void)
{
    return !listed(wanted_name);
}

static bool log_closed(void)
{
    return log_closes > 0;
}

static int64_t number_of(const char *text)
{
    struct err err = ERR_INIT;
    int64_t value = -1;
    return str_to_int(str_of(text), 0, 1000000, "number", &value, &err) < 0 ? 1000000 : value;
}

/* Tests. */

TEST(starts_four_at_once_and_they_serve)
{
    if (!ready())
        return;
    static const char *const names[] = {"shop.dev.r42.1", "shop.dev.r42.2", "shop.dev.r42.3",
                                        "shop.dev.r42.4"};
    struct answer *a[4];
    for (int round = 0; round < 5; round++) {
        int64_t begin = clock_mono_us(), last = 0;
        for (int i = 0; i < 4; i++)
            a[i] = start(names[i], UP);
        for (int i = 0; i < 4; i++) {
            OK(wait_for(a[i]) && a[i]->ok);
            last = a[i]->us > last ? a[i]->us : last;
        }
        (void)fprintf(stderr, "# four up in %d us; create/ready ms:", (int)(last - begin));
        for (int i = 0; i < 4; i++)
            (void)fprintf(stderr, " %d/%d", (int)json_int(a[i]->ok, "create_ms", -1),
                          (int)json_int(a[i]->ok, "ready_ms", -1));
        if (round == 0) {
            for (int i = 0; i < 4; i++)
                IS_STR(get(names[i], "/up"), "up");
            IS_INT(json_int(listed(names[0]), "rollout", 0), 7);
        }
        begin = clock_mono_us();
        for (int i = 0; i < 4; i++)
            a[i] = stop(names[i]);
        for (int i = 0; i < 4; i++)
            OK(wait_for(a[i]) && a[i]->ok);
        (void)fprintf(stderr, "; stopped in %d us\n", (int)(clock_mono_us() - begin));
        for (int i = 0; i < 4; i++)
            IS_INT(json_int(a[i]->ok, "exit_code", -1), 0);
    }
    IS_INT(groups(), 0);
    OK(until(no_ports));
}

static bool starts_with_more(void)
{
    return root_test_weight(settings, "shop.dev/shop.dev.r42.1") == 125;
}

TEST(what_starts_has_a_little_more_of_the_processor)
{
    if (!ready())
        return;
    struct answer *a = start("shop.dev.r42.1", UP ",\"env\":{\"START_MS\":\"300\"}");
    OK(until(starts_with_more));
    OK(wait_for(a) && a->ok);
    IS_INT(root_test_weight(settings, "shop.dev/shop.dev.r42.1"), 100);
    OK(stop_well("shop.dev.r42.1"));
}

TEST(asking_again_gives_the_same_answer)
{
    if (!ready())
        return;
    struct answer *first = start("shop.dev.r1.1", UP);
    struct answer *second = start("shop.dev.r1.1", UP);
    OK(wait_for(first) && wait_for(second));
    OK(json_equal(first->ok, second->ok));
    struct answer *third = start("shop.dev.r1.1", UP);
    OK(wait_for(third) && json_equal(first->ok, third->ok));
    struct answer *end = stop("shop.dev.r1.1");
    struct answer *again = start("shop.dev.r1.1", UP); /* begins when it is gone */
    OK(wait_for(end) && end->ok);
    OK(wait_for(again) && again->ok);
    OK(json_int(again->ok, "pid", 0) != json_int(first->ok, "pid", 0));
    OK(stop_well("shop.dev.r1.1"));
    OK(stop_well("shop.dev.r1.1")); /* gone already: fine */
}

TEST(an_instance_sees_its_own_things_only)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r2.1",
                  UP ",\"env\":{\"BOTH\":\"release\",\"A\":\"1\"},"
                     "\"files\":[{\"path\":\"a/config.json\",\"value_b64\":\"e30=\"}],"
                     "\"secrets\":[{\"name\":\"db\",\"value_b64\":\"cHc=\"},"
                     "{\"name\":\"KEY\",\"value_b64\":\"cHcy\",\"env\":true}]"));
    OK(start_well("shop.dev.r2.2", UP ",\"network\":{\"outside\":false}"));
    IS_STR(get("shop.dev.r2.1", "/env/FROM"), "image");
    IS_STR(get("shop.dev.r2.1", "/env/BOTH"), "release");
    IS_STR(get("shop.dev.r2.1", "/env/PORT"), "3000");
    IS_STR(get("shop.dev.r2.1", "/env/SLIPWAY_INSTANCE"), "shop.dev.r2.1");
    IS_STR(get("shop.dev.r2.1", "/env/KEY"), "pw2");
    IS_STR(get("shop.dev.r2.1", "/file/run/slipway/config/a/config.json"), "{}");
    IS_STR(get("shop.dev.r2.1", "/file/run/slipway/secrets/db"), "pw");
    OK(strstr(get("shop.dev.r2.1", "/file/etc/hosts"), "shop.dev.r2.1") != NULL);
    OK(strstr(get("shop.dev.r2.1", "/file/etc/resolv.conf"), "nameserver") != NULL);
    OK(strstr(get("shop.dev.r2.1", "/file/proc/self/status"), "Seccomp:\t2") != NULL);
    AUTO_FREE char *other =
        mem_format("/connect/%s:3000", json_text_or(listed("shop.dev.r2.2"), "address", "?"));
    OK(!text_is(get("shop.dev.r2.1", other), "open")); /* its neighbour */
    OK(!text_is(get("shop.dev.r2.1", "/connect/10.199.1.1:22"), "open"));
    IS_STR(get("shop.dev.r2.1", "/connect/127.0.0.1:3000"), "open");
    OK(stop_well("shop.dev.r2.1") && stop_well("shop.dev.r2.2"));
}

static bool nft_does(const char *verb)
{
    struct err err = ERR_INIT;
    AUTO_BUF out = BUF_INIT(1u << 20);
    const char *const argv[] = {"/usr/sbin/nft", verb, "table", "inet", settings->id, NULL};
    return filter_nft(argv, STR(""), &out, &err) == 0;
}

static bool table_stands(void)
{
    return nft_does("list");
}

/* `systemctl restart nftables` takes all tables away. */
TEST(the_firewall_table_comes_back)
{
    if (!ready())
        return;
    OK(table_stands());
    OK(nft_does("delete") && !table_stands());
    OK(until(table_stands));
}

TEST(names_may_be_long)
{
    if (!ready())
        return;
    static const char name[] = "a23456789-123456789-123456789-123456789."
                               "b23456789-123456789-123456789-123456789.r1000000.1-9999999999";
    OK(start_well(name, UP));
    IS_STR(get(name, "/up"), "up");
    OK(stop_well(name));
}

TEST(a_start_that_fails_says_why_and_leaves_nothing)
{
    if (!ready())
        return;
    struct answer *a = start("shop.dev.r3.1", UP ",\"env\":{\"EXIT_AT_START\":\"3\"}");
    OK(wait_for(a));
    IS_INT(a->err.kind, E_INSTANCE_EXITED);
    OK(strstr(a->err.text, "code 3: cannot find the database") != NULL);
    a = start("shop.dev.r3.2", "\"env\":{\"STATUS\":\"500\"},\"health\":{\"path\":\"/up\","
                               "\"deadline_ms\":1000},\"stop\":{\"grace_ms\":200}");
    OK(wait_for(a));
    IS_INT(a->err.kind, E_INSTANCE_NOT_READY);
    OK(strstr(a->err.text, "status 500") != NULL);
    a = start("shop.dev.r3.3", UP ",\"command\":[\"/no/such/program\"]");
    OK(wait_for(a));
    IS_INT(a->err.kind, E_UNAVAILABLE);
    a = start("shop.dev.r3.4", UP ",\"odd\":1");
    OK(wait_for(a));
    IS_INT(a->err.kind, E_FIELD_UNKNOWN);
    OK(stop_well("shop.dev.r3.2")); /* waits for the removal under way */
    OK(stop_well("shop.dev.r3.1") && stop_well("shop.dev.r3.3"));
    OK(!listed("shop.dev.r3.1") && !listed("shop.dev.r3.2") && !listed("shop.dev.r3.3"));
    IS_INT(groups(), 0);
}

TEST(limits_bite)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r4.1", UP ",\"memory\":33554432,\"pids\":16"));
    OK(number_of(get("shop.dev.r4.1", "/fork/50")) < 16);
    OK(until_state("shop.dev.r4.1", "ready", 0)); /* its notice has come, too */
    json_array_clear(notices);
    (void)get("shop.dev.r4.1", "/eat/100");
    OK(until_state("shop.dev.r4.1", "ready", 1)); /* killed, and back */
    OK(strstr(json_text_or(noticed("backoff"), "text", ""), "memory limit") != NULL);
    IS_STR(get("shop.dev.r4.1", "/up"), "up");
    OK(stop_well("shop.dev.r4.1"));
}

TEST(what_an_instance_uses_is_told_when_asked_for)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r5.1", UP ",\"memory\":33554432,\"pids\":16"));
    OK(!json_object_get(listed("shop.dev.r5.1"), "memory")); /* not read unasked */
    struct answer *a =
        ask("instance.list", json_pack("{s:s, s:b}", "app_env", "shop.dev", "figures", 1));
    OK(wait_for(a) && a->ok);
    const json_t *one = json_array_get(json_list(a->ok, "instances"), 0);
    IS_INT(json_int(one, "memory_limit", 0), 33554432);
    OK(json_int(one, "memory", 0) > 0 && json_int(one, "memory", 0) <= 33554432);
    OK(json_int(one, "cpu_us", 0) > 0);
    OK(json_int(one, "pids", 0) > 0 && json_int(one, "pids", 0) <= 16);
    OK(clock_wall_ms(clock_system()) - json_int(one, "up_since", 0) < 60000);
    struct answer *other = ask("instance.list", json_pack("{s:s}", "app_env", "shop.test"));
    OK(wait_for(other) && json_array_size(json_list(other->ok, "instances")) == 0);
    OK(stop_well("shop.dev.r5.1"));
}

TEST(a_crash_is_followed_by_a_start)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r5.1", UP));
    OK(until_state("shop.dev.r5.1", "ready", 0)); /* its notice has come, too */
    json_array_clear(notices);
    (void)get("shop.dev.r5.1", "/exit/7");
    OK(until_state("shop.dev.r5.1", "ready", 1));
    IS_INT(json_int(noticed("backoff"), "exit_code", -1), 7);
    OK(noticed("ready") != NULL);
    for (int i = 2; i <= 5; i++) {
        (void)get("shop.dev.r5.1", "/exit/1");
        if (i < 5)
            OK(until_state("shop.dev.r5.1", "ready", i));
    }
    OK(until_state("shop.dev.r5.1", "crash_loop", 5));
    OK(stop_well("shop.dev.r5.1"));
    IS_INT(groups(), 0);
}

static time_t hang_at;

static bool hang_time(void)
{
    return time(NULL) >= hang_at;
}

/* Nobody waits for it: it was ready once, crashed, and hangs as it starts again. */
TEST(a_start_again_that_hangs_has_an_end)
{
    if (!ready())
        return;
    hang_at = time(NULL) + 2;
    AUTO_FREE char *spec =
        mem_format("\"health\":{\"path\":\"/up\",\"liveness_ms\":100,\"deadline_ms\":800},\"env\":"
                   "{\"HANG_AFTER\":\"%lld\"}",
                   (long long)hang_at);
    OK(start_well("shop.dev.r5.2", spec));
    OK(until(hang_time));
    (void)get("shop.dev.r5.2", "/exit/1");
    OK(until_state("shop.dev.r5.2", "starting", 1));
    OK(until_state("shop.dev.r5.2", "starting", 2)); /* killed, and started anew */
    OK(stop_well("shop.dev.r5.2"));
}

TEST(a_monitor_that_was_killed_is_replaced)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r6.1", UP));
    struct answer *a = ask("dump", json_object());
    OK(wait_for(a));
    json_t *one = json_array_get(json_list(a->ok, "instances"), 0);
    OK(kill((pid_t)json_int(one, "conmon", 0), SIGKILL) == 0);
    OK(until_state("shop.dev.r6.1", "ready", 1));
    IS_STR(get("shop.dev.r6.1", "/up"), "up");
    OK(stop_well("shop.dev.r6.1"));
}

TEST(unready_is_noticed_and_term_ignored_is_killed)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r7.1",
                  "\"health\":{\"path\":\"/"
                  "up\",\"liveness_ms\":50,\"timeout_ms\":100},\"env\":{\"IGNORE_TERM\":\"1\"},"
                  "\"stop\":{\"grace_ms\":300}"));
    int64_t pid = json_int(listed("shop.dev.r7.1"), "pid", 0);
    OK(kill((pid_t)pid, SIGSTOP) == 0);
    OK(until_state("shop.dev.r7.1", "unready", 0));
    OK(kill((pid_t)pid, SIGCONT) == 0);
    OK(until_state("shop.dev.r7.1", "ready", 0));
    struct answer *a = stop("shop.dev.r7.1");
    OK(wait_for(a) && a->ok);
    OK(json_bool(a->ok, "killed", false));
    IS_INT(json_int(a->ok, "exit_code", 0), 137);
    OK(json_int(a->ok, "ms", 0) >= 300);
}

TEST(a_killed_host_finds_its_instances_again)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r8.1", UP) && start_well("shop.dev.r8.2", UP));
    int64_t first = json_int(listed("shop.dev.r8.1"), "pid", 0);
    int64_t second = json_int(listed("shop.dev.r8.2"), "pid", 0);
    OK(host_kill());
    OK(kill((pid_t)first, 0) == 0); /* they serve on */
    OK(kill((pid_t)second, SIGKILL) == 0);
    int64_t begin = clock_mono_us();
    OK(host_start());
    OK(until_state("shop.dev.r8.1", "ready", 0));
    (void)fprintf(stderr, "# adopted and ready again %d us after the start of the host\n",
                  (int)(clock_mono_us() - begin));
    IS_INT(json_int(listed("shop.dev.r8.1"), "pid", 0), first);
    OK(until_state("shop.dev.r8.2", "ready", 0)); /* ended meanwhile: started again */
    OK(json_int(listed("shop.dev.r8.2"), "pid", 0) != second);
    IS_STR(get("shop.dev.r8.1", "/up"), "up");
    IS_STR(get("shop.dev.r8.2", "/up"), "up");
    OK(stop_well("shop.dev.r8.1") && stop_well("shop.dev.r8.2"));
    IS_INT(groups(), 0);
}

/* What a reboot does to us: no process, no run_dir, the records there. */
static void pretend_reboot(void)
{
    struct err err = ERR_INIT;
    AUTO_JSON *list = sandbox_cgroup_list();
    size_t index;
    json_t *group;
    json_array_foreach(list, index, group)
        OK(sandbox_cgroup_remove(json_string_value(group), &err) == 0);
    static const char *const below[] = {"crun", "root", "live"};
    for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
        AUTO_FREE char *path = settings_run(settings, below[i]);
        OK(file_remove_tree(path, &err) == 0);
    }
}

TEST(after_a_reboot_instances_come_back_by_themselves)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r11.1", UP ",\"secrets\":[{\"name\":\"db\",\"value_b64\":\"cHc=\"}]"));
    OK(start_well("shop.dev.r11.2", UP));
    OK(host_kill());
    pretend_reboot();
    OK(host_start());
    OK(until_state("shop.dev.r11.1", "ready", 0));
    OK(until_state("shop.dev.r11.2", "ready", 0));
    IS_STR(get("shop.dev.r11.1", "/file/run/slipway/secrets/db"), "pw");
    OK(stop_well("shop.dev.r11.1") && stop_well("shop.dev.r11.2"));
    IS_INT(groups(), 0);
}

/* Looked at again and again until all are ready: how many were on their way together, and how many
 * of prod had begun when dev's had. */
static size_t most_under_way, prod_before_dev;
static bool dev_has_begun;
static bool all_are_ready(void)
{
    size_t index, under_way = 0, ready_now = 0, prod = 0;
    json_t *one;
    struct answer *a = ask("instance.list", json_object());
    if (!wait_for(a) || !a->ok)
        return false;
    json_array_foreach(json_list(a->ok, "instances"), index, one)
    {
        bool begun = json_int(one, "pid", 0) > 0;
        bool is_ready = text_is(json_text(one, "state"), "ready");
        under_way += begun && !is_ready;
        ready_now += is_ready;
        if (text_is(json_text(one, "app_env"), "shop.prod"))
            prod += begun;
        else if (begun)
            dev_has_begun = true;
    }
    most_under_way = under_way > most_under_way ? under_way : most_under_way;
    if (!dev_has_begun)
        prod_before_dev = prod;
    return ready_now == 4;
}

TEST(after_a_reboot_a_few_come_at_a_time_and_one_of_each_app_env_first)
{
    if (!ready())
        return;
    static const char *const names[] = {"shop.prod.r14.1", "shop.prod.r14.2", "shop.prod.r14.3",
                                        "shop.dev.r14.1"};
    size_t processors = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        OK(start_well(names[i], UP ",\"env\":{\"START_MS\":\"400\"}"));
    OK(host_kill());
    pretend_reboot();
    OK(host_start());
    OK(until(all_are_ready));
    OK(most_under_way >= 1 && most_under_way <= (processors > 2 ? processors : 2));
    OK(prod_before_dev <= 1 || processors > 2);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        OK(stop_well(names[i]));
    IS_INT(groups(), 0);
}

TEST(who_is_asked_for_comes_now_and_who_is_stopped_comes_no_more)
{
    if (!ready())
        return;
    static const char *const names[] = {"shop.prod.r15.1", "shop.prod.r15.2", "shop.prod.r15.3",
                                        "shop.prod.r15.4"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        OK(start_well(names[i], UP ",\"env\":{\"START_MS\":\"400\"}"));
    OK(host_kill());
    pretend_reboot();
    OK(host_start());
    struct answer *a = start(names[3], UP);
    struct answer *b = stop(names[2]);
    OK(wait_for(a) && a->ok && wait_for(b) && b->ok);
    OK(until_state(names[3], "ready", 0));
    OK(!listed(names[2]));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        OK(stop_well(names[i]));
    IS_INT(groups(), 0);
}

TEST(a_stop_that_was_interrupted_is_finished_without_being_asked)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r12.1",
                  UP ",\"env\":{\"IGNORE_TERM\":\"1\"},\"stop\":{\"grace_ms\":400}"));
    (void)stop("shop.dev.r12.1");
    int64_t limit = clock_mono_ms(clock_system()) + 50;
    while (clock_mono_ms(clock_system()) < limit)
        (void)uv_run(loop_get(), UV_RUN_NOWAIT);
    OK(host_kill());
    OK(host_start());
    wanted_name = "shop.dev.r12.1";
    OK(until(not_listed));
    IS_INT(groups(), 0);
}

TEST(a_record_that_cannot_be_read_is_set_aside)
{
    struct err err = ERR_INIT;
    if (!ready())
        return;
    AUTO_FREE char *folder = settings_data(settings, "host/instances/shop.dev.r13.1");
    AUTO_FREE char *record = mem_format("%s/record.json", folder);
    OK(start_well("shop.dev.r13.2", UP));
    OK(host_kill());
    OK(file_make_dirs(folder, 0700, &err) == 0);
    OK(file_write(record, STR("{\"version\":1,"), 0600, &err) == 0);
    OK(host_start());
    OK(until_state("shop.dev.r13.2", "ready", 0));
    OK(!listed("shop.dev.r13.1") && !file_exists(record));
    OK(stop_well("shop.dev.r13.2"));
}

TEST(a_killed_probe_is_replaced_and_goes_on)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r14.1", UP));
    struct answer *a = ask("dump", json_object());
    OK(wait_for(a) && a->ok);
    int64_t probe = json_int(json_dict(a->ok, "probe"), "pid", 0);
    OK(probe > 1 && kill((pid_t)probe, SIGKILL) == 0);
    OK(start_well("shop.dev.r14.2", UP));
    OK(stop_well("shop.dev.r14.1") && stop_well("shop.dev.r14.2"));
}

TEST(killed_at_random_moments_a_host_ends_in_the_same_state)
{
    if (!ready())
        return;
    for (int round = 0; round < 12; round++) {
        struct answer *a = start("shop.dev.r9.1", UP);
        struct answer *b = start("shop.dev.r9.2", UP);
        int64_t limit = clock_mono_us() + round * 4000;
        while (clock_mono_us() < limit)
            (void)uv_run(loop_get(), UV_RUN_NOWAIT);
        OK(host_kill());
        OK(host_start());
        (void)a;
        (void)b;
        OK(start_well("shop.dev.r9.1", UP)); /* core asks again */
        OK(start_well("shop.dev.r9.2", UP));
        IS_STR(get("shop.dev.r9.1", "/up"), "up");
        IS_STR(get("shop.dev.r9.2", "/up"), "up");
        (void)stop("shop.dev.r9.1");
        limit = clock_mono_us() + round * 1500;
        while (clock_mono_us() < limit)
            (void)uv_run(loop_get(), UV_RUN_NOWAIT);
        OK(host_kill());
        OK(host_start());
        OK(stop_well("shop.dev.r9.1") && stop_well("shop.dev.r9.2"));
        IS_INT(groups(), 0);
    }
}

#ifdef SLIPWAY_FAILPOINTS
static bool connected_or_gone(void)
{
    return !process || connected();
}

static bool over_or_gone(void)
{
    return !process || awaited->over;
}

/* Start a host that kills itself at the Nth passing of this point, and use it until it is gone or
 * all is done. */
static void use_until_it_dies(const char *point, int nth)
{
    AUTO_FREE char *fault = mem_format("%s:%d", point, nth);
    OK(start_well("shop.dev.r15.2", UP)); /* one that is there already */
    OK(host_kill());
    (void)setenv("SLIPWAY_FAULT", fault, 1);
    (void)host_start_process();
    (void)unsetenv("SLIPWAY_FAULT");
    (void)until(connected_or_gone);
    for (int i = 0; i < 4 && process && channel; i++) {
        awaited = i % 2 == 0 ? start("shop.dev.r15.1", UP) : stop("shop.dev.r15.1");
        (void)until(over_or_gone);
    }
    (void)fprintf(stderr, "# %s:%d\n", point, nth);
    OK(host_kill());
}

TEST(killed_at_every_point_a_host_ends_in_the_same_state)
{
    static const char *const points[] = {
        "instance.record",  "instance.recorded",  "instance.live",    "instance.bundle",
        "instance.create",  "instance.created",   "instance.started", "instance.signal",
        "instance.deleted", "instance.forgotten", "instance.exited",  "instance.adopt",
        "sandbox.mount",    "sandbox.config",     "sandbox.start",    "sandbox.delete",
        "network.attach",   "network.attached",   "probe.start"};
    if (!ready())
        return;
    for (size_t i = 0; i < ARRAY_SIZE(points); i++)
        for (int nth = 1; nth <= 2; nth++) {
            use_until_it_dies(points[i], nth);
            OK(host_start());
            OK(start_well("shop.dev.r15.1", UP));
            IS_STR(get("shop.dev.r15.1", "/up"), "up");
            OK(until_state("shop.dev.r15.2", "ready", 0));
            OK(stop_well("shop.dev.r15.1") && stop_well("shop.dev.r15.2"));
            IS_INT(groups(), 0);
        }
}
#endif

static bool two_logs(void)
{
    return log_count >= 2;
}
static bool one_log(void)
{
    return log_count >= 1;
}

TEST(output_goes_to_signals_and_is_rotated)
{
    if (!ready())
        return;
    OK(start_well("shop.dev.r10.1", UP));
    signals_start(); /* comes later: all is passed on connect */
    OK(until(one_log));
    IS_STR(log_names[0], "shop.dev.r10.1");
    char line[256] = "";
    OK(read(log_fds[0], line, sizeof(line) - 1) > 0);
    OK(strstr(line, "stdout F listening") != NULL);
    for (int i = 0; i < 12; i++)
        IS_STR(get("shop.dev.r10.1", "/log/10000"), "logged");
    OK(until(two_logs)); /* the new file */
    AUTO_FREE char *old = settings_data(settings, "host/instances/shop.dev.r10.1/output.log.1");
    OK(file_exists(old));
    OK(stop_well("shop.dev.r10.1"));
    OK(until(log_closed));
}

TEST(the_doctor_is_content_and_nothing_is_left)
{
    if (!ready())
        return;
    struct answer *a = ask("dump", json_object());
    OK(wait_for(a) && a->ok);
    size_t index;
    json_t *check;
    json_array_foreach(json_list(a->ok, "checks"), index,
                       check) if (!json_bool(check, "ok", false))(void)
        fprintf(stderr, "# %s: %s\n", json_text(check, "name"), json_text(check, "text"));
    IS_INT(groups(), 0);
    OK(until(no_ports));
    struct stat null;
    OK(stat("/dev/null", &null) == 0 && null.st_uid == 0); /* crun chowns what it is given */
    AUTO_FREE char *roots = settings_run(settings, "root");
    AUTO_FREE char *live = settings_run(settings, "live");
    AUTO_FREE char *records = settings_data(settings, "host/instances");
    IS_INT(entries(roots), 0);
    IS_INT(entries(live), 0);
    IS_INT(entries(records), 0);
}

int main(int argc, char **argv)
{
    if (argc == 2 && text_is(argv[1], "host-probe"))
        return probe_main(argc - 1, argv + 1);
    if (argc == 3 && text_is(argv[1], "host"))
        return mini_host(argv[2]);
    return tap_main(argc, argv);
}
