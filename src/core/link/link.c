/* A link: connect, say hello with our epoch, hand requests through; on any break try again with
 * back-off. */
#include "core/link/link.h"

#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"
#include "wire/settings.h"
#include "wire/verb.h"

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS 1000

struct link {
    struct core *core;
    struct link_options options;
    struct channel_handlers handlers;
    struct channel *channel;
    bool up;       /* hello was answered */
    json_t *hello; /* with this */
    struct timer *retry;
    int64_t retry_ms;
};

static void connect_now(void *context);

static void retry_later(struct link *l)
{
    timer_start(&l->retry, l->retry_ms, 0, connect_now, l);
    l->retry_ms = l->retry_ms * 2 < RETRY_MAX_MS ? l->retry_ms * 2 : RETRY_MAX_MS;
}

static void on_close(void *context, struct channel *c)
{
    (void)c;
    struct core *core = context;
    struct link *links[] = {core->host, core->courier, core->signals};
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        if (!links[i] || links[i]->channel != c)
            continue;
        if (links[i]->up)
            log_warn("a role went away, connecting again", F_STR("role", links[i]->options.name));
        links[i]->channel = NULL;
        links[i]->up = false;
        retry_later(links[i]);
    }
}

static void on_hello(void *context, json_t *ok, const struct err *error)
{
    struct link *l = context;
    if (error) {
        log_warn("a role refused us, trying again", F_STR("role", l->options.name), F_ERR(error));
        if (l->channel) {
            channel_free(l->channel);
            l->channel = NULL;
            retry_later(l);
        }
        return;
    }
    l->up = true;
    json_decref(l->hello);
    l->hello = json_incref(ok);
    l->retry_ms = RETRY_FIRST_MS;
    log_info("role connected", F_STR("role", l->options.name));
    if (l->options.on_up)
        l->options.on_up(l->core);
}

static json_t *hello_args(struct link *l)
{
    json_t *args = json_object();
    json_put_int(args, "protocol", WIRE_PROTOCOL);
    json_put_int(args, "epoch", l->core->epoch);
    return args;
}

static void connect_now(void *context)
{
    struct link *l = context;
    struct err err = ERR_INIT;
    AUTO_FREE char *name = mem_format("%s.sock", l->options.name);
    AUTO_FREE char *path = settings_run(l->core->settings, name);
    if (channel_connect(path, &l->handlers, &l->channel, &err) < 0) {
        l->channel = NULL;
        retry_later(l);
        return;
    }
    struct channel_request hello = {.verb = "hello",
                                    .args = hello_args(l),
                                    .timeout_ms = 5000,
                                    .on_reply = on_hello,
                                    .context = l};
    channel_request(l->channel, &hello);
}

struct link *link_new(struct core *core, const struct link_options *options)
{
    struct link *l = mem_alloc(sizeof(*l));
    l->core = core;
    l->options = *options;
    l->retry_ms = RETRY_FIRST_MS;
    l->handlers = (struct channel_handlers){options->verbs, options->verb_count, on_close, core};
    timer_start(&l->retry, 0, 0, connect_now, l);
    return l;
}

void link_free(struct link *l)
{
    if (!l)
        return;
    l->up = false;
    channel_free(TAKE(l->channel)); /* fails what is pending, hello too: it must not try again */
    timer_free(&l->retry);
    json_decref(l->hello);
    free(l);
}

bool link_up(const struct link *l)
{
    return l && l->up;
}

const json_t *link_hello(const struct link *l)
{
    return l ? l->hello : NULL;
}

void link_request(struct link *l, const struct channel_request *request)
{
    if (link_up(l)) {
        channel_request(l->channel, request);
        return;
    }
    struct err err = ERR_INIT;
    (void)FAIL(&err, E_ROLE_DOWN, "'%s' is not running right now: try again in a second",
               l ? l->options.name : "the role");
    json_decref(request->args);
    request->on_reply(request->context, NULL, &err);
}

void link_call(struct link *l, const char *verb, json_t *args, int64_t timeout_ms,
               void (*on_reply)(void *context, json_t *ok, const struct err *error), void *context)
{
    struct channel_request request = {.verb = verb,
                                      .args = args,
                                      .timeout_ms = timeout_ms,
                                      .on_reply = on_reply,
                                      .context = context};
    link_request(l, &request);
}
