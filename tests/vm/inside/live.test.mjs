// In the guest, after ./up, under load on the sample's prod: the service is restarted, each role is killed, and
// the limits of an instance are hit.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { loadNew, processes, roles, run, until } from '../../lib/index.mjs';

const SETTINGS = '/etc/slipway/slipway.conf', GROUPS = '/sys/fs/cgroup/slipway';
const RATE = 20; // of an emulated machine; the point is that none is lost
let load;
const slipway = async (...words) => (await run('/usr/local/bin/slipway', [...words, '-o', 'json'])).json;
const all = (found) => ['serve', 'core', 'courier', 'host', 'signals'].every((role) => found[role]);
const instances = () => processes().filter(({ command }) => command.join(' ') === 'node server.js').map(({ pid }) => pid).sort();
const edge = () => processes().filter(({ command }) => command[0] === '/usr/sbin/haproxy').map(({ pid }) => pid);

async function healthy(before) {
    await until(() => {
        const now = roles(SETTINGS);
        return all(now) && Object.entries(before).every(([role, pid]) => now[role] !== pid);
    }, 120_000, 'the roles are new');
    await until(async () => (await slipway('doctor')).checks.every((check) => check.ok), 120_000, 'the doctor finds nothing', { first: 500, most: 1500 });
}

before(async () => {
    load = loadNew({ to: '127.0.0.1:80', host: 'shop.prod.localhost', rate: RATE, get: ['/up', '/'], echo: false, fresh: 5, timeout: 30_000 });
    await load.flowing(50);
});
after(() => load?.kill());

for (const role of ['serve', 'core', 'courier', 'host', 'signals'])
    test(`kill -9 of ${role}: it comes back, instances and edge never went`, async () => {
        const [apps, proxies] = [instances(), edge()];
        const pid = roles(SETTINGS)[role];
        process.kill(pid, 'SIGKILL');
        await healthy({ [role]: pid });
        assert.deepEqual(instances(), apps);
        assert.deepEqual(edge(), proxies);
    });

test('systemctl restart slipway: five new roles, instances and edge never went', async () => {
    const [apps, proxies, before] = [instances(), edge(), roles(SETTINGS)];
    const done = await run('/usr/bin/systemctl', ['restart', 'slipway']);
    assert.equal(done.code, 0, done.err);
    await healthy(before);
    assert.deepEqual(instances(), apps);
    assert.deepEqual(edge(), proxies);
});

test('systemctl stop and start: the apps serve in between, systemd knows of nothing left over', async () => {
    const apps = instances();
    const since = `@${Math.floor(Date.now() / 1000)}`;
    await run('/usr/bin/systemctl', ['stop', 'slipway']);
    assert.deepEqual(roles(SETTINGS), {});
    const { ok } = await load.total();
    await until(async () => (await load.total()).ok > ok + 50, 60_000, 'requests are answered without us');
    await run('/usr/bin/systemctl', ['start', 'slipway']);
    await healthy({});
    assert.deepEqual(instances(), apps);
    const told = await run('/usr/bin/journalctl', ['-u', 'slipway', '--no-pager', '--since', since]);
    assert.doesNotMatch(told.out, /left-over process/);
});

test('systemctl daemon-reload and new limits of other units leave the limits of instances as they are', async () => {
    const group = `${GROUPS}/shop.prod`;
    const [name] = groupsIn(group);
    const before = limits(`${group}/${name}`);
    for (const words of [['daemon-reload'], ['set-property', '--runtime', 'ssh.service', 'CPUWeight=200'], ['set-property', '--runtime', 'ssh.service', 'MemoryHigh=1G'], ['daemon-reexec']])
        assert.equal((await run('/usr/bin/systemctl', words)).code, 0, words.join(' '));
    assert.deepEqual(limits(`${group}/${name}`), before);
    assert.equal(before['memory.max'], String(256 << 20));
    assert.equal(before['pids.max'], '100');
});

test('memory, processes and processor time: more than the limit is not given', async () => {
    const group = `${GROUPS}/shop.dev`;
    const [name] = groupsIn(group);
    const own = (file) => readFileSync(`${group}/${name}/${file}`, 'utf8');
    // A process that root puts into the instance's group is bound by it as the app itself is.
    const inside = (script) => run('/bin/sh', ['-c', `echo $$ >${group}/${name}/cgroup.procs; ${script}`], { timeout: 60_000 });
    const oom = Number(/^oom_kill (\d+)/m.exec(own('memory.events'))[1]);
    writeFileSync(`${group}/${name}/cpu.max`, '20000 100000'); // the sample sets none; what counts is that it holds
    const before = Number(/^nr_throttled (\d+)/m.exec(own('cpu.stat'))[1]);
    await inside('timeout 5 sh -c "while :; do :; done"');
    assert.ok(Number(/^nr_throttled (\d+)/m.exec(own('cpu.stat'))[1]) > before + 10, own('cpu.stat'));
    writeFileSync(`${group}/${name}/cpu.max`, 'max 100000');
    const forks = await inside('i=0; while [ $i -lt 150 ]; do sleep 5 & i=$((i + 1)); done; wait');
    assert.match(forks.err, /[Cc]annot fork|Resource temporarily/);
    await inside('head -c 400m /dev/zero | tail -c 399m >/dev/null');
    await until(() => Number(/^oom_kill (\d+)/m.exec(own('memory.events'))[1]) > oom, 60_000, 'the kernel ended something');
});

test('no request was lost in all of this', async () => {
    const total = await load.stop();
    assert.equal(total.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    assert.ok(total.ok > 500, `${total.ok} answered`);
});

function limits(folder) {
    return Object.fromEntries(['memory.max', 'pids.max', 'cpu.max', 'cpu.weight'].map((file) => [file, readFileSync(`${folder}/${file}`, 'utf8').trim()]));
}

function groupsIn(folder) {
    return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);
}
