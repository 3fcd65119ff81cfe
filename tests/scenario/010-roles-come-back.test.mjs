// F04: each role is killed in turn. It comes back as another process, its listeners were never closed, the
// apps do not notice; and a supervisor that died is replaced by the next one, which keeps the others.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, request, until } from '../lib/index.mjs';

const BACK_MS = 20_000;
let p, web, load;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('test');
    load = await web.load('test', { rate: 100 }).flowing(50);
});
after(() => p?.stop());

async function unharmed() {
    assert.equal((await load.total()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    await atRest(web, 'test');
}

for (const role of ['core', 'courier', 'host', 'signals']) {
    test(`${role} is killed and comes back, the others stay`, async () => {
        const before_ = p.roles();
        // made while it is down: its listener is kept, so it waits and is not refused
        await p.kill(role);
        const waiting = role === 'core' ? request({ port: p.ports.api }, 'GET', '/api/v1/version') : web.get('test', '/up');
        assert.equal((await waiting).status, 200);
        await until(() => p.linked(), BACK_MS, `${role} is back`);
        const now = p.roles();
        for (const [name, pid] of Object.entries(before_))
            assert.equal(now[name] === pid, name !== role, `${name}: ${pid} and now ${now[name]}`);
        await unharmed();
    });
}

test('a role killed three times in a row comes back each time', async () => {
    for (let i = 0; i < 3; i++) {
        await p.kill('courier');
        await until(() => p.roles().courier, BACK_MS, 'the courier is back');
    }
    await until(() => p.linked(), BACK_MS, 'it is connected');
    assert.equal((await p.api.get('/apps/web/branches')).trunk, 'main');
});

test('all roles are killed at once: the apps go on, everything comes back, and a push and a deploy work', async () => {
    for (const role of ['core', 'courier', 'host', 'signals'])
        process.kill(p.pid(role), 'SIGKILL');
    assert.equal((await web.get('test', '/up')).status, 200);
    await until(() => p.linked(), BACK_MS, 'all are back');
    await web.change('feature/new', { 'new.txt': 'new\n' });
    await web.tick('test', 'feature/new');
    await web.deploy('test');
    assert.equal((await web.get('test', '/file?path=new.txt')).text, 'new\n');
    await unharmed();
});

test('the supervisor is killed: the roles live on, the next one adopts them', async () => {
    const { serve, ...others } = p.roles();
    await p.kill('serve');
    assert.deepEqual(p.roles(), others);
    assert.equal((await p.api.get('/me')).name, 'admin');
    assert.equal((await web.get('test', '/up')).status, 200);
    await p.serve();
    const { serve: next, ...kept } = p.roles();
    assert.notEqual(next, serve);
    assert.deepEqual(kept, others);
});

test('the next supervisor restarts what dies', async () => {
    const core = await p.kill('core');
    await until(() => p.ready(), BACK_MS, 'core is back');
    assert.notEqual(p.pid('core'), core);
    await unharmed();
});

test('a second supervisor beside the first refuses', async () => {
    const before_ = p.roles();
    const done = await p.cli('serve', '--settings', p.settingsFile, { timeout: 20_000 });
    assert.notEqual(done.code, 0);
    assert.notEqual(done.code, null, 'it went on running');
    assert.deepEqual(p.roles(), before_);
});
