// ./bench up: one command on a bare machine. A Debian 12 with git and nothing else is made in a folder (by
// mmdebstrap, from the machine's own sources) and entered with mounts, processes and a host name of its own;
// there `./up` must come from a clone to the sample in four environments within six minutes, come back within
// eight seconds (while running, and after `./down`), leave nothing on the machine after `./down`, and refuse
// where less than 5 GB are free. The network, and so the registries, are the machine's; proxies, CA and
// mirrors are given as a user's machine would have them.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { ROOT, leftovers, nowMs, run, until } from '../tests/lib/index.mjs';
import { sweep } from '../tests/lib/leftovers.mjs';
import { slotRelease, slotTake } from '../tests/lib/slot.mjs';
import { bench, say } from './common.mjs';

const COLD_MS = 360_000, AGAIN_MS = 8_000, SMALL = '1G';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const ENVS = ['dev', 'test', 'pre', 'prod'];
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

async function must(file, args, options) {
    const done = await run(file, args, { timeout: 900_000, ...options });
    if (done.code !== 0)
        throw new Error(`${file} ${args.join(' ')}: exit ${done.code ?? done.signal}\n${done.err.slice(-3000)}${done.out.slice(-1000)}`);
    return done.out;
}

// What apt on this machine is told about the way out, for the new one.
async function aptOptions(file) {
    const lines = (await must('/usr/bin/apt-config', ['dump'])).split('\n').filter((line) => /^Acquire::.*"[^"]+";$/.test(line) && !/::$/.test(line.split(' ')[0]));
    writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
}

function aptSources() {
    const folder = '/etc/apt/sources.list.d';
    const named = existsSync(folder) ? readdirSync(folder).filter((name) => /\.(list|sources)$/.test(name)).map((name) => `${folder}/${name}`) : [];
    return ['/etc/apt/sources.list', ...named].filter((path) => existsSync(path) && /debian/i.test(readFileSync(path, 'utf8')));
}

// As pid 1 of the new machine: its root becomes /, dead children are nobody's burden.
const SETUP = `
mount --make-rprivate /
mount --bind "$1" "$1"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=755 tmpfs "$1/run"
mount -o loop "$2" "$1/small"
hostname bare
cd "$1"
mount --move . /
exec chroot . /bin/sh -c 'echo ready; exec env --ignore-signal=CHLD tail -f /dev/null'
`;

class Machine {
    constructor(slot) {
        this.slot = slot;
        this.root = `${slot.dir}/root`;
    }

    async make() {
        const { root, slot } = this;
        mkdirSync(slot.dir, { recursive: true });
        await aptOptions(`${slot.dir}/apt.conf`);
        await must('/usr/bin/mmdebstrap', ['--quiet', '--variant=minbase', '--include=git,ca-certificates', `--aptopt=${slot.dir}/apt.conf`, 'bookworm', root, ...aptSources()]);
        for (const path of ['/etc/resolv.conf', '/etc/hosts', '/etc/environment', '/etc/npmrc', '/root/.npmrc', '/usr/local/share/ca-certificates'])
            if (existsSync(path))
                cpSync(path, `${root}${path}`, { recursive: true, dereference: true });
        await must('/usr/sbin/chroot', [root, '/usr/sbin/update-ca-certificates']);
        await must('/usr/bin/git', ['-c', 'safe.directory=*', 'clone', '-q', '--no-local', ROOT, `${root}/root/slipway`]);
        mkdirSync(`${root}/small`);
        await must('/usr/bin/truncate', ['-s', SMALL, `${slot.dir}/small.img`]);
        await must('/usr/sbin/mkfs.ext4', ['-q', `${slot.dir}/small.img`]);
    }

    async start() {
        const shell = ['/bin/sh', '-ec', SETUP, 'bare', this.root, `${this.slot.dir}/small.img`];
        this.unshare = spawn('/usr/bin/unshare', ['--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child', ...shell], { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' });
        await until(() => `${this.unshare.stdout.read() ?? ''}`.includes('ready'), 20_000, 'the bare machine is up');
        this.init = Number(readFileSync(`/proc/${this.unshare.pid}/task/${this.unshare.pid}/children`, 'utf8').trim().split(' ')[0]);
    }

    // What root types there; never throws for an exit code. {code, out, err, ms}
    async type(line, timeout = 1_200_000) {
        const begin = nowMs();
        const done = await run('/usr/bin/nsenter', ['-t', String(this.init), '-m', '-p', '-u', '-i', '/usr/bin/env', '-i', `PATH=${PATH}`, 'HOME=/root', 'TERM=dumb', '/bin/sh', '-c', `cd /root/slipway && ${line}`], { timeout });
        return { code: done.code, out: done.out, err: done.err, ms: nowMs() - begin };
    }

    // An installation of its own on the shared network.
    async settings(name, more = {}) {
        const { slot } = this;
        const wayOut = await this.type('tools/mirrors');
        const own = { id: slot.id, api_listen: `127.0.0.1:${slot.ports.api}`, edge_http: slot.ports.http, edge_https: slot.ports.https, edge_address: '127.0.0.1', subnet: slot.subnet, id_first: slot.idFirst, ...more };
        mkdirSync(`${this.root}/etc/slipway`, { recursive: true });
        writeFileSync(`${this.root}/etc/slipway/${name}`, `${Object.entries(own).map(([key, value]) => `${key} = ${value}`).join('\n')}\n${wayOut.out}`);
    }

    // Everything of it on the machine: processes but the first, mounts, and what carries its id.
    left() {
        const space = readlinkSync(`/proc/${this.init}/ns/pid`);
        const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== this.init).filter((name) => {
            try {
                return readlinkSync(`/proc/${name}/ns/pid`) === space;
            } catch {
                return false;
            }
        }).map((name) => `process ${name} ${readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')}`);
        return [...processes, ...leftovers({ id: this.slot.id, dir: '/nowhere' })];
    }

    mounts() {
        return readFileSync(`/proc/${this.init}/mountinfo`, 'utf8').split('\n').map((line) => line.split(' ')[4]).filter(Boolean).sort().join('\n');
    }

    async end() {
        this.unshare?.kill('SIGKILL'); // takes the first process along, and that all others
        await until(() => !this.unshare || this.unshare.exitCode !== null || this.unshare.signalCode !== null, 20_000, 'the bare machine is gone');
        await until(() => !this.init || !existsSync(`/proc/${this.init}`), 20_000, 'its first process is gone');
        sweep({ id: this.slot.id, dir: this.slot.dir });
        rmSync(this.slot.dir, { recursive: true, force: true });
        slotRelease(this.slot.number);
    }
}

const tail = (done) => `\n${done.out.slice(-2500)}\n${done.err.slice(-2500)}`;

function pagesOf(verdict, done, what) {
    const found = ENVS.filter((env) => new RegExp(`^ +${env} +http://shop\\.${env}\\.localhost:\\d+/$`, 'm').test(done.out));
    verdict.must(found.length === ENVS.length && /all 4 live environments answer/.test(done.out), `${what}: a page from each of ${ENVS.join(', ')}`);
}

function quickly(verdict, done, limit, what) {
    say(done.out.split('\n').filter((line) => /^\[/.test(line)).map((line) => `    ${line}`).join('\n'));
    if (done.code !== 0)
        say(tail(done));
    verdict.must(done.code === 0 && done.ms <= limit, `${what}: ${seconds(done.ms)} <= ${seconds(limit)}${done.code === 0 ? '' : `, exit ${done.code}`}`);
    verdict.figure(`${what} ${seconds(done.ms)}`);
}

async function nothingLeft(machine, verdict, mounts, what) {
    let left;
    await until(() => !(left = machine.left()).length, 5000, 'nothing is left').catch(() => say(left.join('\n')));
    verdict.must(left.length === 0, `${what}: no process, cgroup, namespace, bridge, link or nftables table is left`);
    verdict.must(machine.mounts() === mounts, `${what}: the mounts are those from before`);
}

await bench('up', async (verdict, after) => {
    const machine = new Machine(await slotTake(async (found) => !existsSync(found.dir) && !leftovers(found).length));
    after(() => machine.end());
    say('making a bare Debian 12: minbase, git, ca-certificates');
    await machine.make();
    await machine.start();
    await machine.settings('slipway.conf');
    await machine.settings('small.conf', { data_dir: '/small/data', run_dir: '/run/small' });
    const mounts = machine.mounts();

    const refused = await machine.type('SLIPWAY_SETTINGS=/etc/slipway/small.conf ./up');
    verdict.must(refused.code !== 0 && /only \d+ MiB are free at '\/small'.*needs 5 GB/.test(refused.err), `under 5 GB it refuses: ${refused.err.trim().slice(0, 120)}`);

    say('./up, cold');
    const cold = await machine.type('./up');
    quickly(verdict, cold, COLD_MS, 'cold');
    pagesOf(verdict, cold, 'cold');
    verdict.must(/^ +API +http:\/\/127\.0\.0\.1:\d+\/$/m.test(cold.out) && /setup http:\/\/127\.0\.0\.1:\d+\/setup\/swl_\w+ /.test(cold.out.split('\n').slice(-4).join('\n')), 'it ends with the address and the set-up link');
    const doctor = await machine.type('slipway doctor');
    verdict.must(doctor.code === 0, `doctor is content${doctor.code === 0 ? '' : `: ${doctor.out.split('\n').filter((line) => /^BAD/.test(line)).join('; ')}`}`);

    const running = await machine.type('./up');
    quickly(verdict, running, AGAIN_MS, 'again while running');
    pagesOf(verdict, running, 'again while running');

    const down = await machine.type('./down');
    if (!verdict.must(down.code === 0, `down: exit ${down.code}, ${seconds(down.ms)}`))
        say(tail(down));
    await nothingLeft(machine, verdict, mounts, 'after down');

    const back = await machine.type('./up');
    quickly(verdict, back, AGAIN_MS, 'after down');
    pagesOf(verdict, back, 'after down');

    const purge = await machine.type('./down --purge');
    verdict.must(purge.code === 0 && !existsSync(`${machine.root}/var/lib/slipway`), 'down --purge takes the data too');
    await nothingLeft(machine, verdict, mounts, 'after down --purge');
});
