/* The table of builds. */
#include "base/tap.h"
#include "host/build/build_priv.h"

TEST(table_is_sound)
{
    struct err err = ERR_INIT;
    IS_INT(sm_check(&host_build_sm, &err), 0);
    OK(sm_is_final(&host_build_sm, BUILD_DONE));
    OK(sm_is_final(&host_build_sm, BUILD_FAILED));
}

TEST(every_working_state_can_fail_and_cleaning_cannot)
{
    int to;
    for (int state = BUILD_BASE; state < BUILD_CLEANING; state++)
        OK(sm_next(&host_build_sm, state, BUILD_EVENT_FAIL, &to) == 0 && to == BUILD_CLEANING);
    IS_INT(sm_next(&host_build_sm, BUILD_CLEANING, BUILD_EVENT_FAIL, &to), SM_REFUSED);
}

TEST(specs_are_checked)
{
    static const char *const bad[] = {
        "{\"base\":{\"kind\":\"host\"}}",
        "{\"base\":{\"kind\":\"vm\"},\"output\":[\".\"]}",
        "{\"base\":{\"kind\":\"host\"},\"output\":[\".\"],\"workdir\":\"/etc/x\"}",
        "{\"base\":{\"kind\":\"host\"},\"output\":[\".\"],\"workdir\":\"/a/../b\"}",
        "{\"base\":{\"kind\":\"host\"},\"output\":[\".\"],\"cache\":[\"/\"]}",
        "{\"base\":{\"kind\":\"host\"},\"output\":[\".\"],\"env\":{\"A=B\":\"x\"}}",
        "{\"base\":{\"kind\":\"host\"},\"output\":[\".\"],\"secrets\":[{\"name\":\"../x\","
        "\"value_b64\":\"\",\"file\":true}]}",
        "{\"base\":{\"kind\":\"host\"},\"output\":[\".\"],\"steps\":[{\"name\":\"x\",\"run\":[\"\"]"
        "}]}",
        "{\"base\":{\"kind\":\"host\"},\"output\":[\".\"],\"steps\":[{\"name\":\"x\",\"run\":[1]}]"
        "}"};
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        AUTO_JSON *spec = NULL;
        IS_INT(json_parse(str_of(bad[i]), &spec, &err), 0);
        OK(build_spec_check(spec, &err) < 0);
    }
    AUTO_JSON *good = NULL;
    IS_INT(json_parse(
               STR("{\"base\":{\"kind\":\"host\"},\"output\":[\".\"],\"workdir\":\"/srv/app\","
                   "\"cache\":[\"/root/.npm\"],\"steps\":[{\"name\":\"x\",\"run\":[\"make\"]}]}"),
               &good, &err),
           0);
    IS_INT(build_spec_check(good, &err), 0);
    OK(!build_name_ok("../x") && !build_name_ok(".x") && build_name_ok("shop.dev.b17"));
}

TAP_MAIN()
