// `slipway down` takes everything off the machine but the data; `up` brings it back as it was; --purge
// takes the data too. Also with parts of it dead.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, leftovers, platform, until } from '../lib/index.mjs';

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

test('--purge takes the data too', async () => {
    assert.equal((await p.down(['--purge'])).code, 0);
    await nothingLeft();
    assert.equal(existsSync(p.dataDir), false);
});
