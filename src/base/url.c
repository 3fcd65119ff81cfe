/* Strict on purpose: a subset of RFC 3986 in which no two readers find different hosts. */
#include "base/url.h"
#include <arpa/inet.h>
#include <stdio.h>
#include "base/mem.h"

#define HOST_MAX 253
#define LABEL_MAX 63

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool is_label(struct str label)
{
    for (size_t i = 0; i < label.length; i++)
        if (!is_host_char(label.data[i]))
            return false;
    return label.length > 0 && label.length <= LABEL_MAX && label.data[0] != '-';
}

/* Labels with dots between them: an IPv4 address is such a name. */
static bool is_host_name(struct str host)
{
    if (host.length == 0 || host.length > HOST_MAX)
        return false;
    while (host.data)
        if (!is_label(str_cut(&host, '.')))
            return false;
    return true;
}

/* What stands in the brackets; a zone ("%lo") is no address. */
static bool is_ipv6(struct str text)
{
    struct in6_addr address;
    char copy[INET6_ADDRSTRLEN];
    if (text.length == 0 || text.length >= sizeof(copy) || memchr(text.data, 0, text.length))
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return inet_pton(AF_INET6, copy, &address) == 1;
}

/* Cut the host off the authority; what is left begins with ':' or is empty. */
static bool take_host(struct str *authority)
{
    if (!str_starts(*authority, "[")) {
        struct str rest = *authority, host = str_cut(&rest, ':');
        *authority = (struct str){host.data + host.length, authority->length - host.length};
        return is_host_name(host);
    }
    struct str rest = {authority->data + 1, authority->length - 1};
    struct str inside = str_cut(&rest, ']');
    bool good = rest.data && is_ipv6(inside);
    *authority = rest;
    return good && (rest.length == 0 || rest.data[0] == ':');
}

static int check_authority(struct str authority, struct err *err)
{
    int64_t port;
    if (authority.length > 0 && memchr(authority.data, '@', authority.length))
        return FAIL(err, E_HOST_INVALID, "a name or a password has no place in the URL");
    if (!take_host(&authority))
        return FAIL(err, E_HOST_INVALID, "the host of the URL is neither a name nor an IP address");
    if (authority.length == 0)
        return 0;
    struct str digits = {authority.data + 1, authority.length - 1};
    return str_to_int(digits, 1, 65535, "the port of the URL", &port, err);
}

static bool is_plain(char c)
{
    return c > ' ' && c <= '~' && !strchr("@\"'\\<>`{}|", c);
}

int url_check(struct str url, struct err *err)
{
    size_t scheme = str_starts(url, "http://") ? 7 : str_starts(url, "https://") ? 8 : 0;
    if (!scheme)
        return FAIL(err, E_URL_SCHEME, "the URL begins with neither http:// nor https://");
    struct str rest = {url.data + scheme, url.length - scheme};
    size_t end = 0;
    while (end < rest.length && rest.data[end] != '/' && rest.data[end] != '?' &&
           rest.data[end] != '#')
        end++;
    if (check_authority((struct str){rest.data, end}, err) < 0)
        return -1;
    if (url.length > URL_MAX)
        return FAIL(err, E_FIELD_INVALID, "the URL is longer than %d bytes", URL_MAX);
    for (size_t i = end; i < rest.length; i++)
        if (!is_plain(rest.data[i]))
            return FAIL(err, E_FIELD_INVALID, "the URL holds a character that has no place in one");
    return 0;
}

/* ---- repositories ---- */

static bool is_user(struct str user)
{
    for (size_t i = 0; i < user.length; i++)
        if (!is_host_char(user.data[i]) && user.data[i] != '.')
            return false;
    return user.length > 0 && user.length <= 64 && user.data[0] != '-' && user.data[0] != '.';
}

/* HOST[:PORT] that was checked. */
static void split_authority(struct str authority, struct url_repository *url)
{
    struct err ignored = ERR_INIT;
    struct str host = authority;
    (void)take_host(&authority);
    host.length -= authority.length;
    if (str_starts(host, "["))
        host = (struct str){host.data + 1, host.length - 2};
    (void)snprintf(url->host, sizeof(url->host), "%.*s", (int)host.length, host.data);
    if (authority.length > 0 && str_to_int((struct str){authority.data + 1, authority.length - 1},
                                           1, 65535, "port", &url->port, &ignored) < 0)
        url->port = 0; /* it was checked: never */
}

/* No query, nothing that a remote shell or git could take for more than a name. */
static int take_path(struct str path, struct url_repository *url, struct err *err)
{
    if (path.length < 2)
        return FAIL(err, E_FIELD_INVALID, "the URL names no repository: its path is missing");
    if (path.length > URL_MAX)
        return FAIL(err, E_FIELD_INVALID, "the URL is longer than %d bytes", URL_MAX);
    for (size_t i = 0; i < path.length; i++)
        if (!is_plain(path.data[i]) || strchr("?#;&$*()!", path.data[i]))
            return FAIL(err, E_FIELD_INVALID,
                        "the URL holds a character that has no place in a repository's");
    if (path.data[1] == '-')
        return FAIL(err, E_FIELD_INVALID, "the path of the URL begins with '-'");
    (void)snprintf(url->path, sizeof(url->path), "%.*s", (int)path.length, path.data);
    return 0;
}

/* [USER@]HOST[:PORT] of ssh. */
static int take_ssh(struct str authority, struct url_repository *url, struct err *err)
{
    const char *at = authority.length ? memchr(authority.data, '@', authority.length) : NULL;
    if (at) {
        struct str user = {authority.data, (size_t)(at - authority.data)};
        if (!is_user(user))
            return FAIL(err, E_HOST_INVALID, "the user of the URL is no plain name");
        (void)snprintf(url->user, sizeof(url->user), "%.*s", (int)user.length, user.data);
        authority = (struct str){at + 1, authority.length - user.length - 1};
    }
    if (check_authority(authority, err) < 0)
        return -1;
    split_authority(authority, url);
    return 0;
}

/* USER@HOST:PATH, without a slash before the colon. */
static int parse_short(struct str text, struct url_repository *url, struct err *err)
{
    struct str rest = text, authority = str_cut(&rest, ':');
    char path[URL_MAX + 2];
    if (!rest.data || memchr(authority.data, '/', authority.length) || str_starts(rest, ":") ||
        str_starts(rest, "//"))
        return FAIL(err, E_URL_SCHEME,
                    "the URL is none of http://, https://, ssh:// and USER@HOST:PATH");
    if (take_ssh(authority, url, err) < 0)
        return -1;
    bool absolute = str_starts(rest, "/");
    if (rest.length > URL_MAX)
        return FAIL(err, E_FIELD_INVALID, "the URL is longer than %d bytes", URL_MAX);
    (void)snprintf(path, sizeof(path), "%s%.*s", absolute ? "" : "/", (int)rest.length, rest.data);
    (void)snprintf(url->scheme, sizeof(url->scheme), "ssh");
    return take_path(str_of(path), url, err);
}

static int parse_ssh(struct str rest, struct url_repository *url, struct err *err)
{
    size_t end = 0;
    while (end < rest.length && rest.data[end] != '/')
        end++;
    (void)snprintf(url->scheme, sizeof(url->scheme), "ssh");
    if (take_ssh((struct str){rest.data, end}, url, err) < 0)
        return -1;
    return take_path((struct str){rest.data + end, rest.length - end}, url, err);
}

int url_repository(struct str text, struct url_repository *ret_url, struct err *err)
{
    struct url_repository url = {0};
    if (text.length == 0 || memchr(text.data, 0, text.length) || text.data[0] == '/' ||
        text.data[0] == '\\' || text.data[0] == '.')
        return FAIL(err, E_URL_SCHEME,
                    "the URL is none of http://, https://, ssh:// and USER@HOST:PATH");
    bool http = str_starts(text, "http://"), https = str_starts(text, "https://");
    if (str_starts(text, "ssh://")) {
        if (parse_ssh((struct str){text.data + 6, text.length - 6}, &url, err) < 0)
            return -1;
    } else if (http || https) {
        size_t scheme = https ? 8 : 7, end;
        if (url_check(text, err) < 0)
            return -1;
        for (end = scheme; end < text.length && !strchr("/?#", text.data[end]);)
            end++;
        (void)snprintf(url.scheme, sizeof(url.scheme), "%s", https ? "https" : "http");
        split_authority((struct str){text.data + scheme, end - scheme}, &url);
        if (take_path((struct str){text.data + end, text.length - end}, &url, err) < 0)
            return -1;
    } else if (parse_short(text, &url, err) < 0) {
        return -1;
    }
    *ret_url = url;
    return 0;
}

int64_t url_repository_port(const struct url_repository *url)
{
    if (url->port)
        return url->port;
    return strcmp(url->scheme, "https") == 0 ? 443 : strcmp(url->scheme, "http") == 0 ? 80 : 22;
}

char *url_repository_text(const struct url_repository *url)
{
    bool ipv6 = strchr(url->host, ':') != NULL;
    char port[8] = "";
    if (url->port)
        (void)snprintf(port, sizeof(port), ":%d", (int)url->port);
    return mem_format("%s://%s%s%s%s%s%s%s", url->scheme, url->user, *url->user ? "@" : "",
                      ipv6 ? "[" : "", url->host, ipv6 ? "]" : "", port, url->path);
}
