// ./bench rollback: all traffic back on the release before, with the forge, the courier and the network off
// and core killed once the rollback has begun. At most 2 s in every one of 20 rounds with the old release
// still warm, and of 20 with nothing of it running; nothing lost. Under 500 requests/s: with 1,000 (--rate
// 1000), a machine of two processors, the client's work among it, is busy with the requests alone, and four
// bare starts of the shop take up to 2.4 s there (see the floors of ./bench switch).
import { spawnSync } from 'node:child_process';
import { nowMs, platform, switchOf, until } from '../tests/lib/index.mjs';
import { argument, bench, instancePids, most, ms, quick, range, saboteur, say, traces, whole } from './common.mjs';

const LIMIT_MS = 2000, RATE = Number(argument('rate', 500)), ROUNDS = Number(argument('rounds', quick ? 4 : 20));
const KEPT = { warm: { env: 'pre', kept: '20m' }, cold: { env: 'prod', kept: '0s' } };
const FIXTURE = argument('app', 'shop');
let lost = 0, begun = 0, outsideOn = () => {};

await bench('rollback', async (verdict, after) => {
    const p = await platform({ bases: true });
    after(() => p.stop());
    const app = await p.app(FIXTURE, FIXTURE, { yaml: kept });
    await app.deploy('dev');
    for (const { env } of Object.values(KEPT))
        await app.promote('dev', env, { same_artifact: true });
    await whole(app, 'prod');
    await saboteur(app, 'prod', verdict);
    after(() => outsideOn());
    for (const [name, { env }] of Object.entries(KEPT))
        await measure(app, env, name, verdict);
    verdict.must(lost === 0, `0 lost of ${begun} requests`);
    verdict.figure(`${lost} lost of ${begun}`);
});

// pre keeps what was live for 20 minutes, prod not at all; both with four instances.
function kept(text) {
    const base = text.slice(0, text.indexOf('\nenvs:')).replace(/^keep_warm:.*\n/gm, '');
    const envs = Object.values(KEPT).map(({ env, kept: time }) => `  ${env}: {instances: 4, keep_warm: ${time}, update_config: {strategy: all-at-once}}\n`);
    return `${base}\nenvs:\n${envs.join('')}`;
}

// For the time of a rollback the courier stands still, and no process of a role may reach anything but this machine; nor may builds.
function outsideOff(p) {
    const courier = p.pid('courier');
    const table = `${p.id}bench`;
    const users = ['slipway', 'slipway-courier', 'slipway-signals', 'slipway-edge'].map((user) => spawnSync('id', ['-u', user]).stdout.toString().trim());
    const rules = `table inet ${table} {
        chain out { type filter hook output priority -10; oifname != "lo" ip daddr != ${p.slot.subnet} meta skuid { ${users.join(', ')} } drop; }
        chain forward { type filter hook forward priority -10; ip saddr ${p.slot.subnet} ip daddr != ${p.slot.subnet} drop; }
    }`;
    const loaded = spawnSync('nft', ['-f', '-'], { input: rules });
    if (loaded.status !== 0)
        throw new Error(`nft: ${loaded.stderr}`);
    process.kill(courier, 'SIGSTOP');
    outsideOn = () => {
        process.kill(courier, 'SIGCONT');
        spawnSync('nft', ['delete', 'table', 'inet', table]);
        outsideOn = () => {};
    };
}

async function measure(app, env, name, verdict) {
    const client = await app.load(env, { rate: RATE }).flowing(500);
    const took = [];
    for (let i = 0; i < ROUNDS; i++)
        took.push(await rollbackOnce(app, env, client, name === 'warm', i));
    const all = await client.stop();
    lost += all.lost;
    begun += all.begun;
    if (all.lost)
        say(`  LOST ${all.lost}: ${JSON.stringify(all.reasons)} ${JSON.stringify(client.lost.slice(0, 5))}`);
    say(`${name}, ${RATE} requests/s: ${range(took)}; p99 ${ms(all.latency_ms.p99)}, max ${ms(all.latency_ms.max)}`);
    verdict.must(most(took) <= LIMIT_MS, `${name}: the longest of ${ROUNDS} ${ms(most(took))} <= ${ms(LIMIT_MS)}`);
    verdict.figure(`${name} at most ${ms(most(took))}`);
}

// A new release goes live, and back to the one before: ms from the command to the last answer of the new.
async function rollbackOnce(app, env, client, warm, round) {
    const { p } = app;
    const { live_release: good } = await app.status(env);
    const bad = await app.promote('dev', env, { same_artifact: true });
    if (warm)
        await until(() => instancePids(p, app.name, env).some((row) => row.release === `r${good}`), 5000, `r${good} is still warm`);
    else
        await until(async () => !(await traces(p, app.name, env, good)).length, 60_000, `nothing of r${good} is left`);
    await until(async () => Object.keys((await marked(client)).releases).join() === `r${bad.release}`, 20_000, 'the bad release serves all');
    outsideOff(p);
    await client.mark();
    const begin = nowMs();
    const started = await app.command(env, 'rollback', `r${good}`);
    await killAfter(p, warm ? round % 10 : (round * 7) % 70);
    await until(async () => (await p.ready()) && (await app.rolloutEnd(env, started.id, 1000)).state === 'done', 30_000, 'the rollback is done');
    const report = await client.report();
    outsideOn();
    return switchOf(report, `r${good}`).lastOldMs - begin;
}

async function marked(client) {
    await client.mark();
    return until(async () => {
        const report = await client.report();
        return report.ok >= 100 && report;
    }, 20_000, 'a hundred answers');
}

// Core dies a moment after it has said that the rollback runs: at another moment in every round.
async function killAfter(p, delayMs) {
    const pid = p.pid('core');
    const end = nowMs() + delayMs;
    await until(() => nowMs() >= end, delayMs + 1000, 'the moment');
    process.kill(pid, 'SIGKILL');
}
