/* What is public, private and never gone to, in all the ways to write it. */
#include "io/address.h"
#include <netdb.h>
#include "base/tap.h"

TAP_MAIN()

static struct sockaddr_storage parse(const char *text)
{
    struct sockaddr_storage address = {0};
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *found = NULL;
    OK(getaddrinfo(text, NULL, &hints, &found) == 0);
    memcpy(&address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return address;
}

static enum address_kind kind(const char *text)
{
    struct sockaddr_storage address = parse(text);
    return address_kind((struct sockaddr *)&address);
}

static bool within(const char *text, const char *ranges)
{
    struct sockaddr_storage address = parse(text);
    return address_within((struct sockaddr *)&address, str_of(ranges));
}

TEST(this_machine_and_its_link_are_never_gone_to)
{
    static const char *const never[] = {
        "127.0.0.1",  "127.9.9.9",         "0.0.0.0",         "169.254.169.254",
        "0x7f000001", "2130706433",        "127.1",           "::1",
        "::",         "::ffff:127.0.0.1",  "::ffff:7f00:1",   "fe80::1",
        "224.0.0.1",  "255.255.255.255",   "64:ff9b::7f00:1", "2002:7f00:1::",
        "ff02::1",    "100.100.100.200",   "fd00:ec2::254",   "192.0.0.192",
        "240.0.0.1",  "::ffff:169.254.1.1"};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        IS_INT(kind(never[i]), ADDRESS_NEVER);
}

TEST(private_and_public)
{
    IS_INT(kind("10.0.0.1"), ADDRESS_PRIVATE);
    IS_INT(kind("172.31.255.255"), ADDRESS_PRIVATE);
    IS_INT(kind("172.32.0.1"), ADDRESS_PUBLIC);
    IS_INT(kind("192.168.1.1"), ADDRESS_PRIVATE);
    IS_INT(kind("100.127.0.1"), ADDRESS_PRIVATE);
    IS_INT(kind("100.128.0.1"), ADDRESS_PUBLIC);
    IS_INT(kind("fd12::1"), ADDRESS_PRIVATE);
    IS_INT(kind("::ffff:10.1.1.1"), ADDRESS_PRIVATE);
    IS_INT(kind("8.8.8.8"), ADDRESS_PUBLIC);
    IS_INT(kind("2606:4700::1111"), ADDRESS_PUBLIC);
}

TEST(ranges)
{
    OK(within("127.0.0.1", "10.0.0.0/8, 127.0.0.1"));
    OK(within("10.255.0.1", "10.0.0.0/8"));
    OK(!within("11.0.0.1", "10.0.0.0/8"));
    OK(!within("127.0.0.2", "127.0.0.1"));
    OK(within("127.0.0.2", "127.0.0.0/8"));
    OK(within("fd00::5", "fd00::/8"));
    OK(!within("127.0.0.1", ""));
    OK(!within("::1", "127.0.0.0/8"));
    OK(within("::ffff:10.213.0.5", "10.213.0.0/16"));
    OK(within("64:ff9b::10.213.0.5", "10.213.0.0/16"));
    OK(address_ranges_valid(str_of("")));
    OK(address_ranges_valid(str_of("10.0.0.0/8, ::1")));
    OK(!address_ranges_valid(str_of("10.0.0.0/33")));
    OK(!address_ranges_valid(str_of("localhost")));
    OK(!address_ranges_valid(str_of("10.0.0.0/8,,")));
}

static bool may_public(void *context, const struct sockaddr *address)
{
    (void)context;
    return address_kind(address) == ADDRESS_PUBLIC;
}

TEST(a_host_is_asked_for_by_name_or_address)
{
    struct err err = ERR_INIT;
    char text[ADDRESS_TEXT];
    IS_INT(address_find("8.8.4.4", may_public, NULL, text, &err), 0);
    IS_STR(text, "8.8.4.4");
    OK(address_find("localhost", may_public, NULL, text, &err) < 0);
    IS_INT(err.kind, E_ADDRESS_FORBIDDEN);
    OK(address_find("0x7f000001", may_public, NULL, text, &err) < 0);
    IS_INT(err.kind, E_ADDRESS_FORBIDDEN);
    OK(address_find("no.such.name.invalid", may_public, NULL, text, &err) < 0);
    IS_INT(err.kind, E_UNAVAILABLE);
}
