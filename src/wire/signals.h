/* host -> signals: where instance output comes from. core -> signals: queries. */
#pragma once
#include "wire/verb.h"

/* log.open: follow this output file (fd 0, read-only; lines "RFC3339Nano stdout|stderr F|P text" of
 * conmon) from the start of what it now holds; sent again after every reconnect and for every new
 * file after a rotation (same instance: the old file is read to its end first). */
WIRE_TABLE signals_log_open[] = {WIRE_TEXT("instance", 128), WIRE_TEXT("app_env", 96),
                                 WIRE_INT("release", 1, WIRE_ANY)};
WIRE_TABLE signals_log_close[] = {WIRE_TEXT("instance", 128)}; /* notice: nothing more will come */

WIRE_TABLE signals_hello[] = {WIRE_INT("protocol", 1, 1000), WIRE_INT("epoch", 1, WIRE_ANY)};
/* logs: reply {"lines": [LINE], "next": cursor, "more": bool}. LINE: {"seq","at"
 * (ms),"instance","release","stream","text"}. Newest `limit` lines after `after` (a seq; 0: from
 * what is kept) and before `before` (0: none), oldest first; more: older ones match, too, but did
 * not fit. grep: plain substring.
 *
 * follow: reply is put off until the asker cancels (with the same "follow" number) or goes away.
 * The newest `limit` lines, or with `after` all beyond it, and what is written from then on come in
 * "lines" events {"lines":[...], "began", "lost"}: an empty one at once, then one, then one for
 * each "more". began: the numbers of this run of signals are above it; after a restart what the
 * files hold is read again and has new numbers. lost: so many lines of the app-env went unseen
 * before these (null: some). */
WIRE_TABLE signals_logs[] = {WIRE_TEXT("app_env", 96),
                             WIRE_INT_OPTIONAL("after", 0, 0),
                             WIRE_INT_OPTIONAL("before", 0, 0),
                             WIRE_INT_OPTIONAL("limit", 1, 10000),
                             WIRE_INT_OPTIONAL("since", 0, 0) /* wall ms */,
                             WIRE_TEXT_OPTIONAL("instance", 128),
                             WIRE_INT_OPTIONAL("release", 0, 0),
                             WIRE_TEXT_OPTIONAL("grep", 200),
                             WIRE_INT_OPTIONAL("follow", 0, 0)};
/* requests: as logs; LINE:
 * {"seq","at","release","instance","method","path","status","us","bytes","trace","client","flags"}
 */
WIRE_TABLE signals_requests[] = {
    WIRE_TEXT("app_env", 96),           WIRE_INT_OPTIONAL("after", 0, 0),
    WIRE_INT_OPTIONAL("before", 0, 0),  WIRE_INT_OPTIONAL("limit", 1, 10000),
    WIRE_INT_OPTIONAL("since", 0, 0),   WIRE_TEXT_OPTIONAL("instance", 128),
    WIRE_INT_OPTIONAL("release", 0, 0), WIRE_TEXT_OPTIONAL("grep", 200),
    WIRE_INT_OPTIONAL("follow", 0, 0)};
WIRE_TABLE signals_more[] = {WIRE_INT("follow", 1, WIRE_ANY)}; /* room for the next batch */
WIRE_TABLE signals_cancel[] = {WIRE_INT("follow", 1, WIRE_ANY)};
/* top: the last `seconds`: reply {"now", "app_envs": {"shop.dev": {"sum": {"requests","errors" (5xx
 * and lost), "us_sum","us_max"}, "releases": {"42": {"requests","errors","us_sum"}}, "seconds":
 * [the same with "at" (s)], newest last, "seconds_from": at}}}; without app_env: all. Of many
 * app-envs only the newest seconds fit into a message: those since seconds_from. */
WIRE_TABLE signals_top[] = {WIRE_TEXT_OPTIONAL("app_env", 96),
                            WIRE_INT_OPTIONAL("seconds", 1, 3600)};
WIRE_TABLE signals_dump[] = {WIRE_BOOL_OPTIONAL("all")};
