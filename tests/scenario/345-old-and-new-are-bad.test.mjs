// F07: what runs is sick, and what is to replace it is sick too. The rollout stops and goes back, what still
// answers goes on answering, nobody scales it to nothing; and when the new one is mended, it heals all.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, instancePids, platform, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('test');
});
after(() => p?.stop());

// Until the probe has found it out, a request may reach the one that hangs.
async function sick(instance) {
    process.kill(instance.pid, 'SIGSTOP');
    await until(async () => (await web.status('test')).instances.some((row) => row.name === instance.instance && row.health === 'unready'), 15_000, 'the probe has found it out');
}

for (const bad of ['bad/unready', 'bad/exit', 'bad/fails-later']) {
    test(`half of the old hangs, and ${bad} is released: it goes back, and somebody always answers`, async () => {
        const [first] = instancePids(p, 'web', 'test');
        await sick(first);
        const load = await web.load('test', { rate: 50 }).flowing(20);
        await web.ticks('test', bad);
        const { state } = await web.deploy('test', {}, { expect: null });
        const { live_release: live, instances } = await web.status('test');
        assert.ok(instances.some((row) => row.state === 'serving'), JSON.stringify(instances));
        if (bad !== 'bad/fails-later') { // that one is ready when it is asked
            assert.notEqual(state, 'done');
            assert.equal(live, 1);
            assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
        } else {
            await load.kill();
        }
        await web.ticks('test');
        if (live !== 1)
            await web.deploy('test', { release: 1 });
        await until(async () => (await atRest(web, 'test')).instances.filter((row) => row.state === 'serving').length === 2, 60_000, 'what hung was replaced');
    });
}

test('a good version heals all', async () => {
    const [first] = instancePids(p, 'web', 'test');
    await sick(first);
    await web.deploy('test');
    await atRest(web, 'test');
    assert.equal((await web.get('test', '/up')).status, 200);
    assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []);
});
