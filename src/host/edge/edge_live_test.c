/* The edge with a real HAProxy under load: nothing is lost in flips, reloads, adds and deletions; a
 * HAProxy that was killed serves again within a second; a new host process finds and mends all. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include "base/mem.h"
#include "base/tap.h"
#include "base/time.h"
#include "host/edge/edge.h"
#include "host/edge/edge_world.h"
#include "wire/edge_log.h"

#define HOST "shop1.dev.localhost"

static int64_t apply_ok(struct world *w, int64_t id, int64_t version, const char *slots,
                        const char *live, int64_t share)
{
    AUTO_JSON *ok = world_apply(w, id, version, slots, live, share, NULL);
    OK(ok != NULL);
    return ok ? json_int(ok, "us", -1) : -1;
}

static int64_t drained(struct world *w, int64_t id, const char *server, int64_t deadline_ms)
{
    json_t *args = json_object();
    json_t *servers = json_array();
    json_push(servers, json_str_value(str_of(server)));
    json_put_text(args, "app_env", "shop1.dev");
    json_put_int(args, "app_env_id", id);
    json_put(args, "servers", servers);
    json_put_int(args, "deadline_ms", deadline_ms);
    AUTO_JSON *ok = world_call(w, "edge.drained", args, NULL);
    return ok ? json_int(ok, "left", -1) : -2;
}

TEST(routes_by_domain_and_says_what_is_missing)
{
    struct world w;
    int64_t number = -1;
    if (!world_up(&w, false))
        return;
    IS_INT(world_get(&w, "nobody.localhost", "/", NULL), 421);
    (void)apply_ok(&w, 1, 1, "", "", 0);
    IS_INT(world_get(&w, HOST, "/", NULL), 503);
    (void)apply_ok(&w, 1, 2, "a:1", "a", 0);
    IS_INT(world_get(&w, HOST, "/", &number), 200);
    IS_INT(number, 1);
    IS_INT(world_get(&w, "SHOP1.dev.Localhost:8080", "/", &number), 200);
    (void)apply_ok(&w, 1, 3, "a:1 b:2", "a", 10000);
    IS_INT(world_get(&w, HOST, "/", &number), 200);
    IS_INT(number, 2);
    IS_INT(world_get(&w, "slipway.localhost", "/api/v1", &number), 200);
    IS_INT(number, 0);
    world_down(&w);
}

TEST(refuses_what_it_must)
{
    struct world w;
    const char *error = NULL;
    if (!world_up(&w, false))
        return;
    (void)apply_ok(&w, 1, 5, "a:1", "a", 0);
    OK(!world_apply(&w, 1, 4, "a:1", "a", 0, &error));
    IS_STR(error, "epoch_stale");
    json_t *args =
        json_pack("{s:s,s:i,s:i,s:{s:[s],s:s,s:{}}}", "app_env", "other.dev", "app_env_id", 2,
                  "version", 1, "state", "domains", HOST, "live", "", "slots");
    OK(!world_call(&w, "edge.apply", args, &error));
    IS_STR(error, "domain_taken");
    args = json_pack("{s:s,s:i,s:i,s:{s:[],s:s,s:{s:[{s:s,s:s,s:i}]}}}", "app_env", "other.dev",
                     "app_env_id", 2, "version", 1, "state", "domains", "live", "", "slots", "a",
                     "name", "r1.1", "address", "192.168.1.1", "port", 80);
    OK(!world_call(&w, "edge.apply", args, &error));
    IS_STR(error, "target_forbidden");
    IS_INT(drained(&w, 1, "r1.1", 100), -2); /* it still gets requests */
    world_down(&w);
}

TEST(loses_nothing_in_flips_and_reloads)
{
    struct world w;
    pid_t pid;
    int64_t version = 1, most = 0, sum = 0;
    if (!world_up(&w, false))
        return;
    (void)apply_ok(&w, 1, version++, "a:0,1,2,3", "a", 0);
    struct world_load *load = world_load_start(&w, HOST, 32, &pid);
    world_turn(200);
    for (int i = 0; i < 20; i++) {
        bool to_b = i % 2 == 0;
        int64_t us =
            apply_ok(&w, 1, version++, to_b ? "a:0,1,2,3 b:4,5,6,7" : "a:8,9,10,11 b:4,5,6,7",
                     to_b ? "b" : "a", 0);
        most = us > most ? us : most;
        sum += us;
        IS_INT(drained(&w, 1, to_b ? "r0.1" : "r4.1", 5000), 0);
        (void)apply_ok(&w, 1, version++, to_b ? "b:4,5,6,7" : "a:8,9,10,11", to_b ? "b" : "a", 0);
        if (i % 5 == 4)
            (void)apply_ok(&w, 70 + 64 * i, 1, "a:1", "a", 0); /* takes a reload */
        world_turn(100);
    }
    printf("# 4 adds and flip: mean %lld us, most %lld us\n", (long long)sum / 20, (long long)most);
    world_load_end(load, pid);
    OK(load->good > 1000);
    IS_INT(load->bad, 0);
    IS_INT(load->broken, 0);
    world_down(&w);
}

TEST(spreads_evenly_and_by_share)
{
    struct world w;
    int64_t counts[3] = {0};
    if (!world_up(&w, false))
        return;
    (void)apply_ok(&w, 1, 1, "a:0,1 b:2", "a", 2500);
    for (int i = 0; i < 800; i++) {
        int64_t number = 0;
        if (world_get(&w, HOST, "/", &number) == 200 && number <= 2)
            counts[number]++;
    }
    printf("# %lld %lld %lld\n", (long long)counts[0], (long long)counts[1], (long long)counts[2]);
    OK(llabs(counts[0] - counts[1]) <= 1);
    OK(counts[2] > 140 && counts[2] < 260);
    world_down(&w);
}

TEST(waits_for_a_request_under_way)
{
    struct world w;
    pid_t pid;
    if (!world_up(&w, false))
        return;
    (void)apply_ok(&w, 1, 1, "a:1 b:2", "a", 0);
    if ((pid = fork()) == 0) /* one request, then gone */
        _exit(world_get(&w, HOST, "/slow", NULL) == 200 ? 0 : 1);
    world_turn(100);
    (void)apply_ok(&w, 1, 2, "a:1 b:2", "b", 0);
    IS_INT(drained(&w, 1, "r1.1", 50), 1);
    int64_t start = clock_mono_ms(clock_system());
    IS_INT(drained(&w, 1, "r1.1", 5000), 0);
    int64_t took = clock_mono_ms(clock_system()) - start;
    printf("# drained after %lld ms\n", (long long)took);
    OK(took > 100 && took < 600);
    world_down(&w);
}

TEST(serves_again_within_a_second_after_a_kill)
{
    struct world w;
    pid_t pid;
    if (!world_up(&w, false))
        return;
    (void)apply_ok(&w, 1, 1, "a:0,1", "a", 0);
    (void)apply_ok(&w, 1, 2, "a:0,1 b:4,5", "b", 0);
    struct world_load *load = world_load_start(&w, HOST, 8, &pid);
    world_turn(200);
    int64_t first = world_pid(&w);
    OK(kill((pid_t)first, SIGKILL) == 0);
    world_turn(1500);
    world_load_end(load, pid);
    OK(world_pid(&w) != first);
    IS_INT(load->bad, 0);
    OK(load->longest_gap_us < 1000000);
    int64_t number = 0;
    IS_INT(world_get(&w, HOST, "/", &number), 200);
    OK(number == 4 || number == 5);
    world_down(&w);
}

TEST(is_adopted_and_mended_by_the_next_host)
{
    struct world w;
    int64_t number = -1;
    if (!world_up(&w, false))
        return;
    (void)apply_ok(&w, 1, 1, "a:0 b:1", "a", 0);
    int64_t pid = world_pid(&w);
    world_edge_stop(&w);
    AUTO_FREE char *command = mem_format("%s/edge/haproxy/admin.sock", w.settings.run_dir);
    AUTO_FREE char *text =
        mem_format("set map %s/edge/conf/routes.map shop1.dev e1b|e1a|0\n", w.settings.run_dir);
    world_runtime(command, text);
    IS_INT(world_get(&w, HOST, "/", &number), 200);
    IS_INT(number, 1); /* somebody tampered */
    world_edge_start(&w);
    IS_INT(world_pid(&w), pid);
    IS_INT(world_get(&w, HOST, "/", &number), 200);
    IS_INT(number, 0);
    world_down(&w);
}

static bool is_reloaded(struct world *w)
{
    return world_is_up(w) && world_pid(w) != w->marked_pid;
}

TEST(is_reloaded_when_the_settings_changed)
{
    struct world w;
    int64_t number = -1;
    if (!world_up(&w, false))
        return;
    (void)apply_ok(&w, 1, 1, "a:1", "a", 0);
    w.marked_pid = world_pid(&w);
    world_edge_stop(&w);
    (void)snprintf(strrchr(w.settings.api_listen, ':'), 7, ":%lld", (long long)w.backend_port + 5);
    world_edge_start(&w);
    OK(world_until(&w, is_reloaded, 5000));
    IS_INT(world_get(&w, "slipway.localhost", "/", &number), 200);
    IS_INT(number, 5);
    w.marked_pid = world_pid(&w);
    world_edge_stop(&w);
    world_edge_start(&w);
    world_turn(300);
    OK(!is_reloaded(&w)); /* nothing changed */
    world_down(&w);
}

TEST(believes_no_client_about_itself)
{
    struct world w;
    if (!world_up(&w, false))
        return;
    (void)apply_ok(&w, 1, 1, "a:1", "a", 0);
    AUTO_FREE char *answer = world_ask(
        &w, "GET /echo HTTP/1.1\r\nHost: " HOST "\r\n"
            "X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_Proto: evil\r\nForwarded: for=evil\r\n"
            "X-Real-IP: 6.6.6.6\r\nX-Forwarded-Prefix: /evil\r\nX-Keep: mine\r\n"
            "X-Original-URL: /evil\r\nConnection: close, X-Forwarded-For\r\n\r\n");
    OK(strstr(answer, " 200 ") != NULL);
    OK(strstr(answer, "evil") == NULL);
    OK(strstr(answer, "6.6.6.6") == NULL);
    OK(strstr(answer, "x-keep: mine") != NULL);
    OK(strstr(answer, "x-forwarded-for: 127.0.0.1\r\n") != NULL);
    OK(strstr(answer, "x-forwarded-proto: http\r\n") != NULL);
    OK(strstr(answer, "traceparent: 00-") != NULL);
    OK(strcasestr(answer, "connection: ") == NULL || !strcasestr(answer, "close, x-forwarded"));
    AUTO_FREE char *upgrade =
        world_ask(&w, "GET /echo HTTP/1.1\r\nHost: " HOST "\r\nUpgrade: websocket\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                      "Connection: Upgrade, X-Forwarded-For\r\n\r\n");
    OK(strcasestr(upgrade, "upgrade: websocket") != NULL);
    OK(strcasestr(upgrade, "connection: upgrade\r\n") != NULL);
    world_down(&w);
}

TEST(refuses_smuggling)
{
    static const char *const bad[] = {
        "POST / HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: +5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 18446744073709551616\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: " HOST "\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : " HOST "\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: " HOST "\r\n folded: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: " HOST "\r\n\r\n",
    };
    struct world w;
    if (!world_up(&w, false))
        return;
    (void)apply_ok(&w, 1, 1, "a:1", "a", 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO_FREE char *answer = world_ask(&w, bad[i]);
        bool refused = answer[0] == '\0' || strstr(answer, " 400 ") || strstr(answer, " 421 ") ||
                       strstr(answer, " 422 ") || strstr(answer, " 501 ");
        if (!refused)
            printf("# row %zu: %.60s\n", i, answer);
        OK(refused);
    }
    world_down(&w);
}

TEST(logs_a_line_for_each_request)
{
    struct world w;
    char line[4096];
    if (!world_up(&w, false))
        return;
    (void)apply_ok(&w, 1, 1, "a:1", "a", 0);
    IS_INT(world_get(&w, HOST, "/some/path?secret=1", NULL), 200);
    ssize_t count = 0;
    for (int i = 0; i < 50; i++) {
        world_turn(5);
        while ((count = recv(w.log_fd, line, sizeof(line) - 1, 0)) > 0) {
            line[count] = '\0';
            if (strstr(line, "/some/path"))
                break;
        }
        if (count > 0)
            break;
    }
    OK(count > 0);
    printf("# %s", count > 0 ? line : "nothing\n");
    int spaces = 0;
    for (const char *c = line; count > 0 && *c; c++)
        spaces += *c == ' ';
    IS_INT(spaces, EDGE_LOG_FIELD_COUNT - 1);
    OK(strstr(line, " shop1.dev e1a r1.1 200 ") != NULL);
    OK(strstr(line, "secret") == NULL);
    world_down(&w);
}

TAP_MAIN()
