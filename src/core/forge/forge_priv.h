/* Inside core/forge. */
#pragma once
#include "base/secret.h"
#include "core/forge/forge.h"

/* A file in memory with {"token","key","hook"} of these; -1 when none is given, or with an error
 * (then *err is set). */
int forge_secret_fd(const struct secret *token, const struct secret *key, const struct secret *hook,
                    int *ret_fd, struct err *err) MUST_CHECK;
/* Of a row: its token and key. id 0: none. */
int forge_secrets(struct core *core, int64_t id, struct secret *ret_token, struct secret *ret_key,
                  struct err *err) MUST_CHECK;
/* Send it, with the fd if there is one. Takes args; the fd is borrowed. on_event may be NULL. */
void forge_send(struct core *core, const char *verb, json_t *args, int fd, int64_t timeout_ms,
                forge_event_fn *on_event, forge_reply_fn *on_reply, void *context);
/* {"url","kind","login","ca","known_hosts","inside"} of a forge's row and an address. */
json_t *forge_remote(const json_t *forge, const char *url);
