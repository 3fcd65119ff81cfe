// F33: a role gets no more memory (its next allocation that needs some fails), under load and in the middle of
// a rollout. It ends and comes back clean; who was asking is told, or sees the connection closed; what was
// acknowledged is there; the customers of the app notice nothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, limit, platform, until } from '../lib/index.mjs';

let p, web, load;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('test');
    load = await web.load('test', { rate: 100 }).flowing(50);
});
after(() => p?.stop());

// This process may have what it has now and no more; the one that follows it has no such limit.
async function noMoreMemory(role) {
    const pid = p.pid(role);
    const bytes = 1024 * Number(/^VmSize:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
    await limit(pid, 'as', `${bytes}:${bytes}`);
    return pid;
}

const big = (name) => p.api.call('PUT', `/apps/web/envs/dev/secrets/${name}`, { value: name.repeat(20_000).slice(0, 100_000), kind: 'file' })
    .catch((error) => ({ status: 0, text: error.message }));
const ANSWERS = [0, 200, 413, 500, 503, 507]; // 0: the connection was closed

test('core: each write is done whole or not at all, core lives or comes back', async () => {
    const old = await noMoreMemory('core');
    const replies = new Map();
    for (let round = 0; round < 10 && p.roles().core === old; round++) {
        const names = Array.from({ length: 20 }, (_, i) => `R${round}N${i}`);
        (await Promise.all(names.map(big))).forEach((reply, i) => replies.set(names[i], reply));
    }
    await until(() => p.linked(), 30_000, 'core answers, all roles are connected');
    if (p.roles().core === old)
        await p.kill('core'); // it had enough: the limit goes with it
    await until(() => p.linked(), 30_000, 'core is back');
    const there = new Set((await p.api.get('/apps/web/envs/dev/secrets')).items.map((row) => row.name));
    for (const [name, { status, text }] of replies) {
        assert.ok(ANSWERS.includes(status), `${name}: ${status} ${text}`);
        assert.ok(status !== 200 || there.has(name), `${name} was told 200 and is not there`);
    }
    assert.equal((await load.total()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.equal((await p.api.get('/audit/verify')).ok, true);
});

for (const role of ['core', 'host', 'courier', 'signals']) {
    test(`${role}, in the middle of a rollout: it goes on or goes back`, async () => {
        const { id } = await web.rolloutStart('test', { kind: 'deploy' });
        const old = await noMoreMemory(role);
        const ended = await web.rolloutEnd('test', id, 90_000);
        assert.ok(['done', 'reverted', 'failed'].includes(ended.state), ended.state);
        if (p.roles()[role] === old)
            await p.kill(role);
        await until(() => p.linked(), 30_000, `${role} is back`);
        await atRest(web, 'test');
        assert.equal((await load.total()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    });
}

test('afterwards everything works as ever', async () => {
    await web.deploy('test');
    await atRest(web, 'test');
    assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []);
});
