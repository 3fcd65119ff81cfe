/* How the tables of this folder say one verb: its name, its fields, the fds that ride along.
 * A role puts WIRE(...) entries and its handlers into a struct message_verb table. */
#pragma once
#include "base/json.h"
#include "io/message.h"

#define WIRE_TABLE static const struct json_field __attribute__((unused))
/* {WIRE("instance.start", host_instance_start), fds, handler} */
#define WIRE(verb_, fields_)                                                                       \
    .verb = (verb_), .fields = (fields_), .field_count = sizeof(fields_) / sizeof((fields_)[0])
/* Protocol of all pairs. N and N-1 are understood. */
#define WIRE_PROTOCOL 1
#define WIRE_ANY 9007199254740992 /* 2^53: the largest whole number every JSON reader keeps */
#define WIRE_TEXT(name_, max_)                                                                     \
    {                                                                                              \
        (name_), JSON_FIELD_STRING, true, 1, (max_)                                                \
    }
#define WIRE_TEXT_OPTIONAL(name_, max_)                                                            \
    {                                                                                              \
        (name_), JSON_FIELD_STRING, false, 0, (max_)                                               \
    }
#define WIRE_INT(name_, min_, max_)                                                                \
    {                                                                                              \
        (name_), JSON_FIELD_INT, true, (min_), (max_)                                              \
    }
#define WIRE_INT_OPTIONAL(name_, min_, max_)                                                       \
    {                                                                                              \
        (name_), JSON_FIELD_INT, false, (min_), (max_)                                             \
    }
#define WIRE_BOOL_OPTIONAL(name_)                                                                  \
    {                                                                                              \
        (name_), JSON_FIELD_BOOL, false, 0, 0                                                      \
    }
#define WIRE_OBJECT(name_)                                                                         \
    {                                                                                              \
        (name_), JSON_FIELD_OBJECT, true, 0, 0                                                     \
    }
#define WIRE_OBJECT_OPTIONAL(name_)                                                                \
    {                                                                                              \
        (name_), JSON_FIELD_OBJECT, false, 0, 0                                                    \
    }
#define WIRE_LIST(name_, max_)                                                                     \
    {                                                                                              \
        (name_), JSON_FIELD_ARRAY, true, 0, (max_)                                                 \
    }
#define WIRE_LIST_OPTIONAL(name_, max_)                                                            \
    {                                                                                              \
        (name_), JSON_FIELD_ARRAY, false, 0, (max_)                                                \
    }
