// The tools of the tests, tested: the load client sees what is lost, leftovers sees what is left, waiting
// waits.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { ROOT, Repository, leftovers, loadNew, program, raw, request, switchOf, until } from './index.mjs';
import { sweep } from './leftovers.mjs';
import { forms } from './oracles.mjs';
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

// ---- on a bare Debian `tools/deps` installs all that the tests run ----

// Every file below that begins or ends so.
function* files(folder, fits) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const path = `${folder}/${entry.name}`;
        if (entry.isDirectory() && entry.name !== 'node_modules')
            yield* files(path, fits);
        else if (entry.isFile() && fits(entry.name))
            yield path;
    }
}

function programsUsed() {
    const used = new Map();
    // What runs in the guest of tests/vm has all that a Debian with systemd has (and its own first process).
    const scripts = [...[...files(`${ROOT}/tests`, (name) => name.endsWith('.mjs'))].filter((file) => !file.includes('/tests/vm/inside/')), ...files(`${ROOT}/benchmarks`, (name) => name.endsWith('.mjs'))];
    for (const file of scripts)
        for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?<![\w/}.-])((?:\/usr)?\/s?bin\/[a-z][\w.+-]*)(?=['"`\s])/g))
            used.set(path, [...(used.get(path) ?? []), file.slice(ROOT.length + 1)]);
    return used;
}

function packagesOf(path) {
    const real = existsSync(path) ? realpathSync(path) : path;
    const names = new Set([path, real, path.replace(/^\/usr/, ''), real.replace(/^\/usr/, '')]);
    return [...names].flatMap((name) => spawnSync('dpkg', ['-S', name], { encoding: 'utf8' }).stdout.split('\n'))
        .filter((line) => line && !line.startsWith('diversion')).map((line) => line.split(':')[0]);
}

test('every program that tests name by its path comes with tools/deps, or with any Debian', () => {
    const deps = readFileSync(`${ROOT}/tools/deps`, 'utf8');
    const listed = new Set([...deps.matchAll(/^packages_\w+="([^"]*)"/gm)].flatMap(([, names]) => names.split(/\s+/)));
    const essential = new Set(spawnSync('dpkg-query', ['-W', '-f', '${Package} ${Essential}\n'], { encoding: 'utf8' }).stdout
        .split('\n').filter((line) => line.endsWith(' yes')).map((line) => line.split(' ')[0]));
    essential.add('apt'); // not by that word, but tools/deps itself could not do without
    const used = programsUsed();
    used.delete('/sbin/vm-init');
    assert.ok(used.size > 15, [...used.keys()].join(' '));
    for (const [path, where] of used) {
        const packages = packagesOf(path);
        assert.ok(packages.some((name) => listed.has(name) || essential.has(name)), `${path} (${where[0]}) is from '${packages}', which tools/deps does not install`);
    }
});

test('a check that is all green needs what it calls by name, too', () => {
    const deps = readFileSync(`${ROOT}/tools/deps`, 'utf8');
    for (const name of ['sqlite3', 'valgrind', 'shellcheck', 'strace'])
        assert.match(/^packages_check="([^"]*)"/m.exec(deps)[1], new RegExp(`(^|\\s)${name}(\\s|$)`), name);
});

test('a secret is found in a file in whatever form it lies there', () => {
    const secret = 's3cret-äß"\n';
    for (const before of ['', 'a', 'ab', 'abc'])
        for (const after of ['', 'z', 'zz'])
            for (const encoding of ['base64', 'base64url', 'hex', 'utf8']) {
                const text = Buffer.from(before + secret + after).toString(encoding);
                assert.ok(forms(secret).some((form) => text.includes(form)), `${encoding} of ${JSON.stringify(before + secret + after)}`);
                const other = Buffer.from(`${before}s3cres-äß"\n${after}`).toString(encoding);
                assert.ok(!forms(secret).some((form) => other.includes(form)), encoding);
            }
});
