/* What differs between two releases: branches, leaves of the configuration, versions of secrets. */
#include "base/json.h"
#include "base/mem.h"
#include "base/tap.h"
#include "core/release/release_priv.h"

TAP_MAIN()

static json_t *parse(const char *text)
{
    struct err err = ERR_INIT;
    json_t *value = NULL;
    if (json_parse(str_of(text), &value, &err) < 0)
        IS_STR(err.text, "");
    return value;
}

#define IS_DIFFERENCE(call, want)                                                                  \
    do {                                                                                           \
        AUTO_JSON *reply_ = (call);                                                                \
        AUTO_FREE char *text_ = json_print(reply_);                                                \
        IS_STR(text_, want);                                                                       \
    } while (0)

TEST(branches_come_go_and_move)
{
    AUTO_JSON *from = parse("[{\"branch\":\"a\",\"tip\":\"1\"},{\"branch\":\"b\",\"tip\":\"2\"},"
                            "{\"branch\":\"c\",\"tip\":\"3\"}]");
    AUTO_JSON *to = parse("[{\"branch\":\"c\",\"tip\":\"4\"},{\"branch\":\"a\",\"tip\":\"1\"},"
                          "{\"branch\":\"d\",\"tip\":\"5\"}]");
    AUTO_JSON *none = json_array();
    IS_DIFFERENCE(compare_branches(from, to),
                  "{\"added\":[{\"branch\":\"d\",\"tip\":\"5\"}],"
                  "\"removed\":[{\"branch\":\"b\",\"tip\":\"2\"}],"
                  "\"changed\":[{\"branch\":\"c\",\"from\":\"3\",\"to\":\"4\"}]}");
    IS_DIFFERENCE(compare_branches(none, none), "{\"added\":[],\"removed\":[],\"changed\":[]}");
}

static void is_config(const char *from, const char *to, size_t max, const char *want)
{
    AUTO_JSON *before = parse(from);
    AUTO_JSON *after = parse(to);
    IS_DIFFERENCE(compare_config(before, after, max), want);
}

TEST(configuration_differs_leaf_by_leaf)
{
    is_config("{\"a\":{\"b\":{\"c\":1,\"d\":2}}}", "{\"a\":{\"b\":{\"c\":3,\"d\":2}}}", 9,
              "[{\"path\":\"a.b.c\",\"from\":1,\"to\":3}]");
    is_config("{\"run\":[\"node\",\"a.js\"]}", "{\"run\":[\"node\",\"b.js\",\"-v\"]}", 9,
              "[{\"path\":\"run.1\",\"from\":\"a.js\",\"to\":\"b.js\"},"
              "{\"path\":\"run.2\",\"from\":null,\"to\":\"-v\"}]");
    is_config(
        "{\"a\":{\"x\":1,\"y\":2}}", "{\"b\":true}", 9,
        "[{\"path\":\"a.x\",\"from\":1,\"to\":null},{\"path\":\"a.y\",\"from\":2,\"to\":null},"
        "{\"path\":\"b\",\"from\":null,\"to\":true}]");
    is_config("{\"a\":{}}", "{\"a\":[1]}", 9, "[{\"path\":\"a\",\"from\":{},\"to\":[1]}]");
    is_config("{\"a\":{}}", "{}", 9, "[{\"path\":\"a\",\"from\":{},\"to\":null}]");
    is_config("{\"a\":{}}", "{\"a\":{\"b\":1}}", 9, "[{\"path\":\"a.b\",\"from\":null,\"to\":1}]");
    is_config("{\"a\":1}", "{\"a\":1}", 9, "[]");
    is_config("{\"a\":1,\"b\":1,\"c\":1}", "{}", 2,
              "[{\"path\":\"a\",\"from\":1,\"to\":null},{\"path\":\"b\",\"from\":1,\"to\":null}]");
}

TEST(secrets_differ_by_version)
{
    AUTO_JSON *from = parse("{\"KEY\":1,\"OLD\":2,\"SAME\":3}");
    AUTO_JSON *to = parse("{\"KEY\":2,\"SAME\":3,\"NEW\":1}");
    IS_DIFFERENCE(compare_secrets(from, to), "[{\"name\":\"KEY\",\"from\":1,\"to\":2},"
                                             "{\"name\":\"OLD\",\"from\":2,\"to\":null},"
                                             "{\"name\":\"NEW\",\"from\":null,\"to\":1}]");
}
