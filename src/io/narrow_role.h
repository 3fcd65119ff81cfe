/* What a role gives up for good before it does anything: new privileges, core files, a look into
 * its memory, and the system calls that only somebody who has taken it over would make. Called
 * once, before any thread is made. (Children of host that touch bytes of others narrow themselves
 * much further: host/narrow.) */
#pragma once
#include "base/err.h"

/* A build with AddressSanitizer may run programs (its symbolizer) and look at itself. */
#if defined(__SANITIZE_ADDRESS__)
#define NARROW_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NARROW_SANITIZED 1
#endif
#endif
#ifndef NARROW_SANITIZED
#define NARROW_SANITIZED 0
#endif

enum narrow_as {
    NARROW_SERVICE,  /* core, signals: starts no program */
    NARROW_PROGRAMS, /* courier: starts git */
    NARROW_ROOT,     /* host: makes containers, and keeps the calls for it; it gives up capabilities
                        of the whole machine's (modules, raw devices, clock, reboot, MAC policy) */
};
/* On failure the process must end: it may be half narrowed. */
int narrow_role(enum narrow_as as, struct err *err) MUST_CHECK;
/* The kernel's version of Landlock (which paths a process may use); 0 when it has none. Any thread.
 */
int narrow_landlock(void);
#define NARROW_LANDLOCK_NEEDED 2 /* before it, files cannot be moved between folders */
/* Empty the bounding set, as root, before becoming a role's user. Between fork and exec: no memory
 * is taken. -1 sets errno. */
int narrow_bounding(void);
