// What a page of the console asks for, in one request each: the grid, the figures, one's own branches, the
// news of what is ticked, what two releases differ in, what instances use, a plan of what is not ticked yet.
// Who may view one env sees that one.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { atRest, platform, roles, until } from '../lib/index.mjs';

const DEV = '/apps/web/envs/dev';
let p, web, wang, looker, rollback;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await p.app('other');
    wang = await p.person('wang', 'developer');
    looker = await p.person('looker', 'viewer', { app: 'web', env: 'dev' });
    await web.tick('dev', 'feature/a', 'feature/b');
    await web.deploy('dev');
    await atRest(web, 'dev');
});
after(() => p?.stop());

const cell = async (api, env = 'dev') => (await api.get('/overview')).items.find((row) => row.app === 'web').envs[env];
const tip = async (name) => (await p.api.get('/apps/web/branches')).items.find((row) => row.name === name).tip;

test('the grid: every app and env in one answer, with who did what when', async () => {
    const grid = await p.api.get('/overview');
    assert.deepEqual(grid.envs.map((env) => env.name), ['dev', 'test', 'pre', 'prod']);
    assert.deepEqual(grid.items.map((row) => row.app), ['other', 'web']);
    const [other, row] = grid.items;
    assert.deepEqual([row.trunk, Object.keys(row.envs)], ['main', ['dev', 'test', 'pre', 'prod']]);
    assert.ok(row.rights.includes('deploy') && row.rights.includes('admin'));
    const { dev } = row.envs;
    assert.deepEqual([dev.release, dev.build, dev.by, dev.bad, dev.branches, dev.rollout], [1, 1, 'admin', false, 2, null]);
    assert.deepEqual(dev.instances, { serving: 1, ready: 0, total: 1, unhealthy: 0 });
    assert.deepEqual([dev.last.kind, dev.last.state, dev.last.release, dev.last.by, dev.last.error], ['deploy', 'done', 1, 'admin', null]);
    assert.ok(dev.last.at <= dev.last.ended_at && dev.at <= dev.last.ended_at);
    assert.deepEqual([other.envs.dev.release, other.envs.dev.build, other.envs.dev.last], [0, null, null]);
});

test('it has pages by name', async () => {
    const first = await p.api.get('/overview?limit=1');
    assert.deepEqual([first.items.map((row) => row.app), first.next], [['other'], 'other']);
    const second = await p.api.get('/overview?limit=1&after=other');
    assert.deepEqual([second.items.map((row) => row.app), second.next], [['web'], null]);
});

test('a rollout under way stands in it, step by step', async () => {
    const { id } = await web.rolloutStart('test', { kind: 'promote', from: 'dev' });
    const { rollout } = await cell(p.api, 'test');
    assert.deepEqual([rollout.id, rollout.kind, rollout.state, rollout.by], [id, 'promote', 'running', 'admin']);
    assert.ok(rollout.steps > 2 && rollout.step < rollout.steps);
    assert.equal((await web.rolloutEnd('test', id)).state, 'done');
    await atRest(web, 'test');
    assert.equal((await cell(p.api, 'test')).rollout, null);
    assert.equal((await cell(p.api, 'test')).instances.serving, 2);
});

test('who may view one env of one app sees that one', async () => {
    const grid = await looker.api.get('/overview');
    assert.deepEqual(grid.items.map((row) => [row.app, row.rights, Object.keys(row.envs)]), [['web', ['view'], ['dev']]]);
    const app = await looker.api.get('/apps/web');
    assert.deepEqual([app.envs, app.rights], [['dev'], ['view']]);
    assert.deepEqual((await looker.api.get(DEV)).rights, ['view']);
    assert.deepEqual((await looker.api.get('/figures')).apps, []);
    for (const path of ['/apps/other/compare?from=dev/1&to=dev/1', '/apps/web/compare?from=dev/1&to=test/1', '/apps/web/compare?from=test/1&to=dev/1', '/apps/web/envs/test/instances'])
        assert.equal((await looker.api.call('GET', path)).status, 404, path);
    assert.equal((await looker.api.call('GET', '/apps/web/compare?from=dev/1&to=dev/1')).status, 200);
});

test('an app says who made it, and what one may do', async () => {
    const app = await wang.api.get('/apps/web');
    assert.equal(app.created_by, 'admin');
    assert.ok(app.created_at > 1e12);
    assert.deepEqual(app.rights, ['view', 'branch', 'tick', 'deploy', 'rollback', 'secret']);
    assert.deepEqual((await wang.api.get('/apps/web/envs/test')).rights, ['view', 'branch', 'tick', 'deploy']);
    assert.deepEqual((await wang.api.get('/apps/web/envs/prod')).rights, ['view', 'branch']);
});

test('mine are the branches that I made or pushed, without those that went', async () => {
    await wang.api.post('/apps/web/branches', { name: 'feature/made' });
    await wang.api.post('/apps/web/branches', { name: 'feature/dropped' });
    const pushed = await web.pushAs(wang.token, ['feature/a:refs/heads/feature/pushed', 'feature/a:refs/heads/feature/short']);
    assert.equal(pushed.code, 0, pushed.err);
    await p.api.delete('/apps/web/branches?name=feature/dropped'); // by somebody else
    assert.equal((await web.pushAs(wang.token, [':refs/heads/feature/short'])).code, 0);
    await web.tick('test', 'feature/pushed');
    const mine = await until(async () => {
        const { branches } = await wang.api.get('/mine');
        return branches.length === 2 && branches;
    }, 10_000, 'the pushes are noted');
    assert.deepEqual(mine.map((row) => [row.app, row.branch, row.envs]), [['web', 'feature/pushed', ['test']], ['web', 'feature/made', []]]);
    assert.deepEqual((await looker.api.get('/mine')).branches, []);
    assert.deepEqual((await p.root.get('/mine')).branches, []);
    await web.untick('test', 'feature/pushed');
});

test('what is ticked says where its branch is now, and how much of it is not live', async () => {
    await web.change('feature/a', { one: '1\n' }, 'one more');
    await web.change('feature/a', { two: '2\n' }, 'and another');
    await web.tick('dev', 'feature/功能');
    const { ticks } = await p.api.get(`${DEV}/ticks`);
    assert.deepEqual(ticks.map((row) => [row.branch, row.new]), [['feature/a', 2], ['feature/b', 0], ['feature/功能', null]]);
    assert.equal(ticks[0].now, await tip('feature/a'));
    assert.notEqual(ticks[0].now, ticks[0].deployed_tip);
    await web.push(':refs/heads/feature/b');
    const gone = (await p.api.get(`${DEV}/ticks`)).ticks[1];
    assert.deepEqual([gone.branch, gone.now, gone.new], ['feature/b', null, null]);
    await web.push('feature/b');
});

test('two releases beside each other: branches, commits, configuration, secrets', async () => {
    await web.untick('dev', 'feature/b');
    await web.secret('dev', 'KEY', 'a value');
    await web.deploy('dev');
    const compared = await p.api.get('/apps/web/compare?from=test/1&to=dev/2');
    assert.deepEqual([compared.from.env, compared.from.number, compared.to.env, compared.to.number], ['test', 1, 'dev', 2]);
    assert.deepEqual(compared.branches.added.map((row) => row.branch), ['feature/功能']);
    assert.deepEqual(compared.branches.removed.map((row) => row.branch), ['feature/b']);
    assert.deepEqual(compared.branches.changed.map((row) => [row.branch, row.to]), [['feature/a', await tip('feature/a')]]);
    assert.deepEqual(compared.commits.filter((row) => !row.merge).map((row) => row.subject).sort(), ['and another', 'feature/功能', 'one more']);
    assert.ok(compared.commits.every((row) => (row.merge || row.author === 'Tester') && row.at > 0), JSON.stringify(compared.commits));
    assert.ok(compared.commits.some((row) => row.merge), 'nothing is left out, whoever says that he made it');
    assert.equal(compared.commits_more, false);
    assert.deepEqual(compared.config, [{ path: 'instances', from: 2, to: 1 }]);
    assert.deepEqual(compared.secrets, [{ name: 'KEY', from: null, to: 1 }]);
    assert.equal(compared.same_artifact, false);
    const same = await p.api.get('/apps/web/compare?from=dev/2&to=dev/2');
    assert.deepEqual([same.commits, same.config, same.secrets, same.same_artifact], [[], [], [], true]);
    for (const query of ['from=dev/1', 'from=dev&to=dev/1', 'from=dev/x&to=dev/1', 'from=/1&to=dev/1'])
        assert.equal((await p.api.call('GET', `/apps/web/compare?${query}`)).status, 422, query);
    assert.equal((await p.api.call('GET', '/apps/web/compare?from=dev/99&to=dev/1')).status, 404);
});

test('an app-env says whom to ask, and how many instances there should be', async () => {
    const { deployers, wanted } = await p.api.get('/apps/web/envs/test');
    assert.ok(deployers.includes('admin') && !deployers.includes('looker'), deployers.join());
    assert.equal(wanted, 2);
    assert.equal((await p.api.get('/apps/web/envs/pre')).wanted, 0);
});

test('instances say what they use', async () => {
    const one = (await p.api.get(`${DEV}/instances`)).items.find((row) => row.state === 'serving');
    assert.equal(one.memory_limit, 128 * 2 ** 20);
    assert.ok(one.memory > 0 && one.memory < one.memory_limit && one.cpu_us > 0 && one.pids >= 1, JSON.stringify(one));
    assert.ok(Math.abs(Date.now() - one.up_since) < 600_000 && one.restarts === 0, JSON.stringify(one));
});

test('a plan of branches that nobody has ticked tells of a conflict, and stores nothing', async () => {
    const before = (await web.status('dev')).ticks;
    const plan = await web.plan('dev', { branches: ['feature/b', 'feature/b'] });
    assert.deepEqual(plan.ticks.map((row) => row.branch), ['feature/b']);
    const left = await web.plan('dev', { branches: ['conflict/left', 'conflict/right'] });
    assert.deepEqual([left.ticks, left.left_out].map((rows) => rows.map((row) => row.branch)), [['conflict/left'], ['conflict/right']]);
    const conflict = await p.api.call('POST', DEV.replace('dev', 'pre') + '/plan', { branches: ['conflict/left', 'conflict/right'] });
    assert.deepEqual([conflict.status, conflict.json.error, conflict.json.detail.conflict.branch], [409, 'merge_conflict', 'conflict/right']);
    assert.equal((await web.plan('dev', { branches: [] })).ticks.length, 0);
    for (const [wanted, error] of [[{ kind: 'rollback', branches: [] }, 'field_invalid'], [{ release: 1, branches: [] }, 'field_invalid'], [{ branches: ['main'] }, 'field_invalid'],
        [{ branches: ['-x'] }, 'ref_invalid'], [{ branches: [1] }, 'ref_invalid'], [{ branches: ['feature/nowhere'] }, 'branch_unknown']])
        await assert.rejects(web.plan('dev', wanted), { error }, JSON.stringify(wanted));
    assert.deepEqual((await web.status('dev')).ticks, before);
    for (const what of ['plan', 'conflicts'])
        assert.equal((await looker.api.call('POST', `${DEV}/${what}`, { branches: ['feature/b'] })).status, 403, 'integrating any set is for who may tick');
});

test('a rollout is the one that was planned, or none; its branches are ticked with it', async () => {
    const planned = await web.plan('dev', { branches: ['feature/a'] });
    const yes = { branches: ['feature/a'], expect_commit: planned.commit, expect_live: planned.live_release };
    const before = (await web.status('dev')).ticks;
    await web.change('feature/a', { 'late.txt': 'pushed meanwhile\n' }, 'pushed meanwhile');
    await assert.rejects(web.rolloutStart('dev', yes), { error: 'state_conflict' });
    await assert.rejects(web.rolloutStart('dev', { ...yes, expect_commit: undefined, expect_live: planned.live_release + 1 }), { error: 'state_conflict' });
    assert.deepEqual((await web.status('dev')).ticks, before, 'nothing is half done');
    const again = await web.plan('dev', { branches: ['feature/a'] });
    await web.deploy('dev', { branches: ['feature/a'], expect_commit: again.commit, expect_live: again.live_release });
    assert.deepEqual((await web.status('dev')).ticks.map((row) => row.branch), ['feature/a']);
});

test('the figures: what went to the last env, and what was left again', async () => {
    assert.deepEqual((await p.api.get('/figures')).apps, []);
    await web.promote('dev', 'prod');
    await web.promote('test', 'prod', { same_artifact: true });
    rollback = await web.rollback('prod');
    const figures = await p.api.get('/figures?days=7');
    assert.deepEqual([figures.days, figures.env, figures.deploys, figures.failed_share, figures.apps.length], [7, 'prod', 2, 0.5, 1]);
    assert.ok(Math.abs(figures.deploys_per_day - 2 / 7) < 0.001);
    assert.ok(figures.lead_time_ms > 0 && figures.restore_ms > 0 && figures.restore_ms < rollback.ended_at);
    const [{ app, ...five }] = figures.apps;
    assert.equal(app, 'web');
    for (const [key, value] of Object.entries(five))
        assert.equal(figures[key], value, key);
    assert.equal((await p.api.call('GET', '/figures?days=366')).status, 422);
});

test('the same at a terminal', async () => {
    const shown = await p.cli.ok('compare', 'web', 'test/1', 'dev/2');
    assert.match(shown, /test r1 .* -> dev r2 .*another artifact/);
    assert.match(shown, /\+ feature\/功能[^]*- feature\/b[^]*~ feature\/a/);
    assert.match(shown, /instances {2}2 -> 1[^]*KEY {2}- -> 1/);
    assert.equal((await p.cli.ok('compare', 'dev/1', 'dev/2', '-a', 'web', '-o', 'json')).to.number, 2);
    assert.match(await p.cli.ok('figures', '--days', '7'), /prod, the last 7 days[^]*web +2[^]*50%[^]*all +2/);
    assert.match(await p.cli.ok('tick', 'feature/b', '-a', 'web', '-e', 'dev'), /feature\/b/);
});

test('while the courier stands still the rest is said, and what he knows is null', async () => {
    const { courier } = roles(p.settingsFile);
    process.kill(courier, 'SIGSTOP');
    try {
        const [{ ticks, known }, compared] = await Promise.all([p.api.get(`${DEV}/ticks`), p.api.get('/apps/web/compare?from=dev/1&to=dev/2')]);
        assert.ok(ticks.length > 0 && ticks.every((row) => row.now === null && row.new === null), JSON.stringify(ticks));
        assert.equal(known, false);
        assert.deepEqual([compared.commits, compared.secrets.length], [null, 1]);
    } finally {
        process.kill(courier, 'SIGCONT');
    }
});
