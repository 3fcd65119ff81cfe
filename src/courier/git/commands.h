/* The command list of a push, parsed by us before git sees a byte of it.
 *
 * A receive-pack request begins with pkt-lines: "shallow ID"*, then "OLD NEW REF" (the first with
 * NUL and the client's capabilities), then a flush; the pack follows. The parser is fed pieces of
 * any size and keeps the raw bytes, which are replayed to git as they came. Anything that is not
 * exactly this is E_REQUEST_INVALID. Any thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/buf.h"
#include "base/err.h"

#define PUSH_REFS_MAX 1000
#define PUSH_RAW_MAX (1u << 20)
#define PUSH_REF_MAX 250

struct push_command {
    char from[41];
    char to[41];
    char *ref;
};
struct push_commands {
    struct buf raw; /* everything up to and with the flush */
    size_t parsed;  /* of raw */
    struct push_command *commands;
    size_t count;
    bool report;    /* the client wants report-status */
    bool side_band; /* ... in side-band-64k */
};
void push_commands_init(struct push_commands *pc);
void push_commands_done(struct push_commands *pc);
/* Take from `data` what belongs to the list: *ret_used bytes. PUSH_COMPLETE after the flush. */
#define PUSH_COMPLETE 1
int push_commands_feed(struct push_commands *pc, struct str data, size_t *ret_used,
                       struct err *err) MUST_CHECK;
/* May these refs be pushed at all? Branches and tags with valid names, each once; E_REF_INVALID,
 * E_DENIED for what is Slipway's own. */
int push_commands_check(const struct push_commands *pc, struct err *err) MUST_CHECK;
/* [{"ref","old","new","force"}]: force is true for a tag that moves. For a branch only git can
 * tell, after it has the commits. */
json_t *push_commands_json(const struct push_commands *pc);

/* The answer to a push that is refused as a whole, as the client's capabilities want it: every ref
 * "ng" with the reason. */
void push_refusal(const struct push_commands *pc, const char *reason, struct buf *out);
/* One pkt-line. */
void pkt_add(struct buf *out, struct str payload);
