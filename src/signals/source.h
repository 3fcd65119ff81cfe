/* Instance output: the files that conmon writes, handed over by the host as descriptors.
 *
 * Lines "RFC3339Nano stdout|stderr F|P text"; parts (P) are joined up to RING_TEXT_MAX. Nobody
 * tells us that a file of root's has grown (inotify asks for the right to read it by name), so
 * sizes are looked at: often while there is output or somebody follows, once a second otherwise,
 * and never when there is no instance. Loop thread. */
#pragma once
#include "base/err.h"
#include "signals/app_env.h"

#define SOURCES_MAX 4096

struct source_new {
    const char *instance; /* "shop.dev.r42.1" */
    const char *app_env;  /* "shop.dev" */
    int64_t release;
    int fd; /* taken */
};
/* A file that is followed already is not read again. E_TOO_MANY. */
int source_open(const struct source_new *n, struct err *err) MUST_CHECK;
void source_close(const char *instance); /* what is there is read first */
struct source_listener {                 /* all are asked; none is NULL */
    void (*on_fresh)(void);
    bool (*is_followed)(void);
    bool (*must_wait)(const struct app_env *a); /* leave what is in its files there for now? */
};
void source_start(const struct source_listener *listener);
void source_stop(void);
void source_hurry(void); /* somebody begins to follow */
size_t source_count(void);

/* One line of conmon; false when it is none (then it is kept as text of now). */
struct source_line {
    int64_t at_ms;
    uint8_t stream;
    bool partial;
    struct str text;
};
bool source_scan(struct str line, struct source_line *ret_line);
