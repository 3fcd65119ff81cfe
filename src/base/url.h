/* The one check of an URL that a person gives us: in the settings, at the command line. Any thread.
 *
 * Libraries guess: curl takes "https:///evil/x" for the host "evil", and what begins with '-' is an
 * option to whatever program gets it next. So an URL is http or https, with a host that is a plain
 * name or an IP address, perhaps a port, and printable ASCII after it. No name or password:
 * settings are read by everybody, arguments are shown by ps. */
#pragma once
#include "base/err.h"
#include "base/str.h"

#define URL_MAX 1000

/* Fails with E_URL_SCHEME, E_HOST_INVALID, E_OUT_OF_RANGE (the port) or E_FIELD_INVALID (the rest);
 * the text does not repeat the URL. */
int url_check(struct str url, struct err *err) MUST_CHECK;

/* The address of a repository: http:// or https:// as above, without a query, ssh://[USER@]HOST
 * [:PORT]/PATH, or git's short form of that, [USER@]HOST:PATH. */
struct url_repository {
    char scheme[6];         /* http, https or ssh */
    char user[65];          /* "": none; only of ssh */
    char host[256];         /* without brackets */
    int64_t port;           /* 0: the scheme's own */
    char path[URL_MAX + 1]; /* begins with '/' */
};
int url_repository(struct str url, struct url_repository *ret_url, struct err *err) MUST_CHECK;
/* As git and curl take it: heap. */
char *url_repository_text(const struct url_repository *url);
/* The port, said or not. */
int64_t url_repository_port(const struct url_repository *url);
