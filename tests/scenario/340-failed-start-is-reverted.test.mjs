// Releases that cannot start: each is reverted by itself, says why, and customers notice nothing.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform } from '../lib/index.mjs';

let p, web, load;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => text.replace('deploy_timeout: 10s', 'deploy_timeout: 2s') });
    await web.deploy('test');
    load = await web.load('test', { rate: 200 }).flowing(100);
});
after(async () => {
    await load?.kill();
    await p?.stop();
});

const BAD = { 'bad/exit': 'instance_exited', 'bad/unready': 'instance_not_ready', 'bad/hang': 'instance_not_ready', 'bad/slow-start': 'instance_not_ready' };

for (const [branch, reason] of Object.entries(BAD)) {
    test(`${branch} is reverted: ${reason}`, async () => {
        await web.ticks('test', branch);
        const rollout = await web.deploy('test', {}, { expect: 'reverted' });
        const failed = rollout.steps.find((step) => step.state === 'failed');
        assert.equal(failed.kind, 'start');
        assert.equal(failed.error.error, reason);
        assert.equal(rollout.error.error, reason);
        const status = await atRest(web, 'test');
        assert.equal(status.live_release, 1);
        assert.deepEqual(status.instances.map((row) => row.name).sort(), ['web.test.r1.1', 'web.test.r1.2']);
    });
}

test('whoever waits at the command line gets the reason and an exit code', async () => {
    await web.ticks('test', 'bad/exit');
    const done = await p.cli('deploy', '-a', 'web', '-e', 'test');
    assert.notEqual(done.code, 0);
    assert.match(done.err + done.out, /reverted/);
    assert.match(done.err + done.out, /exit/);
});

test('the output of the instance that could not start is kept', async () => {
    const lines = await web.logs('test', { grep: 'told to exit' });
    assert.ok(lines.length >= 1);
    assert.ok(lines.every((line) => line.release > 1));
});

test('the first release of an env that cannot start leaves nothing behind', async () => {
    await web.ticks('dev', 'bad/exit');
    await web.deploy('dev', {}, { expect: 'reverted' });
    const status = await atRest(web, 'dev');
    assert.equal(status.live_release, 0);
    assert.deepEqual(status.instances, []);
});

test('the customers noticed nothing, and the next good release goes out', async () => {
    const seen = await load.total();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.deepEqual(Object.keys(seen.releases), ['r1']);
    await web.ticks('test', 'feature/a');
    const { release } = await web.deploy('test');
    assert.equal((await atRest(web, 'test')).live_release, release);
    assert.equal((await load.stop()).lost, 0);
});
