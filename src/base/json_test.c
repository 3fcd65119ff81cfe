/* Strict parsing, bounded work on hostile input, shapes, and printing. */
#include "base/json.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/tap.h"
#include "base/time.h"

static enum err_kind parse(struct str text)
{
    struct err err = ERR_INIT;
    AUTO_JSON *value = NULL;
    if (json_parse(text, &value, &err) < 0)
        OK(value == NULL && err.text[0]);
    return err.kind;
}

TEST(parses_and_prints)
{
    struct err err = ERR_INIT;
    AUTO_JSON *value = NULL;
    struct str text = STR(" { \"z\" : [1, -2, 9223372036854775807], \"a\": {\"s\\\"{[\": \"\xc3\xa9"
                          "\\ud83d\\ude00\"}, \"n\": null } \n");
    IS_INT(json_parse(text, &value, &err), 0);
    AUTO_FREE char *printed = json_print(value);
    IS_STR(printed, "{\"z\":[1,-2,9223372036854775807],\"a\":{\"s\\\"{[\":\"\xc3\xa9"
                    "\xf0\x9f\x98\x80\"},\"n\":null}");
}

TEST(refuses_what_is_not_strict)
{
    const struct str bad[] = {
        STR(""),
        STR("  "),
        STR("1"),
        STR("\"a\""),
        STR("null"),
        STR("{\"a\":1,\"a\":2}"),
        STR("{\"a\":\"x\0y\"}"),
        STR("{}\0"),
        STR("[\0]"),
        STR("[\"\\u0000\"]"),
        STR("{\"\\u0000\":1}"),
        STR("\xef\xbb\xbf{}"),
        STR("[\"\xff\"]"),
        STR("[\"\\ud800\"]"),
        STR("[\"\\udc00\\ud800\"]"),
        STR("{} x"),
        STR("[]]"),
        STR("{}{}"),
        STR("[1,]"),
        STR("[1 2]"),
        STR("[01]"),
        STR("[1e400]"),
        STR("[9223372036854775808]"),
        STR("[NaN]"),
        STR("['a']"),
        STR("{a:1}"),
        STR("[\"a\nb\"]"),
        STR("[\"\\x\"]"),
        STR("[\"a"),
        STR("[\"a\\"),
        STR("[}"),
        STR("{\"a\""),
        STR("["),
        STR("// c\n{}"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (!IS_INT(parse(bad[i]), E_JSON_INVALID))
            IS_STR(bad[i].data, "refused");
}

TEST(does_not_quote_the_input)
{
    struct err err = ERR_INIT;
    json_t *value = NULL;
    IS_INT(json_parse(STR("{\"password\": hunter2}"), &value, &err), -1);
    OK(!strstr(err.text, "hunter"));
}

/* `unit` again and again up to `size`, between head and tail; checks kind and time. */
static void hostile(const char *head, const char *unit, const char *tail, size_t size)
{
    AUTO_BUF text = BUF_INIT(0);
    (void)buf_add_text(&text, head);
    while (text.length < size)
        (void)buf_add_text(&text, unit);
    (void)buf_add_text(&text, tail);
    int64_t start = clock_mono_us();
    IS_INT(parse(buf_str(&text)), E_JSON_INVALID);
    int64_t took = clock_mono_us() - start;
    /* 10 ms, with room for sanitizers, valgrind and a busy machine: what is not linear takes
     * minutes */
    if (!OK(took < 5000000))
        IS_STR(unit, "quick");
}

TEST(is_quick_with_hostile_input)
{
    const size_t size = 1 << 20;
    hostile("", "[", "", size);
    hostile("", "{\"a\":", "", size);
    hostile("[", "[],", "[]]", size);
    hostile("[", "{},", "{}]", size);
    hostile("[", "1,", "1]", size);
    hostile("{", "\"a\":1,", "\"b\":1}", size);
    hostile("[\"", "aaaaaaaa", "\xff\"]", size);
    hostile("{} ", "        ", "x", size);
    hostile("[\"", "\\\\\\\\", "", size);
}

TEST(bounds_nesting_and_values)
{
    AUTO_BUF text = BUF_INIT(0);
    for (int i = 0; i < JSON_DEPTH_LIMIT; i++)
        (void)buf_add_char(&text, '[');
    for (int i = 0; i < JSON_DEPTH_LIMIT; i++)
        (void)buf_add_char(&text, ']');
    IS_INT(parse(buf_str(&text)), E_OK);
    AUTO_FREE char *deeper = mem_format("[%s]", text.data);
    IS_INT(parse(str_of(deeper)), E_JSON_INVALID);
    buf_clear(&text);
    (void)buf_add_text(&text, "[0");
    for (int i = 1; i < JSON_VALUES_LIMIT; i++)
        (void)buf_add_text(&text, ",0");
    AUTO_FREE char *most = mem_format("%s]", text.data);
    AUTO_FREE char *more = mem_format("%s,0]", text.data);
    IS_INT(parse(str_of(most)), E_OK);
    IS_INT(parse(str_of(more)), E_JSON_INVALID);
}

static const struct json_field shape[] = {
    {.name = "name", .kind = JSON_FIELD_STRING, .required = true, .min = 1, .max = 5},
    {.name = "text", .kind = JSON_FIELD_STRING},
    {.name = "port", .kind = JSON_FIELD_INT, .min = 1, .max = 65535},
    {.name = "count", .kind = JSON_FIELD_INT},
    {.name = "list", .kind = JSON_FIELD_ARRAY, .min = 1, .max = 2},
    {.name = "on", .kind = JSON_FIELD_BOOL},
    {.name = "dict", .kind = JSON_FIELD_OBJECT},
    {.name = "any", .kind = JSON_FIELD_ANY},
};

static enum err_kind check(const char *text)
{
    struct err err = ERR_INIT;
    AUTO_JSON *value = NULL;
    if (json_parse(str_of(text), &value, &err) == 0)
        err_ignore(json_check(value, shape, ARRAY_SIZE(shape), &err)); /* kind says */
    return err.kind;
}

TEST(checks_shapes)
{
    IS_INT(check("{\"name\":\"a\",\"port\":80,\"count\":0,\"list\":[1],\"on\":true,\"dict\":{},"
                 "\"any\":null,\"text\":null}"),
           E_OK);
    IS_INT(check("{\"name\":\"a\",\"other\":1}"), E_FIELD_UNKNOWN);
    IS_INT(check("{}"), E_FIELD_INVALID);
    IS_INT(check("{\"name\":null}"), E_FIELD_INVALID);
    IS_INT(check("{\"name\":1}"), E_FIELD_INVALID);
    IS_INT(check("{\"name\":\"\"}"), E_FIELD_INVALID);
    IS_INT(check("{\"name\":\"abcdef\"}"), E_TOO_LARGE);
    IS_INT(check("{\"name\":\"a\",\"port\":0}"), E_OUT_OF_RANGE);
    IS_INT(check("{\"name\":\"a\",\"port\":1.5}"), E_FIELD_INVALID);
    IS_INT(check("{\"name\":\"a\",\"count\":-1}"), E_OUT_OF_RANGE);
    IS_INT(check("{\"name\":\"a\",\"count\":9007199254740993}"), E_OUT_OF_RANGE);
    IS_INT(check("{\"name\":\"a\",\"list\":[1,2,3]}"), E_TOO_LARGE);
    IS_INT(check("{\"name\":\"a\",\"list\":[]}"), E_FIELD_INVALID);
    IS_INT(check("{\"name\":\"a\",\"on\":1}"), E_FIELD_INVALID);
    IS_INT(check("{\"name\":\"a\",\"dict\":[]}"), E_FIELD_INVALID);
    IS_INT(check("[]"), E_FIELD_INVALID);
}

TEST(gets_with_fallbacks)
{
    struct err err = ERR_INIT;
    AUTO_JSON *o = NULL;
    IS_INT(json_parse(STR("{\"s\":\"x\",\"i\":5,\"b\":true,\"n\":null,\"l\":[1]}"), &o, &err), 0);
    IS_STR(json_text(o, "s"), "x");
    IS_STR(json_text(o, "n"), NULL);
    IS_STR(json_text_or(o, "none", "else"), "else");
    IS_INT(json_int(o, "i", 7), 5);
    IS_INT(json_int(o, "n", 7), 7);
    OK(json_bool(o, "b", false) && json_bool(o, "none", true));
    IS_INT(json_array_size(json_list(o, "l")), 1);
    IS_INT(json_array_size(json_list(o, "none")), 0);
    IS_INT(json_object_size(json_dict(o, "n")), 0);
    IS_STR(json_text(NULL, "s"), NULL);
}

TEST(puts_values)
{
    AUTO_JSON *o = json_object();
    json_t *list = json_array();
    json_put_text(o, "z",
                  "a\xff"
                  "b");
    json_put_text(o, "null", NULL);
    json_put_str(o, "nul", STR("x\0y"));
    json_put_int(o, "i", INT64_MIN);
    json_put_bool(o, "b", false);
    json_put_str(o, "empty", (struct str){NULL, 0});
    json_push(list, json_str_value(STR("e")));
    json_put(o, "list\xfe", list);
    AUTO_FREE char *text = json_print(o);
    IS_STR(text, "{\"z\":\"a\xef\xbf\xbd"
                 "b\",\"null\":null,\"nul\":\"x\xef\xbf\xbdy\","
                 "\"i\":-9223372036854775808,\"b\":false,\"empty\":\"\","
                 "\"list\xef\xbf\xbd\":[\"e\"]}");
}

TEST(carries_errors)
{
    struct err err = ERR_INIT, back = ERR_INIT;
    (void)FAIL(&err, E_DIGEST_CHANGED, "digest '%s' changed", "x");
    AUTO_JSON *o = json_from_err(&err);
    AUTO_FREE char *text = json_print(o);
    IS_STR(text, "{\"error\":\"digest_changed\",\"class\":\"CONFLICT\","
                 "\"text\":\"digest 'x' changed\"}");
    json_to_err(o, &back);
    IS_INT(back.kind, E_DIGEST_CHANGED);
    IS_STR(back.text, "digest 'x' changed");
    json_put_text(o, "error", "ok"); /* a peer cannot make a failure a success */
    json_to_err(o, &back);
    IS_INT(back.kind, E_INTERNAL);
}

TEST(what_is_hidden_is_printed_as_its_escape)
{
    AUTO_JSON *o = json_object();
    json_put_text(o, "c1\xc2\x9b", "2J\x7f bidi\u202e tag\U000e0041 \u4e2d\u6587 caf\u00e9");
    AUTO_FREE char *text = json_print(o);
    IS_STR(text,
           "{\"c1\\u009b\":\"2J\\u007f bidi\\u202e tag\\udb40\\udc41 \u4e2d\u6587 caf\u00e9\"}");
    AUTO_JSON *back = NULL;
    struct err err = ERR_INIT;
    IS_INT(json_parse(str_of(text), &back, &err), 0);
    OK(json_equal(back, o));
}

TAP_MAIN()
