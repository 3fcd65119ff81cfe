/* The programs of the machine that the roles run: what must be installed. tools/deps run does it.
 */
#pragma once

struct program {
    const char *name;
    const char *path;
    const char *package; /* Debian's */
};
static const struct program programs[] = {
    {"crun", "/usr/bin/crun", "crun"},
    {"conmon", "/usr/bin/conmon", "conmon"},
    {"haproxy", "/usr/sbin/haproxy", "haproxy"},
    {"nft", "/usr/sbin/nft", "nftables"},
    {"git", "/usr/bin/git", "git"},
    {"mmdebstrap", "/usr/bin/mmdebstrap", "mmdebstrap"},
    {"mkfs.ext4", "/usr/sbin/mkfs.ext4", "e2fsprogs"},
    {"openssl", "/usr/bin/openssl", "openssl"},
};
