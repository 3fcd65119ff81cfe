/* Strict on purpose: a subset of RFC 3986 in which no two readers find different hosts. */
#include "base/url.h"
#include <arpa/inet.h>

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
