// F22: host dies between telling the edge and saying so, at each point of that path. Core does not know
// whether the edge did it: it asks again, the whole table is set, and the edge, host and core agree.
// Needs a build with failpoints.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, until } from '../lib/index.mjs';

const ENVS = ['dev', 'test', 'pre', 'prod'];
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
async function agree(env) {
    await atRest(web, env);
    const serving = (await Promise.all(ENVS.map((one) => web.status(one)))).flatMap(({ instances }) => instances).filter(({ state }) => state === 'serving');
    const wanted = serving.map(({ name }) => name.replace(/^web\.\w+\./, '')).sort().join();
    await until(async () => {
        const servers = await p.edgeServers();
        const up = servers.filter(({ backend, status }) => !backend.startsWith('platform_') && /^(UP|no check)/.test(status));
        if (up.map(({ server }) => server).sort().join() !== wanted)
            throw new Error(`core says ${wanted}, the edge has ${JSON.stringify(servers)}`);
        return true;
    }, 20_000, 'edge and core agree');
}

// Where this point is passed: a deploy moves servers and weights, the first one of an env makes a new
// configuration of the edge.
const POINTS = {
    'edge.runtime': 'test', 'edge.record.write': 'test', 'edge.record.written': 'test', 'edge.config': 'dev', 'edge.checked': 'pre', 'edge.started': 'prod',
};

for (const [point, env] of Object.entries(POINTS)) {
    test(`host dies at ${point}: edge and core agree again, nothing is lost`, async (t) => {
        if (!failpoints)
            return t.skip('this build has no failpoints');
        const host = p.pid('host');
        await p.api.post('/debug/fault', { role: 'host', point, nth: 1 });
        const ended = await web.deploy(env, {}, { expect: null });
        await until(() => p.roles().host !== host, 30_000, `host dies at ${point}`);
        await until(() => p.ready(), 30_000, 'host is back');
        assert.ok(['done', 'reverted'].includes(ended.state), ended.state);
        await agree(env);
        assert.equal((await load.total()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    });
}

test('the next deploy is an ordinary one', async (t) => {
    if (!failpoints)
        return t.skip('this build has no failpoints');
    await web.deploy('test');
    await agree('test');
    assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []);
});
