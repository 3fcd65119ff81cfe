/* Between the doctor's files. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "wire/doctor.h"
#include "wire/settings.h"

/* doctor_role.c: each role's process, and what it said last when it is not well. */
void doctor_roles(const struct settings *s, const char *trouble, json_t *checks);
/* The words of a process's command line, "\0" between them; empty when it is gone. */
struct buf;
void doctor_command(pid_t pid, struct buf *out);
/* Does this process belong to the installation? Roles by their settings, the edge by its files. */
bool doctor_is_ours(const struct settings *s, pid_t pid);
/* doctor_port.c: is a port of ours held by somebody else? */
struct doctor_port {
    const char *what;    /* "API" */
    const char *key;     /* of the settings */
    const char *address; /* "*", "127.0.0.1", "127.0.0.1:7000", "[::1]:7000" */
    int64_t number;
};
void doctor_port(const struct settings *s, const struct doctor_port *port, json_t *checks);
