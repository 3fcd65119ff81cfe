/* The one event feed: what happens, as it happens. Events have a growing id, a topic ("journal",
 * "rollout", "build", "instance", "output", "repo", "fetch", "facts", "finding"), an app-env (0:
 * installation-wide) and data. The last 2,000 (or 8 MiB of text) are kept in memory. A reader is a
 * cursor, the id of the last event it saw, and reads at its own pace; what left the ring meanwhile
 * is a gap that it is told. Who may see an event is asked per event by the reader (core/api). Loop
 * thread. */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "base/err.h"

struct feed;
struct feed_event {
    int64_t id;
    int64_t at;
    const char *topic;
    int64_t app_env_id;
    json_t *data; /* borrowed, from the ring */
};
struct feed *feed_new(int64_t first_id);
void feed_free(struct feed *f);
void feed_publish(struct feed *f, const char *topic, int64_t app_env_id,
                  json_t *data); /* takes data */
/* The same, within an input: once it is durable. Takes data. */
struct core;
void feed_publish_after(struct core *core, const char *topic, int64_t app_env_id, json_t *data);
/* The first event after the cursor `*after`, which moves to it; valid until the next one is
 * published. FEED_END: nothing newer. When what follows the cursor is not kept any more, or the
 * cursor is not of this feed, the event has the topic "gap" (its id: the one before what is kept)
 * and says how many went unseen ("lost"; null when there is no telling). */
#define FEED_END 1
int feed_next(struct feed *f, int64_t *after, struct feed_event *ret_event) MUST_CHECK;
int64_t feed_first_id(const struct feed *f); /* the oldest that is kept */
int64_t feed_last_id(const struct feed *f);

/* Word that something was published; the subscriber reads on with feed_next when it likes. */
struct feed_subscriber;
struct feed_subscriber *feed_subscribe(struct feed *f, void (*on_news)(void *context),
                                       void *context);
void feed_unsubscribe(struct feed *f, struct feed_subscriber *s); /* safe inside on_news */
