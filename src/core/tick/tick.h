/* A tick is a transaction. Every input to core (a request, a message, a timer) runs in a savepoint;
 * at the end of the loop's turn all inputs of the turn become durable with one fsync; only then
 * replies leave and actions start. An input that fails is rolled back alone and its after-calls are
 * dropped. Loop thread. */
#pragma once
#include "base/err.h"
#include "core/store/store.h"

struct tick;
struct tick *tick_new(struct store *store);
void tick_free(struct tick *t);
/* Run one input. `what` (static or long-lived) is named by a panic. Returns fn's result: on -1 all
 * it wrote is undone. Inputs do not nest: called from within an input, fn simply runs as part of
 * it. */
int tick_input(struct tick *t, const char *what, int (*fn)(void *context, struct err *err),
               void *context, struct err *err) MUST_CHECK;
/* Within an input: call fn once the turn is durable (error NULL), or when the commit failed (error
 * set: nothing was kept; start nothing, tell the asker). When the input itself fails after this, fn
 * is NOT called, `drop` is (NULL: free(context)). fn owns the context when called. Outside an input
 * fn runs after the current batch, or at once when there is none. */
void tick_after(struct tick *t, void (*fn)(void *context, const struct err *error),
                void (*drop)(void *context), void *context);
/* As tick_after, for who acts on a row: act once it is durable, and not at all when nothing was
 * kept. */
struct core;
void tick_act(struct tick *t, void (*act)(struct core *core, int64_t id), struct core *core,
              int64_t id);
/* What to do two seconds after a turn could not be made durable, or after tick_again: act again on
 * what stands in the rows (a full disk must not leave anything waiting for ever). One listener. */
void tick_on_again(struct tick *t, void (*fn)(void *context), void *context);
void tick_again(struct tick *t);
