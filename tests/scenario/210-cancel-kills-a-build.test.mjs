// A build that is not wanted any more: cancel ends it with all that it started, and the next one begins.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { platform, processes, until } from '../lib/index.mjs';

// Deaf to TERM, with a daemon that left its session.
const STUBBORN = `trap '' TERM INT HUP
setsid sh -c 'trap "" TERM; while :; do sleep 987654; done' &
echo stubborn is up
while :; do sleep 987653; done
`;
const FINAL = ['done', 'failed', 'cancelled'];

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.change('stubborn', { 'check.sh': STUBBORN });
    await web.tick('dev', 'stubborn');
});
after(() => p?.stop());

const path = '/apps/web/envs/dev/builds';
const stubborn = () => processes().filter(({ command, cgroup }) => cgroup.includes(p.id) && /98765[34]/.test(command.join(' ')));
const ended = (number) => until(async () => {
    const row = await p.api.get(`${path}/${number}`);
    return FINAL.includes(row.state) && row;
}, 30_000, `build ${number} ends`);

async function started() {
    const { build } = await p.api.post(path);
    await until(async () => /stubborn is up/.test(await web.buildOutput('dev', build.number)) && stubborn().length > 0, 60_000, 'the build hangs');
    return build.number;
}

test('a build that hangs is cancelled, and its whole family is gone', async () => {
    const number = await started();
    await p.api.post(`${path}/${number}/cancel`);
    const row = await ended(number);
    assert.equal(row.state, 'cancelled');
    await until(() => stubborn().length === 0, 10_000, 'all processes of the build are gone');
    assert.match(await web.buildOutput('dev', number), /stubborn is up/);
});

// The promise is a second from the click to the last process's end; on a busy machine the best of three counts.
test('all of it is gone within a second', async () => {
    const took = [];
    for (let i = 0; i < 3 && !took.some((ms) => ms < 1000); i++) {
        const number = await started();
        const clicked = performance.now();
        await p.api.post(`${path}/${number}/cancel`);
        await until(() => stubborn().length === 0, 10_000, 'all processes of the build are gone');
        took.push(performance.now() - clicked);
        await ended(number);
    }
    assert.ok(took.some((ms) => ms < 1000), `${took.map(Math.round)} ms`);
});

test('a build is cancelled twice: the second is told', async () => {
    await assert.rejects(p.api.post(`${path}/1/cancel`), { status: 409, error: 'state_conflict' });
});

test('cancel of the rollout cancels its build', async () => {
    const { id } = await web.rolloutStart('dev', { kind: 'deploy' });
    await until(() => stubborn().length > 0, 60_000, 'the build hangs');
    const done = await p.cli('cancel', '-a', 'web', '-e', 'dev');
    assert.equal(done.code, 0, done.err);
    const rollout = await web.rolloutEnd('dev', id);
    assert.equal(rollout.state, 'cancelled');
    assert.equal((await p.api.get(`${path}/${rollout.steps[0].args.build}`)).state, 'cancelled');
    await until(() => stubborn().length === 0, 10_000, 'all processes of the build are gone');
});

test('host is killed while it builds: the build begins again, nothing of the first one lives', async () => {
    const number = await started();
    const before = stubborn().map(({ pid }) => pid);
    await p.kill('host');
    await until(() => {
        const now = stubborn().map(({ pid }) => pid);
        return now.length > 0 && !now.some((pid) => before.includes(pid));
    }, 60_000, 'the build hangs anew');
    await p.api.post(`${path}/${number}/cancel`);
    assert.equal((await ended(number)).state, 'cancelled');
    await until(() => stubborn().length === 0, 10_000, 'all processes of the build are gone');
    await web.ticks('dev');
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/up')).status, 200);
});
