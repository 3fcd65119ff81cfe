// A Debian 12 guest under QEMU: systemd, its own kernel, pure cgroup v2 (tools/vm-image makes the disks). Driven
// over ssh; its network is QEMU's own (user mode), so nothing of this machine's is touched.
//
//     const m = await Machine.boot('up', { image: 'full' });
//     after(() => m.end());
//     const done = await m.type('sudo ./up', { as: 'ana' });      // {code, out, err, ms}
//     m.powerCut(); await m.start();
import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { appendFileSync, closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { ROOT, nowMs, run, until } from '../lib/index.mjs';

const BOOT_MS = 240_000, KVM_MS = 10_000, LONG_MS = 10_000, GREET_MS = 4000;
// What makes an emulated machine slow and tells nothing about Slipway: against processors' own faults (each system call
// empties QEMU's tables, ten times its price), pages zeroed twice, watchdogs.
const QUICK = 'mitigations=off init_on_alloc=0 nowatchdog';
export const IMAGES = process.env.SLIPWAY_VM_IMAGES; // set by ./check --vm
export const WORK = process.env.SLIPWAY_VM_WORK;
const MOUNTS = { checkout: '/srv/slipway', data: '/var/lib/slipway', backup: '/mnt/backup' };
const LOGS = `${ROOT}/build-vm`;
const living = new Set();
process.on('exit', () => living.forEach((m) => m.endNow()));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.once(signal, () => process.exit(130));

// As `until`, for questions that a guest answers: each takes it about a second of its processor, which what is waited
// for needs.
export const untilGuest = (condition, deadlineMs, what) => until(condition, deadlineMs, what, { first: 1500, most: 1500 });

async function must(file, args, options) {
    const done = await run(file, args, options);
    if (done.code !== 0)
        throw new Error(`${file} ${args.join(' ')}: exit ${done.code ?? done.signal}\n${done.err.slice(-3000)}${done.out.slice(-3000)}`);
    return done.out;
}

async function portFree() {
    const server = createServer();
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return port;
}

// KVM where it works: some machines offer it, and the guest hangs before the kernel's first line.
async function accelerator() {
    const known = `${WORK}/accelerator`;
    if (existsSync(known))
        return readFileSync(known, 'utf8');
    let found = 'tcg';
    if (existsSync('/dev/kvm')) {
        const args = ['-accel', 'kvm', '-cpu', 'host', '-m', '512', '-nographic', '-no-reboot', '-nodefaults', '-serial', 'stdio', '-kernel', `${IMAGES}/vmlinuz`, '-append', 'console=ttyS0'];
        const tried = await run('/usr/bin/qemu-system-x86_64', args, { timeout: KVM_MS });
        if (/Linux version/.test(tried.out))
            found = 'kvm';
    }
    writeFileSync(known, found);
    return found;
}

export class Machine {
    // image: full or bare. data: the disk of WORK that becomes /var/lib/slipway. backup: a disk with one (data-disk.mjs).
    // init: instead of systemd (and of ssh), tests/vm/inside/NAME runs as the first process.
    static async boot(name, { image = 'full', checkout = true, data, backup = false, memory = 3072, init } = {}) {
        if (!IMAGES || !WORK)
            throw new Error('SLIPWAY_VM_IMAGES and SLIPWAY_VM_WORK are not set: run ./check --vm');
        const m = new Machine(name, memory, init);
        mkdirSync(m.dir, { recursive: true });
        mkdirSync(LOGS, { recursive: true });
        await m.#disk('root', `${IMAGES}/${image}.img`);
        if (checkout)
            await m.#disk('checkout', `${WORK}/checkout.img`);
        if (data)
            await m.#disk('data', `${WORK}/${data}`);
        if (backup)
            await m.#disk('backup', `${WORK}/backup.img`);
        living.add(m);
        await m.start();
        for (const disk of init ? [] : m.disks)
            if (MOUNTS[disk.name])
                await m.#mount(disk.name, MOUNTS[disk.name]);
        return m;
    }

    disks = [];
    #qemu = null;

    constructor(name, memory, init) {
        Object.assign(this, { name, memory, init, dir: `${WORK}/machine-${name}`, said: `${LOGS}/${name}.said.log`, typed: `${LOGS}/${name}.typed.log` });
        rmSync(this.dir, { recursive: true, force: true });
        for (const log of [this.said, this.typed, `${LOGS}/${name}.console.log`])
            rmSync(log, { force: true });
    }

    // The guest as it is now, but for the disk `data`, is what every start begins with from now on: a boot of a second.
    async freeze() {
        await this.#qmp({ execute: 'migrate', arguments: { uri: `exec:cat >${this.dir}/memory.part` } });
        await until(async () => (await this.#qmp({ execute: 'query-migrate' })).status === 'completed', 120_000, `the memory of ${this.name} is written`);
        await this.powerCut();
        for (const { name, file } of this.disks.filter((disk) => disk.name !== 'data'))
            copyFileSync(file, `${this.dir}/${name}.frozen`);
        renameSync(`${this.dir}/memory.part`, `${this.dir}/memory`);
    }

    #qmp(command) {
        return new Promise((resolve, reject) => {
            const socket = connect(`${this.dir}/qmp`);
            let text = '';
            socket.on('error', reject);
            socket.on('data', (part) => {
                text += part;
                const answers = text.split('\n').filter((line) => /^\{"(return|error)"/.test(line));
                if (answers.length < 2)
                    return;
                socket.destroy();
                const { error, return: value } = JSON.parse(answers[1]);
                error ? reject(new Error(error.desc)) : resolve(value);
            });
            socket.write(`{"execute":"qmp_capabilities"}${JSON.stringify(command)}`);
        });
    }

    // A line for the program. The connection stays: what the guest has not taken yet would go with it.
    tell(line) {
        return new Promise((resolve, reject) => {
            const socket = connect(`${this.dir}/said`);
            socket.on('error', reject);
            socket.resume();
            socket.write(`${line}\n`, () => resolve());
        });
    }

    // What the guest writes goes to a file of its own; the image stays as it is.
    async #disk(name, backing) {
        const file = `${this.dir}/${name}.qcow2`;
        await must('/usr/bin/qemu-img', ['create', '-q', '-f', 'qcow2', '-b', backing, '-F', 'raw', file]);
        this.disks.push({ name, file });
    }

    // Without init nobody pulls the plug: then what the guest wants written is not waited for.
    async start() {
        for (const { name, file } of this.disks)
            if (existsSync(`${this.dir}/${name}.frozen`))
                copyFileSync(`${this.dir}/${name}.frozen`, file);
        for (const name of ['said', 'qmp'])
            rmSync(`${this.dir}/${name}`, { force: true });
        this.port = await portFree();
        const drives = this.disks.flatMap(({ name, file }) => ['-drive', `file=${file},if=none,id=${name},format=qcow2,cache=${this.init ? 'writeback' : 'unsafe'},discard=unmap`, '-device', `virtio-blk-pci,drive=${name},serial=${name}`]);
        const log = openSync(`${LOGS}/${this.name}.qemu.log`, 'a');
        // What "max" has beyond Nehalem costs the emulator a tenth. What it translated is kept: it would begin anew within a run.
        const processor = await accelerator() === 'kvm' ? ['-accel', 'kvm', '-cpu', 'max'] : ['-accel', 'tcg,thread=multi,tb-size=2040', '-cpu', 'Nehalem'];
        const args = [...processor,
            '-m', String(this.memory), '-smp', '2', '-display', 'none', '-nodefaults',
            '-kernel', `${IMAGES}/vmlinuz`, '-initrd', `${IMAGES}/initrd.img`, '-append', `root=/dev/vda rw console=ttyS0 quiet ${QUICK}${this.init ? ` init=/sbin/vm-init vm=${this.init}` : ''}`, ...drives,
            '-device', 'virtio-rng-pci', '-netdev', `user,id=net,hostfwd=tcp:127.0.0.1:${this.port}-:22`, '-device', 'virtio-net-pci,netdev=net',
            '-chardev', `file,id=console,path=${LOGS}/${this.name}.console.log,append=on`, '-serial', 'chardev:console',
            '-chardev', `socket,id=said,path=${this.dir}/said,server=on,wait=off,logfile=${this.said},logappend=on`, '-device', 'virtio-serial-pci', '-device', 'virtconsole,chardev=said',
            '-qmp', `unix:${this.dir}/qmp,server=on,wait=off`, ...(existsSync(`${this.dir}/memory`) ? ['-incoming', `exec:cat ${this.dir}/memory`] : [])];
        this.#qemu = spawn('/usr/bin/setpriv', ['--pdeathsig', 'KILL', '/usr/bin/qemu-system-x86_64', ...args], { stdio: ['ignore', log, log], cwd: '/' });
        closeSync(log);
        this.#qemu.on('error', () => {});
        if (!this.init)
            await this.#up();
        else
            await until(async () => (await this.#qmp({ execute: 'query-status' })).status === 'running', 60_000, `${this.name} runs`);
    }

    // Lines of the program (see init) that begin with "@@ ", as they come, from where the last call stopped; '' when QEMU ended.
    #seen = 0;
    #lines = [];
    #read() {
        const text = existsSync(this.said) ? readFileSync(this.said).subarray(this.#seen) : Buffer.alloc(0);
        const end = text.lastIndexOf(10) + 1;
        this.#seen += end;
        this.#lines.push(...text.subarray(0, end).toString().split('\n').map((line) => /@@ (.*)/.exec(line.trimEnd())?.[1]).filter(Boolean));
        return this.#lines.length > 0;
    }

    async line(deadlineMs = BOOT_MS) {
        await until(() => this.#read(), deadlineMs, `${this.name} says something`);
        return this.#lines.shift();
    }

    // What was said and not yet asked for, up to now: after a cut, up to that.
    linesLeft() {
        this.#read();
        this.#seen = existsSync(this.said) ? readFileSync(this.said).length : 0; // half a line says nothing
        return this.#lines.splice(0);
    }

    // Does its ssh greet us? A connection that was begun before the guest is there waits far longer than it takes to come:
    // QEMU's network asks less and less often.
    #greets() {
        return new Promise((resolve) => {
            const socket = connect(this.port, '127.0.0.1');
            const end = (greets) => {
                socket.destroy();
                resolve(greets);
            };
            socket.setTimeout(GREET_MS, () => end(false));
            socket.on('error', () => end(false)).on('end', () => end(false));
            socket.on('data', (text) => end(text.toString().startsWith('SSH-')));
        });
    }

    // ssh answers, and the boot is over.
    async #up() {
        await until(async () => {
            if (this.#qemu.exitCode !== null || this.#qemu.signalCode !== null)
                throw new Error(`QEMU ended: ${readFileSync(`${LOGS}/${this.name}.qemu.log`, 'utf8').slice(-500)}`);
            return await this.#greets() && (await this.type('true', { timeout: 60_000, in: '/' })).code === 0;
        }, BOOT_MS, `${this.name} answers`);
    }

    // For this boot and the next ones.
    async #mount(name, at) {
        const device = `/dev/disk/by-id/virtio-${name}`;
        await this.must(`mkdir -p ${at} && echo '${device} ${at} ext4 defaults 0 2' >>/etc/fstab && mount ${at} && systemctl daemon-reload`, { in: '/' });
    }

    #ssh(as) {
        return ['-q', '-F', '/dev/null', '-i', `${IMAGES}/key`, '-p', String(this.port), '-o', `UserKnownHostsFile=${IMAGES}/known_hosts`, '-o', 'HostKeyAlias=slipway-vm',
            '-o', 'ConnectTimeout=60', '-o', 'ControlMaster=auto', '-o', 'ControlPersist=900', '-o', `ControlPath=${this.dir}/${as}.${this.port}`, `${as}@127.0.0.1`];
    }

    // A line as somebody types it there; never throws for its exit code.
    async type(line, { as = 'root', timeout = 600_000, input = '', in: where = '/srv/slipway' } = {}) {
        const begin = nowMs();
        const done = await run('/usr/bin/ssh', [...this.#ssh(as), `cd ${where} && ${line}`], { timeout, input });
        const ms = nowMs() - begin;
        appendFileSync(this.typed, `[${Math.round(ms / 100) / 10} s] ${line}\n${ms > LONG_MS ? done.out : ''}`);
        return { code: done.code, out: done.out, err: done.err, ms };
    }

    async must(line, options) {
        const done = await this.type(line, options);
        if (done.code !== 0)
            throw new Error(`${this.name}: ${line}: exit ${done.code}\n${done.err.slice(-4000)}${done.out.slice(-4000)}`);
        return done.out;
    }

    // What it wrote to its console since it was made: the kernel, and systemd while it stops.
    console() {
        return readFileSync(`${LOGS}/${this.name}.console.log`, 'utf8');
    }

    async send(file, to) {
        await this.must(`cat >${to}`, { input: readFileSync(file), in: '/' });
    }

    // A file of node tests in the guest, its subtests told by name: [{name, ok}].
    async tests(file, { timeout = 1_500_000, env = '' } = {}) {
        const done = await this.type(`env SLIPWAY_BUILD=/srv/slipway/build ${env} node --test --test-reporter=tap ${file}`, { timeout });
        writeFileSync(`${LOGS}/${this.name}.${file.split('/').pop()}.tap`, done.out + done.err);
        const rows = [...done.out.matchAll(/^ {0,4}(not )?ok \d+ - (.*)$/gm)].map(([, not, name]) => ({ name, ok: !not }));
        return { ...done, rows };
    }

    // As when somebody pulls the plug: what the guest had not been told is on the disk may be lost.
    async powerCut() {
        const gone = new Promise((resolve) => this.#qemu.once('close', resolve));
        this.#qemu.kill('SIGKILL');
        await gone;
        this.#forgetSsh();
    }

    // From inside, as an administrator does; comes back when the new boot answers.
    async reboot() {
        const boot = () => this.type('cat /proc/sys/kernel/random/boot_id', { timeout: 60_000, in: '/' });
        const before = (await boot()).out;
        await this.type('systemctl reboot', { timeout: 60_000, in: '/' });
        await until(async () => {
            this.#forgetSsh();
            if (!await this.#greets())
                return false;
            const now = await boot();
            return now.code === 0 && now.out !== before;
        }, BOOT_MS, `${this.name} is back`);
        await this.#up();
    }

    #forgetSsh() {
        for (const as of ['root', 'ana'])
            rmSync(`${this.dir}/${as}.${this.port}`, { force: true });
    }

    async end() {
        const told = this.init ? null : await this.type('journalctl --no-pager -o short-precise | tail -n 20000', { timeout: 60_000, in: '/' });
        if (told?.code === 0)
            writeFileSync(`${LOGS}/${this.name}.journal.log`, told.out);
        const gone = new Promise((resolve) => this.#qemu.once('close', resolve));
        if (this.#qemu.exitCode === null && this.#qemu.signalCode === null) {
            this.#qemu.kill('SIGKILL');
            await gone;
        }
        this.endNow();
    }

    endNow() {
        this.#qemu?.kill('SIGKILL');
        living.delete(this);
        rmSync(this.dir, { recursive: true, force: true });
    }
}
