// F22: host dies between telling the edge and saying so, at each point of that path. Core does not know
// whether the edge did it: it asks again, the whole table is set, and the edge, host and core agree.
// Needs a build with failpoints.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, until } from '../lib/index.mjs';

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

// What the edge itself has up for this app-env is what core says serves: no more, no less.
async function agree() {
    const { instances } = await atRest(web, 'test');
    const wanted = instances.filter(({ state }) => state === 'serving').length;
    await until(async () => {
        const up = (await p.edgeServers()).filter(({ backend, status }) => backend.includes('web') && backend.includes('test') && /^(UP|no check)/.test(status));
        if (up.length !== wanted)
            throw new Error(`the edge has ${JSON.stringify(await p.edgeServers())}, core ${JSON.stringify(instances)}`);
        return true;
    }, 20_000, 'edge and core agree');
}

const deployed = () => web.deploy('test', {}, { expect: null });
const moved = () => web.domains('test', `shop${Date.now()}.example`);
// Which act passes this point: servers and weights, or names and so a new configuration.
const POINTS = {
    'edge.runtime': deployed, 'edge.record.write': deployed, 'edge.record.written': deployed,
    'edge.config': moved, 'edge.checked': moved, 'edge.started': moved,
};

for (const [point, act] of Object.entries(POINTS)) {
    test(`host dies at ${point}: edge and core agree again, nothing is lost`, async (t) => {
        if (!failpoints)
            return t.skip('this build has no failpoints');
        const host = p.pid('host');
        await p.api.post('/debug/fault', { role: 'host', point, nth: 1 });
        const ended = await act();
        await until(() => p.roles().host !== host, 30_000, `host dies at ${point}`);
        await until(() => p.ready(), 30_000, 'host is back');
        if (act === deployed)
            assert.ok(['done', 'reverted'].includes(ended.state), ended.state);
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
    assert.deepEqual((await p.api.get('/doctor')).checks.filter((check) => !check.ok), []);
});
