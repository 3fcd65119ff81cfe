/* The edge when things go wrong: a disk that refuses, a runtime socket that hangs, a configuration
 * that is bad, a port that is taken, a storm of new app-envs, an instance that dies. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/tap.h"
#include "base/time.h"
#include "host/edge/edge.h"
#include "host/edge/edge_world.h"
#include "io/loop.h"

#define HOST "shop1.dev.localhost"

static bool apply(struct world *w, int64_t id, int64_t version, const char *slots, const char *live,
                  const char **ret_error)
{
    AUTO_JSON *ok = world_apply(w, id, version, slots, live, 0, ret_error);
    return ok != NULL;
}

static const char *doctor_of(struct world *w, const char *name)
{
    static char text[512];
    AUTO_JSON *checks = json_array();
    size_t i;
    json_t *check;
    edge_doctor(&w->host, checks);
    (void)snprintf(text, sizeof(text), "none");
    json_array_foreach(checks, i, check) if (text_is(json_text(check, "name"), name))(void)
        snprintf(text, sizeof(text), "%s: %s", json_bool(check, "ok", false) ? "ok" : "bad",
                 json_text(check, "text"));
    return text;
}

TEST(refuses_a_change_that_it_cannot_record)
{
    struct world w;
    const char *error = NULL;
    if (!world_up(&w, false))
        return;
    OK(apply(&w, 1, 1, "a:1", "a", NULL));
    AUTO_FREE char *folder = settings_data(&w.settings, "host/edge");
    AUTO_FREE char *aside = mem_format("%s.aside", folder);
    OK(rename(folder, aside) == 0);
    OK(!apply(&w, 1, 2, "a:2", "a", &error));
    int64_t number = 0;
    IS_INT(world_get(&w, HOST, "/", &number), 200);
    IS_INT(number, 1);
    OK(rename(aside, folder) == 0);
    OK(apply(&w, 1, 2, "a:2", "a", NULL));
    IS_INT(world_get(&w, HOST, "/", &number), 200);
    IS_INT(number, 2);
    world_down(&w);
}

TEST(survives_a_process_that_does_not_answer)
{
    struct world w;
    const char *error = NULL;
    if (!world_up(&w, false))
        return;
    OK(apply(&w, 1, 1, "a:1", "a", NULL));
    pid_t pid = (pid_t)world_pid(&w);
    (void)kill(pid, SIGSTOP);
    int64_t start = clock_mono_ms(clock_system());
    OK(!apply(&w, 1, 2, "a:2", "a", &error));
    IS_STR(error, "edge_refused");
    printf("# told after %lld ms; doctor: %s\n", (long long)(clock_mono_ms(clock_system()) - start),
           doctor_of(&w, "edge"));
    (void)kill(pid, SIGCONT);
    OK(world_until(&w, world_is_up, 10000));
    int64_t number = 0;
    IS_INT(world_get(&w, HOST, "/", &number), 200);
    IS_INT(number, 2); /* it was recorded */
    IS_INT(world_pid(&w), pid);
    world_down(&w);
}

TEST(goes_on_with_the_last_good_configuration)
{
    struct world w;
    const char *error = NULL;
    if (!world_up(&w, false))
        return;
    OK(apply(&w, 1, 1, "a:1", "a", NULL));
    int64_t pid = world_pid(&w);
    char *good = w.settings.api_listen;
    w.settings.api_listen = (char *)"not an address";
    OK(!apply(&w, 100, 1, "a:1", "a", &error)); /* takes a reload */
    printf("# %s; doctor: %s\n", error, doctor_of(&w, "edge configuration"));
    IS_INT(world_pid(&w), pid);
    IS_INT(world_get(&w, HOST, "/", NULL), 200);
    (void)kill((pid_t)pid, SIGKILL);
    world_turn(100);
    OK(world_until(&w, world_is_up, 3000)); /* with the last good one, brought up to date */
    int64_t number = 0;
    IS_INT(world_get(&w, HOST, "/", &number), 200);
    IS_INT(number, 1);
    w.settings.api_listen = good;
    world_turn(5500);
    OK(apply(&w, 100, 2, "a:2", "a", &error));
    IS_INT(world_get(&w, "shop100.dev.localhost", "/", &number), 200);
    IS_INT(number, 2);
    OK(strncmp(doctor_of(&w, "edge configuration"), "ok", 2) == 0);
    world_down(&w);
}

static void count_reply(void *context, json_t *ok, const struct err *error)
{
    int *left = context;
    OK(ok && !error);
    (*left)--;
}

TEST(makes_one_reload_of_a_storm)
{
    struct world w;
    int left = 0;
    if (!world_up(&w, false))
        return;
    AUTO_FREE char *pid_path = settings_run(&w.settings, "edge/haproxy/haproxy.pid");
    for (int i = 0; i < 100; i++) {
        json_t *args =
            json_pack("{s:o,s:i,s:i,s:{s:[],s:s,s:{}}}", "app_env", json_sprintf("app%d.dev", i),
                      "app_env_id", 100 + i, "version", 1, "state", "domains", "live", "", "slots");
        struct channel_request request = {.verb = "edge.apply", .args = args, .timeout_ms = 20000};
        request.on_reply = count_reply;
        request.context = &left;
        left++;
        channel_request(w.client, &request);
        world_turn(1);
    }
    int64_t start = clock_mono_ms(clock_system());
    int64_t pids = 0, last = 0;
    while (left > 0 && clock_mono_ms(clock_system()) - start < 15000) {
        AUTO_BUF text = BUF_INIT(64);
        struct err err = ERR_INIT;
        world_turn(5);
        bool have = file_read(pid_path, 64, &text, &err) == 0 && text.length > 0;
        int64_t pid = have ? strtol(text.data, NULL, 10) : last;
        pids += pid != last;
        last = pid;
    }
    printf("# 100 new app-envs: all answered after %lld ms, %lld processes\n",
           (long long)(clock_mono_ms(clock_system()) - start), (long long)pids);
    IS_INT(left, 0);
    OK(pids <= 4);
    world_down(&w);
}

TEST(takes_a_removed_one_out)
{
    struct world w;
    if (!world_up(&w, false))
        return;
    OK(apply(&w, 1, 1, "a:1,2 b:3", "a", NULL));
    AUTO_JSON *ok = world_call(
        &w, "edge.remove",
        json_pack("{s:s,s:i,s:i}", "app_env", "shop1.dev", "app_env_id", 1, "version", 2), NULL);
    OK(ok != NULL);
    IS_INT(world_get(&w, HOST, "/", NULL), 421);
    for (int i = 0; i < 40; i++) {
        AUTO_JSON *stat = world_call(&w, "edge.stat", json_object(), NULL);
        if (json_array_size(json_list(stat, "servers")) == 0)
            break;
        world_turn(100);
    }
    AUTO_JSON *stat = world_call(&w, "edge.stat", json_object(), NULL);
    IS_INT(json_array_size(json_list(stat, "servers")), 0);
    OK(!apply(&w, 1, 1, "a:1", "a", NULL));
    OK(apply(&w, 1, 3, "a:1", "a", NULL));
    IS_INT(world_get(&w, HOST, "/", NULL), 200);
    world_down(&w);
}

TEST(follows_a_rename)
{
    struct world w;
    int64_t number = 0;
    if (!world_up(&w, false))
        return;
    OK(apply(&w, 1, 1, "a:1", "a", NULL));
    json_t *args = json_pack("{s:s,s:i,s:i,s:{s:[s],s:s,s:{s:[{s:s,s:s,s:I}]}}}", "app_env",
                             "store.dev", "app_env_id", 1, "version", 2, "state", "domains",
                             "store.dev.localhost", "live", "a", "slots", "a", "name", "r1.1",
                             "address", "127.0.0.1", "port", (json_int_t)(w.backend_port + 1));
    AUTO_JSON *ok = world_call(&w, "edge.apply", args, NULL);
    OK(ok != NULL);
    IS_INT(world_get(&w, "store.dev.localhost", "/", &number), 200);
    IS_INT(world_get(&w, HOST, "/", NULL), 421);
    world_down(&w);
}

TEST(serves_while_an_instance_dies)
{
    struct world w;
    pid_t pid, instance;
    if (!world_up(&w, false))
        return;
    instance = world_instance(&w, WORLD_BACKENDS); /* a process of its own on the next port */
    OK(apply(&w, 1, 1, "a:0,1,12", "a", NULL));
    struct world_load *load = world_load_start(&w, HOST, 16, &pid);
    world_turn(500);
    (void)kill(instance, SIGKILL);
    (void)waitpid(instance, NULL, 0);
    world_turn(2500);
    world_load_end(load, pid);
    IS_INT(load->bad, 0);
    IS_INT(load->broken, 0);
    world_down(&w);
}

TEST(starts_when_its_port_is_free_again)
{
    struct world w;
    struct err err = ERR_INIT;
    if (!world_up(&w, false))
        return;
    OK(apply(&w, 1, 1, "a:1", "a", NULL));
    world_edge_stop(&w);
    OK(edge_shutdown(&w.settings, &err) == 0);
    int taken = world_listen(w.http_port);
    OK(edge_init(&w.host, &err) == 0);
    world_turn(400);
    OK(!world_is_up(&w));
    printf("# doctor: %s\n", doctor_of(&w, "edge configuration"));
    OK(!apply(&w, 1, 2, "a:2", "a", NULL));
    (void)close(taken);
    OK(world_until(&w, world_is_up, 8000));
    int64_t number = 0;
    IS_INT(world_get(&w, HOST, "/", &number), 200);
    IS_INT(number, 2);
    world_down(&w);
}

/* Certificates. */

static char *openssl(struct world *w, const char *const *argv)
{
    struct buf out = BUF_INIT(65536);
    char chunk[4096];
    ssize_t count;
    int ends[2];
    (void)w;
    OK(pipe2(ends, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        (void)dup2(null, 0);
        (void)dup2(ends[1], 1);
        (void)dup2(null, 2);
        execv("/usr/bin/openssl", (char *const *)argv);
        _exit(127);
    }
    (void)close(ends[1]);
    while ((count = read(ends[0], chunk, sizeof(chunk))) > 0)
        (void)buf_add(&out, chunk, (size_t)count);
    (void)close(ends[0]);
    (void)waitpid(pid, NULL, 0);
    return buf_take(&out);
}

static char *served_name(struct world *w, const char *name)
{
    AUTO_FREE char *at = mem_format("127.0.0.1:%lld", (long long)w->https_port);
    const char *argv[] = {"openssl", "s_client", "-connect", at, "-servername", name, NULL};
    return openssl(w, argv);
}

static char *made(struct world *w, const char *subject)
{
    const char *argv[] = {
        "openssl", "req",   "-x509", "-newkey", "ec",    "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes",  "-days", "2",     "-subj",   subject, "-keyout",  "/dev/stdout",
        NULL};
    return openssl(w, argv);
}

static bool store(struct world *w, const char *domain, const char *pem, const char **ret_error)
{
    AUTO_JSON *ok = world_call(w, "edge.certificate",
                               json_pack("{s:s,s:s}", "domain", domain, "pem", pem), ret_error);
    return ok != NULL;
}

TEST(serves_certificates_at_once_and_after_reloads)
{
    struct world w;
    const char *error = NULL;
    if (!world_up(&w, true))
        return;
    AUTO_FREE char *self = served_name(&w, "shop.example.com");
    OK(strstr(self, "CN = slipway.localhost") != NULL);
    AUTO_FREE char *first = made(&w, "/CN=first.example.com");
    OK(store(&w, "shop.example.com", first, NULL));
    AUTO_FREE char *served = served_name(&w, "shop.example.com");
    OK(strstr(served, "CN = first.example.com") != NULL);
    AUTO_FREE char *second = made(&w, "/CN=second.example.com");
    OK(store(&w, "shop.example.com", second, NULL)); /* renewed in place */
    AUTO_FREE char *renewed = served_name(&w, "shop.example.com");
    OK(strstr(renewed, "CN = second.example.com") != NULL);
    OK(apply(&w, 100, 1, "a:1", "a", NULL)); /* a reload */
    AUTO_FREE char *after = served_name(&w, "shop.example.com");
    OK(strstr(after, "CN = second.example.com") != NULL);
    char *key = strstr(first, "-----BEGIN PRIVATE KEY");
    char *certificate = strstr(second, "-----BEGIN CERTIFICATE");
    OK(key && certificate);
    if (strstr(certificate, "PRIVATE KEY")) /* the key may stand after its certificate */
        *strstr(certificate, "-----BEGIN PRIVATE KEY") = 0;
    const char *end = strstr(key, "-----END PRIVATE KEY-----\n") + 26;
    AUTO_FREE char *mixed = mem_format("%.*s%s", (int)(end - key), key, certificate);
    OK(!store(&w, "shop.example.com", mixed, &error));
    OK(!store(&w, "shop.example.com", "nonsense", &error));
    IS_STR(error, "value_invalid");
    OK(!store(&w, "a;b", second, &error));
    AUTO_FREE char *still = served_name(&w, "shop.example.com");
    OK(strstr(still, "CN = second.example.com") != NULL);
    world_down(&w);
}

TAP_MAIN()
