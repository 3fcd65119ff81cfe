// ./bench idle: what Slipway itself costs while the apps work. The shop in four environments, 50 releases
// and ten minutes of load without a restart; then the proportional memory of supervisor, core, courier,
// host and signals with their resident children (at most 30 MB together) and their CPU over 60 quiet
// seconds (under 1 % of one core). conmon and HAProxy are told apart.
import { platform, processes, pss, cpuMs, nowMs, until } from '../tests/lib/index.mjs';
import { argument, bench, quick, say, whole } from './common.mjs';

const RELEASES = Number(argument('releases', quick ? 4 : 50)), LOAD_MS = quick ? 20_000 : 600_000, QUIET_MS = quick ? 15_000 : 60_000;
const MEMORY_MAX = 30e6, CPU_MAX = 0.01;
const INSTANCES = { dev: 1, test: 2, pre: 2, prod: 4 };
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

await bench('idle', async (verdict, after) => {
    const p = await platform({ bases: true, settings: { log_level: 'info' } });
    after(() => p.stop());
    const shop = await p.app('shop', 'shop', { yaml: (text) => text.replace(/keep_warm: .*/g, 'keep_warm: 0s') });
    const before = p.roles();
    await shop.deploy('dev');
    for (const env of ['test', 'pre', 'prod'])
        await shop.promote('dev', env, { same_artifact: true });
    const load = await shop.load('prod', { rate: 200 }).flowing(100);
    const begin = nowMs();
    await releasesMake(shop);
    await until(() => nowMs() - begin >= LOAD_MS, LOAD_MS + 60_000, 'the time of load is over');
    const seen = await load.stop();
    for (const [env, count] of Object.entries(INSTANCES))
        await whole(shop, env, count);
    verdict.must(JSON.stringify(p.roles()) === JSON.stringify(before), 'no role was restarted');
    verdict.must(seen.lost === 0, `0 lost of ${seen.begun} requests over ${RELEASES} releases`);
    await measure(p, verdict);
});

async function releasesMake(shop) {
    for (let i = 0; i < RELEASES; i++)
        await shop.promote('dev', i % 5 ? 'prod' : 'pre', { same_artifact: true, strategy: i % 2 ? 'rolling' : 'all-at-once' });
}

// The roles and every process of this program that descends from them; instances, conmon and HAProxy have
// left them for groups of their own.
function family(p) {
    const all = processes();
    const pids = new Set(Object.values(p.roles()));
    for (let size = -1; size !== pids.size;) {
        size = pids.size;
        for (const one of all)
            if (pids.has(one.ppid) && !/conmon|haproxy|crun/.test(one.command[0] ?? '') && one.command.length && !isInstance(one, p))
                pids.add(one.pid);
    }
    return all.filter(({ pid }) => pids.has(pid));
}

function isInstance({ cgroup }, p) {
    return cgroup.includes(`/${p.id}/`) && /\.r\d+\.\d+/.test(cgroup);
}

function others(p, name) {
    return processes().filter(({ command, cgroup, state }) => state !== 'Z' && (command[0] ?? '').includes(name)
        && (command.some((word) => word.includes(p.dir)) || cgroup.includes(`/${p.id}`)));
}

async function measure(p, verdict) {
    const before = new Map(family(p).map(({ pid }) => [pid, cpuMs(pid)]));
    const begin = nowMs();
    await until(() => nowMs() - begin >= QUIET_MS, QUIET_MS + 10_000, 'the quiet time is over');
    const seconds = (nowMs() - begin) / 1000;
    let memory = 0, cpu = 0;
    for (const { pid, command } of family(p)) {
        const used = before.has(pid) ? cpuMs(pid) - before.get(pid) : cpuMs(pid);
        const held = pss(pid);
        say(`  ${command.slice(0, 2).join(' ').split('/').at(-1)}: ${megabytes(held)}, ${(used / seconds / 10).toFixed(2)} % of a core`);
        memory += held;
        cpu += used;
    }
    for (const name of ['conmon', 'haproxy']) {
        const found = others(p, name);
        say(`  apart: ${found.length} ${name}, ${megabytes(found.reduce((sum, { pid }) => sum + pss(pid), 0))} together`);
    }
    const share = cpu / 1000 / seconds;
    verdict.must(memory <= MEMORY_MAX, `memory of all five ${megabytes(memory)} <= ${megabytes(MEMORY_MAX)}`);
    verdict.must(share < CPU_MAX, `CPU of all five ${(share * 100).toFixed(2)} % of a core < 1 %, over ${Math.round(seconds)} s`);
    verdict.figure(`${megabytes(memory)}, ${(share * 100).toFixed(2)} % CPU`);
}
