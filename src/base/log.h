/* One logfmt line a call, to stderr: time, level, role, a fixed sentence, fields.
 *
 *     log_info("rollout started", F_ID("rollout", r->id), F_STR("env", env));
 *
 * error = someone must act; warn = we went on, and the sentence says how; info = state changes;
 * debug = all else. Whoever handles an error logs it, once. Values are escaped. Any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_field_kind { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_ERR };
struct log_field {
    const char *name;
    enum log_field_kind kind;
    union {
        const char *text; /* NULL prints as - */
        int64_t number;
        const struct err *err;
    } value;
};
#define F_STR(name_, text_) ((struct log_field){(name_), LOG_FIELD_STR, {.text = (text_)}})
#define F_INT(name_, number_)                                                                      \
    ((struct log_field){(name_), LOG_FIELD_INT, {.number = (int64_t)(number_)}})
#define F_ID(name_, number_) F_INT(name_, number_)
#define F_ERR(err_) ((struct log_field){"error", LOG_FIELD_ERR, {.err = (err_)}})

/* "error", "warn", "info", "debug"; anything else is info. */
enum log_level log_level_from_name(const char *name);
void log_setup(const char *role, enum log_level level); /* role: static string */
void log_line(enum log_level level, const char *sentence, const struct log_field *fields,
              size_t count);
#define LOG_FIELDS_(...) ((struct log_field[]){{0}, ##__VA_ARGS__})
#define log_at(level, sentence, ...)                                                               \
    log_line((level), (sentence), LOG_FIELDS_(__VA_ARGS__) + 1,                                    \
             sizeof(LOG_FIELDS_(__VA_ARGS__)) / sizeof(struct log_field) - 1)
#define log_error(sentence, ...) log_at(LOG_ERROR, sentence, ##__VA_ARGS__)
#define log_warn(sentence, ...) log_at(LOG_WARN, sentence, ##__VA_ARGS__)
#define log_info(sentence, ...) log_at(LOG_INFO, sentence, ##__VA_ARGS__)
#define log_debug(sentence, ...) log_at(LOG_DEBUG, sentence, ##__VA_ARGS__)
