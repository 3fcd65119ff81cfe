// F21, F22: the edge is killed. What it held is lost and the loss is seen; it serves again with the last
// good configuration, and the next rollout loses nothing.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, processes, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('test');
    await web.deploy('test');
});
after(() => p?.stop());

const edges = () => processes().filter(({ command, state }) => state !== 'Z' && /haproxy/.test(command[0] ?? '')
    && command.some((word) => word.includes(`${p.dir}/`)));

async function edgesKill() {
    const killed = edges();
    assert.ok(killed.length > 0);
    for (const { pid } of killed)
        process.kill(pid, 'SIGKILL');
    await until(() => !edges().some(({ pid }) => killed.some((row) => row.pid === pid)), 5000, 'it is gone');
}

const serves = () => until(async () => (await web.who('test')).status === 200, 20_000, 'the edge serves again');

test('killed under load it serves again, with the release that was live', async () => {
    const load = await web.load('test', { connections: 8 }).flowing(100);
    await edgesKill();
    await serves();
    const { ok } = await load.total();
    await until(async () => (await load.total()).ok > ok + 200, 20_000, 'the load flows again');
    const seen = await load.stop();
    assert.ok(seen.lost > 0, 'a client that saw no loss would be blind');
    assert.equal((await web.who('test')).release, 'r2');
});

test('the next rollouts lose nothing', async () => {
    const load = await web.load('test', { rate: 200 }).flowing(50);
    await web.rollback('test');
    await web.deploy('test');
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    await atRest(web, 'test');
});

test('killed in the middle of a rolling release: the rollout ends, the edge serves the right release', async () => {
    const { id } = await web.rolloutStart('test', { kind: 'deploy' });
    await until(async () => (await web.rollout('test', id)).steps.some((step) => step.kind === 'route' && step.state !== 'pending'), 60_000, 'traffic moves');
    await edgesKill();
    const ended = await web.rolloutEnd('test', id);
    assert.ok(['done', 'reverted'].includes(ended.state), ended.state);
    await serves();
    await atRest(web, 'test');
});

test('edge and host killed together: both come back and agree', async () => {
    const host = p.pid('host');
    process.kill(host, 'SIGKILL');
    await edgesKill();
    await serves();
    await until(() => p.ready(), 20_000, 'host is back');
    const status = await atRest(web, 'test');
    assert.equal((await web.who('test')).release, `r${status.live_release}`);
});

test('reloads in a heap are taken together: a hundred changes of domains, and requests go on', async () => {
    const load = await web.load('test', { rate: 100 }).flowing(50);
    for (let i = 0; i < 100; i++)
        await web.domains('test', `shop${i}.example`);
    await until(async () => (await p.get('shop99.example', '/up')).status === 200, 20_000, 'the last domain is served');
    assert.equal((await p.get('shop98.example', '/up')).status, 421);
    const seen = await load.stop().catch(() => null);
    assert.ok(edges().length <= 3, `${edges().length} edge processes`);
    assert.ok(seen);
});
