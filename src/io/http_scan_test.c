/* The malformed rows of facts/libs.md section 1 and bad-inputs B071, and what must pass. Each row
 * is also given byte by byte, which must not change the verdict. */
#include "base/mem.h"
#include "base/tap.h"
#include "io/http_priv.h"

TAP_MAIN()

#define GOOD "GET /x HTTP/1.1\r\nHost: a\r\n"

struct row {
    const char *name;
    const char *text;
    size_t length;
};
#define ROW(name, text)                                                                            \
    {                                                                                              \
        name, text, sizeof(text) - 1                                                               \
    }

/* The verdict of scan and parse: 0, HTTP_SCAN_MORE or -1. */
static int judge(struct str text, struct http_head *head, struct err *err)
{
    static struct http_field fields[100];
    struct http_scan scan = {0};
    struct http_parse parse = {0};
    *head = (struct http_head){.fields = fields, .field_max = ARRAY_SIZE(fields)};
    int done = http_scan_head(&scan, text, 32 << 10, head, err);
    if (done == 0)
        return http_parse_head(&parse, (struct str){text.data, head->length}, head, err);
    return done;
}

static int judge_slowly(struct str text)
{
    struct http_field fields[100];
    struct http_head head = {.fields = fields, .field_max = ARRAY_SIZE(fields)};
    struct http_scan scan = {0};
    struct err err = ERR_INIT;
    int done = HTTP_SCAN_MORE;
    for (size_t length = 1; length <= text.length && done == HTTP_SCAN_MORE; length++)
        done = http_scan_head(&scan, (struct str){text.data, length}, 32 << 10, &head, &err);
    return done;
}

static void refuse_all(const struct row *rows, size_t count, enum err_kind kind)
{
    for (size_t i = 0; i < count; i++) {
        struct http_head head;
        struct err err = ERR_INIT;
        struct str text = {rows[i].text, rows[i].length};
        bool refused = judge(text, &head, &err) == -1 && err.kind == kind;
        tap_ok(refused && judge_slowly(text) == -1, __FILE__, __LINE__, rows[i].name);
    }
}

TEST(refuses_every_malformed_row)
{
    static const struct row rows[] = {
        ROW("CL and TE", GOOD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ROW("TE and CL", GOOD "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
        ROW("two different CL", GOOD "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
        ROW("two equal CL", GOOD "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
        ROW("CL list", GOOD "Content-Length: 5, 5\r\n\r\n"),
        ROW("CL with a space before the colon", GOOD "Content-Length : 5\r\n\r\n"),
        ROW("obs-fold", GOOD "X-A: b\r\n c\r\n\r\n"),
        ROW("obs-fold by tab", GOOD "X-A: b\r\n\tc\r\n\r\n"),
        ROW("fold right after the request line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        ROW("bare LF", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
        ROW("bare LF at a field", GOOD "X: y\nZ: w\r\n\r\n"),
        ROW("bare LF at the end", GOOD "\n"),
        ROW("bare LF smuggling a request", GOOD "X: y\n\nGET /admin HTTP/1.1\r\n\r\n"),
        ROW("bare CR", GOOD "X: y\rZ: w\r\n\r\n"),
        ROW("bare CR before CRLF", GOOD "X: y\r\r\n\r\n"),
        ROW("NUL in a value", GOOD "X: a\0b\r\n\r\n"),
        ROW("NUL in a name", GOOD "X\0: b\r\n\r\n"),
        ROW("DEL in a value", GOOD "X: a\x7f\r\n\r\n"),
        ROW("control byte in a value", GOOD "X: a\x01\r\n\r\n"),
        ROW("CL +5", GOOD "Content-Length: +5\r\n\r\n"),
        ROW("CL -5", GOOD "Content-Length: -5\r\n\r\n"),
        ROW("CL 0x5", GOOD "Content-Length: 0x5\r\n\r\n"),
        ROW("CL empty", GOOD "Content-Length:\r\n\r\n"),
        ROW("CL 5 5", GOOD "Content-Length: 5 5\r\n\r\n"),
        ROW("CL overflow", GOOD "Content-Length: 18446744073709551621\r\n\r\n"),
        ROW("TE xchunked", GOOD "Transfer-Encoding: xchunked\r\n\r\n"),
        ROW("TE chunked, identity", GOOD "Transfer-Encoding: chunked, identity\r\n\r\n"),
        ROW("TE gzip, chunked", GOOD "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        ROW("TE with VT", GOOD "Transfer-Encoding:\x0b"
                               "chunked\r\n\r\n"),
        ROW("TE quoted", GOOD "Transfer-Encoding: \"chunked\"\r\n\r\n"),
        ROW("TE empty", GOOD "Transfer-Encoding:\r\n\r\n"),
        ROW("two TE", GOOD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ROW("TE with HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ROW("no Host", "GET / HTTP/1.1\r\nX: y\r\n\r\n"),
        ROW("two Hosts", GOOD "Host: b\r\n\r\n"),
        ROW("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        ROW("Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ROW("Host with user info", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        ROW("Host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        ROW("no name", GOOD ": y\r\n\r\n"),
        ROW("no colon", GOOD "Xy\r\n\r\n"),
        ROW("name with a space", GOOD "X y: z\r\n\r\n"),
        ROW("name with UTF-8", GOOD "X\xc3\xa9: z\r\n\r\n"),
        ROW("name in parentheses", GOOD "(X): z\r\n\r\n"),
        ROW("target absolute", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("target asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("target with a space", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("target with a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("target with UTF-8", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("target with NUL", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("target with CR", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("trailing space", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        ROW("HTTP/0.9", "GET /\r\n\r\n"),
        ROW("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        ROW("HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
        ROW("http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n"),
        ROW("h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ROW("TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n"),
        ROW("empty first line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("LF only", "\n"),
        ROW("leading space", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    };
    refuse_all(rows, ARRAY_SIZE(rows), E_REQUEST_INVALID);
}

TEST(refuses_other_methods_and_expectations)
{
    static const struct row methods[] = {
        ROW("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("CONNECT", "CONNECT /a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("get", "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("made up", "SLIP / HTTP/1.1\r\nHost: a\r\n\r\n"),
    };
    static const struct row expectations[] = {
        ROW("Expect tricks", GOOD "Expect: 200-ok\r\n\r\n"),
        ROW("Expect twice", GOOD "Expect: 100-continue\r\nExpect: x\r\n\r\n"),
    };
    refuse_all(methods, ARRAY_SIZE(methods), E_METHOD_NOT_ALLOWED);
    refuse_all(expectations, ARRAY_SIZE(expectations), E_EXPECTATION_FAILED);
}

TEST(refuses_too_large_headers)
{
    struct http_head head;
    struct err err = ERR_INIT;
    AUTO_BUF many = BUF_INIT(0);
    AUTO_BUF large = BUF_INIT(0);
    (void)buf_add_text(&many, GOOD);
    for (int i = 0; i < 100; i++)
        (void)buf_add_format(&many, "X-%d: y\r\n", i);
    (void)buf_add_text(&many, "\r\n");
    IS_INT(judge(buf_str(&many), &head, &err), -1);
    IS_INT(err.kind, E_HEADER_TOO_LARGE);
    (void)buf_add_text(&large, GOOD "X: ");
    for (int i = 0; i < 100 << 10; i++)
        (void)buf_add_char(&large, 'x');
    IS_INT(judge(buf_str(&large), &head, &err), -1);
    IS_INT(err.kind, E_HEADER_TOO_LARGE);
}

TEST(takes_what_is_right)
{
    static const struct row rows[] = {
        ROW("plain", GOOD "\r\n"),
        ROW("with a body behind", GOOD "Content-Length: 3\r\n\r\nabc"),
        ROW("zero length", GOOD "Content-Length: 0\r\n\r\n"),
        ROW("length with zeros", GOOD "Content-Length: 0005\r\n\r\n"),
        ROW("chunked in capitals", GOOD "transfer-encoding: CHUNKED\r\n\r\n"),
        ROW("white space around", GOOD "X: \t y \t\r\n\r\n"),
        ROW("empty value", GOOD "X:\r\n\r\n"),
        ROW("UTF-8 value", GOOD "X: \xc3\xa9\r\n\r\n"),
        ROW("1.0 without Host", "GET / HTTP/1.0\r\n\r\n"),
        ROW("upgrade is ignored", GOOD "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        ROW("upgrade with a body",
            GOOD "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n"),
        ROW("IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"),
        ROW("odd target", "GET //a/./%2e;b?c=d&e[]=%00\"<> HTTP/1.1\r\nHost: a\r\n\r\n"),
        ROW("DELETE with length", "DELETE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"),
        ROW("connection close", GOOD "Connection: close\r\n\r\n"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_head head;
        struct err err = ERR_INIT;
        struct str text = {rows[i].text, rows[i].length};
        bool taken = judge(text, &head, &err) == 0 && judge_slowly(text) == 0;
        tap_ok(taken, __FILE__, __LINE__, rows[i].name);
    }
}

TEST(finds_the_pieces)
{
    struct http_head head;
    struct err err = ERR_INIT;
    const char *text = "PUT /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n"
                       "Expect: 100-Continue\r\n\r\nGET";
    OK(judge(str_of(text), &head, &err) == 0);
    OK(str_is((struct str){text + head.target.at, head.target.length}, "/a?b"));
    IS_INT(head.length, strlen(text) - 3);
    IS_INT(head.content_length, 12);
    IS_INT(head.field_count, 3);
    OK(head.expect_continue && !head.chunked && !head.version_1_0);
}

/* Chunked bodies: text -> what is decoded, or refused. */

static void gather(void *context, struct str data)
{
    (void)buf_add_str(context, data);
}

/* 0: not complete; 1: complete; -1: refused. */
static int decode(struct str body, size_t step, struct buf *out, size_t *ret_used)
{
    struct http_field fields[4];
    struct http_head head = {.fields = fields, .field_max = 4};
    struct http_scan scan = {0};
    struct http_parse parse = {.on_body = gather, .context = out};
    struct err err = ERR_INIT;
    struct str text = STR(GOOD "Transfer-Encoding: chunked\r\n\r\n");
    *ret_used = 0;
    if (http_scan_head(&scan, text, 1 << 10, &head, &err) != 0 ||
        http_parse_head(&parse, text, &head, &err) < 0)
        return -2;
    for (size_t at = 0; at < body.length && !parse.complete; at += step) {
        size_t used, have = body.length - at < step ? body.length - at : step;
        if (http_parse_body(&parse, (struct str){body.data + at, have}, &used, &err) < 0)
            return -1;
        *ret_used += used;
    }
    return parse.complete ? 1 : 0;
}

static int decode_both(struct str body, struct buf *out, size_t *ret_used)
{
    AUTO_BUF slow = BUF_INIT(0);
    size_t used;
    int result = decode(body, body.length, out, ret_used);
    int again = decode(body, 1, &slow, &used);
    if (result >= 0 && (again != result || used != *ret_used || slow.length != out->length))
        return -3;
    return result < 0 && again >= 0 ? -3 : result;
}

TEST(refuses_bad_chunks)
{
    static const struct row rows[] = {
        ROW("0x5", "0x5\r\nhello\r\n0\r\n\r\n"),
        ROW("size overflow", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ROW("size of 16 digits", "ffffffffffffffff\r\nhello"),
        ROW("no size", "\r\nhello\r\n"),
        ROW("+5", "+5\r\nhello\r\n0\r\n\r\n"),
        ROW("space after size", "5 \r\nhello\r\n0\r\n\r\n"),
        ROW("bare LF after size", "5\nhello\r\n0\r\n\r\n"),
        ROW("bare CR after size", "5\rhello\r\n0\r\n\r\n"),
        ROW("LF in an extension", "5;a\nhello\r\n0\r\n\r\n"),
        ROW("NUL in an extension", "5;a\0\r\nhello\r\n0\r\n\r\n"),
        ROW("data too long", "5\r\nhello!\r\n0\r\n\r\n"),
        ROW("bare LF after data", "5\r\nhello\n0\r\n\r\n"),
        ROW("bare LF at the end", "0\r\n\n"),
        ROW("bare LF in trailers", "0\r\nX: y\n\r\n"),
        ROW("folded trailer", "0\r\nX: y\r\n z\r\n\r\n"),
        ROW("trailer with space before the colon", "0\r\nX : y\r\n\r\n"),
        ROW("trailer without a name", "0\r\n: y\r\n\r\n"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO_BUF out = BUF_INIT(0);
        size_t used;
        int result = decode_both((struct str){rows[i].text, rows[i].length}, &out, &used);
        tap_ok(result == -1, __FILE__, __LINE__, rows[i].name);
    }
}

TEST(refuses_endless_extensions_and_trailers)
{
    AUTO_BUF body = BUF_INIT(0);
    AUTO_BUF out = BUF_INIT(0);
    size_t used;
    (void)buf_add_text(&body, "5;");
    for (int i = 0; i < 300; i++)
        (void)buf_add_char(&body, 'x');
    IS_INT(decode_both(buf_str(&body), &out, &used), -1);
    buf_clear(&body);
    (void)buf_add_text(&body, "0\r\n");
    for (int i = 0; i < 3000; i++)
        (void)buf_add_text(&body, "X: yz\r\n");
    IS_INT(decode_both(buf_str(&body), &out, &used), -1);
}

TEST(decodes_chunks_and_stops_at_the_end)
{
    AUTO_BUF out = BUF_INIT(0);
    size_t used;
    struct str body = STR("5;a=\"b\"\r\nhello\r\n00A\r\n, chunked!\r\n0\r\nX: y\r\n\r\nGET /next");
    IS_INT(decode_both(body, &out, &used), 1);
    IS_STR(out.data, "hello, chunked!");
    OK(strcmp(body.data + used, "GET /next") == 0);
    buf_clear(&out);
    IS_INT(decode_both(STR("5\r\nhel"), &out, &used), 0);
    IS_STR(out.data, "hel");
}

/* Paths and queries. */

TEST(decodes_segments_once)
{
    struct err err = ERR_INIT;
    static const char *const bad[] = {".",   "..",  "%2e%2e", "%2E", "a%2fb",    "a%00",
                                      "%c3", "%zz", "%4",     "%",   "%ed%a0%80"};
    char *text = NULL;
    OK(http_decode_segment(STR("a%20b%252f+%C3%A9"), &text, &err) == 0);
    IS_STR(text, "a b%2f+\xc3\xa9");
    free(text);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        tap_ok(http_decode_segment(str_of(bad[i]), &text, &err) < 0, __FILE__, __LINE__, bad[i]);
    IS_INT(err.kind, E_REQUEST_INVALID);
}

TEST(finds_query_parameters)
{
    struct err err = ERR_INIT;
    char *value = NULL;
    OK(http_query_find(STR("a=1&b=x+y%2B&c&d=%41"), "b", &value, &err) == 0);
    IS_STR(value, "x y+");
    free(value);
    OK(http_query_find(STR("a=1&c&d"), "c", &value, &err) == 0);
    IS_STR(value, "");
    free(value);
    OK(http_query_find(STR("a=1"), "b", &value, &err) == 0);
    OK(value == NULL);
    OK(http_query_find(STR("b=1&b=1"), "b", &value, &err) < 0);
    OK(http_query_find(STR("b=1&%62=1"), "b", &value, &err) < 0);
    OK(http_query_find(STR("b=%00"), "b", &value, &err) < 0);
    OK(http_query_find(STR("b=%ff"), "b", &value, &err) < 0);
    OK(http_query_find(STR("b=%f"), "b", &value, &err) < 0);
}
