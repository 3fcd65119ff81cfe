// The first day of an app: nothing serves, a plan is read, a deploy is typed, pages come.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readFileSync } from 'node:fs';
import { atRest, instancePids, platform, processes } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
});
after(() => p?.stop());

const states = (instances) => instances.map(({ name, state }) => `${name} ${state}`).sort();

test('before the first deploy the edge knows no such host', async () => {
    const reply = await web.get('dev', '/');
    assert.equal(reply.status, 421);
    assert.equal((await web.status('dev')).live_release, 0);
});

test('a plan tells every step and does nothing', async () => {
    const { steps } = await web.plan('test');
    assert.deepEqual(steps.map((step) => step.kind), ['build', 'prepare', 'start', 'route', 'finish']);
    assert.equal(steps[2].text, 'start 2 instances of r1 and wait until ready');
    assert.deepEqual(await web.rollouts('test'), []);
    assert.deepEqual((await p.api.get('/apps/web/envs/test/builds')).items, []);
});

test('slipway deploy ends with exit code 0 when the release is live', async () => {
    const done = await p.cli('deploy', '-a', 'web', '-e', 'dev');
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, /r1 is live/);
    assert.equal((await web.who('dev')).release, 'r1');
    assert.deepEqual(states((await atRest(web, 'dev')).instances), ['web.dev.r1.1 serving']);
});

test('the second release is built anew, says that the source is the same, and keeps the first warm', async () => {
    const rollout = await web.deploy('dev');
    assert.equal(rollout.release, 2);
    assert.deepEqual(rollout.steps.map((step) => step.state).filter((state) => state !== 'done'), []);
    const build = await p.api.get('/apps/web/envs/dev/builds/2');
    assert.equal(build.same_as, 1);
    assert.deepEqual(states((await atRest(web, 'dev')).instances), ['web.dev.r1.1 warm', 'web.dev.r2.1 serving']);
    assert.equal((await web.who('dev')).release, 'r2');
});

test('a release that was made earlier is deployed by its number, without a build', async () => {
    const rollout = await web.deploy('dev', { release: 1 });
    assert.equal(rollout.steps.some((step) => step.kind === 'build'), false);
    assert.equal((await web.who('dev')).release, 'r1');
    assert.equal((await atRest(web, 'dev')).live_release, 1);
    const monitors = processes().filter(({ command }) => /conmon$/.test(command[0] ?? '') && command.some((word) => word.includes(p.dir)));
    const nice = (pid) => Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')[16]);
    assert.ok(monitors.length > 0);
    for (const { pid } of [...instancePids(p, 'web', 'dev'), ...monitors])
        assert.equal(nice(pid), 0); // what makes them is quicker than others, they are not
});

test('status and history tell it all', async () => {
    const status = await p.cli.ok('status', '-a', 'web', '-e', 'dev');
    assert.match(status, /r1/);
    assert.match(await p.cli.ok('history', 'rollouts', '-a', 'web', '-e', 'dev'), /deploy/);
    const releases = await web.releases('dev');
    assert.deepEqual(releases.map((row) => row.number), [2, 1]);
    assert.equal((await web.rollouts('dev')).every((row) => row.state === 'done'), true);
});

test('the other envs have seen nothing of it', async () => {
    for (const env of ['test', 'pre', 'prod'])
        assert.equal((await web.get(env, '/')).status, 421, env);
});
