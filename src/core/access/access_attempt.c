/* How often somebody may try a password: token buckets, one for each name as tried from one
 * address, one for each address.
 *
 * A try takes a token of both before the password is looked at (a hundred at once are a hundred
 * tries) and a good password gives them back. Nothing hangs on the name alone: who guesses at
 * somebody's password from elsewhere does not lock that person out. Names that nobody has are
 * counted like others. An IPv6 address is its /64: that is what one machine gets. The table is
 * bounded; when it is full, what has the most tokens left goes first, so that a flood of names
 * costs the flooder the memory of his own. It lives in memory: a restart of core forgives. */
#include <arpa/inet.h>
#include "base/mem.h"
#include "core/access/access_priv.h"

#define PAIR_TRIES 10
#define PAIR_AGAIN_MS ((int64_t)30 * 1000) /* until there is another */
#define ADDRESS_TRIES 60
#define ADDRESS_AGAIN_MS ((int64_t)3 * 1000)
#define BUCKETS_MAX 2048

struct bucket {
    uint8_t key[SHA_BYTES];
    int64_t full_at; /* when it has all of its tokens again; 0: the place is free */
    int64_t again_ms;
};
static struct bucket buckets[BUCKETS_MAX];

struct bucket_kind {
    int64_t tries;
    int64_t again_ms;
};
static const struct bucket_kind of_pair = {PAIR_TRIES, PAIR_AGAIN_MS};
static const struct bucket_kind of_address = {ADDRESS_TRIES, ADDRESS_AGAIN_MS};

static void bucket_key(const char *name, const char *address, uint8_t ret_key[SHA_BYTES])
{
    struct in6_addr six;
    struct sha s;
    sha_init(&s);
    if (inet_pton(AF_INET6, address, &six) == 1)
        sha_add(&s, six.s6_addr, 8);
    else
        sha_add(&s, address, strlen(address));
    if (name) {
        sha_add(&s, "\n", 1);
        sha_add(&s, name, strlen(name));
    }
    sha_end(&s, ret_key);
}

/* Its bucket; a new one takes the place that is missed least. */
static struct bucket *bucket_of(const uint8_t key[SHA_BYTES], int64_t again_ms, int64_t now)
{
    struct bucket *least = &buckets[0];
    int64_t least_spent = INT64_MAX;
    for (size_t i = 0; i < BUCKETS_MAX; i++) {
        struct bucket *b = &buckets[i];
        int64_t spent = b->full_at > now ? (b->full_at - now) / b->again_ms : -1;
        if (b->full_at && memcmp(b->key, key, SHA_BYTES) == 0)
            return b;
        if (spent < least_spent) {
            least = b;
            least_spent = spent;
        }
    }
    *least = (struct bucket){.full_at = now, .again_ms = again_ms};
    memcpy(least->key, key, SHA_BYTES);
    return least;
}

/* Milliseconds until a token can be had; 0: now. */
static int64_t bucket_wait(struct bucket *b, const struct bucket_kind *kind, int64_t now)
{
    if (b->full_at < now)
        b->full_at = now; /* full again */
    int64_t wait = b->full_at + kind->again_ms - now - kind->tries * kind->again_ms;
    return wait > 0 ? wait : 0;
}

int access_attempt(struct core *core, const char *name, const char *address, int64_t *ret_wait_ms,
                   struct err *err)
{
    uint8_t pair[SHA_BYTES], alone[SHA_BYTES];
    int64_t now = clock_mono_ms(core->clock);
    bucket_key(name, address, pair);
    bucket_key(NULL, address, alone);
    struct bucket *all = bucket_of(alone, of_address.again_ms, now);
    int64_t wait = bucket_wait(all, &of_address, now);
    struct bucket *one = NULL;
    if (wait == 0) { /* else no new pairs: they are what fills the table */
        all->full_at += of_address.again_ms;
        one = bucket_of(pair, of_pair.again_ms, now);
        wait = bucket_wait(one, &of_pair, now);
    }
    if (wait == 0) {
        one->full_at += of_pair.again_ms;
        return 0;
    }
    *ret_wait_ms = wait;
    return FAIL(err, E_TOO_MANY_ATTEMPTS, "too many tries to sign in: try again in %lld seconds",
                (long long)(wait + 999) / 1000);
}

void access_attempt_good(struct core *core, const char *name, const char *address)
{
    uint8_t pair[SHA_BYTES], alone[SHA_BYTES];
    int64_t now = clock_mono_ms(core->clock);
    bucket_key(name, address, pair);
    bucket_key(NULL, address, alone);
    bucket_of(pair, of_pair.again_ms, now)->full_at = now;
    bucket_of(alone, of_address.again_ms, now)->full_at -= of_address.again_ms;
}

void access_attempts_forget(void)
{
    memset(buckets, 0, sizeof(buckets));
}
