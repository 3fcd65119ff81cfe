// A private installation of Slipway for one test file: its own settings, ports, addresses, ids and folders,
// real HAProxy, git and crun. Several may run side by side, beside a real one too.
//
//     const p = await platform();
//     after(() => p.stop());              // ends it all and fails when anything is left behind
//     const web = await p.app('web');     // pushes the test app
//     await web.deploy('dev');
//     assert.equal((await web.get('dev', '/up')).status, 200);
import { spawn, spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { appNew, appOf } from './app.mjs';
import { apiNew } from './api.mjs';
import { basesGive, basesTake } from './bases.mjs';
import { cliNew, run } from './cli.mjs';
import { request } from './http.mjs';
import { leftovers, sweep } from './leftovers.mjs';
import { loadNew } from './load.mjs';
import { program } from './paths.mjs';
import { roles } from './roles.mjs';
import { slotRelease, slotTake } from './slot.mjs';
import { until } from './until.mjs';

const START_MS = 30_000, DOWN_MS = 90_000, NOBODY = 65_534;
const PASSWORD = 'correct horse battery staple';
const living = new Set();

// A test that dies takes its installation along. Only synchronous work is possible here.
process.on('exit', () => {
    for (const p of living) {
        spawnSync(p.binary, ['down', '--settings', p.settingsFile, '--purge'], { timeout: DOWN_MS });
        sweep(p);
    }
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.once(signal, () => process.exit(130));

// The last lines of what the roles of all installations of this process said: for whoever fails.
export function lastWords(lines = 25) {
    return [...living].map((p) => `--- ${p.id}\n${p.log().split('\n').slice(-lines).join('\n')}`).join('\n');
}

// options: settings (over the defaults), env (variables of the supervisor, e.g. SLIPWAY_FAULT), start
// (false: only prepared), binary, keep (leave the folder for reading), bases (true or a name: it builds on
// packages, see bases.mjs).
export async function platform(options = {}) {
    if (process.getuid() !== 0)
        throw new Error('tests with a platform need root');
    const p = new Platform(await slotTake(slotClean), options);
    if (options.start !== false)
        await p.startOrEnd();
    return p;
}

// What a process that was killed has left in this slot.
async function slotClean(slot) {
    const settingsFile = `${slot.dir}/slipway.conf`;
    if (existsSync(settingsFile))
        await run(program('slipway'), ['down', '--settings', settingsFile, '--purge'], { timeout: DOWN_MS });
    if (existsSync(slot.dir) || leftovers(slot).length)
        sweep(slot);
    return !leftovers(slot).length;
}

// What ./check and tools/fault-loop tell the supervisor: sanitizers, failpoints.
function passed() {
    return Object.fromEntries(Object.entries(process.env).filter(([name]) => /^(A|UB|L)SAN_OPTIONS$|^SLIPWAY_FAULT/.test(name)));
}

class Platform {
    #serve = null;
    #loads = [];
    #options;

    constructor(slot, options) {
        this.#options = options;
        this.slot = slot;
        this.id = slot.id;
        this.dir = slot.dir;
        this.ports = slot.ports;
        this.binary = options.binary ?? program('slipway');
        this.settingsFile = `${slot.dir}/slipway.conf`;
        this.dataDir = `${slot.dir}/data`;
        this.runDir = `${slot.dir}/run`;
        this.edge = { port: slot.ports.http };
        mkdirSync(`${slot.dir}/home`, { recursive: true });
        this.settings = { ...this.#settingsDefault(), ...options.settings };
        this.settingsWrite();
        this.root = apiNew({ socketPath: `${this.runDir}/api.sock` });
        this.cli = cliNew({ settingsFile: this.settingsFile, home: `${slot.dir}/home` });
        this.api = null;
        living.add(this);
    }

    #settingsDefault() {
        const { slot } = this;
        const bundle = '/etc/ssl/certs/ca-certificates.crt';
        return {
            id: slot.id, data_dir: this.dataDir, run_dir: this.runDir, api_listen: `127.0.0.1:${slot.ports.api}`,
            edge_http: slot.ports.http, edge_https: slot.ports.https, edge_address: '127.0.0.1', subnet: slot.subnet,
            id_first: slot.idFirst, ca_bundle: existsSync(bundle) ? bundle : '', build_volume: '1g', disk_reserve: '256m', log_level: 'debug',
        };
    }

    settingsWrite(changes = {}) {
        Object.assign(this.settings, changes);
        const lines = Object.entries(this.settings).filter(([, value]) => value !== '').map(([key, value]) => `${key} = ${value}\n`);
        writeFileSync(this.settingsFile, lines.join(''), { mode: 0o644 });
    }

    // The supervisor, until the API answers, and an admin with a token.
    async start() {
        if (this.#options.bases && !existsSync(this.dataDir))
            await basesGive(this.dataDir, this.#options.bases);
        await this.serve();
        await until(() => request(this.edge, 'GET', '/', { headers: { host: 'localhost' }, timeout: 1000 }), START_MS, 'the edge listens');
        if (!this.api)
            this.api = (await this.person('admin', 'admin')).api;
        return this;
    }

    async startOrEnd() {
        try {
            return await this.start();
        } catch (error) {
            const log = this.log().split('\n').slice(-40).join('\n');
            await this.stop({ assert: false });
            throw new Error(`the platform did not start: ${error.message}\n${log}`, { cause: error });
        }
    }

    async serve() {
        const log = openSync(`${this.dir}/serve.log`, 'a');
        const child = spawn(this.binary, ['serve', '--settings', this.settingsFile], {
            stdio: ['ignore', log, log], detached: true, cwd: '/',
            env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', ...passed(), ...this.#options.env },
        });
        closeSync(log);
        child.unref();
        this.#serve = child;
        child.once('error', () => {});
        await until(async () => {
            if (child.exitCode !== null || child.signalCode !== null)
                throw new Error(`slipway serve ended with ${child.exitCode ?? child.signalCode}`);
            return this.#recorded(child.pid) && this.ready();
        }, START_MS, `the API of ${this.id} answers`);
    }

    // The supervisor is past its lock: `slipway down` finds it.
    #recorded(pid) {
        const path = `${this.runDir}/serve.pid`;
        return existsSync(path) && readFileSync(path, 'utf8').startsWith(`${pid} `);
    }

    // Core answers and has its other roles.
    async ready() {
        const version = await request({ port: this.ports.api }, 'GET', '/api/v1/version', { timeout: 1000 });
        return version.status === 200 && Object.keys(this.roles()).length === 5;
    }

    // Core answers and every role is connected to it, as the doctor says.
    async linked() {
        return await this.ready() && (await this.api.get('/doctor')).checks.filter((check) => /^role /.test(check.name)).every((check) => check.ok);
    }

    log() {
        return existsSync(`${this.dir}/serve.log`) ? readFileSync(`${this.dir}/serve.log`, 'utf8') : '';
    }

    roles() {
        return roles(this.settingsFile);
    }

    pid(role) {
        const pid = this.roles()[role];
        if (!pid)
            throw new Error(`the role ${role} does not run`);
        return pid;
    }

    // Kill a role; returns when the process is gone (not when it is back).
    async kill(role, signal = 'SIGKILL') {
        const pid = this.pid(role);
        process.kill(pid, signal);
        await until(() => this.roles()[role] !== pid, 10_000, `the ${role} that was killed is gone`);
        return pid;
    }

    // Somebody with a role, a token, an API and a command line of their own.
    async person(name, role, { app, env } = {}) {
        const { link } = await this.root.post('/users', app || env ? { name } : { name, role });
        const secret = link.split(/[/#=]/).pop();
        const { token } = await request({ port: this.ports.api }, 'POST', '/api/v1/setup', { json: { link: secret, password: PASSWORD } })
            .then((reply) => reply.status < 300 ? reply.json : Promise.reject(new Error(`setup: ${reply.status} ${reply.text}`)));
        if (app || env)
            await this.root.post('/grants', { user: name, role, ...(app && { app }), ...(env && { env }) });
        return { name, role, token, password: PASSWORD, api: this.as(token), cli: await this.#personCli(name, token) };
    }

    as(token) {
        return apiNew({ port: this.ports.api }, token);
    }

    anonymous() {
        return apiNew({ port: this.ports.api });
    }

    async #personCli(name, token) {
        const home = `${this.dir}/home-${name}`;
        mkdirSync(`${home}/.config/slipway`, { recursive: true });
        writeFileSync(`${home}/.config/slipway/login.json`, JSON.stringify({ server: `http://127.0.0.1:${this.ports.api}`, name, token }), { mode: 0o600 });
        await run('/usr/bin/chown', ['-R', `${NOBODY}:${NOBODY}`, home]);
        return cliNew({ settingsFile: this.settingsFile, home, uid: NOBODY, gid: NOBODY });
    }

    // A new app with the repository of a fixture pushed: see app.mjs.
    app(name, fixture = 'server', options = {}) {
        return appNew(this, name, fixture, options);
    }

    // A new app that follows a project of a forge.
    appOf(name, forge, project, options = {}) {
        return appOf(this, name, forge, project, options);
    }

    domain(app, env) {
        return `${app}.${env}.${this.settings.base_domain ?? 'localhost'}`;
    }

    // One request through the edge.
    get(host, path = '/', options = {}) {
        return this.request('GET', host, path, options);
    }

    request(method, host, path, options = {}) {
        return request(this.edge, method, path, { ...options, headers: { host, ...options.headers } });
    }

    // What HAProxy itself says of its servers: [{backend, server, status, check, sessions}].
    async edgeServers() {
        const socket = connect({ path: `${this.runDir}/edge/haproxy/admin.sock` });
        socket.end('show stat\n');
        const text = Buffer.concat(await socket.toArray()).toString();
        return text.split('\n').map((line) => line.split(',')).filter((field) => field.length > 40 && !['BACKEND', 'FRONTEND', 'svname'].includes(field[1]))
            .map((field) => ({ backend: field[0], server: field[1], status: field[17], check: field[36], sessions: Number(field[4]) + Number(field[2]) }));
    }

    load(app, env, options = {}) {
        const load = loadNew({ to: `127.0.0.1:${this.ports.http}`, host: this.domain(app, env), ...options });
        this.#loads.push(load);
        return load;
    }

    feed(path = '/events') {
        return this.api.events(path);
    }

    // `slipway down --purge`, then nothing may be left on the machine. The test's own failure comes first:
    // with {assert: false} what is left is only swept.
    async stop({ assert = true } = {}) {
        if (!living.has(this))
            return;
        await Promise.all(this.#loads.map((load) => load.kill())); // those of a test that failed
        if (this.#options.bases) {
            await this.down();
            await basesTake(this.dataDir, this.#options.bases);
        }
        const down = await this.down(['--purge']);
        let left = [];
        try {
            await until(() => !(left = leftovers(this)).length, 5000, 'all of it is gone');
        } catch {
            // told below
        }
        const log = left.length || down.code ? `\n${down.err}${down.out}\n${this.log().split('\n').slice(-30).join('\n')}` : '';
        living.delete(this);
        if (left.length || !this.#options.keep)
            sweep(this);
        slotRelease(this.slot.number);
        if (assert && (down.code !== 0 || left.length))
            throw new Error(`slipway down: exit ${down.code}; left behind: ${left.join('; ') || 'nothing'}${log}`);
    }

    // End the installation; the supervisor that we started is waited for.
    async down(args = []) {
        const done = await run(this.binary, ['down', '--settings', this.settingsFile, ...args], { timeout: DOWN_MS });
        const child = this.#serve;
        if (child && child.exitCode === null && child.signalCode === null) {
            try {
                await until(() => child.exitCode !== null || child.signalCode !== null, 5000, 'the supervisor is gone');
            } catch {
                child.kill('SIGKILL');
            }
        }
        this.#serve = null;
        return done;
    }
}

