/* Percent-decoding of path segments and query parameters: once, strictly, into new strings. What
 * does not decode to clean UTF-8 without NUL is E_REQUEST_INVALID. Pure. */
#include "io/http_priv.h"
#include "base/mem.h"

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The text of raw, on the heap; it is never longer. */
static int decode(struct str raw, bool plus_is_space, char **ret_text, struct err *err)
{
    AUTO_FREE char *text = mem_alloc(raw.length + 1);
    size_t length = 0;
    for (size_t i = 0; i < raw.length; i++) {
        char c = raw.data[i];
        if (c == '%') {
            int high = i + 2 < raw.length ? digit_of(raw.data[i + 1]) : -1;
            int low = i + 2 < raw.length ? digit_of(raw.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return FAIL(err, E_REQUEST_INVALID, "malformed percent-encoding");
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return FAIL(err, E_REQUEST_INVALID, "NUL in the request target");
        text[length++] = c;
    }
    if (!str_is_utf8((struct str){text, length}))
        return FAIL(err, E_REQUEST_INVALID, "the request target is not UTF-8");
    *ret_text = TAKE(text);
    return 0;
}

int http_decode_segment(struct str raw, char **ret_text, struct err *err)
{
    AUTO_FREE char *text = NULL;
    if (decode(raw, false, &text, err) < 0)
        return -1;
    if (strchr(text, '/') || text_is(text, ".") || text_is(text, ".."))
        return FAIL(err, E_REQUEST_INVALID, "forbidden path segment");
    *ret_text = TAKE(text);
    return 0;
}

int http_query_find(struct str query, const char *name, char **ret_value, struct err *err)
{
    AUTO_FREE char *found = NULL;
    while (query.length > 0) {
        AUTO_FREE char *key = NULL;
        struct str value = str_cut(&query, '&');
        struct str raw_key = str_cut(&value, '=');
        if (decode(raw_key, true, &key, err) < 0)
            return -1;
        if (!text_is(key, name))
            continue;
        if (found)
            return FAIL(err, E_REQUEST_INVALID, "parameter '%s' is given twice", name);
        if (decode(value, true, &found, err) < 0)
            return -1;
    }
    *ret_value = TAKE(found);
    return 0;
}
