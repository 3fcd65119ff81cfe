/* Output: head, ring, gap, and characters cut by writes. */
#include "host/build/output.h"
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/tap.h"

static int64_t events, event_bytes;

static void on_event(void *context, json_t *args)
{
    struct buf *all = context;
    events++;
    event_bytes += (int64_t)strlen(json_text(args, "text"));
    if (all)
        err_ignore(buf_add_text(all, json_text(args, "text")));
    json_decref(args);
}

static struct output *make(const struct mask *m, struct buf *all)
{
    struct output *o = NULL;
    struct err err = ERR_INIT;
    events = event_bytes = 0;
    IS_INT(output_new(tap_dir(), m, on_event, all, &o, &err), 0);
    return o;
}

TEST(small_output_reads_back)
{
    struct mask m;
    struct err err = ERR_INIT;
    AUTO_BUF all = {0};
    mask_init(&m);
    struct output *o = make(&m, &all);
    output_step(o, "one");
    output_add(o, 1, STR("h\xc3"));
    output_add(o, 1, STR("\xa9llo\n"));
    output_step(o, "two");
    output_add(o, 2, STR("bad \xff\n"));
    output_free(o);
    IS_STR(all.data, "h\xc3\xa9llo\nbad \xef\xbf\xbd\n");
    AUTO_JSON *reply = NULL;
    IS_INT(output_read(tap_dir(), 0, &reply, &err), 0);
    IS_STR(json_text(reply, "text"), "h\xc3\xa9llo\nbad \xef\xbf\xbd\n");
    IS_INT(json_int(reply, "next", 0), 13);
    IS_INT(json_int(reply, "size", 0), 13);
    IS_INT(json_int(reply, "dropped", -1), 0);
    mask_done(&m);
}

/* 20 MiB of numbered 16-byte lines. */
TEST(much_output_keeps_head_and_tail)
{
    struct mask m;
    struct err err = ERR_INIT;
    int64_t lines = (20 << 20) / 16, offset = 0, wrong = 0, seen = 0;
    mask_init(&m);
    struct output *o = make(&m, NULL);
    for (int64_t i = 0; i < lines; i++) {
        char line[17];
        (void)snprintf(line, sizeof(line), "%015lld\n", (long long)i);
        output_add(o, 1, (struct str){line, 16});
    }
    output_free(o);
    OK(event_bytes < 6 << 20);
    for (;;) {
        AUTO_JSON *reply = NULL;
        IS_INT(output_read(tap_dir(), offset, &reply, &err), 0);
        const char *text = json_text(reply, "text");
        IS_INT(json_int(reply, "dropped", 0), 12 << 20);
        offset = json_int(reply, "offset", 0);
        for (size_t at = 0; at + 16 <= strlen(text); at += 16, seen++)
            wrong += strtoll(text + at, NULL, 10) != (offset + (int64_t)at) / 16;
        if (json_int(reply, "next", 0) == json_int(reply, "size", 0))
            break;
        offset = json_int(reply, "next", 0);
    }
    IS_INT(wrong, 0);
    IS_INT(seen, (8 << 20) / 16);
    mask_done(&m);
}

TEST(secrets_do_not_reach_the_file)
{
    struct mask m;
    struct err err = ERR_INIT;
    mask_init(&m);
    mask_add(&m, STR("hunter22"));
    struct output *o = make(&m, NULL);
    output_add(o, 1, STR("pass hunt"));
    output_add(o, 2, STR("other\n"));
    output_add(o, 1, STR("er22\n"));
    output_free(o);
    AUTO_JSON *reply = NULL;
    IS_INT(output_read(tap_dir(), 0, &reply, &err), 0);
    IS_STR(json_text(reply, "text"), "pass other\n***\n");
    mask_done(&m);
}

TAP_MAIN()
