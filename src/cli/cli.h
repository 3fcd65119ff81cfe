/* The command line: a client of the HTTP API and nothing else. Each verb is a file verb_NAME.c with
 * one entry; the table in cli.c names them. Root on this machine talks to the unix socket and is
 * admin; anybody else uses what `slipway login` stored. Results go to stdout, errors to stderr.
 * With -o json stdout holds exactly one JSON document (streams: one a line): what a verb prints, or
 * else the server's reply, or the error; progress goes to stderr then. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/time.h"
#include "io/http_client.h"

#define CLI_WORDS_MAX 128
#define CLI_RIDE_MS 30000 /* a server that is away for longer is an error */

struct cli {
    const char *words[CLI_WORDS_MAX]; /* after the verb, without options */
    size_t word_count;
    const char *app;         /* -a */
    const char *env;         /* -e */
    const char *settings;    /* --settings */
    const char *server;      /* --server */
    const char *ca;          /* --ca FILE */
    const char *name;        /* --name */
    const char *from;        /* --from */
    const char *strategy;    /* --strategy */
    const char *role;        /* --role */
    const char *kind;        /* --kind */
    const char *grep;        /* --grep */
    const char *instance;    /* --instance */
    const char *since;       /* --since 10m */
    const char *match;       /* --match */
    const char *ref;         /* --ref */
    const char *like;        /* --like */
    const char *after;       /* --after */
    const char *severity;    /* --severity */
    const char *branch;      /* --branch */
    const char *state;       /* --state */
    const char *login;       /* --login */
    const char *key;         /* --key FILE */
    const char *known_hosts; /* --known-hosts FILE */
    const char *cert;        /* --cert FILE */
    const char *forge;       /* --forge */
    const char *project;     /* --project */
    const char *text;        /* --text */
    const char *picture;     /* --picture FILE */
    const char *link;        /* --link */
    int64_t lines;           /* -n */
    int64_t timeout_s;       /* --timeout */
    int64_t release;         /* --release */
    int64_t batches;         /* --batches */
    int64_t days;            /* --days */
    int64_t hours;           /* --hours */
    bool json;               /* -o json */
    bool follow;             /* -f */
    bool watch;              /* -w */
    bool no_wait;            /* --no-wait */
    bool same_artifact;      /* --same-artifact */
    bool latest;             /* --latest */
    bool read_only;          /* --read-only */
    bool all_at_once;        /* --all-at-once */
    bool from_stdin;         /* --stdin */
    bool verbose;            /* -v */
    bool once;               /* --once */
    bool temporary;          /* --temporary */
    bool replace;            /* --replace */
    struct http_client *client;
    json_t *detail; /* of the server's last error; NULL: none */
    char *address;  /* of the server that was connected to, by TCP; owned */
    char *app_owned;
    const char *usage;  /* of the verb */
    json_t *last_reply; /* of the server; owned */
};
typedef int cli_verb_fn(struct cli *c, struct err *err);
struct cli_verb {
    const char *name;
    cli_verb_fn *run;
    const char *usage; /* "deploy [RELEASE] -e ENV" */
    const char *summary;
    size_t words_max; /* after the verb */
    enum { CLI_ONLINE, CLI_OFFLINE /* needs no server */ } need;
    enum { CLI_ANY, CLI_OWN_FORMAT /* for another program: -o json changes nothing */ } output;
};
extern const struct cli_verb cli_verbs[];
extern const size_t cli_verb_count;
int cli_main(int argc, char **argv);

/* ---- asking ---- */
/* E_... of the server's answer becomes ours. path is below /api/v1. body is borrowed; NULL: none.
 */
int cli_call(struct cli *c, const char *method, const char *path, const json_t *body,
             json_t **ret_reply, struct err *err) MUST_CHECK;
/* POST of something that is no JSON. */
int cli_post_bytes(struct cli *c, const char *path, const struct http_sent *body,
                   json_t **ret_reply, struct err *err) MUST_CHECK;
int cli_get(struct cli *c, const char *path, json_t **ret_reply, struct err *err) MUST_CHECK;
/* All pages of a list from --after on, -n rows at most (1000): {"items", ..., "next": null when
 * that was all}. */
int cli_list(struct cli *c, const char *path, json_t **ret_reply, struct err *err) MUST_CHECK;
/* Lines of an event stream's data, parsed; on_data returns false to stop. */
int cli_stream(struct cli *c, const char *path,
               bool (*on_data)(void *context, const char *event, const json_t *data), void *context,
               struct err *err) MUST_CHECK;
int cli_connect(struct cli *c, struct err *err) MUST_CHECK;
/* To this server, as the holder of this token (NULL: nobody). Refuses what is no URL of ours.
 * Trusts
 * --ca, SLIPWAY_CA, the authority of the stored login (NULL: none), or those of the system. */
int cli_connect_to(struct cli *c, const char *server, const char *token, const json_t *login,
                   struct err *err) MUST_CHECK;
/* "/apps/APP/envs/ENV" + tail; E_USAGE without an env or app. Heap. */
int cli_app_env_path(struct cli *c, const char *tail, char **ret_path, struct err *err) MUST_CHECK;
int cli_app_path(struct cli *c, const char *tail, char **ret_path, struct err *err) MUST_CHECK;
char *cli_escape(const char *text); /* percent-encoded for a path or a query; heap */
const char *cli_word(const struct cli *c, size_t index); /* NULL when absent */
const char *cli_settings_path(const struct cli *c); /* --settings, the environment, the usual one */
int cli_usage(const char *text, struct err *err);
/* E_USAGE when there are more words than that: none is ignored. */
int cli_at_most(const struct cli *c, size_t words, struct err *err) MUST_CHECK;
/* What login stores: {"server","name","token"}; NULL when there is none. */
json_t *cli_login_read(void);
int cli_login_write(const json_t *login, struct err *err) MUST_CHECK;
char *cli_login_path(void);

/* ---- showing ---- */
/* All that goes to a terminal goes through these: what others named or wrote (branches, files,
 * output, errors of a server) must not steer it. show.c is the only file that writes. */
void cli_print(const char *format, ...) __attribute__((format(printf, 1, 2))); /* stdout */
void cli_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));  /* stderr */
void cli_print_safe(const char *text);     /* stdout; NULL prints nothing */
void cli_print_names(const json_t *names); /* "a, b": safe */
/* What goes on meanwhile: on stdout, or on stderr when stdout is data. */
void cli_progress(const struct cli *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool cli_progress_is_terminal(const struct cli *c);
/* One line of it that is written again in place, as much of it as the terminal has columns; NULL
 * takes it away. On a terminal only. */
void cli_progress_line(const struct cli *c, const char *text);
void cli_clear_screen(void); /* on a terminal only */
/* The text without control characters (but tab and newline), bidirectional and other invisible
 * marks; bytes that are no UTF-8 become U+FFFD; SGR colours stay when asked for. Heap. */
char *cli_safe(const char *text, bool colours);
void cli_print_json(const json_t *value);
bool cli_has_printed_json(void);
/* One word for a shell: as it is, or in quotes when the shell would make something of it. Heap. */
char *cli_shell_word(const char *text);
struct cli_column {
    const char *title;
    const char *key;
    enum { CLI_TEXT, CLI_AGE, CLI_SHORT, CLI_DIGEST, CLI_BOOL, CLI_LIST } form;
};
void cli_print_table(const json_t *rows, const struct cli_column *columns, size_t count);
/* Either the reply as JSON, or the table of its items; then cli_say_more. */
void cli_show(const struct cli *c, const json_t *reply, const char *items,
              const struct cli_column *columns, size_t count);
void cli_format_age(int64_t wall_ms, char text[24]);
bool cli_is_terminal(int fd);
/* "r3 is live at http://shop.dev.localhost:8080/ and https://..." from the state of an app-env. */
void cli_print_address(const json_t *state);
/* On stderr, so that what reads the rows takes it for none: how a list that was cut goes on. */
void cli_say_more(const json_t *reply);
/* After a failed call of something that watches: 1 when the server is only away for a moment (it
 * has napped), -1 with err when that is no such failure or has lasted too long. *away_since_ms is
 * the caller's: 0 while all is well. */
int cli_ride(int64_t *away_since_ms, const struct err *failure, struct err *err) MUST_CHECK;
void cli_nap(int64_t ms);
/* Follow a rollout to its end; err is its failure. */
int cli_follow_rollout(struct cli *c, int64_t id, struct err *err) MUST_CHECK;
int cli_follow_build(struct cli *c, int64_t number, struct err *err) MUST_CHECK;
/* The search for the culprits of a build: its row is given, unless it was printed (json). */
int cli_follow_culprits(struct cli *c, int64_t build, json_t **ret_row, struct err *err) MUST_CHECK;
