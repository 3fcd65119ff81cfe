/* Addresses of the subnet. The lower half may reach the outside (the last quarter of it is for
 * builds), the upper half may not; the first address is the bridge's, the last is broadcast. The
 * search goes round, so that an address rests as long as possible after its container ended (the
 * edge or a client may still aim at it). */
#include <arpa/inet.h>
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/network/network_priv.h"

void network_text(uint32_t address, char ret_text[NETWORK_TEXT])
{
    (void)snprintf(ret_text, NETWORK_TEXT, "%u.%u.%u.%u", address >> 24, (address >> 16) & 255,
                   (address >> 8) & 255, address & 255);
}

int network_parse(const char *text, uint32_t *ret_address, struct err *err)
{
    struct in_addr address;
    if (!text || inet_pton(AF_INET, text, &address) != 1)
        return FAIL(err, E_FIELD_INVALID, "'%s' is no IPv4 address", text ? text : "");
    *ret_address = ntohl(address.s_addr);
    return 0;
}

int pool_init(struct pool *p, const char *subnet, struct err *err)
{
    struct str rest = str_of(subnet);
    AUTO_FREE char *network = str_dup(str_cut(&rest, '/'));
    uint32_t first;
    int64_t prefix;
    if (network_parse(network, &first, err) < 0 || !rest.data ||
        str_to_int(rest, 8, 28, "prefix", &prefix, err) < 0)
        return FAIL(err, E_CONFIG_INVALID, "subnet '%s' is not ADDRESS/8..28", subnet);
    uint32_t size = 1u << (32 - prefix);
    if (first & (size - 1))
        return FAIL(err, E_CONFIG_INVALID, "subnet '%s' has host bits set", subnet);
    *p = (struct pool){.first = first, .size = size, .prefix = (int)prefix};
    p->used = mem_alloc(size / 8);
    p->next[NETWORK_OUTSIDE] = 2;
    p->next[NETWORK_BUILD] = size / 2 - size / 8;
    p->next[NETWORK_CLOSED] = size / 2;
    return 0;
}

void pool_done(struct pool *p)
{
    free(p->used);
    *p = (struct pool){0};
}

uint32_t pool_gateway(const struct pool *p)
{
    return p->first + 1;
}

bool pool_holds(const struct pool *p, uint32_t address)
{
    return address >= p->first + 2 && address < p->first + p->size - 1;
}

static bool pool_used(const struct pool *p, uint32_t offset)
{
    return p->used[offset / 8] >> (offset % 8) & 1;
}

static void pool_mark(struct pool *p, uint32_t offset, bool used)
{
    uint8_t bit = (uint8_t)(1u << (offset % 8));
    if (used)
        p->used[offset / 8] |= bit;
    else
        p->used[offset / 8] &= (uint8_t)~bit;
}

int pool_take(struct pool *p, enum network_reach reach, uint32_t *ret_address, struct err *err)
{
    uint32_t half = p->size / 2, builds = half - p->size / 8;
    uint32_t low = reach == NETWORK_OUTSIDE ? 2 : reach == NETWORK_BUILD ? builds : half;
    uint32_t high = reach == NETWORK_OUTSIDE ? builds /* none of them is included */
                    : reach == NETWORK_BUILD ? half
                                             : p->size - 1;
    ASSERT(p->used);
    for (uint32_t i = 0; i < high - low; i++) {
        uint32_t offset = p->next[reach];
        p->next[reach] = offset + 1 < high ? offset + 1 : low;
        if (pool_used(p, offset))
            continue;
        pool_mark(p, offset, true);
        *ret_address = p->first + offset;
        return 0;
    }
    return FAIL(err, E_TOO_MANY, "no address is left in the subnet of %u", p->size);
}

int pool_claim(struct pool *p, uint32_t address, struct err *err)
{
    if (!pool_holds(p, address))
        return FAIL(err, E_OUT_OF_RANGE, "address %u.%u.%u.%u is not of the subnet", address >> 24,
                    (address >> 16) & 255, (address >> 8) & 255, address & 255);
    if (pool_used(p, address - p->first))
        return FAIL(err, E_EXISTS, "address %u.%u.%u.%u is taken", address >> 24,
                    (address >> 16) & 255, (address >> 8) & 255, address & 255);
    pool_mark(p, address - p->first, true);
    return 0;
}

void pool_release(struct pool *p, uint32_t address)
{
    if (address == 0)
        return;
    ASSERT(pool_holds(p, address));
    pool_mark(p, address - p->first, false);
}

void pool_closed_half(const struct pool *p, char ret_text[NETWORK_TEXT + 3])
{
    char text[NETWORK_TEXT];
    network_text(p->first + p->size / 2, text);
    (void)snprintf(ret_text, NETWORK_TEXT + 3, "%s/%u", text, (unsigned)(p->prefix + 1) & 63);
}

void pool_builds(const struct pool *p, char ret_text[NETWORK_TEXT + 3])
{
    char text[NETWORK_TEXT];
    network_text(p->first + p->size / 2 - p->size / 8, text);
    (void)snprintf(ret_text, NETWORK_TEXT + 3, "%s/%u", text, (unsigned)(p->prefix + 3) & 63);
}
