/* Fuzz target: the command list of a push, in pieces whose size the first byte says, then its
 * check, its JSON and its refusal; and the same bytes as login, route and gzip body. */
#include <stddef.h>
#include <stdint.h>
#include "base/json.h"
#include "courier/git/commands.h"
#include "courier/git/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void commands(struct str text, size_t step)
{
    struct push_commands pc;
    struct err err = ERR_INIT;
    int r = 0;
    push_commands_init(&pc);
    while (r == 0 && text.length > 0) {
        size_t used = 0;
        size_t n = text.length < step ? text.length : step;
        r = push_commands_feed(&pc, (struct str){text.data, n}, &used, &err);
        text.data += used;
        text.length -= r < 0 ? 0 : used;
    }
    if (r == PUSH_COMPLETE) {
        AUTO_BUF refusal = BUF_INIT(0);
        AUTO_JSON *refs = push_commands_json(&pc);
        if (push_commands_check(&pc, &err) < 0)
            push_refusal(&pc, err.text, &refusal);
    }
    push_commands_done(&pc);
}

static void body(struct str text)
{
    struct inflater i;
    struct err err = ERR_INIT;
    char out[512];
    size_t made = 1;
    if (inflater_init(&i, &err) < 0)
        return;
    for (int n = 0; n < 1000 && (text.length > 0 || made > 0); n++)
        if (inflater_next(&i, &text, out, sizeof(out), &made, &err) < 0)
            break;
    inflater_done(&i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct git_login login = {0};
    struct git_route route;
    struct err err = ERR_INIT;
    if (size == 0)
        return 0;
    struct str text = {(const char *)data + 1, size - 1};
    commands(text, (size_t)data[0] + 1);
    body(text);
    if (git_login_parse(text, &login, &err) == 0)
        git_login_done(&login);
    (void)git_route_parse(STR("GET"), text, STR("service=git-upload-pack"), &route, &err);
    return 0;
}
