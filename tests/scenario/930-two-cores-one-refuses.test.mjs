// F29, F30: a second core beside the first refuses; one that was stopped for a while goes on where it was.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, run, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('test');
});
after(() => p?.stop());

test('a second core on the same store refuses, and the first does not notice', async () => {
    const core = p.pid('core');
    const done = await run(p.binary, ['core', '--settings', p.settingsFile], { timeout: 20_000 });
    assert.notEqual(done.code, 0);
    assert.notEqual(done.code, null, 'it went on running');
    assert.equal(p.pid('core'), core);
    await web.deploy('test');
    await atRest(web, 'test');
});

test('a second host refuses too', async () => {
    const host = p.pid('host');
    const done = await run(p.binary, ['host', '--settings', p.settingsFile], { timeout: 20_000 });
    assert.notEqual(done.code, 0);
    assert.notEqual(done.code, null, 'it went on running');
    assert.equal(p.pid('host'), host);
    await web.deploy('test');
});

test('core is stopped in the middle of a rollout and goes on', async () => {
    const load = await web.load('test', { rate: 100 }).flowing(50);
    const { id } = await web.rolloutStart('test', { kind: 'deploy' });
    const core = p.pid('core');
    process.kill(core, 'SIGSTOP');
    const { ok } = await load.total();
    await until(async () => (await load.total()).ok > ok + 200, 20_000, 'the apps go on meanwhile');
    process.kill(core, 'SIGCONT');
    const ended = await web.rolloutEnd('test', id);
    assert.ok(['done', 'reverted'].includes(ended.state), ended.state);
    await atRest(web, 'test');
    assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
});
