// ./bench switch: from the command to all traffic on the new release, with nothing lost.
//
// Two apps (the shop in Node, a C server), two loads (1,000 requests/s open loop; 64 kept connections closed
// loop; GETs and POSTs with unique ids, a client that never retries), two strategies (all at once; four
// batches), ten releases each, four instances. The artifact lies on the host; of the target nothing exists
// but its unpacked files. The floor (T: four bare copies together; T1: one) is measured under the same load
// just before each switch, because a machine is not equally fast at all times. All at once must need at most
// T + 0.15 s, four batches 4 x (T1 + 0.15 s), in the median.
import { nowMs, platform, switchOf, until } from '../tests/lib/index.mjs';
import { argument, bare, bench, deviation, median, most, ms, pm2New, quick, range, saboteur, say, traces, whole, wrkStart } from './common.mjs';

const ENV = 'prod', EXTRA_MS = 150;
const ROUNDS = Number(argument('rounds', quick ? 3 : 10));
const LOADS = { open: { rate: 1000 }, closed: { connections: 64 } };
const STRATEGIES = {
    'all at once': { words: ['--all-at-once'], copies: 4, limit: (floor) => floor + EXTRA_MS },
    'four batches': { words: ['--strategy', 'rolling', '--batches', '4'], copies: 1, limit: (floor) => 4 * (floor + EXTRA_MS) },
};
const COMMANDS = { shop: ['node', 'server.js'], server: ['./server'] };

const medians = new Map();
let lost = 0, begun = 0, spread = 0;

await bench('switch', async (verdict, after) => {
    const p = await platform({ bases: true });
    after(() => p.stop());
    for (const fixture of argument('apps', 'server,shop').split(','))
        await measureApp(p, fixture, verdict);
    if (argument('apps', 'shop').includes('shop'))
        await measurePeer(p, verdict, after);
    verdict.must(lost === 0, `0 lost of ${begun} requests`);
    verdict.figure(`${lost} lost of ${begun}`);
    verdict.figure(`largest deviation of requests per instance ${(spread * 100).toFixed(1)} %`);
    for (const [what, value] of medians)
        verdict.figure(`${what} ${ms(value)}`);
});

async function measureApp(p, fixture, verdict) {
    const app = await p.app(fixture, fixture, { yaml: unwarmed });
    const first = await app.deploy(ENV);
    const second = await app.deploy(ENV);
    const releases = [first.release, second.release];
    await whole(app, ENV);
    say(`${fixture}: r${releases[0]} and r${releases[1]} lie on the host`);
    await saboteur(app, ENV, verdict);
    for (const [loadName, load] of Object.entries(LOADS))
        for (const [strategyName, strategy] of Object.entries(STRATEGIES))
            await measureSwitch({ app, releases, verdict, name: `${fixture}, ${loadName}, ${strategyName}`, load, strategy });
    await secondOpinion(app, releases, verdict);
}

// Nothing of an old release may stay warm, or the next round would not start from nothing.
function unwarmed(text) {
    return text.replace(/^ +keep_warm:.*\n/gm, '').replace(/^envs:/m, 'keep_warm: 0s\n\nenvs:');
}

// Counted from new instances only: those that live now have seen nothing yet.
async function fresh(app, releases) {
    const { live_release: live } = await app.status(ENV);
    await app.deploy(ENV, { release: other(releases, live), strategy: 'all-at-once' });
    await whole(app, ENV);
    return Date.now();
}

function other(releases, live) {
    return releases.find((release) => release !== live);
}

async function measureSwitch({ app, releases, verdict, name, load, strategy }) {
    const since = await fresh(app, releases);
    const client = await app.load(ENV, load).flowing(500);
    const took = [], floors = [];
    for (let i = 0; i < ROUNDS; i++) {
        floors.push(await bare(app, ENV, { copies: strategy.copies, command: COMMANDS[app.fixture] }));
        took.push(await switchOnce(app, releases, client, strategy.words));
    }
    const all = await client.stop();
    const limit = strategy.limit(median(floors));
    say(`${name}: ${range(took)}; floor ${range(floors)}; p50 ${ms(all.latency_ms.p50)}, p99 ${ms(all.latency_ms.p99)}, max ${ms(all.latency_ms.max)}`);
    tally(all, client, name);
    await effects(app, all, since, verdict, name);
    verdict.must(median(took) <= limit, `${name}: median ${ms(median(took))} <= ${ms(limit)}`);
    medians.set(name, median(took));
}

function tally(figures, client, name) {
    lost += figures.lost;
    begun += figures.begun;
    if (figures.lost)
        say(`  LOST ${figures.lost} in ${name}: ${JSON.stringify(figures.reasons)} ${JSON.stringify(client.lost.slice(0, 5))}`);
}

async function effects(app, figures, since, verdict, name) {
    const counted = await app.counted(ENV, { since });
    verdict.must(counted.counted === figures.posts_ok && counted.repeated === 0,
        `${name}: effects counted by the app ${counted.counted} = the client's 2xx ${figures.posts_ok}, repeated ${counted.repeated}`);
}

// One release: ms from the command to the last answer of the old one.
async function switchOnce(app, releases, client, words) {
    const { live_release: live } = await app.status(ENV);
    const target = other(releases, live);
    await until(async () => !(await traces(app.p, app.name, ENV, target)).length, 60_000, `nothing of r${target} is left`);
    await client.mark();
    const begin = nowMs();
    const started = await app.command(ENV, 'deploy', `r${target}`, ...words);
    const ended = await app.rolloutEnd(ENV, started.id, 60_000);
    if (ended.state !== 'done')
        throw new Error(`the rollout of r${target} ended ${ended.state}: ${JSON.stringify(ended.error)}`);
    await whole(app, ENV);
    const report = await client.report();
    const { lastOldMs } = switchOf(report, `r${target}`);
    spread = Math.max(spread, await steady(client));
    return lastOldMs - begin;
}

// Between two releases: how evenly four instances are used.
async function steady(client) {
    await client.mark();
    const report = await until(async () => {
        const figures = await client.report();
        return figures.ok >= 1000 && figures;
    }, 20_000, 'a thousand answers');
    const spreadHere = deviation(report.instances);
    if (spreadHere > 0.2)
        say(`  uneven: ${Object.entries(report.instances).map(([name, row]) => `${name} ${row.ok}`).join(', ')}`);
    return spreadHere;
}

// wrk beside our own client, which keeps its count; the times of these rounds do not count.
async function secondOpinion(app, releases, verdict) {
    const client = await app.load(ENV, { rate: 200 }).flowing(50);
    const wrk = wrkStart({ port: app.p.ports.http, host: app.domain(ENV), path: app.fixture === 'shop' ? '/products' : '/id' });
    try {
        for (let i = 0; i < (quick ? 2 : 4); i++)
            await switchOnce(app, releases, client, Object.values(STRATEGIES)[i % 2].words);
    } finally {
        const seen = await wrk.stop();
        verdict.must(seen.lost === 0 && seen.requests > 0, `${app.fixture}, wrk beside: ${seen.lost} lost of ${seen.requests}`);
    }
    tally(await client.stop(), client, `${app.fixture}, beside wrk`);
}

// The same shop under pm2's graceful reload, in the same run: so that the ratio shows.
async function measurePeer(p, verdict, after) {
    const peer = await pm2New(p.dir, p.ports.bare);
    after(() => peer.stop());
    await peer.start();
    for (const [loadName, load] of Object.entries(LOADS)) {
        const took = [], losses = [];
        for (let i = 0; i < (quick ? 1 : 3); i++) {
            const client = await p.load('shop', ENV, { ...load, to: `127.0.0.1:${p.ports.bare}`, get: ['/', '/products'], post: ['/cart'] }).flowing(500);
            await client.mark();
            const begin = nowMs();
            const release = await peer.reload();
            await until(async () => switchOf(await client.report(), release).firstNewMs !== null, 20_000, 'pm2 serves the new release');
            took.push(switchOf(await client.report(), release).lastOldMs - begin);
            losses.push((await client.stop()).lost);
        }
        const ours = medians.get(`shop, ${loadName}, four batches`);
        say(`pm2 7.0.4 graceful reload, ${loadName}: ${range(took)}, lost ${losses.join(' ')}; ${(median(took) / ours).toFixed(1)} times ours (four batches), ${(median(took) / medians.get(`shop, ${loadName}, all at once`)).toFixed(1)} times ours (all at once)`);
        verdict.figure(`pm2 ${loadName} ${ms(median(took))}, lost at most ${most(losses)}`);
    }
}
