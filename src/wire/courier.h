/* core -> courier, and courier -> core on the same channel. Branch names travel without
 * refs/heads/; commits are 40 hex digits. All verbs are idempotent.
 *
 * hello: first verb; reply {"protocol","git": its version,"merge_rules"}: what an integration
 * depends on besides its commits. */
#pragma once
#include "wire/verb.h"

WIRE_TABLE courier_hello[] = {WIRE_INT("protocol", 1, 1000), WIRE_INT("epoch", 1, WIRE_ANY)};
/* repo.create: an empty bare repository with that trunk as HEAD. reply {}. repo.delete: moves it
 * away, removes it lazily. */
WIRE_TABLE courier_repo_create[] = {WIRE_TEXT("app", 40), WIRE_TEXT("trunk", 200)};
WIRE_TABLE courier_repo_delete[] = {WIRE_TEXT("app", 40)};
/* branch.list: reply {"trunk": commit or null, "branches": [{"name","tip","author","email","at"
 * (ms),"subject", "ahead","behind"}], "more": bool, "next": text or null}; trunk first, then newest
 * first; at most `limit`, those behind `after` (a "next"). */
WIRE_TABLE courier_branch_list[] = {
    WIRE_TEXT("app", 40), WIRE_TEXT("trunk", 200), WIRE_INT_OPTIONAL("limit", 1, 5000),
    WIRE_TEXT_OPTIONAL("match", 200), WIRE_TEXT_OPTIONAL("after", 250)};
/* branch.tips: reply {"tips": {"name": commit or null}} */
WIRE_TABLE courier_branch_tips[] = {WIRE_TEXT("app", 40), WIRE_LIST("names", 1000)};
/* branch.news: how many commits each branch has that a commit has not. pairs: [{"branch","since"}];
 * reply {"news": {"name": n, 1000 for more, or null: either does not exist}} */
WIRE_TABLE courier_branch_news[] = {WIRE_TEXT("app", 40), WIRE_LIST("pairs", 100)};
/* branch.touching: which of them change a file whose path holds this text, since they left base.
 * ticks: [{"branch","tip"}]; reply {"branches": [{"branch","files": [20 at most],"file_count"}]} */
WIRE_TABLE courier_branch_touching[] = {WIRE_TEXT("app", 40), WIRE_TEXT("base", 40),
                                        WIRE_LIST("ticks", 100), WIRE_TEXT("path", 500)};
/* commit.log: commits that `to` reaches and `from` does not, newest first. reply {"commits":
 * [{"id","author","at" (ms),"subject" (300 bytes at most),"merge": bool}], "more": bool} */
WIRE_TABLE courier_commit_log[] = {WIRE_TEXT("app", 40), WIRE_TEXT("from", 40), WIRE_TEXT("to", 40),
                                   WIRE_INT_OPTIONAL("limit", 1, 1000)};
/* branch.create: from a branch or a commit. reply {"tip"}; exists, branch_unknown, ref_invalid */
WIRE_TABLE courier_branch_create[] = {WIRE_TEXT("app", 40), WIRE_TEXT("name", 200),
                                      WIRE_TEXT("from", 200), WIRE_OBJECT_OPTIONAL("remote")};
WIRE_TABLE courier_branch_delete[] = {WIRE_TEXT("app", 40), WIRE_TEXT("name", 200),
                                      WIRE_TEXT_OPTIONAL("expect", 40),
                                      WIRE_OBJECT_OPTIONAL("remote")};
/* integrate: trunk tip + ordered tips -> one commit; a pure function (fixed author, date of the
 * newest input), nothing is published. ticks: [{"branch","tip","good": the tip that was merged the
 * last time (optional)}]; base: commit. policy: at a conflict "stop" (default), "skip": leave the
 * branch out, or "last-good": take that tip, or else leave it out. reply
 * {"commit","tree","merged": n, "skipped": [names already contained], "ticks": what is in, "out":
 * [a conflict as below, with "tip"], "resolutions": [RESOLUTION, see below], "ms"} or, with "stop",
 * {"conflict":
 * {"branch", "why": "trunk"|"pair"|"together", "against": [names it conflicts with, trunk's for
 * trunk; together: all of them are needed], "files": [paths], "text"}}; branch_unknown when a tip
 * is absent. */
WIRE_TABLE courier_integrate[] = {WIRE_TEXT("app", 40),
                                  WIRE_TEXT("trunk", 200),
                                  WIRE_TEXT("base", 40),
                                  WIRE_LIST("ticks", 100),
                                  WIRE_TEXT_OPTIONAL("policy", 20),
                                  WIRE_LIST_OPTIONAL("resolutions", 20)};
/* merge.facts: what is to be known of a set before anybody integrates it. live: the commit that the
 * last env runs. reply {"in": [names that merge, one after the other, when those that conflict are
 * left out], "contained": [names already there], "out": [{"branch","tip","why","against"}: as in a
 * conflict above], "frees": [{"branch","frees": [names that would be in without it],
 * "costs": [names that would not, because of those]}], "tree",
 * "pairs": [PAIR with "a","b": names,"resolved": the resolution used for them, or null],
 * "pair_count", "trunk": [PAIR with "branch": it conflicts with trunk alone], "live": [the same,
 * with what is live], "resolutions": [RESOLUTION], "merges": how many were made, "ms"} PAIR:
 * {"files": [{"path","hunks","lines": "88-97, 120"}], "file_count", "hunks", "text", "first": [the
 * first commit of each side that conflicts: {"id","author","at","subject","merge"}]} */
WIRE_TABLE courier_merge_facts[] = {
    WIRE_TEXT("app", 40),    WIRE_TEXT("trunk", 200),        WIRE_TEXT("base", 40),
    WIRE_LIST("ticks", 100), WIRE_TEXT_OPTIONAL("live", 40), WIRE_LIST_OPTIONAL("resolutions", 20)};
/* A RESOLUTION is a branch in which people have merged branches that conflict, its sides. As an
 * argument: {"branch","tip" (absent: it is gone),"opened": the commit that it began with, "files":
 * [those that conflicted],"sides": [{"branch","tip": when it was opened,"now" (absent: gone)}]}.
 * In a reply: {"branch","tip","sides": [names],"state","side": whose doing that is, or null,
 * "text": why, or null,"against": [names], of one that conflicts}. States:
 *   waiting    to be resolved: nothing pushed yet, markers left, or a side is not in it
 *   ready      it can be used, but this set lacks a side, or holds an older commit of one
 *   used       it is merged, before the branches
 *   conflicts  it would be, but it conflicts itself
 *   landed     a side is on trunk          moved_off  a side was pushed over, or is gone
 *   gone       its branch was deleted
 *
 * resolve.open: a new branch `name` with a commit of our own, which merges the sides (branches) and
 * has the conflict in it. Asked again it finds it, or takes the place of one that nobody has worked
 * on. reply {"branch","tip","sides": [{"branch","tip"}],"files","file_count"}; state_conflict: they
 * merge; exists; branch_unknown */
WIRE_TABLE courier_resolve_open[] = {WIRE_TEXT("app", 40), WIRE_TEXT("name", 200),
                                     WIRE_LIST("sides", 8), WIRE_OBJECT_OPTIONAL("remote")};
/* resolve.fold: a branch gets what is in a resolution, whose branch goes; asked again it is
 * unknown. reply {"tip": of `into`,"moved": false: it had it}; state_conflict: it is not resolved
 * yet; ref_changed; merge_conflict; branch_unknown */
WIRE_TABLE courier_resolve_fold[] = {WIRE_TEXT("app", 40), WIRE_OBJECT("resolution"),
                                     WIRE_TEXT("into", 200), WIRE_OBJECT_OPTIONAL("remote")};
/* resolve.states: what may be said of them without a set. base: trunk's tip. reply
 * {"resolutions": [RESOLUTION]} */
WIRE_TABLE courier_resolve_states[] = {WIRE_TEXT("app", 40), WIRE_TEXT("base", 40),
                                       WIRE_LIST("resolutions", 20)};
/* A REMOTE is a repository elsewhere, and a FORGE where such ones live: {"url","kind": git, gitlab,
 * github, gitea,"login","ca","known_hosts" (texts or null),"inside": it may be at a private
 * address}; what we are there comes with the call, by an fd (courier/outside.h). A verb that
 * changes branches or tags and is given "remote" changes them there first; ref_protected,
 * ref_changed, forge_denied, unavailable: then nothing has changed here.
 *
 * remote.look: what is there. reply {"url","trunk": its branch, or null,"branches": n,"tags": n} */
WIRE_TABLE courier_remote_look[] = {WIRE_OBJECT("remote")};
/* remote.fetch: its branches and tags become ours. reply {"refs": [{"ref","old","new"}: what moved,
 * 1000 at most],"count": all of them,"trunk": as above,"skipped": [some of the names that we do not
 * take],"skipped_count"}; events: progress {"stage": counting, compressing, receiving or
 * resolving,"percent"} */
WIRE_TABLE courier_remote_fetch[] = {WIRE_TEXT("app", 40), WIRE_OBJECT("remote")};
/* Verbs of a forge. A reply may be {"wait_s"} instead: asked too often.
 *
 * forge.user: reply {"name": whose the token is} */
WIRE_TABLE courier_forge_user[] = {WIRE_OBJECT("forge")};
/* forge.projects: reply {"projects": [{"project": its path,"trunk","url","ssh","archived"}],"next":
 * page or null} */
WIRE_TABLE courier_forge_projects[] = {WIRE_OBJECT("forge"), WIRE_TEXT_OPTIONAL("match", 200),
                                       WIRE_INT_OPTIONAL("page", 1, 100000)};
/* forge.branches: reply {"branches": [{"name","tip","protected": we may not push there}],"next"} */
WIRE_TABLE courier_forge_branches[] = {WIRE_OBJECT("forge"), WIRE_TEXT("project", 500),
                                       WIRE_INT_OPTIONAL("page", 1, 100000)};
/* forge.hook: a webhook that calls url with the secret "hook", made, or changed to that. reply {}
 */
WIRE_TABLE courier_forge_hook[] = {WIRE_OBJECT("forge"), WIRE_TEXT("project", 500),
                                   WIRE_TEXT("url", 1000)};
/* forge.status: what became of a commit. state: pending, success, failure, error. reply {} */
WIRE_TABLE courier_forge_status[] = {WIRE_OBJECT("forge"),     WIRE_TEXT("project", 500),
                                     WIRE_TEXT("commit", 40),  WIRE_TEXT("state", 10),
                                     WIRE_TEXT("context", 60), WIRE_TEXT("text", 140),
                                     WIRE_TEXT("link", 1000)};
/* forge.merge: a merge request of a branch into another, the open one or a new one. reply
 * {"number","link","state"} */
WIRE_TABLE courier_forge_merge[] = {WIRE_OBJECT("forge"),     WIRE_TEXT("project", 500),
                                    WIRE_TEXT("source", 200), WIRE_TEXT("target", 200),
                                    WIRE_TEXT("title", 200),  WIRE_TEXT_OPTIONAL("text", 4000)};
/* ref.publish: compare-and-swap of a hidden ref below refs/slipway/ (expect: commit, or "" for
 * absent). E_REF_CHANGED */
WIRE_TABLE courier_ref_publish[] = {WIRE_TEXT("app", 40), WIRE_TEXT("ref", 250),
                                    WIRE_TEXT("commit", 40), WIRE_TEXT_OPTIONAL("expect", 40)};
/* ref.land: trunk moves forward onto a commit that contains all of it, and a tag names that commit.
 * look: only when trunk has it by now (people merged it elsewhere), else state_conflict.
 * Asked again, it finds that done. reply {"from": trunk's tip before, "moved": false: trunk had it,
 * "squashed": not the commit, but all that is in it,"tag": its name, with the
 * commit's number behind it when the tag was another commit's,"tips": {"name": commit or null} of
 * `branches`}; ref_changed: trunk has more than the commit; exists: both tags are other commits'.
 * Without a tag none is made. */
WIRE_TABLE courier_ref_land[] = {WIRE_TEXT("app", 40),       WIRE_TEXT("trunk", 200),
                                 WIRE_TEXT("commit", 40),    WIRE_TEXT_OPTIONAL("tag", 200),
                                 WIRE_LIST("branches", 100), WIRE_OBJECT_OPTIONAL("remote"),
                                 WIRE_BOOL_OPTIONAL("look")};
/* ref.retain: of the refs of builds, refs/slipway/ENV/bN, those up to b`newest` go that are not in
 * `keep` (numbers). What only they held is collected two days later. reply {"removed"} */
WIRE_TABLE courier_ref_retain[] = {WIRE_TEXT("app", 40), WIRE_TEXT("env", 40),
                                   WIRE_INT("newest", 1, WIRE_ANY), WIRE_LIST("keep", 10000)};
/* file.read: reply {"text" (UTF-8) } ; not_found; path_escapes when it is a link; too_large */
WIRE_TABLE courier_file_read[] = {WIRE_TEXT("app", 40), WIRE_TEXT("commit", 40),
                                  WIRE_TEXT("path", 1000), WIRE_INT_OPTIONAL("max", 1, 4194304)};
/* export: write the tree as a pax tar to the fd, close it, reply {"files","bytes"}. Links are kept
 * as links, submodules are E_SUBMODULE_REFUSED, limits: 500,000 entries, 4 GiB, depth 64
 * (E_REPO_TOO_LARGE). */
WIRE_TABLE courier_export[] = {WIRE_TEXT("app", 40), WIRE_TEXT("commit", 40)};
WIRE_TABLE courier_df[] = {
    WIRE_BOOL_OPTIONAL("all")}; /* reply {"repositories": [{"app","bytes"}]} */
WIRE_TABLE courier_dump[] = {WIRE_BOOL_OPTIONAL("all")};

/* courier -> core. git.authorize: may this person do this? user/secret as in HTTP basic.
 *   refs: for a push [{"ref": full name, "old", "new", "force": bool}], empty for a fetch
 * reply {"allowed": true, "user"}; or error unauthenticated (ask for a password), denied (text says
 * why), not_found */
WIRE_TABLE courier_git_authorize[] = {
    WIRE_TEXT("app", 40), WIRE_TEXT("service", 20) /* fetch | push */,
    WIRE_TEXT_OPTIONAL("user", 100), WIRE_TEXT_OPTIONAL("secret", 300), WIRE_LIST("refs", 1000)};
/* Notice repo.changed: after a push: {"app", "user", "refs": [{"ref","old","new"}]} */
WIRE_TABLE courier_repo_changed[] = {WIRE_TEXT("app", 40), WIRE_TEXT_OPTIONAL("user", 100),
                                     WIRE_LIST("refs", 1000)};
