/* See app_env.h. */
#include "signals/app_env.h"
#include "base/mem.h"
#include "base/time.h"

static struct map app_envs;

struct app_env *app_env_get(const char *name)
{
    return map_get(&app_envs, name);
}

struct app_env *app_env_want(const char *name)
{
    struct app_env *a = map_get(&app_envs, name);
    if (a || app_envs.count >= APP_ENVS_MAX)
        return a;
    a = mem_alloc(sizeof(*a));
    a->name = mem_strdup(name);
    ring_init(&a->lines, APP_ENV_LOG_MAX);
    ring_init(&a->requests, APP_ENV_REQUESTS_MAX);
    (void)map_put(&app_envs, name, a); /* was not in it */
    return a;
}

size_t app_env_count(void)
{
    return app_envs.count;
}

struct app_env *app_env_at(size_t index)
{
    return app_envs.entries[index].value;
}

static void release_free(struct app_env_release *release)
{
    if (!release)
        return;
    series_done(&release->series);
    free(release);
}

static void app_env_free(struct app_env *a)
{
    for (size_t i = 0; i < APP_ENV_RELEASES; i++)
        release_free(a->releases[i]);
    series_done(&a->series);
    ring_done(&a->lines);
    ring_done(&a->requests);
    free(a->name);
    free(a);
}

void app_env_done_all(void)
{
    for (size_t i = 0; i < app_envs.count; i++)
        app_env_free(app_envs.entries[i].value);
    map_done(&app_envs);
    map_init(&app_envs);
}

static struct app_env_release *release_want(struct app_env *a, uint32_t release)
{
    size_t oldest = 0;
    for (size_t i = 0; i < APP_ENV_RELEASES; i++) {
        if (!a->releases[i]) {
            oldest = i;
            break;
        }
        if (a->releases[i]->release == release)
            return a->releases[i];
        if (a->releases[i]->series.newest_s < a->releases[oldest]->series.newest_s)
            oldest = i;
    }
    release_free(a->releases[oldest]);
    a->releases[oldest] = mem_alloc(sizeof(*a->releases[oldest]));
    a->releases[oldest]->release = release;
    return a->releases[oldest];
}

void app_env_count_request(struct app_env *a, uint32_t release, int64_t at_s, uint64_t took_us,
                           bool error)
{
    int64_t now_s = clock_wall_ms(clock_system()) / 1000;
    series_add(&a->series, now_s, at_s, took_us, error);
    if (release)
        series_add(&release_want(a, release)->series, now_s, at_s, took_us, error);
}

static void app_env_trim(struct app_env *a, int64_t now_s)
{
    series_trim(&a->series, now_s);
    for (size_t i = 0; i < APP_ENV_RELEASES; i++) {
        if (!a->releases[i])
            continue;
        series_trim(&a->releases[i]->series, now_s);
        if (a->releases[i]->series.newest_s >= now_s - 3600)
            continue;
        release_free(a->releases[i]);
        a->releases[i] = NULL;
    }
}

void app_env_trim_all(int64_t now_s)
{
    for (size_t i = 0; i < app_envs.count; i++)
        app_env_trim(app_envs.entries[i].value, now_s);
}

uint32_t app_env_release_of(struct str server)
{
    uint32_t release = 0;
    if (server.length < 2 || server.data[0] != 'r')
        return 0;
    for (size_t i = 1; i < server.length && i < 10; i++) {
        char c = server.data[i];
        if (c < '0' || c > '9')
            break;
        release = release * 10 + (uint32_t)(c - '0');
    }
    return release;
}
