/* Masking: every form of a secret, whole and cut at every place. */
#include "host/build/mask.h"
#include <string.h>
#include "base/mem.h"
#include "base/tap.h"

#define SECRET "s3cr3t/+ \"Pa\\ss"

static void gather(void *context, struct str text)
{
    err_ignore(buf_add_str(context, text));
}

static char *masked(const struct mask *m, const char *text, size_t cut)
{
    struct mask_stream s;
    struct buf out = {0};
    mask_stream_init(&s, m);
    mask_feed(&s, (struct str){text, cut}, gather, &out);
    mask_feed(&s, (struct str){text + cut, strlen(text) - cut}, gather, &out);
    mask_flush(&s, gather, &out);
    mask_stream_done(&s);
    return buf_take(&out);
}

TEST(every_form_is_masked_at_every_cut)
{
    static const char *const forms[] = {SECRET,
                                        "czNjcjN0LysgIlBhXHNz",           /* base64 */
                                        "eHM",                            /* too short to be one */
                                        "s3cr3t%2F%2B%20%22Pa%5Css",      /* URL */
                                        "s3cr3t%2f%2b%20%22Pa%5css",      /* URL, lower case */
                                        "s3cr3t%2F%2B+%22Pa%5Css",        /* form */
                                        "7333637233742f2b202250615c7373", /* hex */
                                        "7333637233742F2B202250615C7373", /* hex, upper case */
                                        "s3cr3t/+ \\\"Pa\\\\ss",          /* JSON */
                                        "s3cr3t\\/+ \\\"Pa\\\\ss"};       /* JSON, slashes too */
    struct mask m;
    mask_init(&m);
    mask_add(&m, STR(SECRET "\n"));
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        AUTO_FREE char *line = mem_format("before %s after\n", forms[i]);
        bool good = true;
        for (size_t cut = 0; cut <= strlen(line); cut++) {
            AUTO_FREE char *got = masked(&m, line, cut);
            good = good && strcmp(got, i == 2 ? line : "before *** after\n") == 0;
        }
        OK(good);
    }
    mask_done(&m);
}

/* base64 of "x" SECRET and of "xy" SECRET: all but the characters shared with the neighbours. */
TEST(base64_at_other_offsets_is_masked)
{
    struct mask m;
    mask_init(&m);
    mask_add(&m, STR(SECRET));
    AUTO_FREE char *one = masked(&m, "eHMzY3IzdC8rICJQYVxzcw==", 7);
    AUTO_FREE char *two = masked(&m, "eHlzM2NyM3QvKyAiUGFcc3M=", 9);
    IS_STR(one, "eH***w==");
    IS_STR(two, "eHl***M=");
    mask_done(&m);
}

TEST(each_line_of_a_key_is_masked)
{
    struct mask m;
    mask_init(&m);
    mask_add(&m, STR("-----BEGIN KEY-----\nMIIEvQIBADAN\nabc\nBgkqhkiG9w0B\n-----END KEY-----\n"));
    AUTO_FREE char *got = mask_text(&m, "1: MIIEvQIBADAN\n2: BgkqhkiG9w0B!\n");
    IS_STR(got, "1: ***\n2: ***!\n");
    mask_done(&m);
}

TEST(the_longer_of_two_wins_over_a_split)
{
    struct mask m;
    mask_init(&m);
    mask_add(&m, STR("abcd"));
    mask_add(&m, STR("abcdefgh"));
    AUTO_FREE char *split = masked(&m, "xabcdefghx", 5);
    AUTO_FREE char *partial = masked(&m, "xabcdefx", 5);
    AUTO_FREE char *end = masked(&m, "xabcdef", 7);
    IS_STR(split, "x***x");
    IS_STR(partial, "x***efx");
    IS_STR(end, "x***ef");
    mask_done(&m);
}

TEST(short_secrets_and_plain_text_pass)
{
    struct mask m;
    mask_init(&m);
    mask_add(&m, STR("abc"));
    AUTO_FREE char *got = mask_text(&m, "abcabc");
    IS_STR(got, "abcabc");
    mask_done(&m);
}

TAP_MAIN()
