// One switch for all: every new instance is ready before the first request reaches one, then all traffic
// moves together.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, switchOf, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('prod');
    // A reload for the first certificate may still be under way: connections kept open with the process before it
    // get one more answer each from what was live then.
    await until(async () => {
        const { checks } = await p.api.get('/doctor');
        return /\b0 older/.test(checks.find((check) => check.name === 'edge').text) && checks.every((check) => check.ok);
    }, 60_000, 'the edge is one process');
});
after(() => p?.stop());

test('slipway plan shows one start, one route, one drain', async () => {
    const { steps } = await web.plan('prod', { kind: 'deploy', strategy: 'all-at-once' });
    assert.deepEqual(steps.map((step) => step.kind), ['build', 'prepare', 'start', 'route', 'drain', 'finish']);
});

test('all traffic moves at one moment and nothing is lost', async () => {
    const load = await web.load('prod', { rate: 400 }).flowing(200);
    await load.mark();
    const done = await p.cli('deploy', '-a', 'web', '-e', 'prod', '--strategy', 'all-at-once');
    assert.equal(done.code, 0, done.err);
    await until(async () => (await load.report()).releases.r2?.ok > 100, 20_000, 'r2 answers');
    const report = await load.report();
    const { firstNewMs, lastOldSentMs } = switchOf(report, 'r2');
    assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    // what r1 answered was begun before r2 had answered anything
    assert.ok(lastOldSentMs <= firstNewMs, `${lastOldSentMs} ${firstNewMs}`);
    assert.equal((await atRest(web, 'prod')).live_release, 2);
});

test('the file says it for pre: two instances, one batch', async () => {
    const { steps } = await web.deploy('pre');
    assert.equal(steps.filter((step) => step.kind === 'start').length, 1);
    const { instances } = await atRest(web, 'pre');
    assert.equal(instances.length, 2);
});

test('one bad instance of four keeps all the traffic where it is', async () => {
    await web.ticks('prod', 'bad/exit');
    const load = await web.load('prod', { rate: 200 }).flowing(50);
    await web.deploy('prod', { strategy: 'all-at-once' }, { expect: 'reverted' });
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.deepEqual(Object.keys(seen.releases), ['r2']);
    assert.equal((await atRest(web, 'prod')).live_release, 2);
});
