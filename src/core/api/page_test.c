/* The console's pack, and which paths are addresses of its pages. */
#include "base/tap.h"
#include "core/api/page.h"

TEST(a_pack_is_read)
{
    struct page_file files[PAGE_FILES_MAX];
    struct str pack = STR("slipway-console 1\n"
                          "index.html text/html;charset=utf-8 aa 3\n"
                          "assets/x.js text/javascript bb 4\n"
                          "\n"
                          "abcdefg");
    IS_INT(page_read(pack, files), 2);
    OK(str_is(files[0].name, "index.html") && str_is(files[0].packed, "abc"));
    OK(str_is(files[1].type, "text/javascript") && str_is(files[1].tag, "bb"));
    OK(str_is(files[1].packed, "defg"));
}

TEST(what_is_no_pack_is_refused)
{
    struct page_file files[PAGE_FILES_MAX];
    const char *const bad[] = {
        "",
        "slipway-console 2\n\n",
        "slipway-console 1\nindex.html text/html aa 3\n\nab",           /* cut short */
        "slipway-console 1\nindex.html text/html aa\n\nabc",            /* no length */
        "slipway-console 1\nindex.html text/html aa -3\n\nabc",         /* below nothing */
        "slipway-console 1\nindex.html text/html aa 99999999999\n\nab", /* beyond all */
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        IS_INT(page_read(str_of(bad[i]), files), -1);
    IS_INT(page_read(STR("slipway-console 1\n\n"), files), 0); /* built without a console */
}

TEST(addresses_of_pages)
{
    const char *const good[] = {"/",
                                "/login",
                                "/setup/swl_abc",
                                "/apps/shop/dev/rollouts/5",
                                "/apps/shop/branches",
                                "/settings/people",
                                "/apps/%E5%BA%97/dev"};
    const char *const bad[] = {"",
                               "login",
                               "//",
                               "/apps//dev",
                               "/apps/",
                               "/assets/..%2f..%2fetc/passwd",
                               "/apps/..%2f..%2fetc/passwd",
                               "/apps/%c0%ae",
                               "/apps/%00",
                               "/apps/..",
                               "/apps/a%0ab",
                               "/etc/passwd",
                               "/index.php"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        if (!OK(page_is_address(str_of(good[i]))))
            printf("# %s\n", good[i]);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (!OK(!page_is_address(str_of(bad[i]))))
            printf("# %s\n", bad[i]);
}

TEST(the_api_is_no_page)
{
    OK(!page_wants(STR("/api")) && !page_wants(STR("/api/v1/me")));
    OK(page_wants(STR("/")) && page_wants(STR("/apis")));
}

TAP_MAIN()
