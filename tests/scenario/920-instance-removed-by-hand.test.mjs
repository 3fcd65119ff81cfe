// F08, F20: somebody kills an instance, or its monitor, or it hangs, eats its memory, crashes: it is taken
// out of the traffic and replaced. What is not ours is left alone.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { atRest, instancePids, platform, processes, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('test');
});
after(() => p?.stop());

const victim = () => instancePids(p, 'web', 'test').find((row) => row.instance === 'web.test.r1.1');

async function repaired(pid) {
    await until(() => victim() && victim().pid !== pid, 30_000, 'another process took its place');
    const { instances } = await atRest(web, 'test');
    assert.equal(instances.length, 2);
    await until(async () => (await both()).size === 2, 30_000, 'both answer');
}

// Which instances answer within some requests?
async function both() {
    const seen = new Set();
    for (let i = 0; i < 8; i++)
        seen.add((await web.who('test')).instance);
    return seen;
}

test('an instance that is killed starts again', async () => {
    const { pid } = victim();
    process.kill(pid, 'SIGKILL');
    await repaired(pid);
});

test('an instance whose monitor was killed with it starts again', async () => {
    const { pid } = victim();
    const monitors = processes().filter(({ command }) => /conmon$/.test(command[0] ?? '') && command.some((word) => word.includes('web.test.r1.1')) && command.some((word) => word.includes(p.dir)));
    assert.ok(monitors.length > 0);
    for (const monitor of monitors)
        process.kill(monitor.pid, 'SIGKILL');
    process.kill(pid, 'SIGKILL');
    await repaired(pid);
});

test('killed while host was away: host finds it out when it is back', async () => {
    const { pid } = victim();
    process.kill(p.pid('serve'), 'SIGSTOP'); // nobody starts host again until we say so
    try {
        process.kill(p.pid('host'), 'SIGKILL');
        process.kill(pid, 'SIGKILL');
        assert.equal((await web.get('test', '/up')).status, 200); // the other one
    } finally {
        process.kill(p.pid('serve'), 'SIGCONT');
    }
    await repaired(pid);
});

// The edge looks whether it can connect, and the kernel connects for a process that hangs: the probe tells.
test('an instance that hangs gets no traffic, and comes back when it goes on', async () => {
    const { pid } = victim();
    process.kill(pid, 'SIGSTOP');
    try {
        await until(async () => (await web.status('test')).instances.some((row) => row.name === 'web.test.r1.1' && row.health === 'unready'), 15_000, 'the probe has found it out');
        for (let i = 0; i < 20; i++)
            assert.equal((await web.get('test', '/id', { timeout: 2000 })).status, 200);
    } finally {
        process.kill(pid, 'SIGCONT');
    }
    await until(async () => (await both()).size === 2, 30_000, 'both answer');
});

test('one that hangs for long is replaced', async () => {
    const { pid } = victim();
    process.kill(pid, 'SIGSTOP');
    await repaired(pid);
});

test('when all hang, the edge goes on trying all', async () => {
    const pids = instancePids(p, 'web', 'test').map((row) => row.pid);
    pids.forEach((pid) => process.kill(pid, 'SIGSTOP'));
    try {
        await until(async () => (await web.status('test')).instances.length === 2, 5000, 'both are still listed');
        await assert.rejects(web.get('test', '/id', { timeout: 2500 }), /no answer/); // not a 503 of the edge
    } finally {
        pids.forEach((pid) => process.kill(pid, 'SIGCONT'));
    }
    await until(async () => (await both()).size === 2, 30_000, 'both answer');
});

test('an instance that takes more memory than it may is replaced', async () => {
    const before_ = instancePids(p, 'web', 'test').map((row) => row.pid);
    await web.get('test', '/mem?mb=400').catch(() => {});
    await until(() => instancePids(p, 'web', 'test').some((row) => !before_.includes(row.pid)), 30_000, 'it was replaced');
    await until(async () => (await both()).size === 2, 30_000, 'both answer');
});

test('one that crashes again and again is said to be in a crash loop; the next deploy heals it', async () => {
    await web.change('bad/crashes', { 'switch/CRASH_AFTER_MS': '400' });
    await web.ticks('dev', 'bad/crashes');
    await web.deploy('dev');
    await until(async () => (await web.status('dev')).instances.some((row) => row.health === 'crash_loop' && row.restarts >= 5), 40_000, 'the crash loop has a name');
    assert.ok((await p.api.get('/doctor')).checks.some((check) => /[1-9]\d* in a crash loop/.test(check.text)));
    await web.ticks('dev');
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/up')).status, 200);
    await atRest(web, 'dev');
});

test('a group that is not ours is left alone, and doctor tells of it', async () => {
    const root = ['/sys/fs/cgroup/pids', '/sys/fs/cgroup'].map((path) => `${path}/${p.id}`).find((path) => existsSync(path));
    const foreign = `${root}/web.test/foreign`;
    mkdirSync(foreign);
    try {
        await p.kill('host');
        await until(() => p.ready(), 20_000, 'host is back');
        const check = await until(async () => (await p.api.get('/doctor')).checks.find((row) => row.name === 'foreign groups'), 10_000, 'doctor answers');
        assert.match(check.text, /foreign/);
        assert.ok(existsSync(foreign));
    } finally {
        rmdirSync(foreign);
    }
});
