/* env certificate: a chain and its key from stdin, for one of an app-env's domains. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/verbs.h"

#define PEM_MAX 65536

int cli_certificate_set(struct cli *c, const char *domain, struct err *err)
{
    AUTO_BUF pem = BUF_INIT(PEM_MAX);
    AUTO_FREE char *path = NULL;
    AUTO_JSON *body = json_object();
    AUTO_JSON *reply = NULL;
    if (cli_app_env_path(c, "/certificate", &path, err) < 0)
        return -1;
    if (cli_is_terminal(STDIN_FILENO))
        cli_tell("paste the certificate chain and its private key (PEM), end with "
                 "Ctrl-D:\n");
    if (file_read_fd(STDIN_FILENO, PEM_MAX, &pem, err) < 0)
        return -1;
    json_put_text(body, "domain", domain);
    json_put_str(body, "pem", buf_str(&pem));
    int result = cli_call(c, "PUT", path, body, &reply, err);
    explicit_bzero(pem.data, pem.length);
    if (result < 0)
        return -1;
    if (c->json)
        cli_print_json(reply);
    else
        cli_print("%s is served with the certificate %.16s...\n",
                  json_text_or(reply, "domain", "?"), json_text_or(reply, "sha256", "?"));
    return 0;
}
