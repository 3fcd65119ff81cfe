/* What was committed: how many commits a branch has more than a commit, and the commits between
 * two. Read-only, and bounded by counts: a history is as long as it likes. */
#include <stdio.h>
#include "base/json.h"
#include "base/str.h"
#include "courier/git/history.h"

#define NEWS_MAX 1000 /* counted so far: more is shown as that */
#define LOG_DEFAULT 200
#define LOG_TEXT_MAX (4u << 20)
#define SUBJECT_MAX 300 /* bytes; a subject can be a whole message */

/* --- branch.news ---------------------------------------------------------------------------- */

/* Commits of the branch that `since` has not; -1 in *ret_count when either does not exist. */
static int count_news(const char *dir, const char *branch, const char *since, int64_t *ret_count,
                      struct err *err)
{
    AUTO_GIT(call);
    AUTO_BUF out = BUF_INIT(4096);
    struct git_outcome outcome;
    struct err ignored = ERR_INIT;
    if (repo_check_branch(branch, err) < 0 || repo_check_commit(since, "the commit", err) < 0)
        return -1;
    git_call_init(&call, dir);
    git_verb(&call, "rev-list");
    git_arg(&call, "--count");
    git_arg_format(&call, "--max-count=%d", NEWS_MAX);
    git_end(&call);
    git_arg_format(&call, "refs/heads/%s", branch);
    git_arg_format(&call, "^%s", since);
    if (git_capture(&call, (struct str){0}, &out, &outcome, err) < 0)
        return -1;
    struct str text = buf_str(&out);
    *ret_count = -1;
    if (outcome.exit_code == 0 &&
        str_to_int(str_cut(&text, '\n'), 0, NEWS_MAX, "count", ret_count, &ignored) < 0)
        *ret_count = -1;
    return 0;
}

int git_branch_news(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    AUTO_JSON *news = json_object();
    size_t i;
    json_t *pair;
    if (repo_open(ask, &dir, err) < 0)
        return -1;
    json_array_foreach(json_list(ask->args, "pairs"), i, pair)
    {
        const char *branch = json_text(pair, "branch");
        int64_t count = -1;
        if (count_news(dir, branch, json_text(pair, "since"), &count, err) < 0)
            return -1;
        json_put(news, branch, count < 0 ? json_null() : json_integer(count));
    }
    *ret_reply = json_object();
    json_put(*ret_reply, "news", TAKE(news));
    return 0;
}

/* --- commit.log ----------------------------------------------------------------------------- */

static struct str cut_subject(struct str subject)
{
    if (subject.length <= SUBJECT_MAX)
        return subject;
    size_t end = SUBJECT_MAX;
    while (end > SUBJECT_MAX - 4 && ((unsigned char)subject.data[end] & 0xc0) == 0x80)
        end--; /* within a character: before it */
    return (struct str){subject.data, end};
}

/* One record of the format below; NULL when there is none. */
static json_t *take_commit(struct str *text)
{
    struct str id = str_cut(text, '\0'), author = str_cut(text, '\0'), at = str_cut(text, '\0'),
               parents = str_cut(text, '\0'), subject = str_cut(text, '\0');
    struct err ignored = ERR_INIT;
    int64_t seconds = 0;
    (void)str_cut(text, '\n');
    if (!str_is_commit(id))
        return NULL;
    if (str_to_int(at, 0, INT64_MAX / 1000, "date", &seconds, &ignored) < 0)
        seconds = 0; /* shown as very old */
    json_t *commit = json_object();
    json_put_str(commit, "id", id);
    json_put_str(commit, "author", cut_subject(author));
    json_put_int(commit, "at", seconds * 1000);
    json_put_str(commit, "subject", cut_subject(subject));
    json_put_bool(commit, "merge",
                  parents.length && memchr(parents.data, ' ', parents.length) != NULL);
    return commit;
}

static json_t *log_reply(struct str text, int64_t limit)
{
    json_t *reply = json_object(), *commits = json_array(), *commit = NULL;
    bool more = false;
    while (text.length > 0 && (commit = take_commit(&text))) {
        more = (int64_t)json_array_size(commits) >= limit;
        if (more)
            json_decref(commit);
        else
            json_push(commits, commit);
    }
    json_put(reply, "commits", commits);
    json_put_bool(reply, "more", more);
    return reply;
}

#define LOG_FORMAT "--format=tformat:%H%x00%an%x00%at%x00%P%x00%s%x00"

static void log_call(struct git_call *call, const char *dir)
{
    git_call_init(call, dir);
    git_verb(call, "log");
    git_arg(call, "--no-show-signature");
    git_arg(call, "--no-decorate");
    git_arg(call, "--encoding=UTF-8");
    git_arg(call, LOG_FORMAT);
}

int history_tell(const char *dir, const char *const *ids, size_t count, json_t **ret_commits,
                 struct err *err)
{
    AUTO_GIT(call);
    AUTO_BUF out = BUF_INIT(LOG_TEXT_MAX);
    log_call(&call, dir);
    git_arg(&call, "--no-walk=unsorted");
    git_end(&call);
    for (size_t i = 0; i < count; i++)
        git_arg(&call, ids[i]);
    if (git_run(&call, (struct str){0}, &out, err) < 0)
        return -1;
    AUTO_JSON *reply = log_reply(buf_str(&out), (int64_t)count);
    *ret_commits = json_incref(json_list(reply, "commits"));
    return 0;
}

int git_commit_log(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    AUTO_GIT(call);
    AUTO_BUF out = BUF_INIT(LOG_TEXT_MAX);
    const char *from = json_text(ask->args, "from"), *to = json_text(ask->args, "to");
    int64_t limit = json_int(ask->args, "limit", LOG_DEFAULT);
    if (repo_open(ask, &dir, err) < 0 || repo_check_commit(from, "the commit", err) < 0 ||
        repo_check_commit(to, "the commit", err) < 0)
        return -1;
    log_call(&call, dir);
    git_arg_format(&call, "--max-count=%lld", (long long)limit + 1);
    git_end(&call);
    git_arg(&call, to);
    git_arg_format(&call, "^%s", from);
    if (git_run(&call, (struct str){0}, &out, err) < 0)
        return -1;
    *ret_reply = log_reply(buf_str(&out), limit);
    return 0;
}
