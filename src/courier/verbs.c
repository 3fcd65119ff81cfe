/* The verbs core may ask for (wire/courier.h), each with its handler. */
#include "courier/courier_priv.h"
#include "base/json.h"
#include "base/log.h"
#include "courier/forge/forge.h"

/* A larger epoch replaces the channel, a smaller one is an older core that must give way. */
static void hello(void *context, struct message *m)
{
    struct courier *c = context;
    struct err err = ERR_INIT;
    int64_t epoch = json_int(m->args, "epoch", 0);
    int64_t protocol = json_int(m->args, "protocol", 0);
    if (protocol != WIRE_PROTOCOL && protocol != WIRE_PROTOCOL - 1)
        (void)FAIL(&err, E_PROTOCOL, "protocol %lld is not spoken here", (long long)protocol);
    else if (epoch < c->epoch)
        (void)FAIL(&err, E_EPOCH_STALE, "a newer core is connected");
    if (err.kind) {
        message_fail(m, &err);
        return;
    }
    struct channel *older = c->core;
    c->epoch = epoch;
    c->core = m->channel;
    json_t *reply = json_object();
    json_put_int(reply, "protocol", WIRE_PROTOCOL);
    json_put_text(reply, "git", c->git_version);
    json_put_text(reply, "merge_rules", GIT_MERGE_RULES);
    message_ok(m, reply);
    log_info("core is connected", F_INT("epoch", epoch));
    if (older && older != m->channel)
        channel_free(older);
}

static void dump(void *context, struct message *m)
{
    struct courier *c = context;
    json_t *reply = json_object();
    json_t *all = json_object();
    json_put_int(all, "epoch", c->epoch);
    json_put(all, "jobs", job_dump(c));
    json_put(all, "hosting", c->hosting ? git_hosting_dump(c->hosting) : json_object());
    json_put(reply, "dump", all);
    message_ok(m, reply);
}

/* What goes outside may take long: it shall not stand in the way of what does not. */
static enum job_class class_of(const struct message *m, enum job_class here)
{
    return json_object_get(m->args, "remote") ? JOB_REMOTE : here;
}

static void repo_create(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_repo_create);
}
static void repo_delete(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_repo_delete);
}
static void branch_list(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_branch_list);
}
static void branch_tips(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_branch_tips);
}
static void branch_news(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_branch_news);
}
static void branch_touching(void *context, struct message *m)
{
    job_answer(context, m, JOB_FACTS, git_branch_touching);
}
static void commit_log(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_commit_log);
}
static void branch_create(void *context, struct message *m)
{
    job_answer(context, m, class_of(m, JOB_QUICK), git_branch_create);
}
static void branch_delete(void *context, struct message *m)
{
    job_answer(context, m, class_of(m, JOB_QUICK), git_branch_delete);
}
static void integrate(void *context, struct message *m)
{
    job_answer(context, m, JOB_MERGE, git_integrate);
}
static void merge_facts(void *context, struct message *m)
{
    job_answer(context, m, JOB_FACTS, git_merge_facts);
}
static void resolve_open(void *context, struct message *m)
{
    job_answer(context, m, class_of(m, JOB_MERGE), git_resolve_open);
}
static void resolve_fold(void *context, struct message *m)
{
    job_answer(context, m, class_of(m, JOB_MERGE), git_resolve_fold);
}
static void resolve_states(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_resolve_states);
}
static void ref_publish(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_ref_publish);
}
static void ref_land(void *context, struct message *m)
{
    job_answer(context, m, class_of(m, JOB_QUICK), git_ref_land);
}
static void ref_retain(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_ref_retain);
}
static void file_read(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_file_read);
}
static void export(void *context, struct message *m)
{
    job_answer(context, m, JOB_EXPORT, git_export);
}
static void remote_look(void *context, struct message *m)
{
    job_answer(context, m, JOB_FORGE, git_remote_look);
}
static void remote_fetch(void *context, struct message *m)
{
    job_answer(context, m, JOB_REMOTE, git_remote_fetch);
}
static void on_forge_user(void *context, struct message *m)
{
    job_answer(context, m, JOB_FORGE, forge_user);
}
static void on_forge_projects(void *context, struct message *m)
{
    job_answer(context, m, JOB_FORGE, forge_projects);
}
static void on_forge_branches(void *context, struct message *m)
{
    job_answer(context, m, JOB_FORGE, forge_branches);
}
static void on_forge_hook(void *context, struct message *m)
{
    job_answer(context, m, JOB_FORGE, forge_hook);
}
static void on_forge_status(void *context, struct message *m)
{
    job_answer(context, m, JOB_FORGE, forge_status);
}
static void on_forge_merge(void *context, struct message *m)
{
    job_answer(context, m, JOB_FORGE, forge_merge);
}
static void df(void *context, struct message *m)
{
    job_answer(context, m, JOB_QUICK, git_repo_df);
}

const struct message_verb courier_verbs[] = {
    {WIRE("hello", courier_hello), 0, hello},
    {WIRE("repo.create", courier_repo_create), 0, repo_create},
    {WIRE("repo.delete", courier_repo_delete), 0, repo_delete},
    {WIRE("branch.list", courier_branch_list), 0, branch_list},
    {WIRE("branch.tips", courier_branch_tips), 0, branch_tips},
    {WIRE("branch.news", courier_branch_news), 0, branch_news},
    {WIRE("branch.touching", courier_branch_touching), 0, branch_touching},
    {WIRE("commit.log", courier_commit_log), 0, commit_log},
    {WIRE("branch.create", courier_branch_create), -1, branch_create},
    {WIRE("branch.delete", courier_branch_delete), -1, branch_delete},
    {WIRE("integrate", courier_integrate), 0, integrate},
    {WIRE("merge.facts", courier_merge_facts), 0, merge_facts},
    {WIRE("resolve.open", courier_resolve_open), -1, resolve_open},
    {WIRE("resolve.fold", courier_resolve_fold), -1, resolve_fold},
    {WIRE("resolve.states", courier_resolve_states), 0, resolve_states},
    {WIRE("ref.publish", courier_ref_publish), 0, ref_publish},
    {WIRE("ref.land", courier_ref_land), -1, ref_land},
    {WIRE("ref.retain", courier_ref_retain), 0, ref_retain},
    {WIRE("file.read", courier_file_read), 0, file_read},
    {WIRE("export", courier_export), 1, export},
    {WIRE("remote.look", courier_remote_look), -1, remote_look},
    {WIRE("remote.fetch", courier_remote_fetch), -1, remote_fetch},
    {WIRE("forge.user", courier_forge_user), -1, on_forge_user},
    {WIRE("forge.projects", courier_forge_projects), -1, on_forge_projects},
    {WIRE("forge.branches", courier_forge_branches), -1, on_forge_branches},
    {WIRE("forge.hook", courier_forge_hook), -1, on_forge_hook},
    {WIRE("forge.status", courier_forge_status), -1, on_forge_status},
    {WIRE("forge.merge", courier_forge_merge), -1, on_forge_merge},
    {WIRE("df", courier_df), 0, df},
    {WIRE("dump", courier_dump), 0, dump},
};
const size_t courier_verb_count = sizeof(courier_verbs) / sizeof(courier_verbs[0]);
