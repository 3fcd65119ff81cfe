/* What signals knows of one app-env: its two rings and its counts. Made when the first line of it
 * comes. Loop thread. */
#pragma once
#include "base/map.h"
#include "signals/ring.h"
#include "signals/series.h"

#define APP_ENVS_MAX 4096
#define APP_ENV_RELEASES 8 /* with counts of their own; the one not seen for longest goes */
#define APP_ENV_LOG_MAX ((size_t)2 << 20)
#define APP_ENV_REQUESTS_MAX ((size_t)1 << 20)

struct app_env_release {
    uint32_t release;
    struct series series;
};
struct app_env {
    char *name;
    struct ring lines;
    struct ring requests;
    struct series series;
    struct app_env_release *releases[APP_ENV_RELEASES];
    bool fresh; /* something came since the followers were served */
};
/* NULL when there are too many; made when absent. */
struct app_env *app_env_want(const char *name);
struct app_env *app_env_get(const char *name); /* NULL when nothing ever came */
size_t app_env_count(void);
struct app_env *app_env_at(size_t index);
void app_env_done_all(void);
/* Counts for a release; 0: none. */
void app_env_count_request(struct app_env *a, uint32_t release, int64_t at_s, uint64_t took_us,
                           bool error);
void app_env_trim_all(int64_t now_s);
/* The release number in "r42.1"; 0 when there is none. */
uint32_t app_env_release_of(struct str server);
