/* HAProxy processes: started through setpriv as the edge's user with the one capability it needs,
 * detached, watched by pidfd. Loop thread, but for what edge_shutdown uses. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "host/edge/edge_config.h"

struct child_result;
struct edge_process { /* one that lives; freed by its watcher's owner */
    struct edge_process *next;
    pid_t pid;
    int pidfd;
    struct watch *watch;
    void (*on_exit)(void *context, struct edge_process *p);
    void *context;
};
/* NULL when it is no living HAProxy of ours (user and configuration tell). */
struct edge_process *edge_process_open(const struct edge_paths *paths, uid_t uid, pid_t pid,
                                       void (*on_exit)(void *context, struct edge_process *p),
                                       void *context);
void edge_process_free(struct edge_process *p);

/* All HAProxy processes of this installation, and (with `coming`) what is about to become one;
 * returns how many (at most `max`). */
size_t edge_process_scan(const struct edge_paths *paths, uid_t uid, bool coming, pid_t *pids,
                         size_t max);
/* -1 when the file holds none. */
pid_t edge_process_read_pid(const struct edge_paths *paths);

/* Wall time of its start: of the file. */
int64_t edge_process_since(const struct edge_paths *paths);

enum edge_launch_kind { EDGE_LAUNCH_CHECK, EDGE_LAUNCH_START, EDGE_LAUNCH_RELOAD };
struct edge_launch {
    enum edge_launch_kind kind;
    const struct edge_paths *paths;
    uid_t uid;
    gid_t gid;
    const pid_t *leave; /* processes that are told to finish */
    size_t leave_count;
    void (*on_exit)(void *context, const struct child_result *result);
    void *context;
};
int edge_launch(const struct edge_launch *l, struct err *err) MUST_CHECK;
