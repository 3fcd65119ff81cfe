/* Passwords: argon2id by libsodium, on the thread pool.
 *
 * One hash costs 64 MiB and some tens of milliseconds. Two run at a time, a hundred may wait; more
 * are refused, so that people who guess cannot take the machine. A name that nobody has costs the
 * same as a wrong password: it is verified against a dummy hash of the same cost. */
#include <sodium.h>
#include "base/check.h"
#include "base/mem.h"
#include "core/access/access_priv.h"
#include "io/loop.h"

#define OPERATIONS 2
#define MEMORY ((size_t)64 << 20)
#define PASSWORD_MIN 8
#define PASSWORD_MAX 1024
#define RUNNING_MAX 2
#define WAITING_MAX 100

struct password_job {
    struct password_job *next;
    struct secret password;
    char hash[crypto_pwhash_STRBYTES]; /* made, or to be compared with */
    bool verify;
    bool good;
    bool unable; /* no verdict: argon2 got no memory */
    /* verify */
    struct core *core;
    int64_t person_id; /* 0: nobody */
    void (*verified)(void *context, int64_t person_id, const struct err *error);
    /* hash */
    void (*hashed)(void *context, const char *hash, const struct err *error);
    enum err_kind refused; /* E_OK: none */
    void *context;
};
static struct {
    struct password_job *first;
    struct password_job **last;
    size_t waiting, running;
} queue;

/* Of a random password, with the cost above: never equal, always as slow. */
static const char dummy_hash[] =
    "$argon2id$v=19$m=65536,t=2,p=1$"
    "rWBBJUDw8Chzwbq++qCp7A$ChxhnWDuMP1P5uDTtZKR95aG4ltvF+vFcylZ/WamMeA";

static void job_free(struct password_job *job)
{
    secret_done(&job->password);
    sodium_memzero(job, sizeof(*job));
    free(job);
}

struct stored {
    int64_t operations, memory_kib;
    unsigned char salt[crypto_pwhash_SALTBYTES];
    unsigned char hash[32];
};

static bool decode(struct str text, unsigned char *bytes, size_t size)
{
    size_t length = 0;
    return sodium_base642bin(bytes, size, text.data, text.length, NULL, &length, NULL,
                             sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
           length == size;
}

/* "$argon2id$v=19$m=65536,t=2,p=1$SALT$HASH", as crypto_pwhash_str writes it. */
static bool stored_read(const char *text, struct stored *ret_stored)
{
    static const char start[] = "$argon2id$v=19$m=";
    struct err ignored = ERR_INIT;
    if (!text_starts(text, start))
        return false;
    struct str rest = str_of(text + strlen(start));
    struct str memory = str_cut(&rest, ','), operations = str_cut(&rest, ',');
    struct str lanes = str_cut(&rest, '$'), salt = str_cut(&rest, '$');
    return str_to_int(memory, 8, 1 << 20, "m", &ret_stored->memory_kib, &ignored) == 0 &&
           str_starts(operations, "t=") &&
           str_to_int((struct str){operations.data + 2, operations.length - 2}, 1, 100, "t",
                      &ret_stored->operations, &ignored) == 0 &&
           str_is(lanes, "p=1") && decode(salt, ret_stored->salt, sizeof(ret_stored->salt)) &&
           decode(rest, ret_stored->hash, sizeof(ret_stored->hash));
}

/* Not crypto_pwhash_str_verify: that one calls it a mismatch too when there is no memory. */
static void compare(struct password_job *job, struct str password)
{
    struct stored stored;
    unsigned char hash[sizeof(stored.hash)];
    if (!stored_read(job->hash, &stored)) {
        job->refused = E_CORRUPT;
        return;
    }
    job->unable = crypto_pwhash(hash, sizeof(hash), password.data, password.length, stored.salt,
                                (unsigned long long)stored.operations,
                                (size_t)stored.memory_kib << 10, crypto_pwhash_ALG_ARGON2ID13) < 0;
    job->good = !job->unable && sodium_memcmp(hash, stored.hash, sizeof(hash)) == 0;
    sodium_memzero(hash, sizeof(hash));
}

static void job_work(void *context)
{
    struct password_job *job = context;
    struct str password = secret_str(&job->password);
    if (job->verify) {
        compare(job, password);
    } else {
        job->good =
            crypto_pwhash_str(job->hash, password.data, password.length, OPERATIONS, MEMORY) == 0;
        job->unable = !job->good;
    }
}

/* The person may have changed while the pool worked: only the hash that is stored now counts. */
static bool still_stored(const struct password_job *job)
{
    struct err err = ERR_INIT;
    int64_t count = 0;
    return store_one_int(job->core->store, &count, &err,
                         "SELECT count(*) FROM person WHERE id=$1 AND password=$2", "it",
                         job->person_id, job->hash) == 0 &&
           count == 1;
}

static int job_error(const struct password_job *job, struct err *err)
{
    if (job->refused == E_VALUE_INVALID)
        return FAIL(err, job->refused, "a password has %d to %d bytes", PASSWORD_MIN, PASSWORD_MAX);
    if (job->refused == E_TOO_MANY)
        return FAIL(err, job->refused, "too many passwords are being checked: try again shortly");
    if (job->refused == E_CORRUPT)
        return FAIL(err, job->refused, "the stored hash of a password is damaged: reset it");
    if (job->unable)
        return FAIL(err, E_UNAVAILABLE, "cannot check the password: out of memory; try again");
    return 0;
}

/* A refusal is no verdict: nobody is told that the password is wrong because we were busy. */
static void finish_verify(struct password_job *job)
{
    struct err err = ERR_INIT;
    if (job_error(job, &err) < 0)
        job->verified(job->context, 0, &err);
    else
        job->verified(job->context, job->good && still_stored(job) ? job->person_id : 0, NULL);
}

static void finish_hash(struct password_job *job)
{
    struct err err = ERR_INIT;
    bool failed = job_error(job, &err) < 0;
    job->hashed(job->context, failed ? NULL : job->hash, failed ? &err : NULL);
}

static void job_finish(void *context)
{
    struct password_job *job = context;
    if (job->verify)
        finish_verify(job);
    else
        finish_hash(job);
    job_free(job);
}

static void queue_turn(void);

static void job_done(void *context)
{
    queue.running--;
    queue_turn();
    job_finish(context);
}

static void queue_turn(void)
{
    while (queue.running < RUNNING_MAX && queue.first) {
        struct password_job *job = queue.first;
        queue.first = job->next;
        queue.waiting--;
        queue.running++;
        loop_work(job_work, job_done, job);
    }
}

/* A job that is refused already still answers later, on the loop, like every other. */
static void queue_add(struct password_job *job)
{
    if (!job->refused && queue.waiting >= WAITING_MAX)
        job->refused = E_TOO_MANY;
    if (job->refused) {
        loop_defer(job_finish, job);
        return;
    }
    if (!queue.first)
        queue.last = &queue.first;
    job->next = NULL;
    *queue.last = job;
    queue.last = &job->next;
    queue.waiting++;
    queue_turn();
}

static struct password_job *job_new(const struct secret *password, void *context)
{
    struct password_job *job = mem_alloc(sizeof(*job));
    int ready = sodium_init();
    ASSERT(ready >= 0);
    struct str text = secret_str(password);
    secret_set(&job->password, text.data, text.length <= PASSWORD_MAX ? text.length : PASSWORD_MAX);
    job->context = context;
    return job;
}

void access_hash_password(const struct secret *password,
                          void (*done)(void *context, const char *hash, const struct err *error),
                          void *context)
{
    struct password_job *job = job_new(password, context);
    job->hashed = done;
    if (password->length < PASSWORD_MIN || password->length > PASSWORD_MAX)
        job->refused = E_VALUE_INVALID;
    queue_add(job);
}

static void load_hash(struct password_job *job, const char *name)
{
    struct err err = ERR_INIT;
    AUTO_QUERY q = {0};
    (void)snprintf(job->hash, sizeof(job->hash), "%s", dummy_hash);
    /* Any failure leaves the dummy: the answer is then "wrong", and the store tells its own tale.
     */
    if (store_query(job->core->store, &q, &err, "SELECT id, password FROM person WHERE name=$1",
                    "t", name) < 0 ||
        query_next(&q, &err) <= 0 || query_is_null(&q, 1))
        return;
    job->person_id = query_int(&q, 0);
    (void)snprintf(job->hash, sizeof(job->hash), "%s", query_text(&q, 1));
}

void access_verify_password(struct core *core, const char *name, const struct secret *password,
                            void (*done)(void *context, int64_t person_id, const struct err *error),
                            void *context)
{
    struct password_job *job = job_new(password, context);
    job->verify = true;
    job->core = core;
    job->verified = done;
    load_hash(job, name ? name : "");
    if (password->length > PASSWORD_MAX)
        job->person_id = 0; /* it was cut: whatever it equals now, it is wrong */
    queue_add(job);
}
