/* Views of bytes and the strict parsers of what comes from outside. A parser accepts the whole text
 * or refuses it; it never skips, trims or repairs. Names and refs are checked here, once, because
 * they end up in paths, in SQL, in HAProxy's configuration and on command lines. */
#include "base/str.h"
#include <openssl/crypto.h>
#include "base/mem.h"

bool str_equal(struct str a, struct str b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool str_is(struct str a, const char *text)
{
    return str_equal(a, str_of(text));
}

static char str_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_equal_nocase(struct str a, const char *text)
{
    if (a.length != strlen(text))
        return false;
    for (size_t i = 0; i < a.length; i++)
        if (str_lower(a.data[i]) != str_lower(text[i]))
            return false;
    return true;
}

bool str_starts(struct str a, const char *prefix)
{
    size_t length = strlen(prefix);
    return length == 0 || (a.length >= length && memcmp(a.data, prefix, length) == 0);
}

bool str_ends(struct str a, const char *suffix)
{
    size_t length = strlen(suffix);
    return length == 0 ||
           (a.length >= length && memcmp(a.data + a.length - length, suffix, length) == 0);
}

struct str str_cut(struct str *rest, char separator)
{
    struct str head = *rest;
    const char *found = rest->length ? memchr(rest->data, separator, rest->length) : NULL;
    if (!found) {
        *rest = (struct str){NULL, 0};
        return head;
    }
    head.length = (size_t)(found - head.data);
    *rest = (struct str){found + 1, rest->length - head.length - 1};
    return head;
}

static bool str_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str a)
{
    while (a.length > 0 && str_is_blank(a.data[0])) {
        a.data++;
        a.length--;
    }
    while (a.length > 0 && str_is_blank(a.data[a.length - 1]))
        a.length--;
    return a;
}

char *str_dup(struct str a)
{
    char *copy = mem_alloc(a.length + 1);
    if (a.length)
        memcpy(copy, a.data, a.length);
    return copy;
}

bool str_equal_secret(struct str a, struct str b)
{
    return a.length == b.length && (a.length == 0 || CRYPTO_memcmp(a.data, b.data, a.length) == 0);
}

bool text_starts(const char *text, const char *prefix)
{
    return text && strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Numbers. */

/* Decimal digits without leading zeros. Returns how many bytes, 0 when there is no number; a value
 * past 64 bits sets *ret_overflow. */
static size_t str_digits(struct str text, uint64_t *ret_value, bool *ret_overflow)
{
    uint64_t value = 0;
    bool overflow = false;
    size_t i = 0;
    for (; i < text.length && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(text.data[i] - '0');
        overflow |= __builtin_mul_overflow(value, (uint64_t)10, &value);
        overflow |= __builtin_add_overflow(value, digit, &value);
    }
    if (i > 1 && text.data[0] == '0')
        return 0;
    *ret_value = value;
    *ret_overflow = overflow;
    return i;
}

/* For error texts: no more of a hostile value than fits. */
#define SHOWN(text) (int)((text).length < 60 ? (text).length : 60), (text).data ? (text).data : ""

int str_to_int(struct str text, int64_t min, int64_t max, const char *what, int64_t *ret_value,
               struct err *err)
{
    bool negative = str_starts(text, "-"), overflow = false;
    struct str digits = text;
    uint64_t magnitude = 0;
    if (negative)
        digits = (struct str){text.data + 1, text.length - 1};
    size_t length = str_digits(digits, &magnitude, &overflow);
    if (length == 0 || length != digits.length || (negative && magnitude == 0 && !overflow))
        return FAIL(err, E_FIELD_INVALID, "%s is not a number: '%.*s'", what, SHOWN(text));
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    int64_t value = (int64_t)(negative ? 0 - magnitude : magnitude);
    if (overflow || magnitude > limit || value < min || value > max)
        return FAIL(err, E_OUT_OF_RANGE, "%s is out of range: '%.*s' (%lld to %lld)", what,
                    SHOWN(text), (long long)min, (long long)max);
    *ret_value = value;
    return 0;
}

struct str_unit {
    const char *name;
    int64_t factor;
};

/* A number and one of the units; the unit "" stands for none. */
static int str_to_units(struct str text, const struct str_unit *units, size_t count,
                        const char *what, int64_t *ret_value, struct err *err)
{
    uint64_t number = 0;
    bool overflow = false;
    size_t length = str_digits(text, &number, &overflow);
    struct str unit = {text.data + length, text.length - length};
    for (size_t i = 0; length > 0 && i < count; i++) {
        int64_t value;
        if (!str_is(unit, units[i].name))
            continue;
        if (overflow || __builtin_mul_overflow(number, units[i].factor, &value))
            return FAIL(err, E_OUT_OF_RANGE, "%s is too large: '%.*s'", what, SHOWN(text));
        *ret_value = value;
        return 0;
    }
    return FAIL(err, E_FIELD_INVALID, "%s is not understood: '%.*s'", what, SHOWN(text));
}

int str_to_bytes(struct str text, const char *what, int64_t *ret_bytes, struct err *err)
{
    static const struct str_unit units[] = {
        {"", 1}, {"k", 1024}, {"m", 1024 * 1024}, {"g", 1024 * 1024 * 1024}};
    return str_to_units(text, units, ARRAY_SIZE(units), what, ret_bytes, err);
}

int str_to_ms(struct str text, const char *what, int64_t *ret_ms, struct err *err)
{
    static const struct str_unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000}};
    return str_to_units(text, units, ARRAY_SIZE(units), what, ret_ms, err);
}

/* Bytes and characters. */

/* Length of a sequence by its first byte, and the bounds of the second byte, which is where
 * overlong forms, surrogates and values past U+10FFFF show. */
static size_t str_utf8_shape(unsigned char lead, unsigned char *ret_min, unsigned char *ret_max)
{
    *ret_min = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *ret_max = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

size_t str_utf8_step(struct str text)
{
    unsigned char min, max;
    if (text.length == 0)
        return 0;
    const unsigned char *bytes = (const unsigned char *)text.data;
    size_t length = str_utf8_shape(bytes[0], &min, &max);
    if (length == 0 || length > text.length)
        return 0;
    if (length > 1 && (bytes[1] < min || bytes[1] > max))
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool str_is_utf8(struct str text)
{
    while (text.length > 0) {
        uint64_t eight; /* plain ASCII is the common case: eight bytes at a time */
        if (text.length >= sizeof(eight)) {
            memcpy(&eight, text.data, sizeof(eight));
            if ((eight & 0x8080808080808080u) == 0) {
                text.data += sizeof(eight);
                text.length -= sizeof(eight);
                continue;
            }
        }
        size_t step = str_utf8_step(text);
        if (step == 0)
            return false;
        text.data += step;
        text.length -= step;
    }
    return true;
}

uint32_t str_character(struct str text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text.data;
    uint32_t number = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++)
        number = number << 6 | (bytes[i] & 0x3f);
    return number;
}

static bool is_hidden(uint32_t character)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},
        {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
        {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if (character >= ranges[i].first && character <= ranges[i].last)
            return true;
    return false;
}

size_t str_hidden_step(struct str text)
{
    if (text.length > 0 && text.data[0] >= ' ' && text.data[0] <= '~')
        return 0; /* nearly all of it */
    size_t length = str_utf8_step(text);
    return length > 0 && is_hidden(str_character(text, length)) ? length : 0;
}

bool str_has_control(struct str text)
{
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return true;
    return false;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Non-empty [a-z0-9-] without '-' at either end. */
static bool str_is_label(struct str text, size_t max)
{
    if (text.length == 0 || text.length > max)
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (!is_lower(text.data[i]) && !is_digit(text.data[i]) && text.data[i] != '-')
            return false;
    return text.data[0] != '-' && text.data[text.length - 1] != '-';
}

bool str_is_name(struct str text)
{
    return str_is_label(text, 40) && is_lower(text.data[0]);
}

bool str_is_domain(struct str text)
{
    struct str rest = text, label = text;
    if (text.length == 0 || text.length > 253)
        return false;
    while (rest.data) {
        label = str_cut(&rest, '.');
        if (!str_is_label(label, 63))
            return false;
    }
    for (size_t i = 0; i < label.length; i++)
        if (!is_digit(label.data[i]))
            return true;
    return false; /* an address, or what browsers take for one */
}

static bool str_is_hex(struct str text, size_t length)
{
    for (size_t i = 0; i < text.length; i++)
        if (!is_digit(text.data[i]) && !(text.data[i] >= 'a' && text.data[i] <= 'f'))
            return false;
    return text.length == length;
}

bool str_is_commit(struct str text)
{
    return str_is_hex(text, 40);
}

bool str_is_digest(struct str text)
{
    return text.length > 7 && str_starts(text, "sha256:") &&
           str_is_hex((struct str){text.data + 7, text.length - 7}, 64);
}

/* One component of a ref: what git forbids at its ends and in pairs of bytes. */
static bool str_is_ref_component(struct str part)
{
    if (part.length == 0 || part.data[0] == '.' || str_ends(part, ".lock"))
        return false;
    for (size_t i = 0; i + 1 < part.length; i++)
        if ((part.data[i] == '.' && part.data[i + 1] == '.') ||
            (part.data[i] == '@' && part.data[i + 1] == '{'))
            return false;
    for (size_t i = 0; i < part.length; i++)
        if (memchr(" ~^:?*[\\", part.data[i], 8))
            return false;
    return true;
}

bool str_is_branch(struct str name)
{
    if (name.length == 0 || name.length > 200 || name.data[0] == '-' || str_is(name, "@"))
        return false;
    /* Git takes any bytes; ours go through JSON, where a name that is no UTF-8 would change. */
    if (str_has_control(name) || !str_is_utf8(name) || str_ends(name, "."))
        return false;
    struct str rest = name;
    while (rest.data)
        if (!str_is_ref_component(str_cut(&rest, '/')))
            return false;
    return true;
}

bool str_is_env_name(struct str text)
{
    if (text.length == 0 || text.length > 128 || is_digit(text.data[0]))
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (!is_lower(str_lower(text.data[i])) && !is_digit(text.data[i]) && text.data[i] != '_')
            return false;
    return true;
}

bool path_within(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}
