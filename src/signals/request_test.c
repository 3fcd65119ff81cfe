#include "signals/request.h"
#include "base/mem.h"
#include "base/tap.h"
#include "base/time.h"

static char *line(const char *name, const char *server, int status, const char *end,
                  const char *path)
{
    AUTO_FREE char *rest = mem_format("302 0 0 1 73 74 %s 0 9ab95241de39474fb17e163e8a328539 "
                                      "7d81183fca2662b6 - 127.0.0.1 GET %s\n",
                                      end, path);
    return mem_format("S1 %lld000 %s e1a %s %d %s", (long long)clock_wall_ms(clock_system()), name,
                      server, status, rest);
}

TEST(reads_a_line_of_the_edge)
{
    struct request_line r;
    AUTO_FREE char *text = line("shop.dev", "r42.1", 200, "----", "/a/b c");
    OK(request_scan(str_of(text), &r));
    OK(str_is(r.fields[EDGE_LOG_FIELD_APP_ENV], "shop.dev"));
    OK(str_is(r.fields[EDGE_LOG_FIELD_PATH], "/a/b c"));
    OK(str_is(r.fields[EDGE_LOG_FIELD_METHOD], "GET"));
    IS_INT(r.took_us, 302);
    IS_INT(r.status, 200);
    IS_INT(r.bytes, 73);
    OK(!r.error);
}

TEST(tells_whose_fault_it_was)
{
    static const struct {
        int status;
        const char *end;
        bool error;
    } rows[] = {{200, "----", false}, {404, "----", false}, {500, "----", true},
                {503, "SC--", true},  {200, "SD--", true},  {200, "CD--", false},
                {-1, "CR--", false},  {400, "PR--", false}, {503, "LR--", true}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct request_line r;
        AUTO_FREE char *text = line("shop.dev", "r42.1", rows[i].status, rows[i].end, "/");
        OK(request_scan(str_of(text), &r));
        IS_INT(r.error, rows[i].error);
    }
}

TEST(refuses_what_is_no_line)
{
    static const char *const rows[] = {
        "",
        "\n",
        "S1",
        "S1 ",
        "S2 1 2 3",
        "Server e1a/r1.1 is DOWN, reason: Layer4",
        "S1 1795196595096952 shop1.dev e1a r1.1 200 302 0 0 0 73 74 ---- 0 9ab -",
        "S1 x shop1.dev e1a r1.1 200 302 0 0 0 73 74 ---- 0 9ab - - - GET /",
        "S1 1  e1a r1.1 200 302 0 0 0 73 74 ---- 0 9ab - - - GET /"};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct request_line r;
        OK(!request_scan(str_of(rows[i]), &r));
    }
}

TEST(counts_and_keeps)
{
    AUTO_FREE char *good = line("shop.dev", "r42.1", 200, "----", "/x");
    AUTO_FREE char *bad = line("shop.dev", "r43.1", 502, "SH--", "/x");
    AUTO_FREE char *unknown = line("-", "<NOSRV>", 421, "LR--", "/x");
    int64_t now_s = clock_wall_ms(clock_system()) / 1000;
    request_take(str_of(good));
    request_take(str_of(good));
    request_take(str_of(bad));
    request_take(str_of(unknown));
    request_take(STR("nonsense"));
    struct app_env *a = app_env_get("shop.dev");
    OK(a && app_env_count() == 1);
    struct series_second sum = series_sum(&a->series, now_s - 5, now_s + 5);
    IS_INT(sum.requests, 3);
    IS_INT(sum.errors, 1);
    IS_INT(a->releases[0]->release, 42);
    IS_INT(series_sum(&a->releases[0]->series, now_s - 5, now_s + 5).errors, 0);
    IS_INT(series_sum(&a->releases[1]->series, now_s - 5, now_s + 5).errors, 1);
    struct ring_cursor cursor = {NULL, 0};
    const struct ring_entry *e = ring_next(&a->requests, &cursor);
    struct request_line r;
    OK(e && request_scan_kept(ring_text(e), &r));
    OK(str_is(r.fields[EDGE_LOG_FIELD_PATH], "/x"));
    IS_INT(r.status, 200);
    IS_INT(request_totals()->foreign, 1);
    app_env_done_all();
}

TAP_MAIN()
