// F01, F05: core is killed once at each side effect of a deploy and of a rollback, under load. Each time it
// comes back, the rollout ends done or reverted, nothing runs twice, nothing is left, no request is lost.
// Needs a build with failpoints. `./bench resume` kills at every passing, and at I/O calls besides.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, until } from '../lib/index.mjs';

let p, web, load, failpoints;
before(async () => {
    p = await platform();
    failpoints = Object.keys(await hits()).length > 0;
    if (!failpoints)
        return;
    web = await p.app('web', 'server', { yaml: (text) => text.replace(/^envs:/m, 'keep_warm: 0s\n\nenvs:') });
    await web.deploy('test');
    await web.deploy('test');
    load = await web.load('test', { rate: 100 }).flowing(50);
});
after(() => p?.stop());

async function hits() {
    return (await p.api.get('/debug/faults')).points;
}

const ACTS = {
    deploy: () => ({ kind: 'deploy' }),
    rollback: ({ targets }) => ({ kind: 'rollback', release: targets[0] }),
};

async function begin(act) {
    return web.rolloutStart('test', ACTS[act](await web.status('test')));
}

// The points that core passes on the way of this act.
async function passed(act) {
    const earlier = await hits();
    const { id } = await begin(act);
    assert.equal((await web.rolloutEnd('test', id)).state, 'done');
    await atRest(web, 'test');
    const now = await hits();
    return Object.keys(now).filter((point) => now[point] > (earlier[point] ?? 0));
}

async function dieAt(act, point) {
    const [newest] = await web.rollouts('test');
    const core = p.pid('core');
    const status = await web.status('test');
    await p.api.post('/debug/fault', { role: 'core', point, nth: 1 });
    await web.rolloutStart('test', ACTS[act](status)).catch(() => {}); // core may die before it answers
    await until(() => p.roles().core !== core, 30_000, `core dies at ${point}`);
    await until(() => p.ready(), 30_000, 'core is back');
    const [row] = await web.rollouts('test');
    if (row.id === newest.id)
        return 'never begun';
    const { state } = await web.rolloutEnd('test', row.id);
    assert.ok(['done', 'reverted'].includes(state), state);
    return state;
}

for (const act of Object.keys(ACTS)) {
    test(`core is killed at each failpoint of a ${act}`, async (t) => {
        if (!failpoints)
            return t.skip('this build has no failpoints');
        const points = await passed(act);
        assert.ok(points.length >= 8, points.join());
        for (const point of points)
            await t.test(point, async () => {
                if (act === 'rollback' && !(await web.status('test')).targets.length)
                    await web.deploy('test');
                await dieAt(act, point);
                const { instances } = await atRest(web, 'test');
                assert.equal(instances.length, 2);
                assert.equal((await load.total()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
            });
    });
}

test('after all of it the journal is whole, doctor finds nothing, and no rollout hangs', async (t) => {
    if (!failpoints)
        return t.skip('this build has no failpoints');
    assert.equal((await load.stop()).lost, 0);
    assert.equal((await p.api.get('/audit/verify')).ok, true);
    assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []);
    assert.ok((await web.rollouts('test')).every((row) => ['done', 'reverted'].includes(row.state)));
});
