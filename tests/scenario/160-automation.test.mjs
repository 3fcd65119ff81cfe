// An environment that follows pushes: what is pushed to a ticked branch is live a moment later; a hundred pushes at once
// are one or two releases and the newest wins; what failed or was taken back does not come again by itself.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { platform, until } from '../lib/index.mjs';

let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.ticks('dev', 'feature/a', 'feature/b');
    await web.deploy('dev');
});
after(() => p?.stop());

const set = (when, api = p.api) => api.put('/apps/web/envs/dev/automation', { when });
const builds = async () => (await p.api.get('/apps/web/envs/dev/builds')).items;
const live = async () => (await web.status('dev')).release;
const serves = (path, text) => until(async () => (await web.get('dev', `/file?path=/app/${path}`)).text?.includes(text), 60_000, `${path} says ${text}`);
const settled = () => until(async () => {
    const { rollout } = await web.status('dev');
    return !rollout && (await builds())[0].state !== 'running' && (await live()).commit === (await web.plan('dev')).commit;
}, 60_000, 'the newest commit is live');

test('by click: a push changes nothing', async () => {
    assert.equal((await web.status('dev')).automation, 'click');
    await web.change('feature/a', { 'a.txt': 'pushed once\n' });
    await web.change('unticked', { 'u.txt': 'x\n' });
    assert.equal((await builds()).length, 1);
});

test('set to follow pushes, it catches up with what it had missed', async () => {
    assert.equal((await p.cli('env', 'automation', 'push', '-a', 'web', '-e', 'dev')).code, 0);
    await serves('a.txt', 'pushed once');
    const [newest] = await web.rollouts('dev');
    assert.equal(newest.by, '(automation)');
});

test('a push to a ticked branch is released, one to another is not', async () => {
    await web.change('feature/b', { 'b.txt': 'pushed twice\n' });
    await until(async () => (await builds())[0].state === 'running', 20_000, 'it is being built');
    await web.change('unticked', { 'u.txt': 'w\n' }); // that is no reason to stop it
    await serves('b.txt', 'pushed twice');
    assert.equal((await builds())[0].state, 'done');
    await settled();
    const before = (await builds()).length;
    await web.change('unticked', { 'u.txt': 'y\n' });
    await web.change('feature/a', { 'a.txt': 'pushed thrice\n' });
    await serves('a.txt', 'pushed thrice');
    await settled();
    assert.equal((await builds()).length, before + 1);
});

test('many pushes at once: few builds, and the newest commit is live', async () => {
    const before = (await builds()).length;
    for (let i = 0; i < 25; i++)
        await web.change(i % 2 ? 'feature/a' : 'feature/b', { [`many-${i}.txt`]: `${i}\n` });
    await serves('many-24.txt', '24');
    await settled();
    const all = await builds();
    assert.ok(all.length - before < 25, `${all.length - before} builds`);
    assert.equal(new Set(all.map((row) => row.commit)).size, all.length, 'each commit is built once');
});

test('what fails is tried once, what was rolled back stays back, and the journal says what is held', async () => {
    await web.change('feature/b', { 'check.sh': 'echo "1..1" > report.tap; echo "not ok 1 - no" >> report.tap\n' }, 'breaks the check');
    await until(async () => (await builds())[0].state === 'failed', 60_000, 'the build fails');
    await p.kill('core');
    await until(() => p.ready(), 20_000, 'core is back');
    const count = (await builds()).length;
    await web.change('feature/b', { 'check.sh': 'echo "1..1" > report.tap; echo "ok 1 - yes" >> report.tap\n' }, 'mends it');
    await until(async () => (await builds())[0].state === 'done', 60_000, 'the next one is built');
    await settled();
    assert.equal((await builds()).length, count + 1, 'the failed commit was not built again');
    const mended = await web.repository.tip('feature/b');
    for (const [commit, reason] of [[`${mended}~1`, /failed here before/], [mended]]) { // taken back to what failed, and mended again
        await web.repository.git('checkout', '-q', '-B', 'feature/b', commit);
        await web.push('+feature/b');
        if (reason)
            await until(async () => (await p.root.get('/audit?limit=100')).items.some((row) => row.kind === 'automation.held' && reason.test(row.data.reason)), 30_000, 'it is said that it is held');
    }
    await settled();
    assert.equal((await builds()).length, count + 1, 'nothing was built for it');
    await web.rollback('dev');
    const { commit } = await live();
    await p.kill('courier');
    await until(() => p.api.get('/apps/web/branches'), 20_000, 'the courier is back');
    await p.root.put('/envs/dev', { policy: 'stop' });
    await web.change('feature/a', { lines: 'mine\n' }, 'conflicts');
    await web.change('feature/b', { lines: 'no, mine\n' }, 'conflicts');
    const held = await until(async () => (await p.root.get('/audit?limit=100')).items.find((row) => row.kind === 'automation.held' && /conflicts with/.test(row.data.reason)), 30_000, 'the journal says that it is held');
    assert.match(held.data.reason, /conflicts with/);
    assert.notEqual((await live()).commit, commit === null, 'something runs');
});

test('somebody else\'s rollout is not broken into', async () => {
    await web.ticks('dev', 'feature/a', 'bad/slow-start');
    const { id } = await web.rolloutStart('dev', { kind: 'deploy' });
    await web.change('feature/a', { 'late.txt': 'late\n' });
    const row = await web.rolloutEnd('dev', id);
    assert.notEqual(row.state, 'cancelled');
});

test('at a time of day with nothing new it is over for the day: what is pushed later waits', async () => {
    const sql = (text) => spawnSync('/usr/bin/sqlite3', ['-bail', '-cmd', '.timeout 5000', `${p.dataDir}/core/store.db`, text], { encoding: 'utf8' }).stdout.trim();
    const where = "WHERE id=(SELECT ae.id FROM app_env ae JOIN env e ON e.id=ae.env_id WHERE e.name='pre')";
    await web.deploy('pre');
    const at = new Date(Date.now() - 120_000);
    await p.api.put('/apps/web/envs/pre/automation', { when: [at.getHours(), at.getMinutes()].map((n) => String(n).padStart(2, '0')).join(':') });
    sql(`UPDATE app_env SET automated_at=0 ${where}`);
    await until(() => Number(sql(`SELECT automated_at FROM app_env ${where}`)) > 0, 70_000, 'its time is over');
    assert.equal((await web.rollouts('pre')).length, 1);
    await p.api.put('/apps/web/envs/pre/automation', { when: 'click' });
});

test('a time of day is accepted, nonsense and strangers are refused', async () => {
    await set('03:30');
    assert.equal((await web.status('dev')).automation, '03:30');
    for (const when of ['24:00', '3:30', '03:60', 'always', 'ab:cd'])
        await assert.rejects(set(when), { error: 'field_invalid' }, when);
    const tess = await p.person('tess', 'tester');
    await assert.rejects(set('push', tess.api), { status: 403 });
    await set('click');
});
