// ./bench resume: kill -9 of every part of the platform, under load, and nothing is lost, doubled or left
// behind.
//
// On a release build with failpoints: core dies at every passing of every failpoint of a deploy (with its
// build) and of a rollback; each rollout ends done or reverted, core is back at work in 2 s. Then host,
// courier and signals die at random moments. Then core dies at the Nth I/O call (strace), over the same
// path: the states in which it died must be among those of the failpoints. HAProxy's own death is
// counted, not forgiven: it serves again in 1 s.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { ROOT, nowMs, platform, processes, until } from '../tests/lib/index.mjs';
import { argument, bench, instancePids, most, ms, quick, say, whole } from './common.mjs';

const ENV = 'prod', BACK_MS = 2000, EDGE_MS = 1000, POINTS_LEAST = 30, COUNT = 2;
const PASSINGS = quick ? 1 : 10, RANDOM = quick ? 3 : 12, SWEEP_STEP = quick ? 40 : 4, SWEEP_MAX = 2000;
// What is done, again and again, while parts of the platform die.
const ACTS = {
    deploy: (app) => app.rolloutStart(ENV, { kind: 'deploy' }),
    rollback: (app) => app.rolloutStart(ENV, { kind: 'rollback' }),
};
const CALLS = 'write,pwrite64,writev,sendmsg,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,connect,ftruncate';
const FINAL = ['done', 'reverted', 'failed', 'cancelled'];
const back = [], states = { points: new Map(), sweep: new Map() };
let seed = Number(argument('seed', 20261120));

await bench('resume', async (verdict, after) => {
    const p = await platform();
    after(() => p.stop());
    const app = await p.app('app', 'server', { yaml });
    await app.deploy('dev');
    await app.deploy(ENV);
    await whole(app, ENV, COUNT);
    const load = await app.load(ENV, { rate: 500 }).flowing(100);
    if (!Object.keys(await hits(app)).length)
        throw new Error('this build has no failpoints: ./bench resume makes one that has');
    await points(app, verdict, load);
    await randomKills(app, verdict, load);
    await sweep(app, verdict, load);
    const all = await load.stop();
    verdict.must(all.lost === 0, `0 lost of ${all.begun} requests ${JSON.stringify(all.reasons)} ${JSON.stringify(load.lost.slice(0, 3))}`);
    verdict.must(most(back) <= BACK_MS, `core back at work after ${back.length} kills in at most ${ms(most(back))} <= ${ms(BACK_MS)}`);
    verdict.figure(`back in at most ${ms(most(back))}, ${all.lost} lost of ${all.begun}`);
    await edgeKill(app, verdict);
});

function yaml(text) {
    return `${text.slice(0, text.indexOf('\nenvs:'))}\nkeep_warm: 30s\n\nenvs:\n  dev: {instances: 1}\n  ${ENV}: {instances: ${COUNT}, update_config: {strategy: rolling, parallelism: 1}}\n`;
}

// ---- before and after ----

// A rollback goes to what is still warm, or its plan would have a step less; a deploy makes that.
async function ready(app, act) {
    const { targets, instances } = await app.status(ENV);
    if (act === 'rollback' && !instances.some((row) => row.state === 'warm' && row.release === targets[0]))
        await app.deploy(ENV);
}

async function latest(app) {
    return (await app.rollouts(ENV))[0];
}

// Everything as it must be at rest: the rollout over, the live release whole, nothing else running.
async function rest(app, before, what) {
    const ended = await until(async () => {
        const row = await latest(app);
        return FINAL.includes(row.state) && row;
    }, 90_000, `${what}: the rollout ends`);
    if (ended.id !== before.id && !['done', 'reverted'].includes(ended.state))
        throw new Error(`${what}: the rollout ended ${ended.state}: ${JSON.stringify(ended.error)}`);
    await until(async () => {
        const { instances, live_release: live } = await app.status(ENV);
        const serving = instances.filter((row) => row.state === 'serving');
        const running = instancePids(app.p, app.name, ENV);
        const names = new Set(running.map((row) => row.instance));
        return serving.length === COUNT && serving.every((row) => row.release === live && names.has(row.name))
            && running.length === instances.length && names.size === running.length
            && instances.every((row) => ['serving', 'warm'].includes(row.state));
    }, 60_000, `${what}: ${COUNT} instances of the live release serve, what runs is what is recorded`);
    return ended;
}

// ---- failpoints ----

// {point: what it guards}: the comment beside it in the source, else the function it stands in.
function guards() {
    const found = {};
    const visit = (dir) => {
        for (const entry of readdirSync(dir, { withFileTypes: true })) {
            if (entry.isDirectory())
                visit(`${dir}/${entry.name}`);
            else if (entry.name.endsWith('.c') && !entry.name.endsWith('_test.c'))
                guardsOf(`${dir}/${entry.name}`, found);
        }
    };
    visit(`${ROOT}/src`);
    return found;
}

function guardsOf(path, found) {
    const lines = readFileSync(path, 'utf8').split('\n');
    let inside = '';
    lines.forEach((line, i) => {
        inside = /^[a-z].*?(\w+)\(/.exec(line)?.[1] ?? inside;
        const point = /FAULT\("([^"]+)"\)/.exec(line)?.[1];
        if (!point)
            return;
        const beside = /\/\*\s*(.*?)\s*\*\//.exec(line)?.[1];
        const above = /^\s*\/\*\s*(.*?)\s*\*\/\s*$/.exec(lines[i - 1] ?? '')?.[1];
        found[point] = beside ?? above ?? `${inside} in ${path.slice(ROOT.length + 1)}`;
    });
}

async function hits(app) {
    return (await app.p.api.get('/debug/faults')).points;
}

// Which points does core pass, and how often, on the way of this act?
async function passed(app, act) {
    await ready(app, act);
    const before = await hits(app);
    const row = await ACTS[act](app);
    await app.rolloutEnd(ENV, row.id);
    const after = await hits(app);
    return Object.entries(after).map(([point, count]) => [point, count - (before[point] ?? 0)]).filter(([, count]) => count > 0);
}

async function points(app, verdict, load) {
    const known = guards();
    const kills = new Set(), missed = [];
    for (const act of Object.keys(ACTS)) {
        for (const [point, count] of await passed(app, act)) {
            for (let nth = 1; nth <= Math.min(count, PASSINGS); nth++) {
                const name = `${act} ${point} #${nth}`;
                const took = await dieAt(app, act, point, nth, name);
                if (took === null)
                    missed.push(name);
                else
                    kills.add(name);
                say(`  ${name} -> guards: ${known[point] ?? 'not in the source'}; ${took === null ? 'NOT REACHED' : `back in ${ms(took.back)}, ended ${took.state}, died as ${took.signature}`}`);
            }
        }
    }
    const { lost } = await load.total();
    verdict.must(kills.size >= (quick ? 10 : POINTS_LEAST), `${kills.size} kill points of core over deploy and rollback (at least ${POINTS_LEAST})`);
    verdict.must(missed.length <= kills.size / 4, `${missed.length} points were not passed again: ${missed.slice(0, 5).join(', ')}`);
    verdict.must(lost === 0, `failpoints: ${lost} lost`);
    verdict.figure(`${kills.size} kill points`);
}

async function dieAt(app, act, point, nth, name) {
    await ready(app, act);
    const { p } = app;
    const before = await latest(app);
    const core = p.pid('core'), supervisor = p.pid('serve');
    await p.api.post('/debug/fault', { role: 'core', point, nth });
    // The supervisor waits until the state of death was read.
    process.kill(supervisor, 'SIGSTOP');
    let signature = '';
    try {
        void ACTS[act](app).catch(() => {}); // core may die before it answers
        await until(() => gone(core), 15_000, `${name}: core dies`);
        signature = stateOf(p);
        states.points.set(signature, name);
    } catch {
        process.kill(supervisor, 'SIGCONT');
        await p.api.post('/debug/fault', { role: 'core', point, nth: 0 }).catch(() => {});
        await rest(app, before, name);
        return null;
    }
    const begin = nowMs();
    process.kill(supervisor, 'SIGCONT');
    await until(() => p.ready(), 30_000, `${name}: core is back`);
    const took = nowMs() - begin;
    back.push(took);
    const ended = await rest(app, before, name);
    return { back: took, state: ended.id === before.id ? 'never begun' : ended.state, signature };
}

function gone(pid) {
    const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
    return !stat || stat.slice(stat.lastIndexOf(')') + 2)[0] === 'Z';
}

// The state that lies in the store, as far as a rollout's way through it goes.
function stateOf(p) {
    const sql = `SELECT coalesce((SELECT r.kind||' '||r.state||' '||coalesce((SELECT s.kind||' '||s.state FROM rollout_step s
        WHERE s.rollout_id=r.id AND s.position=r.step), 'at its end') FROM rollout r ORDER BY r.id DESC LIMIT 1), 'none')
        ||', build '||coalesce((SELECT state FROM build ORDER BY id DESC LIMIT 1), 'none')
        ||', instances '||coalesce((SELECT group_concat(state, ' ') FROM (SELECT DISTINCT state FROM instance ORDER BY state)), 'none')`;
    const done = spawnSync('sqlite3', ['-readonly', `${p.dataDir}/core/store.db`, sql], { encoding: 'utf8' });
    if (done.status !== 0)
        throw new Error(`sqlite3: ${done.stderr}`);
    return done.stdout.trim();
}

// ---- the other roles, at random ----

function random() {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return seed / 0x7fffffff;
}

async function randomKills(app, verdict, load) {
    const { p } = app;
    for (const role of ['host', 'courier', 'signals', 'core', 'serve']) {
        const took = [];
        for (let i = 0; i < RANDOM; i++) {
            const before = await latest(app);
            const row = await ACTS[i % 2 ? 'rollback' : 'deploy'](app).catch(() => null);
            const moment = nowMs() + random() * 1500;
            await until(() => nowMs() >= moment, 5000, 'the moment');
            const begin = nowMs();
            await p.kill(role);
            if (role === 'serve')
                await p.serve(); // the next supervisor adopts the rest
            await until(async () => (await p.ready()) && (await linked(p)), 30_000, `${role} is back`);
            took.push(nowMs() - begin);
            await rest(app, before, `${role} killed during ${row?.kind ?? 'nothing'}`);
        }
        const { lost } = await load.total();
        verdict.must(most(took) <= BACK_MS && lost === 0, `${role} killed ${took.length} times at random: back in at most ${ms(most(took))}, ${lost} lost`);
    }
}

async function linked(p) {
    const { checks } = await p.api.get('/doctor');
    return checks.filter((check) => check.name.startsWith('role ')).every((check) => check.ok);
}

// ---- strace: die at the Nth I/O call ----

async function sweep(app, verdict) {
    const { p } = app;
    let kills = 0;
    for (const act of Object.keys(ACTS)) {
        for (let n = 1; n < SWEEP_MAX; n += SWEEP_STEP) {
            await ready(app, act);
            const before = await latest(app);
            const core = p.pid('core'), supervisor = p.pid('serve');
            const tracer = await strace(core, n);
            process.kill(supervisor, 'SIGSTOP');
            const row = await Promise.race([ACTS[act](app).catch(() => null), until(() => gone(core), 20_000, 'core dies').then(() => null, () => null)]);
            if (row)
                await Promise.race([until(() => gone(core), 120_000, 'core dies').catch(() => {}), app.rolloutEnd(ENV, row.id, 120_000).catch(() => {})]);
            else // the connection breaks a moment before the process is gone
                await until(() => gone(core), 3000, 'core dies').catch(() => {});
            const died = gone(core);
            if (died)
                states.sweep.set(stateOf(p), `${act}, I/O call ${n}`);
            process.kill(supervisor, 'SIGCONT');
            await tracer.stop();
            await until(() => p.ready(), 30_000, 'core is back');
            await rest(app, before, `${act}, I/O call ${n}`);
            if (!died)
                break;
            kills++;
        }
    }
    const unknown = [...states.sweep].filter(([state]) => !states.points.has(state));
    unknown.forEach(([state, where]) => say(`  not seen by a failpoint: ${state} (${where})`));
    verdict.must(kills > 0 && (quick || unknown.length === 0), `strace: ${kills} kills at I/O calls in ${states.sweep.size} states, ${unknown.length} that the failpoints missed`);
    verdict.figure(`${kills} kills by I/O call`);
}

async function strace(pid, nth) {
    const child = spawn('strace', ['-f', '-p', String(pid), '-o', '/dev/null', '-e', `trace=${CALLS}`, '-e', `inject=${CALLS}:signal=SIGKILL:when=${nth}`], { stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    child.stderr.on('data', (part) => { text += part; });
    const ended = new Promise((resolve) => child.once('close', resolve));
    await until(() => /attached/.test(text), 5000, 'strace is attached');
    return {
        async stop() {
            child.kill('SIGINT');
            await ended;
        },
    };
}

// ---- the edge's own death ----

async function edgeKill(app, verdict) {
    const { p } = app;
    const took = [];
    const load = await app.load(ENV, { rate: 500 }).flowing(100);
    for (let i = 0; i < (quick ? 2 : 5); i++) {
        const edges = processes().filter(({ command, state }) => state !== 'Z' && /haproxy/.test(command[0] ?? '') && command.some((word) => word.includes(`${p.dir}/`)));
        const begin = nowMs();
        edges.forEach(({ pid }) => process.kill(pid, 'SIGKILL'));
        await until(async () => (await app.get(ENV, '/id', { timeout: 500 })).status === 200, 20_000, 'the edge serves again');
        took.push(nowMs() - begin);
        await whole(app, ENV, COUNT).catch(() => {});
    }
    const seen = await load.stop();
    verdict.must(seen.lost > 0, `HAProxy killed ${took.length} times: ${seen.lost} lost of ${seen.begun} ${JSON.stringify(seen.reasons)} (a client that saw none would be blind)`);
    verdict.must(most(took) <= EDGE_MS, `HAProxy serves again in at most ${ms(most(took))} <= ${ms(EDGE_MS)}`);
    verdict.figure(`edge killed: ${seen.lost} lost, serving again in ${ms(most(took))}`);
}
