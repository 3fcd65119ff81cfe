// A release has proven itself in prod: it becomes trunk as it is. Trunk moves onto the very commit that was built; who is
// on trunk is unticked everywhere; the environments that lack it are named; going back afterwards undoes none of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { git, platform, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
});
after(() => p?.stop());

const land = (wanted = {}) => p.api.post('/apps/web/landings', wanted);
const preview = () => p.api.get('/apps/web/landing');
const bare = (...args) => git(`${p.dataDir}/git/web.git`, ['-c', 'safe.directory=*', ...args]);
const ref = async (name) => (await bare('rev-parse', '--verify', '-q', name)).out.trim();
const ticked = async (env) => (await p.api.get(`/apps/web/envs/${env}/ticks`)).ticks.map((tick) => tick.branch);

test('nothing live, or trunk alone: there is nothing to land, and it says so', async () => {
    assert.match((await preview()).refused.text, /nothing is live in prod/);
    await assert.rejects(land(), { status: 409, error: 'state_conflict' });
    await web.deploy('prod');
    assert.match((await preview()).refused.text, /r1 of prod is trunk alone/);
    assert.match(await p.cli.ok('land', 'plan', '-a', 'web'), /trunk alone/);
});

test('a release lands: trunk is the commit that was built, with a tag, and its branches are unticked everywhere', async () => {
    for (const env of ['dev', 'test', 'prod'])
        await web.ticks(env, 'feature/a', 'feature/b');
    await web.deploy('dev');
    await web.deploy('prod');
    await web.change('feature/b', { 'b2.txt': 'newer\n' }, 'newer than what runs');
    const before = await ref('refs/heads/main');
    const { commit, release, branches, tag } = await preview();
    assert.deepEqual([release, branches.map((row) => row.branch), tag], [2, ['feature/a', 'feature/b'], 'prod/r2']);
    const { landing } = await land({ release });
    assert.deepEqual([landing.state, landing.result.from, landing.result.moved], ['done', before, true]);
    assert.deepEqual([await ref('refs/heads/main'), await ref('refs/tags/prod/r2')], [commit, commit]);
    assert.deepEqual(landing.result.unticked, { dev: ['feature/a'], test: ['feature/a'], prod: ['feature/a'] }, 'feature/b has a newer commit');
    assert.deepEqual(landing.result.behind, [], 'dev runs the same commit');
    for (const env of ['dev', 'test', 'prod'])
        assert.deepEqual(await ticked(env), ['feature/b']);
    assert.equal((await preview()).landed, true);
});

test('whoever fetches sees it, and the next integration stands on it', async () => {
    await web.pull('main');
    assert.equal(await web.repository.tip('main'), await web.repository.git('rev-parse', 'prod/r2'));
    const plan = await web.plan('dev');
    assert.deepEqual(plan.ticks.map((tick) => tick.branch), ['feature/b']);
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/file?path=/app/a.txt')).status, 200, 'feature/a is trunk now');
});

test('landed again, it is there already: nothing moves', async () => {
    const { landing } = await land();
    assert.equal(landing.result.moved, false);
    assert.equal((await p.api.get('/apps/web/landings')).items.length, 2);
});

test('trunk has commits that were not released: refused, and nothing is half done', async () => {
    await web.ticks('prod', 'feature/b');
    await web.deploy('prod');
    await web.pull('main');
    const side = await web.change('main', { 'straight.txt': 'to trunk\n' }, 'straight to trunk');
    await assert.rejects(land(), { status: 409, error: 'ref_changed' });
    assert.equal(await ref('refs/heads/main'), side);
    assert.equal(await ref('refs/tags/prod/r3'), '');
    assert.deepEqual(await ticked('prod'), ['feature/b']);
    assert.equal((await p.api.get('/apps/web/landings')).items[0].state, 'failed');
    await web.deploy('prod'); // with the new trunk
    assert.equal((await land()).landing.state, 'done');
    assert.deepEqual(await ticked('prod'), []);
});

test('who may not push trunk may not land; what is looked at is what lands', async () => {
    const dora = await p.person('dora', 'developer');
    await assert.rejects(dora.api.post('/apps/web/landings', {}), { status: 403 });
    await assert.rejects(land({ release: 1 }), { error: 'state_conflict' });
});

test('who may look at dev alone sees nothing of what prod runs', async () => {
    const dev = await p.person('dana', 'tester', { app: 'web', env: 'dev' });
    await assert.rejects(dev.api.get('/apps/web/landing'), { status: 404 });
    assert.deepEqual((await dev.api.get('/apps/web/landings')).items, []);
    await assert.rejects(dev.api.get('/apps/web/landings/1'), { status: 404 });
});

test('the command line lands, and lists', async () => {
    await web.change('feature/c', { 'c.txt': 'c\n' });
    await web.ticks('prod', 'feature/c');
    await web.deploy('prod');
    assert.match(await p.cli.ok('land', '-a', 'web'), /^r5 of prod is trunk now: [0-9a-f]{9} -> [0-9a-f]{9}, tag prod\/r5\n {2}unticked in prod: feature\/c\n/m);
    assert.match(await p.cli.ok('land', 'ls', '-a', 'web'), /prod\/r5.*done/);
});

test('a hotfix begins at exactly what prod runs, goes straight there, lands, and who lacks it is named', async () => {
    const { commit } = await preview();
    assert.match(await p.cli.ok('hotfix', 'new', 'typo', '-a', 'web'), /^created hotfix\/typo from r5 of prod \([0-9a-f]{9}\)$/m);
    assert.equal(await ref('refs/heads/hotfix/typo'), commit);
    await web.pull('hotfix/typo');
    await web.change('hotfix/typo', { 'typo.txt': 'mended\n' }, 'mend the typo');
    await web.ticks('prod', 'hotfix/typo');
    await web.deploy('prod');
    assert.equal((await web.get('prod', '/file?path=/app/typo.txt')).status, 200);
    const { landing } = await land();
    assert.deepEqual([landing.result.unticked, landing.result.behind.map((row) => row.env)], [{ prod: ['hotfix/typo'] }, ['dev']]);
});

test('one command releases anew what lacks the new trunk, and has nothing to do the second time', async () => {
    assert.match(await p.cli.ok('land', 'rebuild', '-a', 'web'), /dev is released anew/);
    const { rollout } = await web.status('dev');
    await web.rolloutEnd('dev', rollout?.id ?? (await web.rollouts('dev'))[0].id);
    assert.equal((await web.get('dev', '/file?path=/app/typo.txt')).status, 200);
    assert.match(await p.cli.ok('land', 'rebuild', '-a', 'web'), /every env has the new trunk/);
});

test('a temporary hotfix keeps a finding open', async () => {
    assert.match(await p.cli.ok('hotfix', 'new', 'patch', '--temporary', '-a', 'web'), /finding 1 stays open/);
    const found = await p.api.get('/apps/web/findings/1');
    assert.deepEqual([found.env, found.state, found.waits, found.title], ['prod', 'open', 'fix', 'hotfix/patch is temporary: the permanent fix is missing']);
});

test('rolled back: trunk stays, the release is bad, and it does not land again', async () => {
    const tip = await ref('refs/heads/main');
    await web.rollback('prod');
    assert.equal(await ref('refs/heads/main'), tip);
    assert.equal((await web.releases('prod')).find((row) => row.number === 6).bad, true);
});

test('core killed on the way, it is before or after, and ends by itself', async () => {
    const points = Object.keys((await p.api.get('/debug/faults')).points);
    if (points.length === 0)
        return; // a build without failpoints
    let n = 0;
    for (const [role, point] of [['core', 'landing.act'], ['core', 'landing.event']]) {
        const branch = `feature/kill-${++n}`;
        await web.change(branch, { [`kill-${n}.txt`]: 'x\n' });
        await web.ticks('prod', branch);
        await web.deploy('prod');
        const [before, { commit, tag }, pid] = [await ref('refs/heads/main'), await preview(), p.pid(role)];
        await p.api.post('/debug/fault', { role, point, nth: 1 });
        await land().catch(() => {});
        await until(() => p.roles()[role] !== pid, 30_000, `${role} dies at ${point}`);
        await until(() => p.ready(), 30_000, `${role} is back`);
        assert.ok([before, commit].includes(await ref('refs/heads/main')), point);
        await until(async () => (await p.api.get('/apps/web/landings')).items[0].state === 'done', 30_000, `${point}: it ends`);
        assert.deepEqual([await ref('refs/heads/main'), await ref(`refs/tags/${tag}`), await ticked('prod')], [commit, commit, []], point);
    }
});
