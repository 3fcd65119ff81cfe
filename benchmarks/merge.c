/* bench-merge: the courier's integrate, called directly. Reads a JSON object {"root","app","trunk",
 * "base","ticks","policy"} from stdin and prints {"us", "reply"}.
 *
 * With "facts", it is merge.facts instead, twice: cold, and again with the ticks of "moved", the
 * first one's memory of pairs at hand, as after a push: {"us","reply","again_us","again"}.
 *
 * With "policy": "skip", branches that conflict are left out, as in an env with that policy. See
 * bench/merge.mjs. */
#include <stdio.h>
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/time.h"
#include "courier/git/git.h"

static int run(const struct git_store *store, json_t *args, json_t *ret_result, struct err *err)
{
    struct map *cache = mem_alloc(sizeof(*cache));
    struct git_ask ask = {.store = store, .args = args, .fd = -1, .cache = cache};
    json_t *reply = NULL;
    int64_t start_us = clock_mono_us();
    map_init(cache);
    if (git_integrate(&ask, &reply, err) < 0)
        return -1;
    json_put_int(ret_result, "us", clock_mono_us() - start_us);
    json_put(ret_result, "reply", reply);
    git_cache_free(cache);
    return 0;
}

static int facts_once(const struct git_ask *ask, int64_t *ret_us, json_t **ret_reply,
                      struct err *err)
{
    int64_t start_us = clock_mono_us();
    if (git_merge_facts(ask, ret_reply, err) < 0)
        return -1;
    *ret_us = clock_mono_us() - start_us;
    return 0;
}

static int run_facts(const struct git_store *store, json_t *args, json_t *ret_result,
                     struct err *err)
{
    struct map *cache = mem_alloc(sizeof(*cache));
    struct git_ask ask = {.store = store, .args = args, .fd = -1, .cache = cache};
    json_t *cold = NULL, *again = NULL;
    int64_t cold_us = 0, again_us = 0;
    map_init(cache);
    if (facts_once(&ask, &cold_us, &cold, err) < 0)
        return -1;
    json_put(args, "ticks", json_incref(json_list(args, "moved")));
    if (facts_once(&ask, &again_us, &again, err) < 0)
        return -1;
    json_put_int(ret_result, "us", cold_us);
    json_put(ret_result, "reply", cold);
    json_put_int(ret_result, "again_us", again_us);
    json_put(ret_result, "again", again);
    git_cache_free(cache);
    return 0;
}

int main(void)
{
    struct err err = ERR_INIT;
    struct git_store store;
    AUTO_BUF text = BUF_INIT(1u << 20);
    AUTO_JSON *args = NULL;
    AUTO_JSON *result = json_object();
    log_setup("bench", LOG_WARN);
    if (file_read_fd(0, 1u << 20, &text, &err) < 0 || json_parse(buf_str(&text), &args, &err) < 0 ||
        git_store_open(json_text_or(args, "root", ""), &store, &err) < 0 ||
        (json_bool(args, "facts", false) ? run_facts : run)(&store, args, result, &err) < 0) {
        log_error("bench-merge failed", F_ERR(&err));
        return 1;
    }
    AUTO_FREE char *printed = json_print(result);
    (void)puts(printed);
    git_store_done(&store);
    return 0;
}
