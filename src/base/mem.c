/* Allocation that does not fail: when memory is out the process panics. State is in the store and
 * the supervisor restarts us, so there is nothing better to do. A size of zero gives one byte, so
 * that the result is never NULL. */
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/check.h"

static void *mem_or_panic(void *pointer)
{
    if (!pointer)
        PANIC("out of memory");
    return pointer;
}

void *mem_alloc(size_t size)
{
    return mem_or_panic(calloc(1, size ? size : 1));
}

void *mem_array(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        PANIC("array size overflows");
    return mem_alloc(total);
}

void *mem_resize(void *old, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        PANIC("array size overflows");
    return mem_or_panic(realloc(old, total ? total : 1));
}

char *mem_strdup(const char *text)
{
    ASSERT(text);
    return mem_strndup(text, strlen(text));
}

/* Copies exactly `length` bytes or up to the first NUL, whichever comes first. */
char *mem_strndup(const char *text, size_t length)
{
    size_t actual = text && length ? strnlen(text, length) : 0;
    char *copy = mem_or_panic(malloc(actual + 1));
    if (actual)
        memcpy(copy, text, actual);
    copy[actual] = '\0';
    return copy;
}

char *mem_format_list(const char *format, va_list arguments)
{
    char *text = NULL;
    int length = vasprintf(&text, format, arguments);
    return mem_or_panic(length < 0 ? NULL : text);
}

char *mem_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = mem_format_list(format, arguments);
    va_end(arguments);
    return text;
}
