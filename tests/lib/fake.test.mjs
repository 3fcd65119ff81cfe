// The forges of the tests, tested: the vendors' own clients work with them unmodified, so that what they answer is not
// our reading of the documents alone.
import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { after, before, test } from 'node:test';
import { ROOT, Repository, forgeNew, gitOk, leftovers } from './index.mjs';
import { slotRelease, slotTake } from './slot.mjs';

const packages = createRequire(`${ROOT}/web/package.json`);
const { Gitlab } = packages('@gitbeaker/rest');
const { Octokit } = await import(pathToFileURL(`${ROOT}/web/node_modules/@octokit/rest/dist-src/index.js`));
const token = 'secret-token';

let slot, repository;
const forges = [];
before(async () => {
    slot = await slotTake(async (found) => !leftovers(found).length);
    mkdirSync(slot.dir, { recursive: true });
    repository = await Repository.empty(`${slot.dir}/work`);
    for (let i = 0; i < 5; i++)
        await repository.branch(`功能/${i}`, { [`${i}.txt`]: `${i}\n` });
});
after(async () => {
    await Promise.all(forges.map((forge) => forge.close()));
    rmSync(slot.dir, { recursive: true, force: true });
    slotRelease(slot.number);
});

async function with5(kind, options = {}) {
    const forge = await forgeNew(kind, { dir: `${slot.dir}/${kind}-${forges.length}`, ...options });
    forges.push(forge);
    const project = await forge.project('team/shop');
    await gitOk(repository.dir, ['push', '-q', forge.pushUrl(project), '--all']);
    return { forge, project };
}

test('GitLab, by @gitbeaker/rest', async () => {
    const { forge, project } = await with5('gitlab', { page: 2 });
    const api = new Gitlab({ host: forge.url, token });
    assert.equal((await api.Users.showCurrentUser()).username, 'slipway-bot');
    assert.deepEqual((await api.Projects.all({ membership: true })).map((row) => row.path_with_namespace), ['team/shop']);
    const branches = await api.Branches.all('team/shop');
    assert.deepEqual(branches.map((row) => row.name).sort(), ['main', '功能/0', '功能/1', '功能/2', '功能/3', '功能/4'], 'three pages of two');
    const sha = branches[0].commit.id;
    const hook = await api.ProjectHooks.add('team/shop', 'https://slipway.example/api/v1/hooks/shop', { token: 'hook', pushEvents: true });
    assert.deepEqual((await api.ProjectHooks.all('team/shop')).map((row) => row.id), [hook.id]);
    await api.ProjectHooks.edit('team/shop', hook.id, 'https://slipway.example/api/v1/hooks/shop', { token: 'other', pushEvents: true });
    assert.equal(project.hooks[0].token, 'other');
    await api.Commits.editStatus('team/shop', sha, 'success', { name: 'slipway/dev', description: 'r1 is live', targetUrl: 'https://slipway.example/' });
    assert.deepEqual((await api.Commits.allStatuses('team/shop', sha)).map((row) => [row.name, row.status, row.targetUrl ?? row.target_url]), [['slipway/dev', 'success', 'https://slipway.example/']]);
    const merge = await api.MergeRequests.create('team/shop', '功能/1', 'main', 'Release prod/r1');
    assert.deepEqual([merge.iid, merge.state], [1, 'opened']);
    assert.deepEqual((await api.MergeRequests.all({ projectId: 'team/shop', state: 'opened', sourceBranch: '功能/1' })).map((row) => row.iid), [1]);
    await assert.rejects(api.MergeRequests.create('team/shop', '功能/1', 'main', 'again'), (error) => error.cause.response.status === 409);
    await assert.rejects(new Gitlab({ host: forge.url, token: 'wrong' }).Users.showCurrentUser(), (error) => error.cause.response.status === 401);
});

test('GitHub, by @octokit/rest', async () => {
    const { forge, project } = await with5('github', { page: 2 });
    const api = new Octokit({ auth: token, baseUrl: `${forge.url}/api/v3`, log: { debug() {}, info() {}, warn() {}, error() {} } });
    const at = { owner: 'team', repo: 'shop' };
    assert.equal((await api.users.getAuthenticated()).data.login, 'slipway-bot');
    assert.deepEqual((await api.paginate(api.repos.listForAuthenticatedUser)).map((row) => row.full_name), ['team/shop']);
    const branches = await api.paginate(api.repos.listBranches, { ...at, per_page: 2 });
    assert.equal(branches.length, 6, 'three pages of two');
    const sha = branches[0].commit.sha, config = { url: 'https://slipway.example/api/v1/hooks/shop', content_type: 'json', secret: 'hook' };
    const { data: hook } = await api.repos.createWebhook({ ...at, config, events: ['push'] });
    assert.deepEqual((await api.paginate(api.repos.listWebhooks, at)).map((row) => [row.id, row.config.url]), [[hook.id, config.url]]);
    await api.repos.updateWebhook({ ...at, hook_id: hook.id, config: { ...config, secret: 'other' } });
    assert.equal(project.hooks[0].secret, 'other');
    await api.repos.createCommitStatus({ ...at, sha, state: 'success', context: 'slipway/dev', description: 'r1 is live', target_url: 'https://slipway.example/' });
    assert.deepEqual((await api.paginate(api.repos.listCommitStatusesForRef, { ...at, ref: sha })).map((row) => [row.context, row.state]), [['slipway/dev', 'success']]);
    const { data: pull } = await api.pulls.create({ ...at, title: 'Release prod/r1', head: '功能/1', base: 'main' });
    assert.deepEqual([pull.number, pull.state], [1, 'open']);
    assert.deepEqual((await api.pulls.list({ ...at, head: 'team:功能/1' })).data.map((row) => row.number), [1]);
    await assert.rejects(api.pulls.create({ ...at, title: 'again', head: '功能/1', base: 'main' }), { status: 422 });
    await assert.rejects(new Octokit({ auth: 'wrong', baseUrl: `${forge.url}/api/v3`, log: { debug() {}, info() {}, warn() {}, error() {} } }).users.getAuthenticated(), { status: 401 });
});
