// A build's source is streamed from the courier to host when it is that build's turn. Neither queueing nor
// the death of one of the two while the tree is on its way costs the build.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { platform, processes, until } from '../lib/index.mjs';

const SLEEPER = 'echo the sleeper is up; sleep 987655\n';
const BIG = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`big/${i}`, `${i} all work and no play\n`.repeat(200_000)]));
const path = '/apps/web/envs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.change('sleeper', { 'check.sh': SLEEPER });
    await web.change('big', BIG); // 140 MB in the tree, little in the repository
    await web.tick('dev', 'sleeper');
    await web.tick('test', 'big');
});
after(() => p?.stop());

const started = async (env) => (await p.api.post(`${path}/${env}/builds`)).build.number;
const cancel = (env, number) => p.api.post(`${path}/${env}/builds/${number}/cancel`);
const dump = (role) => p.api.get('/debug/dump').then((all) => all[role]?.dump ?? all[role]);
const exports_ = async () => (await dump('courier')).jobs.export;
const ended = (env, number) => until(async () => {
    const row = await p.api.get(`${path}/${env}/builds/${number}`);
    return ['done', 'failed', 'cancelled'].includes(row.state) && row;
}, 120_000, `build ${number} of ${env} ends`);

// A sleeper that has the one turn there is, and the big one behind it.
async function queued() {
    const sleeper = await started('dev');
    await until(async () => /the sleeper is up/.test(await web.buildOutput('dev', sleeper)), 60_000, 'the sleeper sleeps');
    const big = await started('test');
    await until(async () => (await dump('host')).build.some((row) => row.build === `web.test.b${big}` && row.state === 'queued'), 30_000, 'the other one queues');
    return { sleeper, big };
}

async function good(number) {
    const row = await ended('test', number);
    assert.equal(row.state, 'done', JSON.stringify(row.error));
    assert.ok(row.result.files >= 30);
}

// The child that unpacks the tree, stopped in the middle of it: the pipe is full, the courier waits.
async function stoppedUnpacking() {
    const child = await until(() => processes().find(({ command }) => command.includes('host-unpack') && command.some((word) => word.includes(`${p.runDir}/vol/build/`))), 30_000, 'the tree is unpacked');
    process.kill(child.pid, 'SIGSTOP');
    await until(async () => (await exports_()).running === 1, 10_000, 'the courier writes');
    return child.pid;
}

test('while a build queues nothing of its tree is on its way, and then it builds', async () => {
    const { sleeper, big } = await queued();
    assert.deepEqual(await exports_(), { running: 0, waiting: 0 });
    await cancel('dev', sleeper);
    await good(big);
});

test('the courier is killed while it writes the tree: it is written again', async () => {
    const number = await started('test');
    const child = await stoppedUnpacking();
    await p.kill('courier');
    process.kill(child, 'SIGCONT');
    await good(number);
});

test('host is killed while it reads the tree: the build begins again', async () => {
    const number = await started('test');
    const child = await stoppedUnpacking();
    await p.kill('host');
    process.kill(child, 'SIGKILL');
    await good(number);
});

test('core is killed while the tree is on its way: nobody minds', async () => {
    const number = await started('test');
    const child = await stoppedUnpacking();
    await p.kill('core');
    process.kill(child, 'SIGCONT');
    await until(() => p.ready(), 20_000, 'core is back');
    await good(number);
});

test('courier and host are killed while it queues: it builds when it is its turn', async () => {
    const { sleeper, big } = await queued();
    await p.kill('courier');
    await p.kill('host');
    await until(async () => (await p.ready()) && (await dump('host'))?.build.length === 2, 30_000, 'host has both builds again');
    await cancel('dev', sleeper);
    await good(big);
});
