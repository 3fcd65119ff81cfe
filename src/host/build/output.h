/* A build's output: masked, written to a file that keeps head and tail, and told as events at a
 * rate that nobody chokes on. Offsets count every masked byte, kept or not. Loop thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "host/build/mask.h"

#define OUTPUT_HEAD (4ll << 20)
#define OUTPUT_TAIL (4ll << 20)
#define OUTPUT_READ_MAX (256u << 10)

struct output;
/* Files FOLDER/output (head) and FOLDER/output.tail (a ring). `event` gets the args of an "output"
 * event; takes them. */
int output_new(const char *folder, const struct mask *mask,
               void (*event)(void *context, json_t *args), void *context,
               struct output **ret_output, struct err *err) MUST_CHECK;
void output_free(struct output *o);                   /* what is held back is written first */
void output_step(struct output *o, const char *step); /* whose output follows; flushes */
void output_flush(struct output *o);                  /* a step ended: what is held back goes out */
void output_add(struct output *o, int stream, struct str data);
/* A line of ours ("step 'x' exceeded ..."), on stream 2. */
void output_note(struct output *o, const char *text);
int64_t output_size(const struct output *o);

/* Read from the files, of a running build or one that ended: at most OUTPUT_READ_MAX bytes from
 * `offset`. What was dropped is skipped: the answer's offset is then beyond the one asked for.
 * reply {"text","offset","next","size","dropped"} */
int output_read(const char *folder, int64_t offset, json_t **ret_reply, struct err *err) MUST_CHECK;
