/* bench-merge: the courier's integrate, called directly. Reads a JSON object {"root","app","trunk",
 * "base","ticks","leave_out": bool} from stdin and prints {"us", "calls", "left_out", "reply"}.
 *
 * With "facts", it is merge.facts instead, twice: cold, and again with the ticks of "moved", the
 * first one's memory of pairs at hand, as after a push: {"us","reply","again_us","again"}.
 *
 * With leave_out, a branch that conflicts is left out and the rest asked again until all is merged,
 * as the policy `skip` of an env does; the cache of merges is kept between the calls, as the
 * courier does. See bench/merge.mjs. */
#include <stdio.h>
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/time.h"
#include "courier/git/git.h"

static void leave_out(json_t *ticks, const char *branch, json_t *left_out)
{
    for (size_t i = 0; i < json_array_size(ticks); i++) {
        json_t *tick = json_array_get(ticks, i);
        if (!text_is(json_text(tick, "branch"), branch))
            continue;
        json_push(left_out, json_string(branch));
        (void)json_array_remove(ticks, i); /* i is in range */
        return;
    }
}

static int run(const struct git_store *store, json_t *args, json_t *ret_result, struct err *err)
{
    struct map *cache = mem_alloc(sizeof(*cache));
    json_t *left_out = json_array();
    int64_t calls = 0;
    int64_t start_us = clock_mono_us();
    map_init(cache);
    for (;;) {
        AUTO_JSON *reply = NULL;
        struct git_ask ask = {.store = store, .args = args, .fd = -1, .cache = cache};
        if (git_integrate(&ask, &reply, err) < 0)
            return -1;
        calls++;
        const json_t *conflict = json_object_get(reply, "conflict");
        if (conflict && json_bool(args, "leave_out", false)) {
            leave_out(json_list(args, "ticks"), json_text(conflict, "branch"), left_out);
            continue;
        }
        json_put_int(ret_result, "us", clock_mono_us() - start_us);
        json_put_int(ret_result, "calls", calls);
        json_put(ret_result, "left_out", left_out);
        json_put(ret_result, "reply", TAKE(reply));
        git_cache_free(cache);
        return 0;
    }
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
