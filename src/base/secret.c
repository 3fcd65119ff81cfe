/* Secrets: copied once, wiped when released. explicit_bzero, because the compiler may drop a memset
 * of memory that is about to be freed. */
#include "base/secret.h"
#include <string.h>
#include "base/mem.h"

void secret_set(struct secret *s, const void *data, size_t length)
{
    char *copy = mem_alloc(length + 1); /* before the wipe: data may lie in what s holds */
    if (length)
        memcpy(copy, data, length);
    secret_done(s);
    s->data = copy;
    s->length = length;
}

void secret_done(struct secret *s)
{
    if (!s)
        return;
    if (s->data)
        explicit_bzero(s->data, s->length);
    free(s->data);
    s->data = NULL;
    s->length = 0;
}

struct str secret_str(const struct secret *s)
{
    return (struct str){s->data ? s->data : "", s->length};
}
