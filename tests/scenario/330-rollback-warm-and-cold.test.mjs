// A release turns out bad. Going back needs nothing but this machine: with the courier (and so every
// repository) dead, from instances that are still warm and from files alone, under load, nothing is lost.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { renameSync } from 'node:fs';
import { atRest, instancePids, platform, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => text.replace(/^envs:/m, 'keep_warm: 600s\n\nenvs:') });
    await web.deploy('test');
    await web.deploy('test');
});
after(() => p?.stop());

// The forge is gone: its repositories cannot be found, and its role does not live for long.
async function withoutForge(act) {
    renameSync(`${p.dataDir}/git`, `${p.dataDir}/git.away`);
    try {
        await p.kill('courier');
        return await act();
    } finally {
        renameSync(`${p.dataDir}/git.away`, `${p.dataDir}/git`);
        await p.kill('courier').catch(() => {});
        await until(() => p.ready(), 20_000, 'the courier is back');
    }
}

async function rollbackUnderLoad() {
    const load = await web.load('test', { rate: 300 }).flowing(100);
    const rollout = await withoutForge(() => web.rollback('test'));
    await until(async () => (await load.total()).releases[`r${rollout.release}`]?.ok > 50, 20_000, 'the old release answers');
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    return rollout;
}

test('a rollback to the release that is still warm starts nothing', async () => {
    const { instances } = await web.status('test');
    assert.equal(instances.filter((row) => row.state === 'warm' && row.release === 1).length, 2);
    const rollout = await rollbackUnderLoad();
    assert.equal(rollout.release, 1);
    assert.equal(rollout.steps.some((step) => ['build', 'prepare', 'start'].includes(step.kind)), false);
    assert.equal((await atRest(web, 'test')).live_release, 1);
});

test('the release that was left is marked bad: nobody deploys it again by accident', async () => {
    assert.deepEqual((await web.releases('test')).map((row) => [row.number, row.bad]), [[2, true], [1, false]]);
    await assert.rejects(web.deploy('test', { release: 2 }), { error: 'release_bad' });
});

test('a rollback to a release of which only files are left starts it from them', async () => {
    await web.deploy('test');
    await web.deploy('test');
    const gone = async () => !(await web.status('test')).instances.some((row) => row.release === 1);
    await until(gone, 30_000, 'nothing of r1 runs');
    const load = await web.load('test', { rate: 300 }).flowing(100);
    const done = await withoutForge(() => p.cli('rollback', 1, '-a', 'web', '-e', 'test'));
    assert.equal(done.code, 0, done.err);
    await until(async () => (await load.total()).releases.r1.ok > 50, 20_000, 'r1 answers');
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    const [{ id }] = await web.rollouts('test');
    assert.ok((await web.rollout('test', id)).steps.some((step) => step.kind === 'start'));
    assert.equal((await atRest(web, 'test')).live_release, 1);
});

test('core dies in the middle of a rollback: it ends all the same', async () => {
    await web.deploy('test');
    const load = await web.load('test', { rate: 300 }).flowing(100);
    const { id } = await web.rolloutStart('test', { kind: 'rollback', release: 1 });
    await p.kill('core');
    await until(() => p.ready(), 20_000, 'core is back');
    assert.equal((await web.rolloutEnd('test', id)).state, 'done');
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.equal((await atRest(web, 'test')).live_release, 1);
});

// Rows say "warm"; what they speak of has just died, and host is only about to start it again.
test('warm instances that died get no traffic: others take their place', async () => {
    const { live_release: good } = await web.status('test');
    await web.deploy('test');
    const load = await web.load('test', { rate: 300 }).flowing(100);
    for (const { pid } of instancePids(p, 'web', 'test').filter((row) => row.release === `r${good}`))
        process.kill(pid, 'SIGKILL');
    assert.equal((await web.rollback('test')).release, good);
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.equal((await atRest(web, 'test')).live_release, good);
});

test('a rollback of a rollback ends on the release that was asked for', async () => {
    const { targets } = await web.status('test');
    assert.equal(targets.includes(1), false);
    const rollout = await web.rollback('test', { release: targets[0] });
    assert.equal(rollout.release, targets[0]);
    assert.equal((await atRest(web, 'test')).live_release, targets[0]);
});

test('where there is no earlier release, a rollback says so', async () => {
    await web.deploy('dev');
    await assert.rejects(web.rollback('dev'), { status: 404, error: 'no_rollback_target' });
});

test('an app can be taken out of service, brought back, and in the end removed', async () => {
    const { live_release: live } = await web.status('test');
    const stopped = await p.cli('stop', '-a', 'web', '-e', 'test');
    assert.equal(stopped.code, 0, stopped.err);
    assert.match(stopped.out, /nothing is live in test/);
    assert.equal((await web.get('test', '/up')).status, 503);
    assert.deepEqual((await web.status('test')).instances, []);
    assert.deepEqual(instancePids(p, 'web', 'test'), []);
    const again = await p.cli('stop', '-a', 'web', '-e', 'test');
    assert.notEqual(again.code, 0);
    assert.match(again.err, /nothing is live/);
    assert.equal((await web.rollback('test', { release: live })).release, live);
    assert.equal((await web.get('test', '/up')).status, 200);
    const refused = await p.cli('app', 'remove', 'web');
    assert.match(refused.err, /slipway stop/);
    for (const env of ['dev', 'test'])
        assert.equal((await p.cli('stop', '-a', 'web', '-e', env)).code, 0);
    const removed = await p.cli('app', 'remove', 'web');
    assert.equal(removed.code, 0, removed.err);
    assert.deepEqual((await p.api.get('/apps')).items, []);
});
