// What is known of builds after they ended: core was away and learns all of it, refs do not pile up, and a removed
// app takes everything along.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { gitOk, platform, processes, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
});
after(() => p?.stop());

const path = '/apps/web/envs/dev/builds';
const ended = (number) => until(async () => {
    const row = await p.api.get(`${path}/${number}`);
    return ['done', 'failed', 'cancelled'].includes(row.state) && row;
}, 60_000, `build ${number} ends`);

test('core is killed while checks run: the failed build names its failed cases all the same', async () => {
    await web.change('hanging', { 'check.sh': 'sleep 987656 || true\necho "1..2" > report.tap; echo "ok 1 - fine" >> report.tap; echo "not ok 2 - the price is wrong" >> report.tap\n' });
    await web.ticks('dev', 'hanging');
    const { build } = await p.api.post(path);
    const sleeping = await until(() => processes().find(({ command, cgroup }) => cgroup.includes(p.id) && command.join(' ') === 'sleep 987656'), 60_000, 'the check runs');
    const serve = p.pid('serve');
    process.kill(serve, 'SIGSTOP'); // nobody starts core again
    try {
        assert.deepEqual((await p.api.get(`${path}/${build.number}`)).steps.at(-1).state, 'running');
        process.kill(p.pid('core'), 'SIGKILL');
        process.kill(sleeping.pid, 'SIGTERM'); // and the check goes on
        await until(() => existsSync(`${p.dataDir}/host/builds/web.dev.b${build.number}/result.json`), 30_000, 'the build has ended');
    } finally {
        process.kill(serve, 'SIGCONT');
    }
    await until(() => p.ready(), 20_000, 'core is back');
    const { state, error, result, steps } = await ended(build.number);
    assert.deepEqual(steps.map((step) => [step.step, step.state]).slice(-2), [['compile', 'done'], ['smoke', 'failed']]);
    assert.deepEqual([state, error.error], ['failed', 'check_failed']);
    const [check] = result.checks;
    assert.deepEqual([check.name, check.ok, check.passed, check.failed], ['smoke', false, 1, 1]);
    assert.deepEqual(check.cases[0], { name: 'the price is wrong', outcome: 'failed', text: '' });
});

test('refs of builds do not pile up: the newest twenty stay, and what is live', async () => {
    await web.ticks('dev');
    await web.deploy('dev');
    const live = (await p.api.get(path)).items[0].number;
    for (let i = 0; i < 21; i++)
        await web.build('dev');
    const refs = async () => (await gitOk(`${p.dataDir}/git/web.git`, ['-c', 'safe.directory=*', 'for-each-ref', '--format=%(refname)', 'refs/slipway/dev'])).split('\n').filter(Boolean).map((ref) => Number(ref.split('/b')[1])).sort((a, b) => a - b);
    const newest = live + 21;
    await web.change('aside', { aside: 'x\n' });
    await web.ticks('dev', 'aside');
    for (let i = 0; i < 2; i++)
        await web.build('dev');
    const now = await until(async () => {
        const found = await refs();
        return !found.includes(live - 1) && found;
    }, 10_000, 'the first one is gone');
    assert.ok(now.includes(live), `${live} is live: ${now}`);
    assert.ok(now.includes(newest));
});

test('an app that is removed takes its builds and caches along', async () => {
    const gone = await p.app('gone', 'server', { yaml: (text) => text.replace('  network: none', '  network: none\n  cache: [/root/.cache]') });
    await gone.build('dev');
    const left = () => ['builds', 'caches'].flatMap((folder) => readdirSync(`${p.dataDir}/host/${folder}`)).filter((name) => /(^|\.)gone\./.test(name));
    assert.equal(left().length, 2, left().join());
    await p.api.delete('/apps/gone');
    await until(() => left().length === 0, 10_000, 'nothing of it is left');
});
