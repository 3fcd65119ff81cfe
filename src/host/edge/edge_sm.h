/* The state of the HAProxy process, as a checked table. Pure. */
#pragma once
#include "base/sm.h"

enum edge_state {
    EDGE_ABSENT,     /* nothing runs */
    EDGE_CHECKING,   /* nothing runs; the configuration is being checked */
    EDGE_STARTING,   /* nothing serves yet; a process is starting */
    EDGE_SYNCING,    /* one serves; we connect, read what it has and bring it to the wanted state */
    EDGE_UP,         /* it serves the wanted state */
    EDGE_RECHECKING, /* one serves; the next configuration is being checked */
    EDGE_RELOADING,  /* one serves; its successor is starting */
    EDGE_FAILED,     /* it could not be started; tried again after a while */
};
enum edge_event {
    EDGE_WANT,        /* start it */
    EDGE_ADOPT,       /* one runs already */
    EDGE_CHECKED,     /* there is a configuration that passed */
    EDGE_REFUSED,     /* there is none, or (recheck) the new one is bad */
    EDGE_STARTED,     /* the new process serves */
    EDGE_NOT_STARTED, /* it gave up */
    EDGE_SYNCED,
    EDGE_LOST,   /* the runtime socket broke, or what is there is not what we thought */
    EDGE_RELOAD, /* what is wanted takes a new process */
    EDGE_DIED,   /* the process that served is gone */
    EDGE_RETRY,
};
extern const struct sm edge_sm;
