// F13: the disk takes core's writes and then fails to sync them, once. Core cannot know what is on the disk:
// it exits, comes back and reads what is. Nobody was told "done" for what is not there.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, platform, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('test');
});
after(() => p?.stop());

// From now on, the Nth sync of this process fails with EIO.
async function syncFails(pid, nth) {
    const tracer = spawn('/usr/bin/strace', ['-f', '-q', '-p', String(pid), '-e', 'trace=fsync,fdatasync', '-e', `inject=fsync,fdatasync:error=EIO:when=${nth}`, '-o', `${p.dir}/strace`], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    tracer.stderr.on('data', (part) => {
        said += part;
    });
    const ended = new Promise((resolve) => tracer.once('close', resolve));
    await until(() => /^TracerPid:\s+[1-9]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')), 10_000, 'strace follows')
        .catch((error) => assert.fail(`${error.message}: ${said}`));
    return { end: () => (tracer.kill('SIGINT'), ended) };
}

const secrets = async () => new Set((await p.api.get('/apps/web/envs/dev/secrets')).items.map((row) => row.name));

async function coreIsNew(old) {
    await until(() => p.roles().core && p.roles().core !== old, 30_000, 'core exits and another one starts');
    await until(() => p.ready(), 30_000, 'core is back');
}

test('a write whose sync failed is not answered with success; what was is there', async () => {
    const core = p.pid('core');
    const tracer = await syncFails(core, 1);
    const names = Array.from({ length: 8 }, (_, i) => `S${i}`);
    const replies = await Promise.all(names.map((name) => p.api.call('PUT', `/apps/web/envs/dev/secrets/${name}`, { value: name, kind: 'file' }).catch((error) => ({ status: 0, text: error.message }))));
    await tracer.end();
    await coreIsNew(core);
    assert.ok(replies.some((reply) => reply.status !== 200), JSON.stringify(replies.map((reply) => reply.status)));
    const there = await secrets();
    names.forEach((name, i) => assert.ok(replies[i].status !== 200 || there.has(name), `${name}: told ${replies[i].status}, and it is not there`));
    assert.match(p.log(), /sync|I\/O|disk/i);
});

test('in the middle of a rollout: it goes on or goes back, under load nothing is lost', async () => {
    const load = await web.load('test', { rate: 100 }).flowing(50);
    const core = p.pid('core');
    const tracer = await syncFails(core, 10); // a rollout commits more often than that
    const { id } = await web.rolloutStart('test', { kind: 'deploy' });
    await coreIsNew(core);
    await tracer.end();
    const ended = await web.rolloutEnd('test', id);
    assert.ok(['done', 'reverted'].includes(ended.state), ended.state);
    await atRest(web, 'test');
    assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
});

test('afterwards the journal is whole and doctor finds nothing', async () => {
    assert.equal((await p.api.get('/audit/verify')).ok, true);
    assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []);
});
