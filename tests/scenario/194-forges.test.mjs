// The other forges, and the other roads: a GitHub and a Gitea, https with a certificate of the company's own; a
// repository that is brought here once and for all. What a forge does when it is not well, what a hostile one tries, and
// the addresses that nobody is sent to.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { forgeNew, gitOk, platform, Repository, until } from '../lib/index.mjs';

let p, repository;
const forges = {};
before(async () => {
    p = await platform({ settings: { forge_networks: '127.0.0.0/8' } });
    repository = await Repository.fromFixture('server', `${p.dir}/work`);
});
after(async () => {
    await Promise.all(Object.values(forges).map((forge) => forge.close()));
    await p?.stop();
});

async function forge(kind, options = {}) {
    const made = await forgeNew(kind, { dir: `${p.dir}/${kind}-${Object.keys(forges).length}`, ...options });
    forges[`${kind}${Object.keys(forges).length}`] = made;
    return made;
}
const origin = (app) => p.api.get(`/apps/${app}/origin`);
const names = async (app) => (await p.api.get(`/apps/${app}/branches?limit=1000`)).items.map((row) => row.name).sort();
const good = (app) => until(async () => (await origin(app)).state === 'good', 30_000, `${app} is fetched`);
const push = (made, project) => gitOk(repository.dir, ['push', '-q', made.pushUrl(project), '--all']);

for (const kind of ['github', 'gitea']) {
    test(`${kind}: projects, a webhook, statuses and a merge request`, async () => {
        const made = await forge(kind, { page: 2 }), projects = [];
        for (const path of ['team/shop', 'team/cart', 'other/pay'])
            projects.push(await made.project(path));
        const [project] = projects;
        await push(made, project);
        await p.cli.ok('forge', 'set', kind, kind, made.url, { input: 'secret-token\n' });
        assert.match(await p.cli.ok('forge', 'ls'), /slipway-bot/);
        const listed = (await p.cli.ok('forge', 'projects', kind, '-o', 'json')).projects;
        assert.deepEqual(listed.map((row) => row.project), ['team/shop', 'team/cart', 'other/pay'], 'all pages');
        assert.match(await p.cli.ok('app', 'create', `${kind}-shop`, '--forge', kind, '--project', 'team/shop'), /fetched/);
        assert.deepEqual([(await origin(`${kind}-shop`)).state, (await origin(`${kind}-shop`)).hook], ['good', 'made']);
        assert.equal(project.hooks.length, 1);
        made.protect(project, 'main');
        const seen = await p.api.get(`/apps/${kind}-shop/origin/branches`);
        assert.equal(seen.branches.length, 2);
        assert.equal(seen.next, 2);
        const at = `/apps/${kind}-shop/envs/prod`;
        await p.api.post(`${at}/ticks`, { add: ['feature/a'] });
        await p.cli.ok('deploy', '-a', `${kind}-shop`, '-e', 'prod');
        const tip = await repository.git('rev-parse', 'feature/a');
        await until(() => project.statuses.some((row) => row.sha === tip && row.state === 'success' && row.context === 'slipway/prod'), 20_000, 'the status is told');
        // a stranger's fork has a branch of the same name, and asks before us
        project.merges.push({ number: 1, state: 'opened', source: 'slipway/prod/r1', target: 'main', title: 'Release prod/r1', fork: 4711 });
        const said = await p.cli.ok('land', '-a', `${kind}-shop`);
        assert.match(said, /protected.*\n\s+http.*\/pulls?\/2/);
        await made.merge(project, 2);
        await until(async () => (await p.api.get(`/apps/${kind}-shop/landings`)).items[0].state === 'done', 30_000, 'it has landed');
    });
}

test('https with a certificate of the company: taken when it was given, and not otherwise', async () => {
    const at = `${p.dir}/tls`;
    mkdirSync(at);
    const made = spawnSync('/usr/bin/openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=corp',
        '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', `${at}/key.pem`, '-out', `${at}/cert.pem`]);
    assert.equal(made.status, 0, String(made.stderr));
    const own = await forge('gitlab', { tls: { key: readFileSync(`${at}/key.pem`), cert: readFileSync(`${at}/cert.pem`) } });
    const project = await own.project('team/tls');
    await gitOk(repository.dir, ['push', '-q', own.pushUrl(project), '--all'], { configuration: { 'http.sslCAInfo': `${at}/cert.pem` } });
    const refused = await p.cli('forge', 'set', 'tls', 'gitlab', own.url, { input: 'secret-token' });
    assert.match(refused.err, /certificate|SSL/i);
    await p.cli.ok('forge', 'set', 'tls', 'gitlab', own.url, '--cert', `${at}/cert.pem`, { input: 'secret-token' });
    await p.cli.ok('app', 'create', 'tls', '--from', project.url);
    assert.ok((await names('tls')).includes('feature/a'));
});

test('brought here once: then it is ours, also when the forge was not well at first', async () => {
    const [made] = Object.values(forges), project = made.projects.get('team/cart');
    made.failFetch = 1; // the look is answered, the first fetch is not
    await push(made, project);
    await gitOk(repository.dir, ['push', '-q', made.pushUrl(project), 'main:refs/tags/v1.0']);
    await p.cli('app', 'create', 'cart', '--from', project.url, '--once'); // it may hear of the first one
    assert.equal(made.failFetch, 0, 'the first fetch failed');
    await until(async () => (await p.api.get('/apps/cart/branches')).items.length > 5, 30_000, 'it is here');
    await assert.rejects(origin('cart'), { status: 404 });
    const { items } = await p.api.get('/audit?limit=1000');
    assert.equal(items.filter((row) => row.kind === 'origin.imported' && row.subject === 'cart').length, 1);
    await p.cli.ok('branch', 'new', 'feature/here', '-a', 'cart');
    assert.equal((await made.refs(project)).get('refs/heads/feature/here'), undefined);
});

test('a first fetch that takes its time says how far it is', async () => {
    const slow = await forge('gitlab'), project = await slow.project('team/large');
    const large = await Repository.empty(`${p.dir}/large`);
    writeFileSync(`${large.dir}/random`, randomBytes(3 << 20));
    await large.git('add', '.');
    await large.git('commit', '-q', '-m', 'large');
    await gitOk(large.dir, ['push', '-q', slow.pushUrl(project), '--all']);
    await p.api.put('/forges', { name: 'slow', kind: 'gitlab', url: slow.url, token: 'secret-token' });
    slow.bytesASecond = 1 << 20;
    await p.api.post('/apps', { name: 'large', url: project.url });
    const seen = await until(async () => {
        const row = await origin('large');
        return row.progress?.stage === 'receiving' && row;
    }, 30_000, 'it is being received');
    assert.ok(seen.fetching && seen.progress.percent >= 0 && seen.progress.percent <= 100, JSON.stringify(seen));
    await good('large');
    assert.equal((await origin('large')).progress, undefined);
    slow.fail({ status: 503 }, 2, { git: true });
    await assert.rejects(p.api.post('/apps/large/origin/fetch'), (error) => /503/.test(error.text), 'what it says of itself is no failure');
});

test('an app that has branches is not replaced without a word', async () => {
    await p.app('own');
    const [made] = Object.values(forges), project = made.projects.get('other/pay');
    await push(made, project);
    await assert.rejects(p.api.put('/apps/own/origin', { url: project.url }), { status: 409, error: 'state_conflict' });
    await p.cli.ok('app', 'follow', 'own', project.url, '--replace');
    assert.equal((await origin('own')).state, 'good');
});

test('asked too often, broken, elsewhere: it waits, and says what it was', async () => {
    const [made] = Object.values(forges), project = made.projects.get('team/shop');
    const fetch = () => p.api.post('/apps/github-shop/origin/fetch');
    made.fail({ status: 503 }, 2, { git: true });
    await assert.rejects(fetch(), (error) => error.error === 'unavailable' && /503/.test(error.text));
    made.fail({ status: 429, headers: { 'retry-after': '1' } }, 2, { git: true });
    await assert.rejects(fetch(), { error: 'forge_busy' });
    await fetch();
    made.fail({ status: 403, headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(Math.floor(Date.now() / 1000) + 2) } });
    await assert.rejects(p.api.get('/forges/github/projects'), (error) => error.error === 'forge_busy' && /in [12] seconds/.test(error.text));
    made.fail({ status: 502, body: '<html>bad gateway</html>' });
    await assert.rejects(p.api.get('/forges/github/projects'), { error: 'unavailable' });
    made.fail({ status: 200, body: '<html>hello</html>' });
    await assert.rejects(p.api.get('/forges/github/projects'), (error) => /not as the API of a forge/.test(error.text));

    const thief = await forge('github');
    const before = thief.requests.length;
    made.fail({ status: 302, headers: { location: `${thief.url}/api/v3/user/repos` } });
    await assert.rejects(p.api.get('/forges/github/projects'), (error) => /sends us elsewhere/.test(error.text));
    made.fail({ status: 302, headers: { location: `${thief.url}/team/shop.git/info/refs?service=git-upload-pack` } }, 2, { git: true });
    await assert.rejects(fetch(), (error) => /sends us elsewhere/.test(error.text));
    assert.equal(thief.requests.length, before, 'no request, and so no credential, went to another host');
    assert.equal(project.path, 'team/shop');
});

test('a credential goes to its own host, and stands nowhere', async () => {
    const other = await forge('gitlab'), project = await other.project('team/open');
    other.open = true;
    await gitOk(repository.dir, ['push', '-q', project.url, '--all']);
    await p.cli.ok('app', 'create', 'open', '--from', project.url);
    assert.deepEqual(other.requests.filter((row) => row.headers.authorization || row.headers['private-token']), []);
    const everything = JSON.stringify([await p.api.get('/debug/dump'), await p.api.get('/audit?limit=1000'), await p.api.get('/forges')]) + p.log();
    assert.ok(!everything.includes('secret-token'));
});

test('whoever names a forge beside another host gets no credential of it', async () => {
    const thief = await forge('gitlab'), project = await thief.project('team/shop');
    for (const wanted of [{ forge: 'github', url: project.url }, { forge: 'github', project: '../x' }, { forge: 'github', project: 'team/-x' }])
        await assert.rejects(p.api.post('/apps', { name: 'stolen', ...wanted }), (error) => error.status === 422, JSON.stringify(wanted));
    assert.equal(thief.requests.length, 0);
    // a forge that moves to another host takes its credential along: what is followed at the old one is asked no more
    const [old] = Object.values(forges);
    await p.api.put('/forges', { name: 'github', kind: 'gitlab', url: thief.url, token: 'secret-token' });
    const before = old.requests.length;
    await assert.rejects(p.api.post('/apps/github-shop/origin/fetch'), (error) => error.error === 'forge_denied' && /no longer the host/.test(error.text));
    assert.equal(old.requests.length, before);
    await p.api.put('/forges', { name: 'github', kind: 'github', url: old.url, token: 'secret-token' });
    await p.api.post('/apps/github-shop/origin/fetch');
});

test('a webhook that was refused is asked for again with another token', async () => {
    const made = await forge('gitlab'), project = await made.project('team/hooks');
    await push(made, project);
    await p.api.put('/forges', { name: 'hooks', kind: 'gitlab', url: made.url, token: 'secret-token' });
    made.denyHooks = true;
    await p.cli.ok('app', 'create', 'hooks', '--from', project.url);
    await until(async () => (await origin('hooks')).hook === 'refused', 10_000, 'it is refused');
    assert.match(await p.cli.ok('app', 'origin', 'hooks'), /make one by hand/);
    assert.ok((await p.cli.ok('app', 'hook', 'hooks', '-o', 'json')).secret.length >= 40);
    made.denyHooks = false;
    await p.api.put('/forges', { name: 'hooks', kind: 'gitlab', url: made.url, token: 'secret-token' });
    await until(async () => (await origin('hooks')).hook === 'made', 10_000, 'it is made');
});

test('addresses that nobody is sent to', async () => {
    const strict = await platform();
    try {
        const add = (url) => strict.api.post('/apps', { name: 'x', url }).then(() => 'taken', (error) => `${error.status} ${error.error}`);
        for (const url of ['http://127.0.0.1:2375/x', 'http://169.254.169.254/latest', 'http://[::ffff:7f00:1]/x', 'http://0x7f000001/x', 'http://10.0.0.1/x', 'http://[::1]/x'])
            assert.equal(await add(url), '422 address_forbidden', url);
        for (const url of ['ext::sh -c touch% CANARY', 'fd::17', 'file:///etc', '/etc', 'gopher://h/x'])
            assert.equal(await add(url), '422 url_scheme', url);
        for (const url of ['ssh://-oProxyCommand=touch${IFS}CANARY/x', 'git@-oProxyCommand=x:y', 'https:///evil/x', 'http://localhost./x', 'http://a@127.0.0.1/x'])
            assert.equal(await add(url), '422 host_invalid', url);
        await assert.rejects(strict.api.put('/forges', { name: 'meta', kind: 'gitlab', url: 'http://169.254.169.254', token: 'x' }), { error: 'address_forbidden' });
        assert.deepEqual((await strict.api.get('/apps')).items, []);
        assert.deepEqual((await strict.api.get('/forges')).items, []);
    } finally {
        await strict.stop();
    }
});

test('only an administrator sets a forge, and nobody sees what we are there', async () => {
    const dev = await p.person('dev', 'developer');
    await assert.rejects(dev.api.put('/forges', { name: 'mine', kind: 'git', url: 'https://h', token: 'x' }), { status: 403 });
    await assert.rejects(dev.api.get('/apps/github-shop/origin/hook'), { status: 403 });
    await assert.rejects(p.api.delete('/forges/github'), { status: 409, error: 'state_conflict' });
});
