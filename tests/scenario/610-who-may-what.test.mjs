// The gate, route by route: every route of the table, for every role, on what is one's own, somebody else's,
// and gone. What each may do is written down here once more, by hand. Rows B048, B050, B062.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { ROOT, atRest, git, oracles, platform, until } from '../lib/index.mjs';

const ALL = ['dev', 'test', 'pre', 'prod'];
const OPS = { view: ALL, branch: ALL, trunk: ALL, tick: ALL, deploy: ALL, rollback: ALL, secret: ALL, app: ALL };
const MAY = {
    viewer: { view: ALL }, tester: { view: ALL, tick: ['test'], deploy: ['test'], rollback: ['test'] },
    developer: { view: ALL, branch: ALL, tick: ['dev', 'test'], deploy: ['dev', 'test'], rollback: ['dev'], secret: ['dev'] }, ops: OPS, admin: { ...OPS, admin: ALL },
};

// {method, path, permission}; a rollout asks for 'deploy' itself (or 'rollback').
function routes() {
    const text = readFileSync(`${ROOT}/src/core/api/routes.c`, 'utf8');
    const rows = [...text.matchAll(/\{"(GET|POST|PUT|DELETE)",\s*(P?)\s*(?:"([^"]*)")?,\s*PERMISSION_(\w+),/g)]
        .map(([, method, p, rest, permission]) => ({ method, path: `${p ? '/apps/{app}/envs/{env}' : ''}${rest ?? ''}`, permission: permission.toLowerCase() }));
    assert.equal(rows.length, [...text.matchAll(/^ {4}\{"[A-Z]+",/gm)].length, 'a row of the table is not understood');
    return rows.map((row) => row.method === 'POST' && row.path.endsWith('/rollouts') ? { ...row, permission: 'deploy' } : row);
}

// A body that no route takes: who passes the gate is told so, and nothing happens.
const PROBE = { no_such_field: 1 };
const body = ({ method, path }) => method === 'GET' || method === 'DELETE' && !path.endsWith('/grants') ? undefined
    : path.endsWith('/rollouts') ? { kind: 'deploy', from: 'dev' } : PROBE;
const fill = (path, app, env) => path.replace('{app}', app).replace('{env}', env).replace('{user}', 'nobody-here').replace('{role}', 'none').replace('{token}', 'none').replace('{secret}', 'NONE').replace(/\{(build|release|rollout)\}/, '999');
const skip = ({ method, path }) => path === '/events' || path === '/setup' || path === '/login' || (method === 'POST' && path === '/logout');

let p, o, web, people, outsider, insider, table;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await p.app('other', null);
    await p.api.post('/apps', { name: 'gone' });
    await p.api.delete('/apps/gone');
    await web.deploy('prod'); // what runs is not removed by a DELETE that is allowed
    await atRest(web, 'prod');
    people = {};
    for (const role of Object.keys(MAY))
        people[role] = role === 'admin' ? { api: p.api } : await p.person(`the-${role}`, role);
    insider = await p.person('insider', 'developer', { app: 'web', env: 'dev' });
    outsider = await p.person('outsider', 'ops', { app: 'other' });
    table = routes();
    o = await oracles(p, { watch: ['other'] });
});
after(async () => {
    await o?.close();
    await p?.stop();
});

const hidden = (reply) => reply.status === 404 && /"error":"not_found"/.test(reply.text);
const called = (api, route, app, env) => api.call(route.method, fill(route.path, app, env), body(route), { timeout: 15_000 });

test('B048: each role, each route, its own app: 403 exactly where it lacks the right', async () => {
    for (const [role, { api }] of Object.entries(people))
        for (const route of table.filter((one) => !skip(one)))
            for (const env of route.path.includes('{env}') ? ['dev', 'test', 'prod'] : ['prod']) {
                const reply = await called(api, route, 'web', env);
                const envs = ['none', 'person'].includes(route.permission) ? ALL : MAY[role][route.permission] ?? [];
                const may = route.path.includes('{env}') ? envs.includes(env) : envs.length > 0;
                assert.equal(reply.status === 403, !may, `${role} ${route.method} ${fill(route.path, 'web', env)}: ${reply.status} ${reply.text}`);
                assert.ok(reply.status < 500, `${role} ${route.method} ${route.path}: ${reply.status} ${reply.text}`);
            }
    await o.check({ audit: 0 });
});

test('B048 B062: somebody else\'s app and one that is gone are the same: not found, word for word', async () => {
    for (const route of table.filter((one) => one.path.includes('{app}'))) {
        const replies = [];
        for (const [api, app] of [[outsider.api, 'web'], [outsider.api, 'gone'], [outsider.api, 'never'], [insider.api, 'other']])
            replies.push(await called(api, route, app, 'prod'));
        for (const reply of replies)
            assert.ok(hidden(reply), `${route.method} ${route.path}: ${reply.status} ${reply.text}`);
        assert.equal(new Set(replies.map((reply) => reply.text)).size, 1, `${route.method} ${route.path}: ${replies.map((reply) => reply.text)}`);
        if (route.path.includes('{env}')) {
            assert.ok(hidden(await called(insider.api, route, 'web', 'prod')), `another env: ${route.method} ${route.path}`);
            assert.ok(hidden(await called(p.api, route, 'gone', 'prod')), `an admin, deleted: ${route.method} ${route.path}`);
            assert.notEqual((await called(insider.api, route, 'web', 'dev')).status, route.permission === 'app' ? 200 : 403, `his own: ${route.method} ${route.path}`);
        }
    }
    await o.check({ audit: 0 });
});

test('B048: nobody gets anything but the doors; an unknown route is not found', async () => {
    for (const route of table.filter((one) => !skip(one) && one.permission !== 'none'))
        for (const api of [p.anonymous(), p.as('sw_0000000000000000000000000000000000000000')])
            assert.equal((await called(api, route, 'web', 'prod')).status, 401, `${route.method} ${route.path}`);
    assert.equal((await p.anonymous().call('GET', '/events')).status, 401);
    for (const [method, path] of [['GET', '/appz'], ['POST', '/apps/web/exec'], ['GET', '/apps/web/envs/dev/secrets/NONE/value'], ['PUT', '/apps/web'], ['DELETE', '/audit'], ['PATCH', '/apps/web']])
        assert.ok([404, 405].includes((await p.api.call(method, path)).status), `${method} ${path}`);
    await o.check({ audit: 0 });
});

test('B062: what hangs on a name tells nothing about what one may not see', async () => {
    const pairs = [
        ['GET', (app) => `/events?app=${app}`], ['GET', (app) => `/events?app=${app}&env=prod`], ['POST', () => '/tokens', (app) => ({ name: 'peek', app })],
    ];
    for (const [method, path, json] of pairs) {
        const [there, absent] = [await outsider.api.call(method, path('web'), json?.('web')), await outsider.api.call(method, path('never'), json?.('never'))];
        assert.ok(hidden(there), `${path('web')}: ${there.status} ${there.text}`);
        assert.deepEqual([there.status, there.text], [absent.status, absent.text]);
    }
    // an env where one has no right, live or not
    const [live, never] = [await insider.api.call('POST', '/apps/web/envs/dev/plan', { kind: 'promote', from: 'prod' }), await insider.api.call('POST', '/apps/web/envs/dev/plan', { kind: 'promote', from: 'pre' })];
    assert.deepEqual([live.status, live.text], [never.status, never.text]);
    // the same when the env stands in the query, and in lists of envs
    for (const env of ['prod', 'pre', 'never'])
        assert.ok(hidden(await insider.api.call('GET', `/apps/web/config?env=${env}`)), env);
    assert.equal((await insider.api.call('GET', '/apps/web/config?env=dev')).status, 200);
    assert.deepEqual((await insider.api.get('/apps/web')).envs, ['dev']);
    await web.ticks('prod', 'feature/a');
    await web.ticks('dev', 'feature/a');
    const ticked = async (api) => (await api.get('/apps/web/branches')).items.find((row) => row.name === 'feature/a').envs;
    assert.deepEqual([await ticked(insider.api), await ticked(p.api)], [['dev'], ['dev', 'prod']]);
    assert.doesNotMatch(await insider.cli.ok('status'), /prod/);
    await o.again();
    const login = [];
    for (const name of ['admin', 'nobody-here', '../x'])
        login.push(await p.anonymous().call('POST', '/login', { name, password: 'wrong password' }));
    assert.deepEqual(new Set(login.map((reply) => `${reply.status} ${reply.text}`)).size, 1);
    const clones = [];
    for (const app of ['web', 'never']) {
        const url = web.url.replace('/web.git', `/${app}.git`);
        const { hostname, port } = new URL(url);
        const done = await git(p.dir, ['ls-remote', url], { configuration: { 'http.extraHeader': `Authorization: Basic ${Buffer.from(`x:${outsider.token}`).toString('base64')}`, 'http.curloptResolve': `${hostname}:${port}:127.0.0.1` } });
        assert.notEqual(done.code, 0);
        clones.push(done.err.replaceAll(app, 'APP'));
    }
    assert.equal(clones[0], clones[1]);
    assert.deepEqual((await outsider.api.get('/apps')).items.map((row) => row.name), ['other']);
    await o.check({ audit: 0 });
});

test('B050: a developer on prod, verb by verb, through the API and at the command line', async () => {
    const { api, cli, token } = people.developer;
    const prod = '/apps/web/envs/prod';
    const { items: [{ id }] } = await p.api.get(`${prod}/rollouts`);
    const rows = [['POST', `${prod}/rollouts`, { kind: 'deploy' }], ['POST', `${prod}/rollouts`, { kind: 'deploy', release: 1 }], ['POST', `${prod}/rollouts`, { kind: 'rollback' }],
        ['POST', `${prod}/rollouts`, { kind: 'promote', from: 'dev' }], ['POST', `${prod}/rollouts/${id}/cancel`], ['POST', `${prod}/builds`], ['POST', `${prod}/builds/1/cancel`],
        ['POST', `${prod}/ticks`, { set: [] }], ['PUT', `${prod}/secrets/A`, { value: 'a' }], ['DELETE', `${prod}/secrets/A`], ['PUT', `${prod}/domains`, { domains: [] }], ['DELETE', '/apps/web'],
        ['DELETE', '/apps/web/branches?name=feature/a'], ['POST', '/apps/test/envs'.replace('/apps/test', ''), { name: 'own' }]];
    const outputs = [];
    for (const [method, path, json] of rows) {
        const reply = await api.call(method, path, json);
        assert.deepEqual([reply.status, reply.json.error], [403, 'denied'], `${method} ${path}: ${reply.text}`);
        outputs.push(reply.text);
    }
    const at = ['-a', 'web', '-e', 'prod'];
    for (const words of [['deploy'], ['deploy', '1'], ['rollback'], ['promote', 'dev', 'prod'], ['cancel', id], ['cancel', 'build', '1'], ['build'], ['tick', 'feature/a'], ['secret', 'set', 'A', { input: 'a' }], ['secret', 'rm', 'A'], ['env', 'domains', 'x.example']]) {
        const options = typeof words.at(-1) === 'object' ? [words.pop()] : [];
        const done = await cli(...words, ...at, ...options);
        assert.notEqual(done.code, 0, words.join(' '));
        assert.match(done.err, /\(denied\)/, `${words.join(' ')}: ${done.err}`);
    }
    const pushed = await web.pushAs(token, ['feature/a:main']);
    assert.notEqual(pushed.code, 0);
    assert.match(pushed.err, /lacks the right 'trunk'/);
    assert.notEqual((await web.pushAs(token, [':refs/heads/main'])).code, 0);
    assert.equal((await web.pushAs(token, ['main:refs/heads/mine', 'main:refs/tags/mine'])).code, 0);
    assert.equal((await web.pushAs(token, [':refs/heads/mine'])).code, 0); // a branch is its developers' own
    assert.notEqual((await web.pushAs(token, [':refs/tags/mine'])).code, 0);
    assert.notEqual((await web.pushAs(people.viewer.token, [':refs/heads/feature/b'])).code, 0);
    assert.notEqual((await web.pushAs(people.viewer.token, ['main:refs/heads/mine'])).code, 0);
    assert.notEqual((await web.pushAs(people.tester.token, ['main:refs/heads/mine'])).code, 0);
    assert.equal((await web.status('prod')).live_release, 1);
    await o.check({ audit: { 'repo.pushed': 2 }, outputs });
});

test('B048: the number of somebody else\'s rollout, build or release opens nothing in one\'s own app-env', async () => {
    await web.ticks('prod', 'bad/slow-start');
    const { id } = await web.rolloutStart('prod', { kind: 'deploy' });
    await until(async () => (await web.rollout('prod', id)).steps.find((step) => step.kind === 'start')?.state === 'doing', 60_000, 'the rollout waits for its instances');
    const [ended] = (await web.rollouts('prod')).filter((row) => row.state === 'done');
    const seen = [];
    for (const [api, own] of [[outsider.api, '/apps/other/envs/prod'], [outsider.api, '/apps/other/envs/dev'], [insider.api, '/apps/web/envs/dev'], [p.api, '/apps/web/envs/dev'], [p.api, '/apps/other/envs/prod']])
        for (const [method, path, json] of [
            ['GET', `/rollouts/${id}`], ['GET', `/rollouts/${ended.id}`], ['POST', `/rollouts/${id}/cancel`], ['POST', `/rollouts/${ended.id}/cancel`],
            ['GET', '/builds/1'], ['GET', '/builds/2'], ['GET', '/builds/1/output'], ['POST', '/builds/2/cancel'],
            ['POST', '/rollouts', { kind: 'deploy', release: 1 }], ['POST', '/plan', { kind: 'deploy', release: 1 }],
        ]) {
            const reply = await api.call(method, `${own}${path}`, json);
            assert.equal(reply.status, 404, `${method} ${own}${path}: ${reply.status} ${reply.text}`);
            seen.push(reply.text);
        }
    // what is another's and what never was are told in the same words
    for (const path of ['/rollouts/999999', '/builds/999999'])
        seen.push((await outsider.api.call('GET', `/apps/other/envs/prod${path}`)).text);
    assert.equal(new Set(seen.filter((text) => text.includes('rollout'))).size, 1, seen.join('\n'));
    assert.equal((await web.rollout('prod', id)).state, 'running');
    await web.cancel('prod', id);
    assert.equal((await web.rolloutEnd('prod', id)).state, 'cancelled');
    await atRest(web, 'prod');
    await o.check({ audit: { 'ticks.changed': 1, 'build.queued': 1, 'build.running': 1, 'build.done': 1, 'rollout.started': 1, 'rollout.reverting': 1, 'rollout.cancelled': 2 }, outputs: seen });
});

test('B026: who a commit says it is by gives nobody a right', async () => {
    const dir = `${p.dir}/forged`, dev = people.developer;
    await git(p.dir, ['clone', '-q', web.repository.dir, dir]);
    const forged = { env: { GIT_AUTHOR_NAME: 'admin', GIT_AUTHOR_EMAIL: 'admin@localhost', GIT_COMMITTER_NAME: 'admin', GIT_COMMITTER_EMAIL: 'admin@localhost' } };
    await git(dir, ['commit', '-q', '--allow-empty', '-m', 'approved by admin'], forged);
    const { hostname, port } = new URL(web.url);
    const configuration = { 'http.extraHeader': `Authorization: Basic ${Buffer.from(`admin:${dev.token}`).toString('base64')}`, 'http.curloptResolve': `${hostname}:${port}:127.0.0.1` };
    assert.notEqual((await git(dir, ['push', '-q', web.url, 'HEAD:refs/heads/main'], { configuration })).code, 0, 'trunk is not his');
    assert.equal((await git(dir, ['push', '-q', web.url, 'HEAD:refs/heads/feature/forged'], { configuration })).code, 0);
    const pushed = await until(async () => (await p.api.get('/audit?newest=1&limit=20')).items.find((row) => row.kind === 'repo.pushed'), 10_000, 'the journal knows of it');
    assert.equal(pushed.actor, 'user:the-developer');
    await assert.rejects(dev.api.post('/apps/web/envs/prod/rollouts', { kind: 'deploy' }), { status: 403 });
});
