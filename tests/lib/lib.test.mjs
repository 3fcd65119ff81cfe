// The tools of the tests, tested: the load client sees what is lost, leftovers sees what is left, waiting
// waits.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Repository, leftovers, loadNew, program, raw, request, switchOf, until } from './index.mjs';
import { sweep } from './leftovers.mjs';
import { slotRelease, slotTake } from './slot.mjs';

let slot;
const children = new Set();

before(async () => {
    slot = await slotTake(async (found) => !leftovers(found).length);
    mkdirSync(slot.dir, { recursive: true });
});
after(() => {
    children.forEach((child) => child.kill('SIGKILL'));
    rmSync(slot.dir, { recursive: true, force: true });
    slotRelease(slot.number);
});

async function server(env = {}, port = slot.ports.bare) {
    const child = spawn(program('bench-server'), [], { env: { PORT: String(port), SLIPWAY_RELEASE: 'r1', SLIPWAY_INSTANCE: 'i1', ...env }, stdio: ['ignore', 'pipe', 'inherit'], cwd: slot.dir });
    children.add(child);
    child.text = '';
    child.stdout.on('data', (part) => { child.text += part; });
    child.ended = new Promise((resolve) => child.once('close', resolve)).finally(() => children.delete(child));
    await until(async () => (await request({ port }, 'GET', '/up')).status === 200, 5000, 'the test app is up');
    return child;
}

const load = (options) => loadNew({ to: `127.0.0.1:${slot.ports.bare}`, host: 'localhost', get: ['/id'], post: ['/count'], ...options });

for (const options of [{ rate: 1000 }, { connections: 16 }]) {
    test(`a good server loses nothing and counts each POST once: ${JSON.stringify(options)}`, async () => {
        const child = await server();
        const client = await load(options).flowing(300);
        const seen = await client.stop();
        child.kill('SIGTERM');
        await child.ended;
        assert.equal(seen.lost, 0);
        assert.equal(seen.begun, seen.ok);
        assert.match(child.text, new RegExp(`counted ${seen.posts_ok} repeated 0`));
    });
}

test('a server that is killed and comes back loses requests, and they are told one by one', async () => {
    let child = await server();
    const client = await load({ connections: 16 }).flowing();
    await client.mark();
    child.kill('SIGKILL');
    await child.ended;
    child = await server({ SLIPWAY_RELEASE: 'r2' });
    await until(async () => (await client.report()).releases.r2?.ok > 50, 5000, 'the new release answers');
    const since = await client.report();
    const seen = await client.stop();
    child.kill('SIGTERM');
    await child.ended;
    assert.ok(seen.lost > 0);
    assert.equal(seen.begun, seen.ok + seen.lost);
    assert.ok(client.lost.length > 0);
    const { firstNewMs, lastOldMs } = switchOf(since, 'r2');
    assert.ok(firstNewMs > lastOldMs);
});

test('an answer that is not right is lost: a bad status, a wrong body', async () => {
    const child = await server({ FAIL_AFTER_MS: '300' });
    const failing = load({ connections: 4 });
    await until(async () => (await failing.total()).reasons.status_500 > 0, 5000, 'a 500 is seen');
    await failing.stop();
    child.kill('SIGKILL');
    await child.ended;
    const good = await server();
    const wrong = load({ connections: 4, post: [], expect: 'no such text' });
    await until(async () => (await wrong.total()).reasons.wrong > 0, 5000, 'a wrong body is seen');
    assert.equal((await wrong.stop()).ok, 0);
    good.kill('SIGTERM');
    await good.ended;
});

test('a server that ends in order while requests come loses none that it took', async () => {
    const child = await server();
    const slow = request({ port: slot.ports.bare }, 'GET', '/slow?ms=300');
    await until(async () => (await raw({ port: slot.ports.bare }, 'GET /up HTTP/1.1\r\nConnection: close\r\n\r\n')).statuses[0] === 200, 1000, 'it is up');
    child.kill('SIGTERM');
    assert.equal((await slow).status, 200);
    assert.equal(await child.ended, 0);
});

test('leftovers sees processes, cgroups, links and tables of an installation, and sweep takes them away', () => {
    assert.deepEqual(leftovers(slot), []);
    spawnSync('ip', ['link', 'add', `${slot.id}x`, 'type', 'bridge']);
    spawnSync('nft', ['add', 'table', 'inet', slot.id]);
    mkdirSync(`${existsSync('/sys/fs/cgroup/pids') ? '/sys/fs/cgroup/pids' : '/sys/fs/cgroup'}/${slot.id}/web.dev/r1.1`, { recursive: true });
    mkdirSync(`${slot.dir}/m`, { recursive: true });
    spawnSync('mount', ['-t', 'tmpfs', 'x', `${slot.dir}/m`]);
    const seen = leftovers(slot);
    sweep(slot);
    for (const kind of ['link', 'nft table', 'cgroup', 'mount'])
        assert.ok(seen.some((text) => text.startsWith(kind)), `${kind}: ${seen}`);
    assert.deepEqual(leftovers(slot), []);
    mkdirSync(slot.dir, { recursive: true });
});

test('the shop has six feature branches, one with a Chinese name, and one pair conflicts', async () => {
    const shop = await Repository.fromFixture('shop', `${slot.dir}/shop`);
    const features = (await shop.git('branch', '--format=%(refname:short)')).split('\n').filter((name) => name !== 'main');
    assert.equal(features.length, 6);
    const conflicts = [];
    for (const one of features)
        for (const other of features.filter((name) => name > one))
            await shop.git('merge-tree', '--write-tree', one, other).catch(() => conflicts.push(`${one} ${other}`));
    assert.deepEqual(conflicts, ['feature/coupon feature/member-price']);
    assert.ok(features.some((name) => /\p{Script=Han}/u.test(name)));
});

test('until tells what it waited for, and the last error', async () => {
    await assert.rejects(until(() => false, 20, 'rain'), /not within 20 ms: rain/);
    await assert.rejects(until(() => { throw new Error('dry'); }, 20, 'rain'), /rain \(dry\)/);
    let n = 0;
    assert.equal(await until(() => ++n > 3 && 'wet', 1000, 'rain'), 'wet');
});
