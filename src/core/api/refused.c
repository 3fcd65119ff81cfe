/* What strangers sent and was refused is counted by the error's kind: a line for each would be
 * theirs to write. The counts stand in the dump; once a minute one line of the log says what came
 * in that minute. */
#include "base/log.h"
#include "core/api/api_priv.h"
#include "io/loop.h"

#define SAY_MS 60000

static struct {
    int64_t total[E_COUNT];
    int64_t said[E_COUNT];
    struct timer *timer;
} refused;

void refused_count(enum err_kind kind)
{
    refused.total[kind]++;
}

json_t *refused_counts(void)
{
    json_t *counts = json_object();
    for (int i = 0; i < E_COUNT; i++)
        if (refused.total[i])
            json_put_int(counts, err_name((enum err_kind)i), refused.total[i]);
    return counts;
}

bool refused_news(struct buf *text)
{
    for (int i = 0; i < E_COUNT; i++) {
        int64_t news = refused.total[i] - refused.said[i];
        refused.said[i] = refused.total[i];
        if (news)
            (void)buf_add_format(text, "%s%s %lld", text->length ? ", " : "",
                                 err_name((enum err_kind)i), (long long)news);
    }
    return text->length > 0;
}

static void say(void *context)
{
    AUTO_BUF text = BUF_INIT(0);
    (void)context;
    if (refused_news(&text))
        log_info("strangers were refused in the last minute", F_STR("counts", text.data));
}

void refused_start(void)
{
    timer_start(&refused.timer, SAY_MS, SAY_MS, say, NULL);
}

void refused_stop(void)
{
    timer_free(&refused.timer);
}
