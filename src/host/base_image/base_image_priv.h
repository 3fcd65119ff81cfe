/* What the files of this folder share. */
#pragma once
#include "base/buf.h"
#include "base/sha.h"
#include "host/base_image/base_image.h"
#include "host/sandbox/sandbox.h"

/* Where packages come from: one-line entries ("deb [signed-by=...] URI SUITE main"), the machine's
 * own Debian ones or those of the mirror of the settings. */
struct sources {
    char suite[32]; /* codename: "bookworm" */
    char *lines[16];
    size_t count;
};
int sources_find(const char *apt_dir, const char *os_release, const char *mirror,
                 struct sources *ret_sources, struct err *err) MUST_CHECK;
void sources_done(struct sources *s);

#define BASE_WEIGHT 10 /* as a build: what runs comes first */
#define PACKAGES_MAX 200
/* Sorted, without repetitions, names checked. */
struct packages {
    char **names;
    size_t count;
};
int packages_read(const json_t *list, struct packages *ret_packages, struct err *err) MUST_CHECK;
void packages_done(struct packages *p);

/* One way to tell of progress and of the end, for the jobs below. */
struct job_listener {
    void (*progress)(void *context, const char *text, int percent);
    /* digest NULL and error set, or the other way round */
    void (*done)(void *context, const char *digest, int64_t bytes, const struct err *error);
    void *context;
};
/* mmdebstrap into a blob, unpacked. The job lives until `done`; killed, it ends with E_CANCELLED
 * (unless it was nearly done). */
struct bootstrap;
int bootstrap_start(struct host *h, const struct sources *sources, const struct packages *packages,
                    const struct job_listener *listener, struct bootstrap **ret_job,
                    struct err *err) MUST_CHECK;
void bootstrap_kill(struct bootstrap *b);
/* Packages on top of a base, in a sandbox, kept as one more unpacked layer named `digest`. One at a
 * time: they share a range of ids; later ones wait. */
struct overlay;
int overlay_start(struct host *h, const char *base, const char *digest,
                  const struct packages *packages, const struct job_listener *listener,
                  struct overlay **ret_job, struct err *err) MUST_CHECK;
void overlay_kill(struct overlay *o);

/* Give a tree that was written under a range of ids back to ids from 0; drops set-id bits and file
 * capabilities. Follows no link. Blocking; any thread. *ret_bytes: the size of its files. */
int shift_tree(const char *folder, uint32_t range, int64_t *ret_bytes, struct err *err) MUST_CHECK;

/* Who we are at a mirror or proxy (logins.c); heap, kept. */
struct login {
    char *host; /* "proxy.corp:3128", as it stands in the URL */
    char *user, *password;
};
int logins_load(const char *path /* NULL or "": none */, struct err *err) MUST_CHECK;
const struct login *login_of(const char *url); /* NULL: without */
char *login_url(const char *url);              /* with user and password when there are; heap */
void logins_hide(struct buf *text);            /* passwords in it become '*' */

/* The certificates of a PEM bundle as a JKS, for Java. */
#define TRUSTSTORE_PASSWORD "changeit" /* of every truststore: it keeps no secret */
int truststore_write(const char *bundle, const char *path, struct err *err) MUST_CHECK;

/* Read the logins, make the files of run_dir/outside. */
int base_image_outside_init(const struct settings *s, struct err *err) MUST_CHECK;
/* The texts of those files; empty when there is nothing to say. */
void outside_maven(const struct settings *s, struct buf *out);
void outside_cargo(const struct settings *s, struct buf *out);
void outside_npm(const struct settings *s, struct buf *out);
