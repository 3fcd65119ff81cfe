/* Own certificates for the domains of an app-env. The chain and its key go to host, which shows
 * them to HAProxy first and keeps what that takes; core keeps neither, only the fact and a
 * fingerprint in the journal. */
#include <openssl/evp.h>
#include <string.h>
#include "base/buf.h"
#include "base/sha.h"
#include "base/str.h"
#include "core/api/api_priv.h"
#include "core/api/handlers.h"
#include "core/journal/journal.h"
#include "core/link/link.h"

#define HOST_MS 20000
#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"

/* SHA-256 of the first certificate's bytes, as browsers show it; "" when there is none. */
static void fingerprint(const char *pem, char ret_hex[SHA_HEX])
{
    const char *begin = strstr(pem, BEGIN);
    const char *end = begin ? strstr(begin, END) : NULL;
    AUTO_BUF base64 = BUF_INIT(0);
    ret_hex[0] = '\0';
    if (!end)
        return;
    for (const char *c = begin + strlen(BEGIN); c < end; c++) {
        if (*c != '\n' && *c != '\r' && *c != ' ')
            (void)buf_add_char(&base64, *c);
    }
    AUTO_FREE unsigned char *bytes = mem_alloc(base64.length + 4);
    int length = base64.length ? EVP_DecodeBlock(bytes, (const unsigned char *)base64.data,
                                                 (int)base64.length)
                               : -1;
    for (size_t n = base64.length; length > 0 && n > 0 && base64.data[n - 1] == '='; n--)
        length--;
    if (length > 0)
        sha_hex_of((struct str){(const char *)bytes, (size_t)length}, ret_hex);
}

static int note_stored(struct api_call *call, void *context, struct err *err)
{
    char hex[SHA_HEX];
    const char *domain = json_text_or(call->body, "domain", "");
    AUTO_JSON *data = json_object();
    (void)context;
    fingerprint(json_text_or(call->body, "pem", ""), hex);
    json_put_text(data, "domain", domain);
    json_put_text(data, "sha256", hex);
    call->reply = json_incref(data);
    return journal_append(call->core, call->who.actor, "certificate.set", call->ae.subject,
                          call->ae.id, data, err);
}

static void on_stored(void *context, json_t *ok, const struct err *error)
{
    struct api_call *call = context;
    (void)ok;
    if (error)
        api_fail(call, error);
    else
        api_finish_input(call, note_stored, NULL);
}

static bool has_domain(const json_t *domains, const char *domain)
{
    size_t i;
    json_t *name;
    json_array_foreach(domains, i, name)
    {
        if (text_is(json_string_value(name), domain))
            return true;
    }
    return false;
}

API_HANDLER(api_certificate_put)
{
    const char *domain = json_text_or(call->body, "domain", "");
    AUTO_JSON *domains = NULL;
    if (domains_list(call->core, &call->ae, &domains, err) < 0)
        return -1;
    if (!has_domain(domains, domain))
        return FAIL(err, E_NOT_FOUND,
                    "'%s' is not a domain of %s: give it one first with 'slipway env domains'",
                    domain, call->ae.subject);
    json_t *args = json_object();
    json_put_text(args, "domain", domain);
    json_put_text(args, "pem", json_text_or(call->body, "pem", ""));
    link_call(call->core->host, "edge.certificate", args, HOST_MS, on_stored, api_ref(call));
    return API_LATER;
}
