// `slipway doctor` on a machine with something wrong: each fault is planted for real, the doctor names it and
// nothing else, says how to mend it, and has nothing to say once it is mended. Also when core, or all of it, is
// dead: root is told what can be seen from outside.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, renameSync, rmSync, statfsSync, utimesSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { platform, run, until } from '../lib/index.mjs';

const MIB = 1024 * 1024;
let p, disk;
const sleepers = new Set(); // ends them whatever happens
before(async () => {
    p = await platform({ start: false });
    disk = `${p.dir}/disk`;
    mkdirSync(disk);
    await must('/usr/bin/truncate', '-s', '300M', `${p.dir}/disk.img`);
    await must('/usr/sbin/mkfs.ext4', '-q', `${p.dir}/disk.img`);
    await must('/usr/bin/mount', '-o', 'loop', `${p.dir}/disk.img`, disk);
    p.dataDir = `${disk}/data`;
    p.settingsWrite({ data_dir: p.dataDir, disk_reserve: '32m', build_volume: '64m' });
    await p.startOrEnd();
});
after(async () => {
    for (const child of sleepers)
        child.kill('SIGKILL');
    await run('/usr/sbin/nft', ['delete', 'table', 'inet', `${p.id}-other`]);
    for (const pid of stopped)
        signal(pid, 'SIGCONT');
    await p?.down(['--purge']);
    await run('/usr/bin/umount', ['-l', disk]);
    await p?.stop();
});

const stopped = new Set();
function signal(pid, name) {
    try {
        process.kill(pid, name);
    } catch {
        // gone
    }
    (name === 'SIGSTOP' ? stopped.add : stopped.delete).call(stopped, pid);
}

async function must(file, ...args) {
    const done = await run(file, args);
    assert.equal(done.code, 0, `${file} ${args.join(' ')}: ${done.err}`);
    return done.out;
}

// What is wrong: name -> its check.
async function bad() {
    const done = await p.cli('doctor', '-o', 'json');
    const report = done.json;
    const wrong = new Map(report.checks.filter((check) => !check.ok).map((check) => [check.name, check]));
    assert.equal(done.code === 0, wrong.size === 0, `exit ${done.code} with ${[...wrong.keys()]}`);
    assert.equal(report.ok, wrong.size === 0);
    return wrong;
}

const told = (wrong) => [...wrong.values()].map((check) => `${check.name}: ${check.text}`).join('; ');

async function healthy(what) {
    let wrong;
    await until(async () => (wrong = await bad()).size === 0, 30_000, `doctor is content ${what}`).catch((error) => {
        assert.fail(`${error.message}: ${told(wrong)}`);
    });
}

// This is named, and nothing that is not allowed beside it; what comes up or goes down meanwhile passes.
async function only(allowed, name) {
    let wrong;
    await until(async () => (wrong = await bad()).has(name) && [...wrong.keys()].every(allowed), 20_000, `'${name}' is named, and nothing else`)
        .catch((error) => assert.fail(`${error.message}; it says: ${told(wrong)}`));
    return wrong;
}

// names: all that may be said, the fault itself first.
function fault(what, { names, says, plant, mend }) {
    test(`doctor names ${what}`, async () => {
        await healthy('before');
        const undo = await plant();
        try {
            const wrong = await only((name) => names().includes(name), names()[0]);
            assert.deepEqual([...wrong.keys()].sort(), [...names()].sort(), told(wrong));
            const { text, fix } = wrong.get(names()[0]);
            assert.match(text, says);
            assert.ok(fix.length > 10, fix);
            const typed = await p.cli('doctor');
            assert.match(typed.out, new RegExp(`BAD +${names()[0].replace(/[()]/g, '\\$&')}.*\\n +mend: `));
            assert.notEqual(typed.code, 0);
        } finally {
            await mend(undo);
        }
        await healthy('after it was mended');
    });
}

test('nothing is wrong at first, and each line says what was looked at', async () => {
    await healthy('at first');
    const { checks } = (await p.cli('doctor', '-o', 'json')).json;
    assert.ok(checks.length > 20);
    assert.equal(new Set(checks.map((check) => check.name)).size, checks.length, 'a name stands once');
    assert.equal((await p.cli('doctor')).code, 0);
});

fault('a full disk', {
    names: () => ['disk'], says: /MiB are free|disk/,
    plant: () => must('/usr/bin/fallocate', '-l', String(statfsSync(disk).bavail * statfsSync(disk).bsize - 16 * MIB), `${disk}/filler`),
    mend: () => rmSync(`${disk}/filler`),
});

fault('a user that does not exist', {
    names: () => ['user slipway-absent'], says: /'slipway-absent' does not exist/,
    plant: () => p.settingsWrite({ user_edge: 'slipway-absent' }),
    mend: () => {
        delete p.settings.user_edge;
        p.settingsWrite();
    },
});

fault('settings that nobody can read', {
    names: () => ['settings'], says: /slipway\.conf:\d+/,
    plant: () => appendFileSync(p.settingsFile, 'api_lisen = 1\n'),
    mend: () => p.settingsWrite(),
});

fault('a role that is dead, with nobody to start it again', {
    names: () => ['role courier', 'role serve'], says: /not running/,
    plant: async () => {
        await p.kill('serve');
        await p.kill('courier');
    },
    mend: () => p.serve(),
});

fault('a role that is stopped', {
    names: () => ['role signals'], says: /process \d+ is stopped/,
    plant: () => {
        const pid = p.pid('signals');
        signal(pid, 'SIGSTOP');
        return pid;
    },
    mend: (pid) => signal(pid, 'SIGCONT'),
});

fault('a supervisor that is dead', {
    names: () => ['role serve'], says: /not running/,
    plant: () => p.kill('serve'),
    mend: () => p.serve(),
});

fault('core that hangs', {
    names: () => ['role core'], says: /is stopped/,
    plant: () => {
        const pid = p.pid('core');
        signal(pid, 'SIGSTOP');
        return pid;
    },
    mend: (pid) => signal(pid, 'SIGCONT'),
});

fault('a rule of another firewall that drops what instances send', {
    names: () => ['foreign firewall'], says: /rule with handle \d+ drops what containers send/,
    plant: () => must('/usr/sbin/nft', `table inet ${p.id}-other { chain mine { type filter hook forward priority 10; policy accept; ip saddr ${p.settings.subnet} counter drop; }; }`),
    mend: () => must('/usr/sbin/nft', 'delete', 'table', 'inet', `${p.id}-other`),
});

fault('a rule of another firewall that drops requests to the edge', {
    names: () => ['foreign firewall'], says: /drops requests to the edge/,
    plant: () => must('/usr/sbin/nft', `table inet ${p.id}-other { chain mine { type filter hook input priority 10; policy accept; iifname "${p.id}none" tcp dport { 9, ${p.ports.http} } reject; }; }`),
    mend: () => must('/usr/sbin/nft', 'delete', 'table', 'inet', `${p.id}-other`),
});

fault('our own firewall table taken away', {
    names: () => ['firewall table'], says: /gone/,
    plant: () => must('/usr/sbin/nft', 'delete', 'table', 'inet', p.id),
    mend: () => p.kill('host'),
});

fault('the bridge taken away', {
    names: () => ['bridge'], says: /gone/,
    plant: () => must('/usr/sbin/ip', 'link', 'delete', `${p.id}0`),
    mend: () => p.kill('host'),
});

fault('a clock that is behind what was written', {
    names: () => ['clock'], says: /behind/,
    plant: () => {
        const tomorrow = Date.now() / 1000 + 86_400;
        utimesSync(`${p.dataDir}/master.key`, tomorrow, tomorrow);
    },
    mend: () => utimesSync(`${p.dataDir}/master.key`, new Date(), new Date()),
});

fault('a master key that others can read', {
    names: () => ['master key'], says: /mode 0644/,
    plant: () => chmodSync(`${p.dataDir}/master.key`, 0o644),
    mend: () => chmodSync(`${p.dataDir}/master.key`, 0o600),
});

// Host has a mount namespace of its own: there the program can be hidden from it alone.
fault('a program that is missing', {
    names: () => ['program conmon'], says: /'\/usr\/bin\/conmon' is missing/,
    plant: async () => {
        const host = String(p.pid('host'));
        await must('/usr/bin/nsenter', '-t', host, '-m', '/usr/bin/mount', '--bind', '/dev/null', '/usr/bin/conmon');
        return host;
    },
    mend: (host) => must('/usr/bin/nsenter', '-t', host, '-m', '/usr/bin/umount', '/usr/bin/conmon'),
});

fault('the request-log socket gone', {
    names: () => ['edge request log'], says: /socket is missing/,
    plant: () => renameSync(`${p.runDir}/edge/log.sock`, `${p.runDir}/edge/log.sock.away`),
    mend: () => renameSync(`${p.runDir}/edge/log.sock.away`, `${p.runDir}/edge/log.sock`),
});

// A port is taken before the start: all that needs it is down too, and said; the port's line names the culprit.
async function listenerOn(port) {
    const script = `require('net').createServer().listen(${port}, '127.0.0.1', () => console.log('on'))`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    sleepers.add(child);
    await until(() => child.stdout.read(), 10_000, 'the stranger listens');
    return child;
}

async function strangerGoes(child) {
    child.kill('SIGKILL');
    await until(() => child.exitCode !== null || child.signalCode !== null, 5000, 'the stranger is gone');
    sleepers.delete(child);
}

test('doctor names who holds the port of the API, with everything dead', async () => {
    await healthy('before');
    await p.down();
    const child = await listenerOn(p.ports.api);
    try {
        mkdirSync(`${p.dataDir}/log`, { recursive: true });
        const served = await run('/bin/sh', ['-c', `exec "$0" serve --settings "$1" 2>>"${p.dataDir}/log/slipway.log"`, p.binary, p.settingsFile]);
        assert.notEqual(served.code, 0);
        const wrong = await bad();
        const port = wrong.get(`port ${p.ports.api} (API)`);
        assert.match(port?.text ?? told(wrong), new RegExp(`held by 'node' \\(process ${child.pid}\\)`));
        assert.deepEqual([...wrong.keys()].filter((name) => !name.startsWith('role ')), [`port ${p.ports.api} (API)`]);
        assert.match(wrong.get('role serve').log.join('\n'), /cannot listen on '127\.0\.0\.1:\d+'/);
        const typed = await p.cli('doctor');
        assert.match(typed.out, /cannot listen on/);
    } finally {
        await strangerGoes(child);
    }
    await p.serve();
    await healthy('after the stranger has gone');
});

test('doctor names who holds the port of the edge', async () => {
    await p.down();
    const child = await listenerOn(p.ports.http);
    try {
        await p.serve();
        const wrong = await only((name) => /^(edge|port )/.test(name), `port ${p.ports.http} (edge)`);
        assert.match(wrong.get(`port ${p.ports.http} (edge)`).text, new RegExp(`process ${child.pid}\\)`));
    } finally {
        await strangerGoes(child);
    }
    await healthy('after the stranger has gone');
});

test('with all of it down doctor says so, and fails', async () => {
    await p.down();
    const wrong = await bad();
    assert.deepEqual([...wrong.keys()].sort(), ['role core', 'role courier', 'role host', 'role serve', 'role signals']);
    await p.serve();
    await healthy('at the end');
});
