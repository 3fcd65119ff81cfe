/* Firewalls of others in our way: what would somebody else's nftables chains do to our traffic?
 *
 * An accept in our table does not undo a drop in another one. So a packet of each kind that we need
 * is walked through every base chain of the others, as the kernel would: rules in order, jumps
 * followed, the policy at the end. A rule's condition holds, does not hold, or cannot be told; a
 * drop that may not be meant for us is not reported, unless the rule names our bridge, our subnet
 * or a port of the edge and only the interface is open. Pure: reads `nft -j list ruleset`. */
#include <arpa/inet.h>
#include "base/mem.h"
#include "host/network/network_priv.h"

#define JUMPS_MAX 8

/* A kind of packet that must get through. */
struct flow {
    const char *what; /* "what containers send" */
    const char *hook; /* "forward", "input" */
    bool from_bridge, to_bridge;
    int64_t port;      /* of this machine; 0: not an edge's */
    const char *state; /* of connection tracking */
};
enum answer { NO, YES, OPEN_LINK, OPEN }; /* OPEN_LINK: only the interface cannot be told */
enum verdict { VERDICT_NONE, VERDICT_ACCEPT, VERDICT_DROP, VERDICT_RETURN };

struct walk {
    const json_t *rules; /* the whole list */
    const struct foreign_ours *ours;
    const struct flow *flow;
    const char *family;
    const char *table;
    const json_t *culprit; /* the rule that drops; NULL: the policy */
};

static enum verdict walk_chain(struct walk *w, const char *chain, int depth);

static enum answer not_if(enum answer a, bool negated)
{
    return !negated || a > YES ? a : a == YES ? NO : YES;
}

/* What one value of a match says: the text of a rule, or an element of a set. */
typedef enum answer value_fn(const struct walk *w, const json_t *value, bool *ret_named);

static enum answer each_value(const struct walk *w, const json_t *right, value_fn *fn,
                              bool *ret_named)
{
    const json_t *set = json_object_get(right, "set");
    enum answer best = NO;
    size_t i;
    json_t *value;
    if (!set && !json_is_array(right))
        return fn(w, right, ret_named);
    json_array_foreach(set ? set : right, i, value)
    {
        enum answer one = fn(w, value, ret_named);
        if (one == YES || best == NO)
            best = one;
        if (best == YES)
            break;
    }
    return best;
}

static bool link_is(const char *pattern, const char *name)
{
    size_t length = strlen(pattern);
    return length && pattern[length - 1] == '*' ? strncmp(pattern, name, length - 1) == 0
                                                : strcmp(pattern, name) == 0;
}

static enum answer link_value(const struct walk *w, const json_t *value, bool known,
                              bool *ret_named)
{
    const char *name = json_string_value(value);
    bool ours = name && link_is(name, w->ours->bridge);
    if (known) {
        *ret_named = *ret_named || ours;
        return ours ? YES : NO;
    }
    return !name ? OPEN : ours || text_is(name, "lo") ? NO : OPEN_LINK;
}

static enum answer in_value(const struct walk *w, const json_t *value, bool *ret_named)
{
    return link_value(w, value, w->flow->from_bridge, ret_named);
}

static enum answer out_value(const struct walk *w, const json_t *value, bool *ret_named)
{
    if (text_is(w->flow->hook, "input"))
        return OPEN;
    return link_value(w, value, w->flow->to_bridge, ret_named);
}

/* An address, a prefix or a range against our subnet. */
static enum answer subnet_value(const struct walk *w, const json_t *value, bool *ret_named)
{
    struct err err = ERR_INIT;
    const json_t *prefix = json_object_get(value, "prefix");
    const char *text = prefix ? json_text(prefix, "addr") : json_string_value(value);
    uint32_t first, ours = w->ours->first, last = ours + (w->ours->size - 1);
    if (!text || network_parse(text, &first, &err) < 0)
        return OPEN;
    int64_t bits = prefix ? json_int(prefix, "len", 32) : 32;
    uint32_t end = first | (bits <= 0 ? 0xffffffffu : bits >= 32 ? 0 : 0xffffffffu >> bits);
    if (end < ours || first > last)
        return NO;
    *ret_named = *ret_named || bits >= 8;
    return first <= ours && end >= last ? YES : bits >= 32 ? OPEN : YES;
}

static enum answer port_value(const struct walk *w, const json_t *value, bool *ret_named)
{
    const json_t *range = json_object_get(value, "range");
    int64_t port = w->flow->port;
    if (port == 0)
        return OPEN;
    bool hit = range ? port >= json_integer_value(json_array_get(range, 0)) &&
                           port <= json_integer_value(json_array_get(range, 1))
                     : json_is_integer(value) && json_integer_value(value) == port;
    if (!range && !json_is_integer(value))
        return OPEN;
    *ret_named = *ret_named || hit;
    return hit ? YES : NO;
}

static enum answer state_value(const struct walk *w, const json_t *value, bool *ret_named)
{
    (void)ret_named;
    return text_is(json_string_value(value), w->flow->state) ? YES : NO;
}

/* What we carry is TCP over IPv4. */
static enum answer protocol_value(const struct walk *w, const json_t *value, bool *ret_named)
{
    const char *name = json_string_value(value);
    (void)w;
    (void)ret_named;
    if (json_is_integer(value))
        return json_integer_value(value) == 6 ? YES : NO;
    return text_is(name, "tcp") || text_is(name, "ipv4") || text_is(name, "ip") ? YES : NO;
}

static value_fn *payload_fn(const struct walk *w, const json_t *payload)
{
    const char *protocol = json_text_or(payload, "protocol", "");
    const char *field = json_text_or(payload, "field", "");
    if (text_is(protocol, "ip") && text_is(field, "protocol"))
        return protocol_value;
    if (text_is(protocol, "ip") && text_is(field, "saddr"))
        return w->flow->from_bridge ? subnet_value : NULL;
    if (text_is(protocol, "ip") && text_is(field, "daddr"))
        return w->flow->to_bridge ? subnet_value : NULL;
    if ((text_is(protocol, "tcp") || text_is(protocol, "th")) && text_is(field, "dport"))
        return port_value;
    return NULL;
}

static value_fn *meta_fn(const char *key)
{
    if (text_is(key, "iifname") || text_is(key, "iif"))
        return in_value;
    if (text_is(key, "oifname") || text_is(key, "oif"))
        return out_value;
    return text_is(key, "l4proto") || text_is(key, "nfproto") ? protocol_value : NULL;
}

static enum answer match_answer(const struct walk *w, const json_t *match, bool *ret_named)
{
    const json_t *left = json_dict(match, "left"), *payload = json_dict(left, "payload");
    const char *protocol = json_text_or(payload, "protocol", "");
    const char *op = json_text_or(match, "op", "==");
    const json_t *right = json_object_get(match, "right");
    value_fn *fn = NULL;
    bool named = false;
    if (text_is(protocol, "udp") || text_is(protocol, "icmp") || text_is(protocol, "icmpv6") ||
        text_is(protocol, "ip6"))
        return NO;
    if (json_object_get(left, "meta"))
        fn = meta_fn(json_text_or(json_dict(left, "meta"), "key", ""));
    else if (text_is(json_text_or(json_dict(left, "ct"), "key", ""), "state"))
        fn = state_value;
    else
        fn = payload_fn(w, payload);
    if (!fn || (!text_is(op, "==") && !text_is(op, "!=") && !text_is(op, "in")))
        return OPEN;
    bool negated = text_is(op, "!=");
    enum answer a = not_if(each_value(w, right, fn, &named), negated);
    *ret_named = *ret_named || (named && !negated);
    return a;
}

/* One rule: all its conditions, then what it says. */
static enum verdict walk_rule(struct walk *w, const json_t *rule, int depth)
{
    enum answer all = YES;
    bool named = false;
    size_t i;
    json_t *part;
    json_array_foreach(json_list(rule, "expr"), i, part)
    {
        const char *key = json_object_iter_key(json_object_iter(part));
        const char *target = json_text(json_dict(part, key ? key : ""), "target");
        if (text_is(key, "match")) {
            enum answer one = match_answer(w, json_dict(part, "match"), &named);
            if (one == NO)
                return VERDICT_NONE;
            all = one > all ? one : all;
        } else if (text_is(key, "drop") || text_is(key, "reject")) {
            w->culprit = rule;
            return all == YES || (all == OPEN_LINK && named) ? VERDICT_DROP : VERDICT_NONE;
        } else if (text_is(key, "accept")) {
            return all == YES ? VERDICT_ACCEPT : VERDICT_NONE;
        } else if (text_is(key, "return")) {
            return all == YES ? VERDICT_RETURN : VERDICT_NONE;
        } else if ((text_is(key, "jump") || text_is(key, "goto")) && target) {
            enum verdict v =
                all == YES && depth < JUMPS_MAX ? walk_chain(w, target, depth + 1) : VERDICT_NONE;
            return v == VERDICT_RETURN ? VERDICT_NONE : v;
        } else if (!text_is(key, "counter") && !text_is(key, "log")) {
            all = OPEN; /* a limit, an extension of iptables, what a later nft knows */
        }
    }
    return VERDICT_NONE;
}

static enum verdict walk_chain(struct walk *w, const char *chain, int depth)
{
    size_t i;
    json_t *entry;
    json_array_foreach(w->rules, i, entry)
    {
        const json_t *rule = json_object_get(entry, "rule");
        if (!rule || !text_is(json_text(rule, "chain"), chain) ||
            !text_is(json_text(rule, "table"), w->table) ||
            !text_is(json_text(rule, "family"), w->family))
            continue;
        enum verdict v = walk_rule(w, rule, depth);
        if (v != VERDICT_NONE)
            return v;
    }
    return VERDICT_NONE;
}

static bool chain_drops(struct walk *w, const json_t *chain)
{
    w->culprit = NULL;
    switch (walk_chain(w, json_text_or(chain, "name", ""), 0)) {
    case VERDICT_DROP:
        return true;
    case VERDICT_ACCEPT:
        return false;
    case VERDICT_NONE:
    case VERDICT_RETURN:
        break;
    }
    w->culprit = NULL;
    return text_is(json_text(chain, "policy"), "drop");
}

static void report(const struct walk *w, const json_t *chain, struct buf *out)
{
    buf_add_format(out, "%s%s %s %s", out->length ? ", " : "", w->family, w->table,
                   json_text_or(chain, "name", "?"));
    if (w->culprit)
        buf_add_format(out, " (the rule with handle %lld drops %s)",
                       (long long)json_int(w->culprit, "handle", 0), w->flow->what);
    else
        buf_add_format(out, " (its policy drops %s)", w->flow->what);
}

/* The first of our flows that this chain drops is enough to say. */
static bool chain_judge(struct walk *w, const json_t *chain, const struct flow *flows, size_t count,
                        struct buf *out)
{
    w->family = json_text_or(chain, "family", "?");
    w->table = json_text_or(chain, "table", "?");
    if (!text_is(w->family, "ip") && !text_is(w->family, "inet"))
        return false;
    for (size_t i = 0; i < count; i++) {
        w->flow = &flows[i];
        if (!text_is(json_text(chain, "hook"), w->flow->hook) || !chain_drops(w, chain))
            continue;
        report(w, chain, out);
        return true;
    }
    return false;
}

size_t foreign_drops(const json_t *ruleset, const struct foreign_ours *ours, struct buf *out)
{
    const struct flow flows[] = {
        {"what containers send", "forward", true, false, 0, "new"},
        {"what is sent to containers", "forward", false, true, 0, "established"},
        {"what containers answer", "input", true, false, 0, "established"},
        {"requests to the edge", "input", false, false, ours->http, "new"},
        {"TLS requests to the edge", "input", false, false, ours->https, "new"},
    };
    struct walk w = {.rules = json_list(ruleset, "nftables"), .ours = ours};
    size_t found = 0, index;
    json_t *entry;
    json_array_foreach(w.rules, index, entry)
    {
        const json_t *chain = json_object_get(entry, "chain");
        if (!chain || text_is(json_text(chain, "table"), ours->table))
            continue;
        found += chain_judge(&w, chain, flows, ARRAY_SIZE(flows) - (ours->https ? 0 : 1), out);
    }
    return found;
}
