/* What core's modules share. Modules use one another only downwards (tools/layers.txt):
 * api > automation, culprit, facts, follow, land, try > finding > release > edge > build > branch >
 * forge, resolution > env > config, secret > access > journal > feed, link > tick > store. */
#pragma once
#include <stdint.h>
#include "base/err.h"
#include "base/time.h"

struct settings;
struct store;
struct tick;
struct link;
struct feed;
struct secret_box;
struct facts;
struct automation;
struct culprits;
struct follow;
struct tries;

struct core {
    const struct settings *settings;
    const struct clock *clock;
    struct store *store;
    struct tick *tick;
    struct feed *feed;
    struct secret_box *secrets;
    struct facts *facts;
    struct automation *automation;
    struct culprits *culprits;
    struct follow *follow;
    struct tries *tries;
    struct link *host, *courier, *signals;
    int64_t journal_told; /* host was told the journal's heads up to this row */
    int64_t epoch;        /* grows by one at every start of core; fences older cores at host */
};

/* The store with the schema of all modules (store_open). */
int core_store_open(const char *path, struct store **ret_store, struct err *err) MUST_CHECK;

/* The role's main: slipway core --settings FILE. */
int core_main(int argc, char **argv);
/* store_main.c: slipway core-store VERB FILE --settings FILE. */
int core_store_main(int argc, char **argv);
