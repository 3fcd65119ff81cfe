/* Ownership and allocation.
 *
 * Small allocations abort when memory is out: state is in the store and the supervisor restarts
 * us. Anything sized by input goes through struct buf (base/buf.h), which has a ceiling.
 * AUTO_* variables release themselves at the end of the scope; TAKE moves ownership out. Any
 * thread. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *mem_array(size_t count, size_t size)
    __attribute__((malloc, returns_nonnull)); /* zeroed, overflow-checked */
void *mem_resize(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *text)
    __attribute__((malloc, returns_nonnull)); /* text may not be NULL */
char *mem_strndup(const char *text, size_t length) __attribute__((malloc, returns_nonnull));
char *mem_format(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));
char *mem_format_list(const char *format, va_list arguments)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 0)));

static inline void mem_freep(void *pointer)
{
    free(*(void **)pointer);
}
static inline void fd_closep(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nothing left to do about it at scope end */
}
#define AUTO_FREE __attribute__((cleanup(mem_freep)))
#define AUTO_CLOSE __attribute__((cleanup(fd_closep)))
/* AUTO(thing) *t = ...: calls thing_free(t) at scope end; needs DEFINE_AUTO(thing) once. */
#define AUTO(type) __attribute__((cleanup(type##_freep))) struct type
#define DEFINE_AUTO(type)                                                                          \
    static inline void type##_freep(struct type **pointer)                                         \
    {                                                                                              \
        type##_free(*pointer);                                                                     \
    }
/* Move a pointer or an fd out of an AUTO variable. */
#define TAKE(pointer)                                                                              \
    __extension__({                                                                                \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })
#define TAKE_FD(fd)                                                                                \
    __extension__({                                                                                \
        int taken_ = (fd);                                                                         \
        (fd) = -1;                                                                                 \
        taken_;                                                                                    \
    })
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
