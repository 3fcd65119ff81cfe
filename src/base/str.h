/* struct str: a view of bytes (pointer, length) that somebody else owns; not NUL-terminated.
 * Also the strict parsers: the whole text must match, nothing is skipped. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/err.h"

struct str {
    const char *data;
    size_t length;
};
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
static inline struct str str_of(const char *text)
{
    return (struct str){text, strlen(text)};
}
bool str_equal(struct str a, struct str b);
bool str_is(struct str a, const char *text);
bool str_equal_nocase(struct str a, const char *text); /* ASCII only */
bool str_starts(struct str a, const char *prefix);
bool str_ends(struct str a, const char *suffix);
/* Cut `rest` at the first separator: returns what stands before it, `rest` keeps what follows.
 * Without a separator returns all, and `rest` becomes empty with data NULL. */
struct str str_cut(struct str *rest, char separator);
struct str str_trim(struct str a); /* spaces and tabs at both ends */
char *str_dup(struct str a);       /* heap, NUL-terminated */
/* Equal in constant time for equal lengths. */
bool str_equal_secret(struct str a, struct str b);

static inline bool text_is(const char *a, const char *b) /* both may be NULL */
{
    return a && b && strcmp(a, b) == 0;
}
bool text_starts(const char *text, const char *prefix);

/* Decimal, optional leading '-', no '+', no spaces, no leading zeros; refuses what is outside [min,
 * max] with E_OUT_OF_RANGE and what is no number with E_FIELD_INVALID. `what` names it in the
 * error. */
int str_to_int(struct str text, int64_t min, int64_t max, const char *what, int64_t *ret_value,
               struct err *err) MUST_CHECK;
/* "512m", "2g", "300k", "1024" -> bytes (powers of 1024). */
int str_to_bytes(struct str text, const char *what, int64_t *ret_bytes, struct err *err) MUST_CHECK;
/* "500ms", "30s", "5m", "2h", "7d" -> milliseconds. */
int str_to_ms(struct str text, const char *what, int64_t *ret_ms, struct err *err) MUST_CHECK;

bool str_is_utf8(struct str text); /* well-formed, no surrogates, no overlong forms */
/* Length of the well-formed UTF-8 sequence that `text` starts with; 0 when there is none. */
size_t str_utf8_step(struct str text);
/* The number of the character that `text` starts with; `step` is what str_utf8_step said. */
uint32_t str_character(struct str text, size_t step);
/* Length of the character that `text` starts with when it shows nothing but does something: C0 (tab
 * and newline too), DEL and C1 controls, bidirectional, joining and other invisible marks; else 0.
 */
size_t str_hidden_step(struct str text);
bool str_has_control(struct str text); /* any byte < 0x20 or 0x7f */
/* The name rule of apps, envs, users, tokens: ^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$ */
bool str_is_name(struct str text);
/* A host name: dot-separated labels of [a-z0-9-], at most 253 bytes, no wildcard, no port. */
bool str_is_domain(struct str text);
/* 40 lower-case hex digits. */
bool str_is_commit(struct str text);
/* "sha256:" and 64 lower-case hex digits. */
bool str_is_digest(struct str text);
/* Is this path `folder` or below it? By its letters: no link is followed. */
bool path_within(const char *path, const char *folder);
/* A full git branch ref "refs/heads/NAME" would be valid by git-check-ref-format, and NAME does not
 * begin with '-'. Pass NAME. At most 200 bytes. */
bool str_is_branch(struct str name);
/* An environment variable's name: [A-Za-z_][A-Za-z0-9_]*, at most 128. */
bool str_is_env_name(struct str text);
