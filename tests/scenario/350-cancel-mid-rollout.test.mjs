// Somebody changes their mind: a rollout is cancelled at its build, its start, its drain, and each time
// the release before is whole again and no customer has lost a request.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => text.replace('deploy_timeout: 10s', 'deploy_timeout: 60s') });
    await web.deploy('prod');
});
after(() => p?.stop());

const stepOf = (rollout) => rollout.steps[rollout.step]?.kind;

async function cancelAt(kind) {
    const load = await web.load('prod', { rate: 200 }).flowing(50);
    const { id } = await web.rolloutStart('prod', { kind: 'deploy' });
    await until(async () => stepOf(await web.rollout('prod', id)) === kind, 60_000, `the rollout is at ${kind}`);
    await web.cancel('prod', id);
    const ended = await web.rolloutEnd('prod', id);
    const seen = await load.stop();
    assert.equal(ended.state, 'cancelled');
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    const status = await atRest(web, 'prod');
    assert.equal(status.live_release, 1);
    assert.equal(status.instances.filter((row) => row.state === 'serving').length, 4);
    return ended;
}

test('cancelled while it builds: nothing was touched', async () => {
    const ended = await cancelAt('build');
    assert.equal((await p.api.get(`/apps/web/envs/prod/builds/${ended.request.build_id}`)).state, 'cancelled');
    assert.equal((await web.releases('prod')).length, 1);
});

test('cancelled while instances start that never get ready', async () => {
    await web.ticks('prod', 'bad/slow-start');
    await cancelAt('start');
    await web.ticks('prod');
});

test('cancelled half way: those that had given way take their traffic back', async () => {
    const slow = Array.from({ length: 12 }, () => web.get('prod', '/slow?ms=8000')); // keep the drain waiting
    const ended = await cancelAt('drain');
    assert.ok(ended.steps.some((step) => step.kind === 'route' && step.state === 'done'));
    for (const reply of await Promise.all(slow))
        assert.equal(reply.status, 200);
});

test('a rollout that is over cannot be cancelled', async () => {
    const [{ id }] = await web.rollouts('prod');
    await assert.rejects(web.cancel('prod', id), { status: 409, error: 'state_conflict' });
});

test('cancel at the command line, and the next deploy works', async () => {
    await web.ticks('prod', 'bad/unready');
    const { id } = await web.rolloutStart('prod', { kind: 'deploy' });
    await until(async () => stepOf(await web.rollout('prod', id)) === 'start', 60_000, 'it starts instances');
    await p.cli.ok('cancel', '-a', 'web', '-e', 'prod');
    assert.equal((await web.rolloutEnd('prod', id)).state, 'cancelled');
    await web.ticks('prod', 'feature/a');
    const { release } = await web.deploy('prod');
    assert.equal((await atRest(web, 'prod')).live_release, release);
});
