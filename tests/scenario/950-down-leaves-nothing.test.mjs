// `slipway down` takes everything off the machine but the data; `up` brings it back as it was; --purge
// takes the data too. Also with parts of it dead.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, leftovers, platform, run, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.secret('test', 'KEY', 'kept');
    await web.deploy('test');
    await web.deploy('dev');
});
after(() => p?.stop());

const nothingLeft = () => until(() => leftovers(p).length === 0, 10_000, 'nothing is left')
    .catch(() => assert.deepEqual(leftovers(p), []));

async function backAsItWas() {
    await p.serve();
    for (const env of ['test', 'dev']) {
        await until(async () => (await web.get(env, '/up')).status === 200, 30_000, `${env} serves again`);
        await atRest(web, env);
    }
    assert.equal((await web.get('test', '/file?path=/run/slipway/secrets/KEY')).text, 'kept');
    assert.equal((await p.api.get('/me')).name, 'admin');
}

test('down leaves no process, mount, cgroup, namespace, bridge, link or table', async () => {
    const done = await p.down();
    assert.equal(done.code, 0, done.err + done.out);
    await nothingLeft();
    assert.equal(existsSync(p.runDir), false);
    assert.equal(existsSync(`${p.dataDir}/core/store.db`), true);
});

test('a second down says that there is nothing', async () => {
    const done = await p.down();
    assert.equal(done.code, 0, done.err + done.out);
    assert.equal(existsSync(`${p.dataDir}/core/store.db`), true);
});

test('up again: the same releases serve, with their secrets, the same people can sign in', backAsItWas);

test('down in the middle of a build and a rollout: nothing is left, and up goes on or goes back', async () => {
    const { id } = await web.rolloutStart('test', { kind: 'deploy' });
    assert.equal((await p.down()).code, 0);
    await nothingLeft();
    await backAsItWas();
    const ended = await web.rolloutEnd('test', id);
    assert.ok(['done', 'reverted', 'failed'].includes(ended.state), ended.state);
    await atRest(web, 'test');
});

test('down with every role killed before', async () => {
    const { serve, ...others } = p.roles();
    for (const pid of [serve, ...Object.values(others)])
        process.kill(pid, 'SIGKILL');
    const done = await p.down();
    assert.equal(done.code, 0, done.err + done.out);
    await nothingLeft();
    await backAsItWas();
});

// Round by round a little later: before it has its lock, its pid file, its roles, its loop.
test('down in the first moments of a serve waits for it, and ends it in order', async () => {
    for (let round = 0; round < 12; round++) {
        const serving = run(p.binary, ['serve', '--settings', p.settingsFile], { timeout: 30_000 });
        const end = performance.now() + round * 6;
        await until(() => performance.now() >= end && existsSync(`${p.runDir}/serve.lock`), 10_000, 'it has begun');
        const done = await p.down();
        assert.equal(done.code, 0, `round ${round}: ${done.err}${done.out}`);
        const { code, err } = await serving; // 13: down was first, and it says so
        assert.ok(code === 0 || code === 13, `round ${round}: ${code} ${err}`);
        await nothingLeft();
    }
});

test('down waits for whoever holds the lock for a moment', async () => {
    await p.serve();
    process.kill(p.pid('serve'), 'SIGKILL');
    await until(() => !p.roles().serve, 5000, 'the supervisor is gone');
    const holding = run('/usr/bin/flock', ['-x', `${p.runDir}/serve.lock`, '/usr/bin/timeout', '1', '/usr/bin/tail', '-f', '/dev/null']);
    await until(async () => (await run('/usr/bin/flock', ['-n', `${p.runDir}/serve.lock`, '/usr/bin/true'])).code !== 0, 5000, 'the lock is held');
    const done = await p.down();
    assert.equal(done.code, 0, done.err + done.out);
    await holding;
    await nothingLeft();
    await backAsItWas();
});

test('--purge takes the data too', async () => {
    assert.equal((await p.down(['--purge'])).code, 0);
    await nothingLeft();
    assert.equal(existsSync(p.dataDir), false);
});
