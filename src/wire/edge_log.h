/* The edge's line for each request: HAProxy writes it (host/edge makes its log-format from this
 * table), signals reads it. One unix datagram a line to run_dir/edge/log.sock.
 *
 * Fields are separated by one space, none is empty, an absent value is "-". The tag comes first and
 * changes with the table; other lines on the socket (HAProxy's own) do not start with it. */
#pragma once

#define EDGE_LOG_TAG "S1"
#define EDGE_LOG_MAX 2048 /* bytes of a line; the path, which is last, is cut */

/* X(field, format): in the order of the line. */
#define EDGE_LOG_FIELDS(X)                                                                         \
    X(TAG, "S1")                                                                                   \
    X(AT_US, "%[var(txn.t0)]")     /* wall clock when the request began, microseconds */           \
    X(APP_ENV, "%[var(txn.name)]") /* "shop.dev", "slipway" (the platform), "-" unknown */         \
    X(BACKEND, "%b")               /* "e17a": app-env 17, slot a; "edge": answered by it */        \
    X(SERVER, "%s")                /* "r42.1": release 42, instance 1; "<NOSRV>" */                \
    X(STATUS, "%ST")               /* 200; -1: the client went before there was one */             \
    X(TOOK_US, "%[date(0,us),sub(txn.t0)]") /* whole time, microseconds */                         \
    X(QUEUE_MS, "%Tw")                                                                             \
    X(CONNECT_MS, "%Tc")                                                                           \
    X(RESPONSE_MS, "%Tr") /* until the response's headers */                                       \
    X(BYTES, "%B")        /* to the client */                                                      \
    X(BYTES_IN, "%U")                                                                              \
    X(END, "%tsc") /* termination state, "--NI"; first byte '-': complete */                       \
    X(RETRIES, "%rc")                                                                              \
    X(TRACE, "%[var(txn.tid)]")  /* 32 hex */                                                      \
    X(SPAN, "%[var(txn.sid)]")   /* 16 hex: the edge's own */                                      \
    X(PARENT, "%[var(txn.psp)]") /* 16 hex: the client's, or - */                                  \
    X(CLIENT, "%ci")                                                                               \
    X(METHOD, "%HM")                                                                               \
    X(PATH, "%HP") /* without the query; #xx for other bytes */

#define EDGE_LOG_ENUM_(field, format) EDGE_LOG_FIELD_##field,
enum edge_log_field { EDGE_LOG_FIELDS(EDGE_LOG_ENUM_) EDGE_LOG_FIELD_COUNT };
#define EDGE_LOG_FORMAT_(field, format) " " format
/* With a space before it. */
#define EDGE_LOG_FORMAT EDGE_LOG_FIELDS(EDGE_LOG_FORMAT_)
