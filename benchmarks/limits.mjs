// ./bench limits: the times and rates that rows of bad-inputs.md ask for, measured: how soon nonsense is
// refused, how soon a kill takes hold, how little the others feel of it. Tests assert what happens; this
// prints how long it takes.
import { connect } from 'node:net';
import http from 'node:http';
import { spawnSync } from 'node:child_process';
import { nowMs, platform, processes, until } from '../tests/lib/index.mjs';
import { bench, instancePids, least, median, most, ms, quick, whole } from './common.mjs';

await bench('limits', async (verdict, after) => {
    const p = await platform({ settings: { build_seconds: 60 } });
    after(() => p.stop());
    const app = await p.app('app', 'server', { yaml: (text) => text.replace(/keep_warm:.*\n/g, '') });
    await app.deploy('prod');
    await whole(app, 'prod');
    const rows = [B068, B069, B053, B061, B067, B025, B085, B087, B088, cancel, F04, F08, F21, F25];
    let done = 0;
    for (const row of rows.filter((one) => process.argv.slice(2).every((word) => word.startsWith('--')) || process.argv.includes(one.name)))
        await row({ p, app, verdict }).then(() => done++);
    verdict.figure(`${done} rows`);
});

async function timed(work) {
    const begin = nowMs();
    const result = await work();
    return { took: nowMs() - begin, result };
}

function percentile(values, share) {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

// ---- input ----

async function B068({ p, verdict }) {
    const depth = 100_000;
    const bad = {
        'depth 10^5': '['.repeat(depth) + ']'.repeat(depth), 'keys 10^5': `{${Array.from({ length: 70_000 }, (_, i) => `"k${i}":1`).join()}}`,
        'a key twice': '{"name":"a","name":"b"}', '1e400': '{"name":1e400}', 'half a pair': '{"name":"\\ud800"}', NUL: '{"name":"a\\u0000b"}',
        BOM: '\ufeff{}', 'bad UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), 'trailing junk': '{} x',
    };
    for (const [name, body] of Object.entries(bad)) {
        const tries = [];
        let status = 0;
        for (let i = 0; i < 15; i++) {
            const { took, result } = await timed(() => p.api.call('POST', '/config/check', undefined, { body, headers: { 'content-type': 'application/json' } }));
            tries.push(took);
            ({ status } = result);
        }
        verdict.must(status >= 400 && status < 500 && median(tries) < 10, `B068 ${name}: ${status} in ${ms(median(tries))} < 10 ms`);
    }
}

async function B069({ p, verdict }) {
    const laughs = ['a: &a [x, x, x, x, x, x, x, x, x]', ...'bcdefghi'.split('').map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[i]}`).join(', ')}]`)].join('\n');
    const bad = {
        'billion laughs': laughs, 'alias cycle': 'a: &a [*a]', tag: 'run: !!python/object:os.system x', 'merge key': 'a: &a {b: 1}\nc: {<<: *a}',
        'deep': 'x-a: '.concat('['.repeat(5000)), 'large': `x-a: "${'y'.repeat(200_000)}"\nrun: 1\nrunn: 2\n`,
    };
    for (const [name, text] of Object.entries(bad)) {
        const tries = [];
        let status = 0;
        for (let i = 0; i < 15; i++) {
            const { took, result } = await timed(() => p.api.call('POST', '/config/check', { text }));
            tries.push(took);
            ({ status } = result);
        }
        verdict.must(status === 422 && median(tries) < 50, `B069 ${name}: ${status} in ${ms(median(tries))} < 50 ms`);
    }
}

// A tree of 10^10 files, each folder the same ten again.
async function B025({ p, app, verdict }) {
    const dir = app.repository.dir;
    const git = (args, input) => spawnSync('git', ['-C', dir, ...args], { input, encoding: 'utf8' }).stdout.trim();
    let entry = `100644 blob ${git(['hash-object', '-w', '--stdin'], 'boom\n')}`;
    for (let level = 0; level < 10; level++)
        entry = `040000 tree ${git(['mktree'], Array.from({ length: 10 }, (_, i) => `${entry}\tf${i}\n`).join(''))}`;
    const yaml = git(['rev-parse', 'main:slipway.yaml']);
    const tree = git(['mktree'], `${entry}\tbomb\n100644 blob ${yaml}\tslipway.yaml\n`);
    const commit = git(['-c', 'user.name=T', '-c', 'user.email=t@t', 'commit-tree', '-p', 'main', '-m', 'bomb', tree]);
    git(['branch', '-f', 'bomb', commit]);
    await app.push('bomb');
    await app.ticks('dev', 'bomb');
    const { took, result } = await timed(() => app.deploy('dev', {}, { expect: null, deadlineMs: 60_000 }).catch((error) => error));
    const text = JSON.stringify(result.error ?? result.message ?? result);
    verdict.must(took < 10_000 && /repo_too_large/.test(text + JSON.stringify(result.steps ?? '')), `B025: a tree of 10^10 files refused in ${ms(took)} < 10 s: ${text.slice(0, 160)}`);
    await app.ticks('dev');
    void p;
}

// ---- access ----

async function B053({ p, verdict }) {
    const person = await p.person('streamer', 'viewer');
    const { token } = await person.api.post('/tokens', { name: 'stream' });
    const stream = await p.as(token).events('/events');
    const ended = (async () => {
        for await (const event of stream)
            void event;
    })();
    const { took } = await timed(async () => {
        await person.api.delete('/tokens/stream');
        await ended;
    });
    verdict.must(took <= 5000, `B053: the stream of a revoked token closed in ${ms(took)} <= 5 s`);
}

// Two kinds of wrong, asked in turn over one connection each: no significant difference (Welch, p > 0.01).
async function B061({ p, verdict }) {
    const samples = quick ? 5_000 : 50_000;
    const good = p.api.token;
    const wrong = { first: `${good[0] === 'x' ? 'y' : 'x'}${good.slice(1)}`, last: `${good.slice(0, -1)}${good.at(-1) === 'x' ? 'y' : 'x'}` };
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ask = (token) => new Promise((resolve, reject) => {
        const begin = process.hrtime.bigint();
        http.get({ port: p.ports.api, path: '/api/v1/me', agent, headers: { authorization: `Bearer ${token}` } }, (response) => {
            response.resume();
            response.on('end', () => resolve(Number(process.hrtime.bigint() - begin) / 1e3));
        }).on('error', reject);
    });
    const times = { first: [], last: [] };
    for (let i = 0; i < samples; i++)
        for (const kind of i % 2 ? ['first', 'last'] : ['last', 'first'])
            times[kind].push(await ask(wrong[kind]));
    agent.destroy();
    const t = welch(times.first, times.last);
    verdict.must(Math.abs(t) < 2.576, `B061: a token wrong in its first or last byte: Welch t = ${t.toFixed(2)} over 2 x ${samples} (|t| < 2.58)`);
    // each from an address of its own: after a few tries from one it is told to wait, whoever it names
    let address = 0;
    const from = () => ({ headers: { 'x-forwarded-for': `10.99.${++address >> 8}.${address & 255}` } });
    const login = { there: [], absent: [] };
    for (let i = 0; i < (quick ? 10 : 60); i++)
        for (const [kind, name] of i % 2 ? [['there', 'admin'], ['absent', 'nobody']] : [['absent', 'nobody'], ['there', 'admin']])
            login[kind].push((await timed(() => p.anonymous().call('POST', '/login', { name, password: 'wrong password' }, from()))).took);
    const u = welch(login.there, login.absent);
    verdict.must(Math.abs(u) < 2.576, `B061: a login of somebody and of nobody: Welch t = ${u.toFixed(2)} (median ${ms(median(login.there))}, ${ms(median(login.absent))})`);
}

// Without the slowest twentieth: a busy machine, not a secret.
function welch(a, b) {
    const cut = percentile([...a, ...b], 0.95);
    const [x, y] = [a, b].map((values) => values.filter((value) => value <= cut)).map((values) => {
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        return { mean, n: values.length, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1) };
    });
    return (x.mean - y.mean) / Math.sqrt(x.variance / x.n + y.variance / y.n);
}

async function B067({ p, app, verdict }) {
    const wanted = quick ? 2_000 : 10_000;
    const before = await feel(p, app, 200);
    const sockets = [];
    for (const port of [p.ports.api, p.ports.http])
        for (let i = 0; i < wanted / 2; i++) {
            const socket = connect({ port, host: '127.0.0.1' });
            socket.on('error', () => {});
            socket.write('POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\nX-A: ');
            sockets.push(socket);
        }
    const drip = setInterval(() => sockets.forEach((socket) => socket.writable && socket.write('a')), 1000);
    const during = await feel(p, app, 400);
    clearInterval(drip);
    sockets.forEach((socket) => socket.destroy());
    verdict.must(during.failed === 0 && during.p99 < Math.max(50, before.p99 * 5),
        `B067: ${wanted} slow connections: others' p99 ${ms(before.p99)} -> ${ms(during.p99)}, ${during.failed} failed`);
}

// Root's own way in and the apps: requests one after the other.
async function feel(p, app, count) {
    const took = [];
    let failed = 0;
    for (let i = 0; i < count; i++) {
        const one = await timed(() => (i % 2 ? p.root.call('GET', '/version') : app.get('prod', '/id')).catch(() => ({ status: 0 })));
        took.push(one.took);
        failed += one.result.status !== 200;
    }
    return { p99: percentile(took, 0.99), failed };
}

// ---- builds ----

// An app whose build does this.
async function badBuild(p, name, script, more = '') {
    const app = await p.app(name, null);
    await app.repository.commit('main', { 'slipway.yaml': `base: host\nbuild:\n  steps:\n    - {name: bad, run: [/bin/sh, -c, '${script}']}\n${more}run: /bin/true\n` });
    await app.push();
    return app;
}

async function B085({ p, verdict }) {
    const app = await badBuild(p, 'bomb', 'f() { f | f & }; f; sleep 100', '  pids: 64\n  timeout: 20s\n');
    const { took, result } = await timed(() => app.build('dev', { expect: null }));
    verdict.must(result.state === 'failed', `B085: a fork bomb ended ${result.state} (${JSON.stringify(result.error).slice(0, 120)}) in ${ms(took)}`);
    verdict.must(!sleeping(p), 'B085: none of its processes is left');
}

function sleeping(p) {
    return processes().filter(({ cgroup, command }) => cgroup.includes(p.id) && ['sleep', 'sh', '/bin/sh', 'yes'].includes(command[0])).length;
}

async function B087({ p, app, verdict }) {
    const before = await feel(p, app, 200);
    const loud = await badBuild(p, 'loud', 'yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 1000000000', '  timeout: 60s\n');
    const build = loud.build('dev', { expect: null });
    const during = await feel(p, app, 400);
    const ended = await build;
    verdict.must(during.p99 < Math.max(50, before.p99 * 5), `B087: 1 GB of output: p99 of others ${ms(before.p99)} -> ${ms(during.p99)}; the build ended ${ended.state}`);
}

async function B088({ p, verdict }) {
    const app = await badBuild(p, 'sleeper', 'trap "" TERM; sleep infinity', '  timeout: 3s\n');
    const { took, result } = await timed(() => app.build('dev', { expect: null }));
    verdict.must(result.state === 'failed' && took <= 3000 + 5000, `B088: a build that ignores TERM and sleeps ended ${result.state} ${ms(took - 3000)} after its deadline <= 5 s`);
    verdict.must(!sleeping(p), 'B088: none of its processes is left');
}

async function cancel({ p, verdict }) {
    const app = await badBuild(p, 'endless', 'trap "" TERM; (sleep infinity &); sleep infinity');
    const path = '/apps/endless/envs/dev/builds';
    const { build } = await p.api.post(path);
    await until(() => sleeping(p) >= 2, 30_000, 'the build runs');
    const { took } = await timed(async () => {
        await p.api.post(`${path}/${build.number}/cancel`);
        await until(() => !sleeping(p), 10_000, 'its processes are gone');
    });
    void app;
    verdict.must(took <= 1000, `cancel: every process of a build gone in ${ms(took)} <= 1 s`);
}

// ---- faults ----

async function F04({ p, verdict }) {
    for (const role of ['core', 'courier', 'host', 'signals']) {
        const took = [];
        for (let i = 0; i < (quick ? 2 : 5); i++) {
            const begin = nowMs();
            await p.kill(role);
            await until(() => p.roles()[role], 20_000, `${role} runs again`);
            took.push(nowMs() - begin);
            await until(async () => (await p.api.get('/doctor')).checks.filter((check) => check.name.startsWith('role ')).every((check) => check.ok), 20_000, 'all are connected');
        }
        verdict.must(most(took) <= 1000, `F04 ${role}: killed and there again in at most ${ms(most(took))} <= 1 s`);
    }
}

async function F08({ app, p, verdict }) {
    const took = [];
    for (let i = 0; i < (quick ? 2 : 5); i++) {
        const victim = instancePids(p, 'app', 'prod')[i % 4];
        const begin = nowMs();
        process.kill(victim.pid, 'SIGSTOP');
        took.push(await lastHung(app, begin));
        process.kill(victim.pid, 'SIGCONT');
        await whole(app, 'prod');
    }
    verdict.must(least(took) > 0, `F08: requests do hang at first (last one begun after ${took.map(ms).join(', ')})`);
    verdict.must(most(took) <= 2000, `F08: an instance that hangs gets its last request ${ms(most(took))} <= 2 s after it began to`);
    await whole(app, 'prod');
}

// A request each 20 ms for some seconds: when was the last one begun that got no answer in time?
async function lastHung(app, begin) {
    const asked = [];
    for (let next = begin; next < begin + 4000; next += 20) {
        await until(() => nowMs() >= next, 5000, 'the moment');
        const sent = nowMs();
        asked.push(app.get('prod', '/id', { timeout: 1000 }).then(() => 0, () => sent - begin));
    }
    return most(await Promise.all(asked));
}

async function F21({ app, p, verdict }) {
    const edges = processes().filter(({ command, state }) => state !== 'Z' && /haproxy/.test(command[0] ?? '') && command.some((word) => word.includes(`${p.dir}/`)));
    const { took } = await timed(async () => {
        edges.forEach(({ pid }) => process.kill(pid, 'SIGKILL'));
        await until(async () => (await app.get('prod', '/id', { timeout: 500 })).status === 200, 20_000, 'the edge serves again');
    });
    verdict.must(edges.length > 0 && took <= 1000, `F21: HAProxy killed and serving again in ${ms(took)} <= 1 s`);
}

async function F25({ app, verdict }) {
    const slow = await app.change('slow', { 'switch/START_DELAY_MS': '60000' });
    await app.ticks('dev', 'slow');
    const started = await app.rolloutStart('dev', { kind: 'deploy' });
    await until(async () => (await app.rollout('dev', started.id)).steps.some((step) => step.kind === 'start' && step.state === 'doing'), 60_000, 'it waits for an instance');
    const { took } = await timed(async () => {
        await app.cancel('dev', started.id);
        await app.rolloutEnd('dev', started.id, 30_000);
    });
    void slow;
    await app.ticks('dev');
    verdict.must(took <= 2000, `F25: a rollout that waits is cancelled and undone in ${ms(took)} <= 2 s`);
}
