/* What the courier's own files share. Loop thread. */
#pragma once
#include "base/map.h"
#include "courier/git/git.h"
#include "io/loop.h"
#include "wire/courier.h"
#include "wire/settings.h"

enum job_class {
    JOB_QUICK,  /* a few short git calls */
    JOB_MERGE,  /* integrations: processor */
    JOB_FACTS,  /* processor, and nobody waits for it with a click */
    JOB_EXPORT, /* as slow as their readers */
    JOB_REMOTE, /* as slow as a repository elsewhere */
    JOB_FORGE,  /* as slow as the API of a forge */
    JOB_UPKEEP, /* nobody waits */
    JOB_CLASSES
};
struct job;
struct job_queue {
    struct job *first;
    struct job **end;
    size_t waiting;
    size_t running;
};
struct courier {
    struct settings *settings;
    struct git_store store;
    struct git_hosting *hosting;
    char *git_version;
    struct channel_listener *listener;
    struct channel *core; /* the channel with the newest epoch; NULL when core is away */
    int64_t epoch;
    struct job_queue queues[JOB_CLASSES];
    struct map caches; /* app to struct map: what branch.list and integrate remember */
    struct map upkeep; /* app to struct upkeep */
    struct timer *ending;
    int64_t ending_ms;
};
extern const struct message_verb courier_verbs[];
extern const size_t courier_verb_count;

/* Run a verb on the pool and answer its message: the reply, or the error. */
void job_answer(struct courier *c, struct message *m, enum job_class class, git_work_fn *work);
/* Run something nobody asked for; args are taken. A failure is logged. */
void job_background(struct courier *c, git_work_fn *work, json_t *args);
size_t job_count(const struct courier *c); /* waiting and running */
json_t *job_dump(const struct courier *c);

/* The repository of this app got objects: keep it in order, soon, once for many. */
void upkeep_note(struct courier *c, const char *app);
void upkeep_done(struct courier *c);
