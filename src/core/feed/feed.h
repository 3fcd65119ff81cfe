/* The one event feed: what happens, as it happens. Events have a growing id, a topic ("journal",
 * "rollout", "build", "instance", "output", "repo"), an app-env (0: installation-wide) and data.
 * The last 2,000 (or 8 MiB of text) are kept in memory for resuming. Who may see an event is asked
 * per event by the subscriber (core/api). Loop thread. */
#pragma once
#include <jansson.h>
#include <stdint.h>

struct feed;
struct feed_event {
    int64_t id;
    int64_t at;
    const char *topic;
    int64_t app_env_id;
    json_t *data; /* borrowed */
};
struct feed *feed_new(int64_t first_id);
void feed_free(struct feed *f);
void feed_publish(struct feed *f, const char *topic, int64_t app_env_id,
                  json_t *data); /* takes data */
/* The same, within an input: once it is durable. Takes data. */
struct core;
void feed_publish_after(struct core *core, const char *topic, int64_t app_env_id, json_t *data);
struct feed_subscriber;
/* on_event for what is kept after id `after` (at once, while subscribing; -1: nothing old), then
 * for each new one. A gap (too old an id) is told by an event with topic "gap". */
struct feed_subscriber *
feed_subscribe(struct feed *f, int64_t after,
               void (*on_event)(void *context, const struct feed_event *event), void *context);
void feed_unsubscribe(struct feed *f, struct feed_subscriber *s); /* safe inside on_event */
int64_t feed_last_id(const struct feed *f);
