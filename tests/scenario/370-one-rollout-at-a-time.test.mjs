// F25: a hundred people press at once. One rollout runs, the others are told who holds the env; whoever
// cancels is heard; in the end everything rests.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, until } from '../lib/index.mjs';

const FINAL = ['done', 'reverted', 'failed', 'cancelled'];
let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('test');
    await web.deploy('test');
});
after(() => p?.stop());

const together = (count, act) => Promise.all(Array.from({ length: count }, (_, i) => act(i).then((value) => ({ value }), (error) => ({ error }))));

test('of fifty deploys at once one wins, the others learn who holds the env', async () => {
    const wanted = { kind: 'deploy', release: 1 };
    const outcomes = await together(50, () => web.rolloutStart('test', wanted));
    const won = outcomes.filter((outcome) => outcome.value);
    assert.equal(won.length, 1);
    for (const { error } of outcomes.filter((outcome) => outcome.error)) {
        assert.equal(error.status, 409);
        assert.equal(error.error, 'rollout_active');
        assert.match(error.text, /held by admin/);
    }
    assert.equal((await web.rolloutEnd('test', won[0].value.id)).state, 'done');
    assert.equal((await web.rollouts('test')).length, 3);
});

test('a hundred deploys, rollbacks and cancels in one heap, under load: all end, nothing is lost or doubled', async () => {
    const load = await web.load('test', { rate: 200 }).flowing(50);
    const outcomes = await together(100, async (i) => {
        if (i % 3 === 2) {
            const [newest] = await web.rollouts('test');
            return web.cancel('test', newest.id);
        }
        return web.rolloutStart('test', i % 3 ? { kind: 'rollback' } : { kind: 'deploy', release: 2 });
    });
    for (const { error } of outcomes.filter((outcome) => outcome.error))
        assert.ok([404, 409].includes(error.status), error.message);
    const rows = await until(async () => {
        const all = await web.rollouts('test');
        return all.every((row) => FINAL.includes(row.state)) && all;
    }, 60_000, 'all rollouts end');
    assert.ok(rows.every((row) => row.state !== 'failed'), JSON.stringify(rows));
    await atRest(web, 'test');
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.equal((await p.api.get('/audit/verify')).ok, true);
});

test('a cancel is heard however many ask', async () => {
    await web.ticks('test', 'bad/slow-start');
    const { id } = await web.rolloutStart('test', { kind: 'deploy' });
    await until(async () => (await web.rollout('test', id)).steps.some((step) => step.kind === 'start' && step.state === 'doing'), 30_000, 'it starts');
    const outcomes = await together(20, () => web.cancel('test', id));
    assert.ok(outcomes.some((outcome) => outcome.value));
    assert.equal((await web.rolloutEnd('test', id)).state, 'cancelled');
    await atRest(web, 'test');
});

test('other envs do not wait for it', async () => {
    const slow = await web.rolloutStart('test', { kind: 'deploy' });
    await web.deploy('dev');
    await web.cancel('test', slow.id);
    await web.rolloutEnd('test', slow.id);
    await atRest(web, 'test');
});
