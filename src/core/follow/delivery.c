/* Deliveries of webhooks: is it signed with this app's secret, did it come before? Nothing else of
 * it is believed, or read.
 *
 * GitHub and Gitea sign the body (HMAC-SHA256); GitLab sends the secret itself. A signature by
 * SHA-1 alone is none. The ids of the last thousand are remembered by their hash: what falls out
 * and comes again has a fetch as its effect, which finds nothing new. */
#include <sodium.h>
#include "base/mem.h"
#include "base/secret.h"
#include "base/sha.h"
#include "core/follow/follow_priv.h"
#include "core/forge/forge.h"

#define SOON_MS 300 /* a push of several branches comes as several deliveries */

static bool is_signed(const struct secret *secret, struct str body, struct str hex)
{
    crypto_auth_hmacsha256_state state;
    unsigned char wanted[crypto_auth_hmacsha256_BYTES];
    char text[crypto_auth_hmacsha256_BYTES * 2 + 1];
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret_str(secret).data,
                                secret->length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)body.data, body.length);
    crypto_auth_hmacsha256_final(&state, wanted);
    (void)sodium_bin2hex(text, sizeof(text), wanted, sizeof(wanted));
    return str_equal_secret(hex, str_of(text));
}

static bool is_ours(const struct secret *secret, const struct delivery *d)
{
    struct str hub = d->signature256;
    if (d->gitlab_token.data)
        return str_equal_secret(d->gitlab_token, secret_str(secret));
    if (hub.data)
        return str_starts(hub, "sha256=") &&
               is_signed(secret, d->body, (struct str){hub.data + 7, hub.length - 7});
    return d->gitea_signature.data && is_signed(secret, d->body, d->gitea_signature);
}

/* By id; what has none is told apart by its body. */
static uint64_t hash_of(const struct delivery *d)
{
    uint8_t bytes[SHA_BYTES];
    uint64_t hash;
    sha_of(d->id.length ? d->id : d->body, bytes);
    memcpy(&hash, bytes, sizeof(hash));
    return hash ? hash : 1; /* 0: a free place */
}

static bool came_before(struct fetch *t, uint64_t hash)
{
    if (!t->seen)
        t->seen = mem_array(DELIVERIES_KEPT, sizeof(*t->seen));
    for (size_t i = 0; i < DELIVERIES_KEPT; i++)
        if (t->seen[i] == hash)
            return true;
    t->seen[t->seen_next] = hash;
    t->seen_next = (t->seen_next + 1) % DELIVERIES_KEPT;
    return false;
}

static bool moves_refs(struct str event)
{
    static const char *const none[] = {"ping", "issues", "issue_comment", "star", "watch", "fork"};
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        if (str_is(event, none[i]))
            return false;
    return true;
}

int follow_deliver(struct follow *f, const struct app *app, const struct delivery *d,
                   struct err *err)
{
    AUTO_SECRET secret = {0};
    struct fetch *t = fetch_find(f, app->id, false);
    if (!t || origin_hook_secret(f->core, app->id, &secret, err) < 0)
        return FAIL(err, E_UNAUTHENTICATED, "no delivery is expected here");
    if (!is_ours(&secret, d)) {
        t->refused++;
        return FAIL(err, E_UNAUTHENTICATED,
                    "the delivery is not signed with this webhook's secret");
    }
    t->deliveries++;
    if (came_before(t, hash_of(d))) {
        t->duplicates++;
        return FOLLOW_DUPLICATE;
    }
    t->hooked = true;
    if (moves_refs(d->event))
        fetch_soon(t, SOON_MS);
    return 0;
}
