// What the benches share: figures, the verdict, the floor (bare starts), the second opinion (wrk), the peer
// (pm2), the saboteur.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { BUILD, FIXTURES, environment, instancePids, lastWords, program, run, until } from '../tests/lib/index.mjs';

export const quick = process.argv.includes('--quick');

export function argument(name, otherwise) {
    const at = process.argv.indexOf(`--${name}`);
    return at > 0 ? process.argv[at + 1] : otherwise;
}

// ---- figures ----

export function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

export const most = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
export const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
export const ms = (value) => (value === null || !Number.isFinite(value) ? 'none' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);
export const range = (values) => `median ${ms(median(values))} (${ms(least(values))} to ${ms(most(values))}, n=${values.length})`;

export function say(text) {
    console.log(text);
}

// The largest share by which an instance's requests differ from the mean.
export function deviation(instances) {
    const counts = Object.values(instances).map((row) => row.ok);
    const mean = counts.reduce((a, b) => a + b, 0) / counts.length;
    return counts.length < 2 ? 0 : most(counts.map((count) => Math.abs(count - mean) / mean));
}

// Everything that must hold; the last line of a bench, and its exit code.
export class Verdict {
    #short = [];
    #figures = [];

    constructor(name) {
        this.name = name;
    }

    must(holds, text) {
        say(`  ${holds ? 'holds ' : 'SHORT '} ${text}`);
        if (!holds)
            this.#short.push(text);
        return holds;
    }

    figure(text) {
        this.#figures.push(text);
    }

    end() {
        const figures = this.#figures.join(', ');
        say(this.#short.length ? `${this.name}: SHORT: ${this.#short.join('; ')}${figures ? ` [${figures}]` : ''}` : `${this.name}: ok: ${figures}`);
        return this.#short.length ? 1 : 0;
    }
}

// Run a bench: what it began is ended whatever happens, in reverse order; then the verdict, last.
export async function bench(name, body) {
    const verdict = new Verdict(name);
    const endings = [];
    let failure = null;
    try {
        await body(verdict, (ending) => endings.push(ending));
    } catch (error) {
        failure = error;
        console.error(lastWords());
    }
    for (const ending of endings.reverse()) {
        try {
            await ending();
        } catch (error) {
            failure ??= error;
        }
    }
    if (failure) {
        console.error(failure.stack ?? failure);
        say(`${name}: SHORT: it did not run to its end: ${String(failure.message).split('\n')[0]}`);
    }
    process.exit(failure ? 1 : verdict.end());
}

// ---- the saboteur: a bench that cannot see a loss says nothing ----

export async function saboteur(app, env, verdict) {
    // Every instance must have requests in hand when it dies: the C server is too quick for that by itself.
    const slow = app.fixture === 'server' ? { get: ['/slow?ms=30'], post: ['/count?ms=30'] } : {};
    const load = await app.load(env, { connections: 64, ...slow }).flowing(1000);
    let seen = null;
    for (let i = 0; i < 5 && !(seen?.lost > 0); i++) {
        const before = (await load.total()).ok;
        const victims = instancePids(app.p, app.name, env).slice(0, 2).map(({ pid }) => pid);
        victims.forEach((pid) => process.kill(pid, 'SIGKILL'));
        await until(async () => instancePids(app.p, app.name, env).every(({ pid }) => !victims.includes(pid)), 5000, 'the victims are gone');
        await until(async () => (await load.total()).ok > before + 1000, 30_000, 'the load flows again');
        await whole(app, env);
        seen = await load.total();
    }
    await load.stop();
    verdict.must(seen.lost > 0, `the saboteur (two instances killed without a drain) is seen: ${seen.lost} lost of ${seen.begun} ${JSON.stringify(seen.reasons)}`);
}

// All instances of the live release serve, nothing else runs.
export async function whole(app, env, count = 4, deadlineMs = 90_000) {
    await until(async () => {
        const { instances, live_release: live } = await app.status(env);
        const running = instancePids(app.p, app.name, env);
        return instances.length === count && instances.every((row) => row.state === 'serving' && row.release === live) && running.length === count;
    }, deadlineMs, `${count} instances of the live release and nothing else`);
}

export { environment, instancePids };

// What of a release exists beside its unpacked files: processes, cgroups, folders of containers. [] is right.
export async function traces(p, app, env, release) {
    const running = instancePids(p, app, env).filter((row) => row.release === `r${release}`).map((row) => `process ${row.pid}`);
    const pattern = `*r${release}.*`;
    const groups = (await run('/usr/bin/find', ['/sys/fs/cgroup', '-type', 'd', '-path', `*${p.id}*${app}.${env}*`, '-name', pattern])).out;
    const folders = (await run('/usr/bin/find', [p.runDir, `${p.dataDir}/host/instances`, '-name', `${app}.${env}.r${release}.*`])).out;
    return [...running, ...`${groups}${folders}`.split('\n').filter(Boolean)];
}

// ---- the floor: bare starts of the same files ----

// The folder of the processor's cgroup of a process: v1, v2 or both mounted.
function cpuGroup(pid) {
    const rows = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n').map((row) => /^\d+:([^:]*):(.*)$/.exec(row));
    const old = rows.find((row) => row[1].split(',').includes('cpu'));
    return old ? `/sys/fs/cgroup/cpu${old[2]}` : `/sys/fs/cgroup${rows.find((row) => row[1] === '')[2]}`;
}

// copies of the app that lives in this app-env, started bare from the same root file system, beside the
// instances in the share of the processor: ms until all of them serve.
export async function bare(app, env, { copies, command }) {
    const { pid } = instancePids(app.p, app.name, env)[0];
    const variables = environment(pid);
    const args = ['--copies', copies, '--port', app.p.ports.bare, '--root', `/proc/${pid}/root`, '--cwd', '/app',
        '--group', `${dirname(cpuGroup(pid))}/bare`, '--', ...command];
    const done = await run(program('bench-bare'), args.map(String), { env: { ...variables, SLIPWAY_INSTANCE: 'bare', SLIPWAY_RELEASE: 'bare' }, timeout: 300_000 });
    if (done.code !== 0)
        throw new Error(`bench-bare: exit ${done.code}: ${done.err}`);
    return done.json.ms;
}

// ---- wrk, the second opinion ----

export function wrkStart({ port, host, path, connections = 16 }) {
    const child = spawn('/usr/bin/wrk', ['-t1', `-c${connections}`, '-d600', '-H', `Host: ${host}`, `http://127.0.0.1:${port}${path}`], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (part) => { text += part; });
    const ended = new Promise((resolve) => child.once('close', resolve));
    return {
        async stop() {
            child.kill('SIGINT');
            await ended;
            const requests = Number(/(\d+) requests in/.exec(text)?.[1] ?? 0);
            const socket = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1).map(Number) ?? [];
            const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
            return { requests, lost: socket.reduce((a, b) => a + b, 0) + bad, text };
        },
    };
}

// ---- pm2, the peer ----

const PM2 = '7.0.4';

// Installed once into the build folder; its daemon has a home of its own and ends with us.
export async function pm2New(dir, port) {
    const home = `${BUILD}/peer-pm2-${PM2}`;
    if (!existsSync(`${home}/node_modules/pm2/bin/pm2`)) {
        mkdirSync(home, { recursive: true });
        writeFileSync(`${home}/package.json`, JSON.stringify({ name: 'peer', private: true, dependencies: { pm2: PM2 } }));
        await npm(home, ['install', '--no-audit', '--no-fund', '--ignore-scripts']);
    }
    const app = `${dir}/pm2-shop`;
    cpSync(FIXTURES.shop, app, { recursive: true, filter: (path) => !path.includes('node_modules') });
    await npm(app, ['ci', '--omit=dev', '--no-audit', '--no-fund']);
    return new Pm2(`${home}/node_modules/pm2/bin/pm2`, app, `${dir}/pm2-home`, port);
}

async function npm(cwd, args) {
    const done = await run('/usr/bin/env', ['npm', ...args], { cwd, env: { PATH: process.env.PATH, HOME: process.env.HOME ?? '/root', NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt' }, timeout: 300_000 });
    if (done.code !== 0)
        throw new Error(`npm ${args[0]}: exit ${done.code}: ${done.err.slice(-500)}`);
}

class Pm2 {
    release = 1;

    constructor(program_, app, home, port) {
        Object.assign(this, { program: program_, app, home, port });
    }

    async #call(args, env = {}) {
        const done = await run(process.execPath, [this.program, ...args], {
            cwd: this.app, timeout: 120_000,
            env: { PATH: process.env.PATH, HOME: this.home, PM2_HOME: this.home, PORT: String(this.port), NODE_ENV: 'production', SLIPWAY_RELEASE: `p${this.release}`, ...env },
        });
        if (done.code !== 0)
            throw new Error(`pm2 ${args.join(' ')}: exit ${done.code}: ${done.out.slice(-500)}${done.err.slice(-500)}`);
        return done.out;
    }

    async start() {
        mkdirSync(this.home, { recursive: true });
        await this.#call(['start', 'server.js', '--name', 'shop', '-i', '4', '--wait-ready', '--listen-timeout', '20000', '--kill-timeout', '20000']);
    }

    // The graceful reload; returns the name of the release that comes.
    async reload() {
        this.release++;
        await this.#call(['reload', 'shop', '--update-env']);
        return `p${this.release}`;
    }

    async stop() {
        if (existsSync(`${this.home}/pm2.pid`))
            await this.#call(['kill']);
        rmSync(this.home, { recursive: true, force: true });
    }
}

