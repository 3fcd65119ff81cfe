// A developer wants one branch, or some, where nobody else is: an environment of their own, with a domain, the
// configuration of dev and one instance. It follows what is pushed, and ends by itself; nothing of it is left.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { git, platform, until } from '../lib/index.mjs';

let p, web, ids;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => text.replace(/^envs:/m, 'keep_warm: 1h\n\nenvs:') });
    await p.api.put('/apps/web/envs/dev/secrets/TOKEN', { value: 'of dev', kind: 'file' });
});
after(() => p?.stop());

// As host keeps it of the one instance that runs there.
function idRange(env) {
    const folder = `${p.dataDir}/host/instances`;
    const name = readdirSync(folder).find((one) => one.startsWith(`web.${env}.`));
    return JSON.parse(readFileSync(`${folder}/${name}/record.json`, 'utf8')).id_range;
}
const tries = async () => (await p.api.get('/tries')).items;
const gone = (name) => until(async () => await p.ready() && !(await tries()).some((row) => row.name === name), 90_000, `${name} is gone`);

test('one branch, by one command: its own domain, the configuration of dev, one instance', async () => {
    const said = await p.cli.ok('try', 'new', 'feature/a', '-a', 'web', '--hours', '2', '--text', 'for the demo');
    assert.match(said, /try-1 is like dev/);
    assert.match(said, /http:\/\/web\.try-1\.localhost/);
    assert.equal((await web.get('try-1', '/up')).status, 200);
    assert.equal((await web.get('try-1', '/file?path=/app/a.txt')).status, 200, 'feature/a is in it');
    const [row] = await tries();
    assert.deepEqual([row.name, row.like, row.branches, row.text, row.release], ['try-1', 'dev', ['feature/a'], 'for the demo', 1]);
    assert.ok(Math.abs(row.expires_at - Date.now() - 2 * 3600_000) < 60_000);
    const state = await web.status('try-1');
    assert.equal(state.instances.filter((one) => one.state === 'serving').length, 1);
    assert.deepEqual((await p.api.get('/apps/web/envs/try-1/secrets')).items.map((one) => one.name), ['TOKEN']);
    ids = idRange('try-1');
});

test('it is no stage: not in the list of envs, nothing is promoted to it, the last env is the last env', async () => {
    assert.deepEqual((await p.api.get('/envs')).items.map((env) => env.name), ['dev', 'test', 'pre', 'prod']);
    assert.equal((await p.api.get('/apps/web/landing')).env, 'prod');
    assert.deepEqual((await p.api.get('/apps/web')).envs, ['dev', 'test', 'pre', 'prod']);
    await assert.rejects(p.api.post('/envs', { name: 'try-7' }), { status: 422, error: 'name_invalid' });
    await assert.rejects(p.api.post('/apps/web/tries', { branches: ['feature/a'], like: 'try-1' }), { status: 409 });
    await p.app('cart');
    await assert.rejects(p.api.get('/apps/cart/envs/try-1'), { status: 404 });
});

test('what is pushed to its branch is there a moment later', async () => {
    await web.change('feature/a', { 'a2.txt': 'newer\n' }, 'go on');
    await until(async () => (await web.get('try-1', '/file?path=/app/a2.txt')).status === 200, 60_000, 'the push is live there');
});

test('what is found in it outlives it; what it runs is promoted only by building it anew; no rights are given in it', async () => {
    const { number } = await p.api.post('/apps/web/findings', { env: 'try-1', title: 'wrong in the try', branch: 'feature/a', severity: 'critical' });
    await assert.rejects(web.plan('test', { kind: 'promote', from: 'try-1', same_artifact: true }), { status: 409 });
    await assert.rejects(p.api.post('/grants', { user: 'admin', role: 'ops', env: 'try-1' }), { status: 422 });
    const { try: other } = await p.api.post('/apps/web/tries', { branches: ['feature/a'] });
    await p.api.delete(`/apps/web/tries/${other.name}`);
    await gone(other.name);
    assert.equal((await p.api.get(`/apps/web/findings/${number}`)).env, 'try-1');
});

test('who may not deploy to dev may not try', async () => {
    const viewer = await p.person('vera', 'viewer');
    await assert.rejects(viewer.api.post('/apps/web/tries', { branches: ['feature/a'] }), { status: 403 });
    await assert.rejects(viewer.api.delete('/apps/web/tries/try-1'), { status: 403 });
    const dev = await p.person('dora', 'developer');
    await assert.rejects(dev.api.post('/apps/web/tries', { branches: ['feature/a'], like: 'prod' }), { status: 403 }, 'its secrets are prod\'s');
    const { try: made } = await dev.api.post('/apps/web/tries', { branches: ['feature/a', 'feature/b'] });
    assert.equal(made.by, 'dora');
    assert.equal((await dev.api.get(`/apps/web/envs/${made.name}/ticks`)).ticks.length, 2);
    await assert.rejects(dev.api.post('/apps/web/tries', { branches: ['no/such'] }), { status: 404, error: 'branch_unknown' });
    await assert.rejects(dev.api.post('/apps/web/tries', { branches: [] }), { status: 422 });
});

test('there is an end to them: five of an app', async () => {
    for (let n = 3; n <= 5; n++) // with the two there are
        await p.api.post('/apps/web/tries', { branches: ['feature/b'] });
    await assert.rejects(p.api.post('/apps/web/tries', { branches: ['feature/b'] }), { status: 429, error: 'too_many' });
});

test('ended, while it runs and while it is rolled out: nothing of it is left', async () => {
    const names = (await tries()).map((row) => row.name);
    assert.equal(names.length, 5);
    for (const name of names)
        await p.cli.ok('try', 'end', name, '-a', 'web');
    for (const name of names)
        await gone(name);
    const finding = await p.api.get('/apps/web/findings/1');
    assert.deepEqual([finding.env, finding.state], ['dev', 'open'], 'what was found in try-1 is still wrong');
    await p.api.post('/apps/web/findings/1', { act: 'assign', branch: 'feature/b' });
    await p.api.post('/apps/web/findings/1', { act: 'close' });
    await assert.rejects(web.status('try-1'), { status: 404 });
    assert.notEqual((await web.get('try-1', '/up')).status, 200);
    let known;
    await until(async () => {
        known = JSON.stringify((await p.api.get('/debug/dump')).host).match(/.{80}web\.try-.{80}/)?.[0];
        return !known;
    }, 20_000, 'host knows none of them').catch((error) => assert.fail(`${error.message}: ${known}`));
    const refs = (await git(`${p.dataDir}/git/web.git`, ['-c', 'safe.directory=*', 'for-each-ref', 'refs/slipway'])).out;
    assert.ok(!refs.includes('try-'), refs);
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/up')).status, 200);
});

test('its time is over: it ends by itself, also when core was away then', async () => {
    const { try: made } = await p.api.post('/apps/web/tries', { branches: ['feature/a'], hours: 1 });
    await web.deploy(made.name);
    assert.equal(idRange(made.name), ids, 'the user ids of what is gone are used again');
    await p.api.post(`/apps/web/tries/${made.name}/extend`, { hours: 3 });
    assert.ok((await tries())[0].expires_at > Date.now() + 2.9 * 3600_000);
    const done = spawnSync('/usr/bin/sqlite3', ['-bail', '-cmd', '.timeout 5000', `${p.dataDir}/core/store.db`, 'UPDATE trial SET expires_at=1'], { encoding: 'utf8' });
    assert.equal(done.status, 0, done.stderr);
    await p.kill('core');
    await gone(made.name);
    const { items } = await p.api.get('/audit?limit=1000');
    assert.deepEqual(items.filter((row) => row.subject === `web.${made.name}` && /^try\./.test(row.kind)).map((row) => row.kind), ['try.begun', 'try.extended', 'try.ending', 'try.ended']);
});

test('core killed on the way: it ends all the same', async () => {
    const points = Object.keys((await p.api.get('/debug/faults')).points);
    if (points.length === 0)
        return; // a build without failpoints
    for (const point of ['try.end', 'try.gone']) {
        const { try: made } = await p.api.post('/apps/web/tries', { branches: ['feature/b'] });
        await web.deploy(made.name);
        const pid = p.pid('core');
        await p.api.post('/debug/fault', { role: 'core', point, nth: 1 });
        await p.api.delete(`/apps/web/tries/${made.name}`).catch(() => {});
        await until(() => p.roles().core !== pid, 30_000, `core dies at ${point}`);
        await until(() => p.ready(), 30_000, 'core is back');
        await p.api.delete(`/apps/web/tries/${made.name}`).catch(() => {}); // it may never have heard
        await gone(made.name);
    }
});

test('like an env behind the first, it is released by click: whoever may push has not the secrets of prod for that', async () => {
    const rows = await Promise.all(['dev', 'prod'].map(async (like) => (await p.api.post('/apps/web/tries', { branches: ['feature/b'], like })).try));
    assert.deepEqual(rows.map((row) => row.automation), ['push', 'click']);
    await p.api.put('/apps/web/envs/prod/automation', { when: 'push' });
    const { try: third } = await p.api.post('/apps/web/tries', { branches: ['feature/b'], like: 'prod' });
    assert.equal(third.automation, 'push', 'so does prod');
    await p.api.put('/apps/web/envs/prod/automation', { when: 'click' });
    for (const { name } of [...rows, third]) {
        await p.cli.ok('try', 'end', name, '-a', 'web');
        await gone(name);
    }
});

test('an app is not removed while a try of it runs', async () => {
    await p.cli.ok('try', 'new', 'feature/a', '-a', 'cart');
    await assert.rejects(p.api.delete('/apps/cart'), { status: 409, error: 'state_conflict' });
    const [{ name }] = await tries();
    await p.cli.ok('try', 'end', name, '-a', 'cart');
    await gone(name);
    await p.api.delete('/apps/cart');
});
