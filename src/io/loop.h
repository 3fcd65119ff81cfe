/* The event loop of a role: libuv with the few idioms we use. One loop a process; every call here
 * is for the loop thread, unless it says otherwise. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>
#include "base/err.h"

uv_loop_t *loop_get(void); /* the process's loop, made at first use; also calls check_own_loop() */
/* Run until loop_stop; SIGTERM and SIGINT call `on_terminate` (NULL: loop_stop), SIGPIPE is
 * ignored. */
void loop_run(void (*on_terminate)(void *context), void *context);
void loop_stop(void);

/* One-shot and repeating timers. The handle is freed by timer_free (safe inside its own callback,
 * safe with NULL) or, for one-shot timers, after the callback returned: then *slot is set to NULL
 * before the callback runs. */
struct timer;
void timer_start(struct timer **slot, int64_t delay_ms, int64_t repeat_ms,
                 void (*fn)(void *context),
                 void *context); /* a timer already in the slot is replaced */
/* One-shot, sooner than what the slot holds or not at all: what is due earlier stays. A delay that
 * is past is none. */
void timer_sooner(struct timer **slot, int64_t delay_ms, void (*fn)(void *context), void *context);
void timer_free(struct timer **slot);

/* Run fn soon, on the loop, after the current callback returned. */
void loop_defer(void (*fn)(void *context), void *context);

/* Blocking work on libuv's pool: `work` runs on a pool thread and touches only `context`; `done`
 * runs on the loop. */
void loop_work(void (*work)(void *context), void (*done)(void *context), void *context);

/* Watch an fd. The fd stays the caller's; free the watch before closing it. */
struct watch;
enum watch_events { WATCH_READ = 1, WATCH_WRITE = 2 };
struct watch *watch_new(int fd, void (*fn)(void *context, int events),
                        void *context);      /* paused at first; the fd becomes non-blocking */
void watch_set(struct watch *w, int events); /* 0 pauses */
void watch_free(struct watch *w);            /* NULL is fine; safe inside its own callback */
