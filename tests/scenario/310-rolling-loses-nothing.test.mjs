// Releases roll through prod, four batches each, while customers order: no request is lost, and each order
// is counted exactly once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    // nothing stays warm: an instance that ends says what it counted
    web = await p.app('web', 'server', { yaml: (text) => text.replace(/^envs:/m, 'keep_warm: 0s\n\nenvs:') });
    await web.deploy('prod');
});
after(() => p?.stop());

async function underLoad(options, change) {
    const load = await web.load('prod', options).flowing(200);
    await change(load);
    return { seen: await load.stop(), lost: load.lost };
}

async function answeredBy(load, release) {
    await until(async () => (await load.total()).releases[release]?.ok > 50, 20_000, `${release} answers the load`);
}

for (const options of [{ rate: 400 }, { connections: 16 }]) {
    test(`two rolling releases under load lose nothing: ${JSON.stringify(options)}`, async () => {
        const first = await web.deploy('prod'); // its instances have counted nothing yet
        await atRest(web, 'prod');
        const since = Date.now();
        const { seen, lost } = await underLoad(options, async (load) => {
            for (let i = 1; i <= 2; i++) {
                const { steps } = await web.deploy('prod');
                assert.equal(steps.filter((step) => step.kind === 'start').length, 4);
                assert.equal(steps.filter((step) => step.kind === 'drain').length, 4);
                await answeredBy(load, `r${first.release + i}`);
            }
        });
        assert.equal(seen.lost, 0, JSON.stringify(lost.slice(0, 5)));
        assert.equal(seen.begun, seen.ok);
        await atRest(web, 'prod');
        const { counted, repeated } = await web.counted('prod', { since });
        assert.deepEqual({ counted, repeated }, { counted: seen.posts_ok, repeated: 0 });
    });
}

test('every instance took its part', async () => {
    const { seen } = await underLoad({ rate: 400 }, async (load) => {
        await until(async () => (await load.total()).ok > 800, 20_000, 'enough requests');
    });
    const shares = Object.values(seen.instances).map((row) => row.ok);
    assert.equal(shares.length, 4);
    assert.ok(Math.max(...shares) - Math.min(...shares) <= seen.ok / 10, JSON.stringify(shares));
});

test('a long answer that was begun on an old instance is completed', async () => {
    const slow = web.get('prod', '/slow?ms=3000');
    const { release } = await web.deploy('prod');
    const reply = await slow;
    assert.equal(reply.status, 200);
    assert.equal(reply.headers['x-release'], `r${release - 1}`);
});
