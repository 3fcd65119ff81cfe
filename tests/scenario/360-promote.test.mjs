// From dev to prod: the ticked set travels and is built again for each env; or the very same artifact does.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.tick('dev', 'feature/a', 'feature/功能');
    await web.deploy('dev');
});
after(() => p?.stop());

const release = async (env, number) => (await web.releases(env)).find((row) => row.number === number);
const ticked = async (env) => (await web.status(env)).ticks.map((tick) => tick.branch);

test('what is live in dev is promoted to test: the same branches, built for test', async () => {
    const done = await p.cli('promote', 'dev', '-a', 'web', '-e', 'test');
    assert.equal(done.code, 0, done.err);
    assert.deepEqual(await ticked('test'), ['feature/a', 'feature/功能']);
    const [dev, test_] = [await release('dev', 1), await release('test', 1)];
    assert.equal(test_.commit, dev.commit);
    const builds = (await p.api.get('/apps/web/envs/test/builds')).items;
    assert.deepEqual(builds.map((build) => build.state), ['done']);
    assert.equal((await atRest(web, 'test')).live_release, 1);
    assert.equal((await web.get('test', '/file?path=a.txt')).text.trim(), 'feature a');
});

test('a branch that dev has dropped is dropped by the promotion too', async () => {
    await web.untick('dev', 'feature/a');
    await web.deploy('dev');
    await web.promote('dev', 'test');
    assert.deepEqual(await ticked('test'), ['feature/功能']);
    assert.equal((await web.get('test', '/file?path=a.txt')).status, 404);
});

test('a commit that dev never ran stays behind, unless the latest are asked for', async () => {
    await web.change('feature/功能', { 'later.txt': 'pushed after dev was deployed\n' });
    await web.promote('dev', 'test');
    assert.equal((await web.get('test', '/file?path=later.txt')).status, 404);
    await web.promote('dev', 'test', { latest: true });
    assert.equal((await web.get('test', '/file?path=later.txt')).status, 200);
});

test('--same-artifact carries the same digest and builds nothing', async () => {
    const rollout = await web.promote('test', 'pre', { same_artifact: true });
    assert.equal(rollout.steps.some((step) => step.kind === 'build'), false);
    const [from, to] = [await release('test', 4), await release('pre', 1)];
    assert.equal(to.artifact, from.artifact);
    assert.deepEqual((await p.api.get('/apps/web/envs/pre/builds')).items, []);
    assert.equal((await atRest(web, 'pre')).instances.length, 2); // pre's own settings
});

test('on to prod, under load, from a release that lives there', async () => {
    await web.promote('pre', 'prod');
    const load = await web.load('prod', { rate: 200 }).flowing(50);
    await web.promote('pre', 'prod', { same_artifact: true });
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.equal((await atRest(web, 'prod')).live_release, 2);
});

test('from an env where nothing is live there is nothing to promote', async () => {
    const other = await p.app('other');
    await assert.rejects(other.promote('dev', 'test'), (error) => error.status >= 400 && error.status < 500);
    assert.deepEqual(await other.rollouts('test'), []);
});
