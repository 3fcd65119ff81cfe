// A base takes minutes to make, and longer when the mirror does not answer. Who cancels his build ends it,
// unless somebody else waits for the same base.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { platform, processes, until } from '../lib/index.mjs';

let p, web, other, mirror;
const sockets = new Set();
before(async () => {
    mirror = createServer((socket) => sockets.add(socket.on('error', () => {}))); // takes all, says nothing
    await new Promise((resolve) => mirror.listen(0, '127.0.0.1', resolve));
    p = await platform({ settings: { debian_mirror: `http://127.0.0.1:${mirror.address().port}/debian` } });
    const options = { yaml: (text) => text.replace('base: host', 'base: [busybox]') };
    web = await p.app('web', 'server', options);
    other = await p.app('other', 'server', options);
});
after(async () => {
    mirror?.close();
    for (const socket of sockets)
        socket.destroy();
    await p?.stop();
});

const making = () => processes().filter(({ cgroup, command }) => cgroup.includes(`/${p.id}/base/`) || command.join(' ').includes(`${p.dataDir}/host/bases/`));
const started = async (app) => (await p.api.post(`/apps/${app.name}/envs/dev/builds`)).build.number;
const cancel = (app, number) => p.api.post(`/apps/${app.name}/envs/dev/builds/${number}/cancel`);

test('two builds wait for one base; the first cancel leaves it to the other one, the second ends it', async () => {
    const [a, b] = [await started(web), await started(other)];
    await until(() => making().some(({ command }) => /apt-get|mmdebstrap/.test(command.join(' '))) && sockets.size > 0, 60_000, 'the base is being made');
    await until(async () => (await p.api.get('/debug/dump')).host.dump.build.length === 2, 10_000, 'both wait');
    assert.ok(making().every(({ cgroup }) => cgroup.includes(`/${p.id}/base/`)), 'all of it is in a group of its own');
    await cancel(web, a);
    await until(async () => (await p.api.get('/debug/dump')).host.dump.build.length === 1, 10_000, 'one has left');
    assert.ok(making().length > 0);
    await cancel(other, b);
    await until(() => making().length === 0, 5000, 'nothing of it lives');
});

test('it can be begun and ended again at once', async () => {
    for (let i = 0; i < 3; i++) {
        const number = await started(web);
        await until(() => making().length > 0, 30_000, 'the base is being made');
        await cancel(web, number);
        await until(() => making().length === 0, 5000, 'nothing of it lives');
    }
});

test('host is killed while it makes one: what was left of it goes, and the build begins again', async () => {
    const number = await started(web);
    await until(() => making().length > 0, 30_000, 'the base is being made');
    const pids = making().map(({ pid }) => pid);
    await p.kill('host');
    await until(() => making().length > 0 && !making().some(({ pid }) => pids.includes(pid)), 30_000, 'it is made anew');
    await cancel(web, number);
    await until(() => making().length === 0, 5000, 'nothing of it lives');
});
