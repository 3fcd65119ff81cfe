/* Where an app answers: the one way that verbs say it. */
#include <stdio.h>

#include "cli/cli.h"

/* Heap; NULL when the edge does not speak it. */
static char *address(const json_t *state, const char *scheme, const char *domain, int64_t usual)
{
    AUTO_FREE char *key = mem_format("edge_%s", scheme);
    int64_t port = json_int(state, key, 0);
    if (!port)
        return NULL;
    return port == usual ? mem_format("%s://%s/", scheme, domain)
                         : mem_format("%s://%s:%lld/", scheme, domain, (long long)port);
}

void cli_print_address(const json_t *state)
{
    const char *domain = json_string_value(json_array_get(json_list(state, "domains"), 0));
    int64_t live = json_int(state, "live_release", 0);
    AUTO_FREE char *http = address(state, "http", domain ? domain : "?", 80);
    AUTO_FREE char *https = address(state, "https", domain ? domain : "?", 443);
    if (live)
        cli_print("r%lld is live at ", (long long)live);
    else
        cli_print("nothing is live in %s; a release will be at ", json_text_or(state, "env", "?"));
    cli_print("%s%s%s\n", http ? http : "", http && https ? " and " : "", https ? https : "");
}
