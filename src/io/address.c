/* See address.h. */
#include "io/address.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include "base/mem.h"

struct range4 {
    uint32_t network;
    int prefix;
    enum address_kind kind;
};
static const struct range4 ranges4[] = {
    {0x00000000, 8, ADDRESS_NEVER},    /* this network */
    {0x0a000000, 8, ADDRESS_PRIVATE},  /* 10/8 */
    {0x646464c8, 32, ADDRESS_NEVER},   /* 100.100.100.200: a cloud's metadata */
    {0x64400000, 10, ADDRESS_PRIVATE}, /* 100.64/10: a provider's */
    {0x7f000000, 8, ADDRESS_NEVER},    /* loopback */
    {0xa9fe0000, 16, ADDRESS_NEVER},   /* link-local */
    {0xac100000, 12, ADDRESS_PRIVATE}, /* 172.16/12 */
    {0xc0000000, 24, ADDRESS_NEVER},   /* 192.0.0/24: protocols, a cloud's metadata */
    {0xc0a80000, 16, ADDRESS_PRIVATE}, /* 192.168/16 */
    {0xc6120000, 15, ADDRESS_PRIVATE}, /* 198.18/15: benchmarks */
    {0xe0000000, 3, ADDRESS_NEVER},    /* multicast, reserved, broadcast */
};

static bool matches(const uint8_t *a, const uint8_t *b, int prefix)
{
    int bytes = prefix / 8, bits = prefix % 8;
    if (memcmp(a, b, (size_t)bytes) != 0)
        return false;
    return bits == 0 || ((a[bytes] ^ b[bytes]) >> (8 - bits)) == 0;
}

static enum address_kind kind4(const uint8_t bytes[4])
{
    for (size_t i = 0; i < ARRAY_SIZE(ranges4); i++) {
        uint32_t network = htonl(ranges4[i].network);
        if (matches(bytes, (const uint8_t *)&network, ranges4[i].prefix))
            return ranges4[i].kind;
    }
    return ADDRESS_PUBLIC;
}

static enum address_kind kind6(const uint8_t bytes[16])
{
    static const uint8_t global[1] = {0x20}, unique[1] = {0xfc};
    static const uint8_t metadata[16] = {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
    if (matches(bytes, metadata, 128)) /* fd00:ec2::254: a cloud's metadata */
        return ADDRESS_NEVER;
    if (matches(bytes, unique, 7))
        return ADDRESS_PRIVATE;
    return matches(bytes, global, 3) ? ADDRESS_PUBLIC : ADDRESS_NEVER;
}

/* The IPv4 address that stands within an IPv6 one; NULL: none does. */
static const uint8_t *inner4(const uint8_t bytes[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const uint8_t to4[2] = {0x20, 0x02}; /* 6to4: the relay of that address */
    if (matches(bytes, mapped, 96) || matches(bytes, nat64, 96))
        return bytes + 12;
    return matches(bytes, to4, 16) ? bytes + 2 : NULL;
}

/* 4 or 16 of them; 0: neither. */
static const uint8_t *bytes_of(const struct sockaddr *address, size_t *ret_length)
{
    if (address->sa_family == AF_INET) {
        *ret_length = 4;
        return (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
    }
    *ret_length = address->sa_family == AF_INET6 ? 16 : 0;
    const uint8_t *bytes =
        (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    const uint8_t *inner = *ret_length ? inner4(bytes) : NULL;
    if (inner)
        *ret_length = 4;
    return inner ? inner : bytes;
}

enum address_kind address_kind(const struct sockaddr *address)
{
    size_t length;
    const uint8_t *bytes = bytes_of(address, &length);
    if (length == 0)
        return ADDRESS_NEVER;
    return length == 4 ? kind4(bytes) : kind6(bytes);
}

void address_text(const struct sockaddr *address, char ret_text[ADDRESS_TEXT])
{
    size_t length;
    const uint8_t *bytes = bytes_of(address, &length);
    ret_text[0] = '\0';
    if (length)
        (void)inet_ntop(length == 4 ? AF_INET : AF_INET6, bytes, ret_text,
                        ADDRESS_TEXT); /* there is room */
}

struct range {
    uint8_t bytes[16];
    size_t length;
    int64_t prefix;
};

static bool parse_range(struct str text, struct range *ret_range)
{
    struct err ignored = ERR_INIT;
    char copy[ADDRESS_TEXT];
    struct str rest = text, head = str_cut(&rest, '/');
    if (head.length == 0 || head.length >= sizeof(copy) || memchr(head.data, 0, head.length))
        return false;
    memcpy(copy, head.data, head.length);
    copy[head.length] = '\0';
    int family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    ret_range->length = family == AF_INET ? 4 : 16;
    ret_range->prefix = (int64_t)ret_range->length * 8;
    if (inet_pton(family, copy, ret_range->bytes) != 1)
        return false;
    return !rest.data ||
           str_to_int(rest, 0, ret_range->prefix, "prefix", &ret_range->prefix, &ignored) == 0;
}

bool address_ranges_valid(struct str ranges)
{
    struct range range;
    while (ranges.length > 0)
        if (!parse_range(str_trim(str_cut(&ranges, ',')), &range))
            return false;
    return true;
}

bool address_within(const struct sockaddr *address, struct str ranges)
{
    size_t length;
    const uint8_t *bytes = bytes_of(address, &length);
    struct range range;
    while (ranges.length > 0)
        if (parse_range(str_trim(str_cut(&ranges, ',')), &range) && range.length == length &&
            matches(bytes, range.bytes, (int)range.prefix))
            return true;
    return false;
}

int address_find(const char *host, bool (*may)(void *context, const struct sockaddr *address),
                 void *context, char ret_text[ADDRESS_TEXT], struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(host, NULL, &hints, &found);
    if (code != 0)
        return FAIL(err, E_UNAVAILABLE, "'%s' cannot be found: %s", host, gai_strerror(code));
    const struct addrinfo *a = found;
    while (a && !may(context, a->ai_addr))
        a = a->ai_next;
    if (a)
        address_text(a->ai_addr, ret_text);
    freeaddrinfo(found);
    return a ? 0
             : FAIL(err, E_ADDRESS_FORBIDDEN,
                    "'%s' is at an address that is not open to such requests", host);
}
