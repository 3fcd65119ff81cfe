// What an environment does when its ticked branches conflict is a rule of that environment: dev and test leave the
// later one out and release the others, pre and prod refuse, and one may fall back on what merged the last time.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { platform, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
});
after(() => p?.stop());

const names = (rows) => rows.map((row) => row.branch);

test('dev leaves the later one out, says so before and after, and releases the others', async () => {
    await web.ticks('dev', 'conflict/left', 'feature/a', 'conflict/right');
    const plan = await web.plan('dev');
    assert.deepEqual([names(plan.ticks), names(plan.left_out)], [['conflict/left', 'feature/a'], ['conflict/right']]);
    assert.match(await p.cli.ok('plan', '-a', 'web', '-e', 'dev'), /^left out: conflict\/right conflicts with conflict\/left in lines$/m);
    const said = await p.cli.ok('deploy', '-a', 'web', '-e', 'dev');
    assert.match(said, /^left out: conflict\/right conflicts with conflict\/left in lines$/m);
    assert.equal((await web.get('dev', '/file?path=/app/a.txt')).status, 200);
});

test('the release, the build, the ticks and the journal agree on who is in', async () => {
    const [release] = await web.releases('dev');
    assert.deepEqual(names(release.branches), ['conflict/left', 'feature/a']);
    const build = await p.api.get('/apps/web/envs/dev/builds/1');
    assert.deepEqual(build.left_out.map((row) => [row.branch, row.why, row.against, row.files]), [['conflict/right', 'pair', ['conflict/left'], ['lines']]]);
    const { ticks } = await p.api.get('/apps/web/envs/dev/ticks');
    assert.deepEqual(ticks.map((tick) => [tick.branch, tick.deployed_tip !== null]), [['conflict/left', true], ['feature/a', true], ['conflict/right', false]]);
    const { items } = await p.root.get('/audit?limit=200');
    const queued = items.find((row) => row.kind === 'build.queued');
    assert.deepEqual(names(queued.data.left_out), ['conflict/right']);
});

test('prod refuses, as it always did', async () => {
    await web.ticks('prod', 'conflict/left', 'conflict/right');
    await assert.rejects(web.deploy('prod'), { status: 409, error: 'merge_conflict' });
    assert.deepEqual(await web.rollouts('prod'), []);
});

test('asked again, the same set is the same commit', async () => {
    const again = await web.plan('dev');
    const build = await p.api.get('/apps/web/envs/dev/builds/1');
    assert.equal(again.commit, build.commit);
});

test('an env that falls back takes the commit that was merged there the last time', async () => {
    await p.root.put('/envs/test', { policy: 'last-good' });
    await web.ticks('test', 'conflict/left', 'feature/b');
    await web.deploy('test');
    const good = await web.repository.tip('feature/b');
    await web.change('feature/b', { lines: 'mine, all of it\n', 'b.txt': 'newer\n' }, 'now it conflicts');
    const plan = await web.plan('test');
    assert.deepEqual([plan.ticks.map((tick) => [tick.branch, tick.tip]), plan.left_out], [[['conflict/left', await web.repository.tip('conflict/left')], ['feature/b', good]], []]);
    await web.ticks('test', 'conflict/left', 'feature/b', 'conflict/right'); // never merged there: nothing to fall back on
    assert.deepEqual(names((await web.plan('test')).left_out), ['conflict/right']);
});

test('a promotion carries the whole set over, also who is left out there', async () => {
    await p.root.put('/envs/pre', { policy: 'skip' });
    await web.ticks('dev', 'feature/a', 'conflict/left');
    await web.deploy('dev');
    await web.change('main', { lines: 'trunk has it now\n' }, 'trunk moves');
    const { rollout } = await p.api.post('/apps/web/envs/pre/rollouts', { kind: 'promote', from: 'dev' });
    await until(async () => (await p.api.get(`/apps/web/envs/pre/rollouts/${rollout.id}`)).state === 'done', 60_000, 'it is live');
    assert.deepEqual(names((await web.releases('pre'))[0].branches), ['feature/a']);
    assert.deepEqual(names((await p.api.get('/apps/web/envs/pre/ticks')).ticks), ['feature/a', 'conflict/left']);
});

test('the rule is changed by who may, with a word that exists, and stands in the journal', async () => {
    const tess = await p.person('tess', 'ops');
    await assert.rejects(tess.api.put('/envs/dev', { policy: 'stop' }), { status: 403 });
    await assert.rejects(p.root.put('/envs/dev', { policy: 'hope' }), { error: 'field_invalid' });
    assert.equal((await p.cli('env', 'policy', 'dev', 'stop')).code, 0);
    assert.match(await p.cli.ok('env', 'ls'), /^dev\s+10\s+stop/m);
    await assert.rejects(web.plan('dev').then(async () => {
        await web.ticks('dev', 'conflict/left', 'conflict/right');
        return web.plan('dev');
    }), { error: 'merge_conflict' });
    const { items } = await p.root.get('/audit?limit=200');
    assert.ok(items.some((row) => row.kind === 'env.changed' && row.data.policy === 'stop'), 'env.changed');
});
