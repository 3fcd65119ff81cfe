// F22: host dies between telling the edge and saying so, at each point of that path. Core does not know
// whether the edge did it: it asks again, the whole table is set, and the edge, host and core agree.
// Needs a build with failpoints.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, processes, until } from '../lib/index.mjs';

let p, web, load, failpoints;
before(async () => {
    p = await platform();
    failpoints = Object.keys((await p.api.get('/debug/faults')).points).length > 0;
    if (!failpoints)
        return;
    web = await p.app('web', 'server', { yaml: (text) => text.replace(/^envs:/m, 'keep_warm: 0s\n\nenvs:') });
    await web.deploy('test');
    load = await web.load('test', { rate: 100 }).flowing(50);
});
after(() => p?.stop());

// What the edge itself has up is what core says serves: no more, no less.
async function agree() {
    const { instances } = await atRest(web, 'test');
    const wanted = instances.filter(({ state }) => state === 'serving').map(({ name }) => name.replace('web.test.', '')).sort().join();
    await until(async () => {
        const servers = await p.edgeServers();
        const up = servers.filter(({ backend, status }) => !backend.startsWith('platform_') && /^(UP|no check)/.test(status));
        if (up.map(({ server }) => server).sort().join() !== wanted)
            throw new Error(`core says ${wanted}, the edge has ${JSON.stringify(servers)}`);
        return true;
    }, 20_000, 'edge and core agree');
}

async function hostDiesAt(point, act) {
    const host = p.pid('host');
    await p.api.post('/debug/fault', { role: 'host', point, nth: 1 });
    const result = await act();
    await until(() => p.roles().host !== host, 30_000, `host dies at ${point}`);
    await until(() => p.ready(), 30_000, 'host is back');
    return result;
}

for (const point of ['edge.runtime', 'edge.record.write', 'edge.record.written']) {
    test(`a deploy, and host dies at ${point}: edge and core agree again, nothing is lost`, async (t) => {
        if (!failpoints)
            return t.skip('this build has no failpoints');
        const { state } = await hostDiesAt(point, () => web.deploy('test', {}, { expect: null }));
        assert.ok(['done', 'reverted'].includes(state), state);
        await agree();
        assert.equal((await load.total()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    });
}

test('the next deploy is an ordinary one', async (t) => {
    if (!failpoints)
        return t.skip('this build has no failpoints');
    await web.deploy('test');
    await agree();
    assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
});

function edgeKill() {
    const edges = processes().filter(({ command }) => /haproxy/.test(command[0] ?? '') && command.some((word) => word.includes(`${p.dir}/`)));
    assert.ok(edges.length > 0);
    for (const { pid } of edges)
        process.kill(pid, 'SIGKILL');
}

// The edge lost its open connections with its life: only then is a configuration written.
for (const point of ['edge.config', 'edge.checked', 'edge.started']) {
    test(`the edge dies, and host with it at ${point}: it serves again, edge and core agree`, async (t) => {
        if (!failpoints)
            return t.skip('this build has no failpoints');
        await hostDiesAt(point, edgeKill);
        await until(async () => (await web.who('test')).status === 200, 20_000, 'the edge serves again');
        await agree();
    });
}

test('afterwards doctor finds nothing', async (t) => {
    if (!failpoints)
        return t.skip('this build has no failpoints');
    await until(async () => (await p.api.get('/doctor')).checks.every((check) => check.ok), 10_000, 'all is well')
        .catch(async () => assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []));
});
