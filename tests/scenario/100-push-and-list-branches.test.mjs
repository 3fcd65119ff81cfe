// A developer pushes what they have, sees it listed, branches on the platform, and pulls it back.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { git, platform } from '../lib/index.mjs';

let p, web, dev, viewer;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { push: false });
    dev = await p.person('dev', 'developer');
    viewer = await p.person('view', 'viewer');
});
after(() => p?.stop());

const listed = async (match = '') => (await p.api.get(`/apps/web/branches?match=${encodeURIComponent(match)}`)).items;
const branch = async (name) => (await listed()).find((row) => row.name === name);

test('before the first push there is nothing', async () => {
    assert.deepEqual(await listed(), []);
});

test('an existing repository is pushed in one line', async () => {
    const done = await web.pushAs(p.api.token);
    assert.equal(done.code, 0, done.err);
    const { trunk } = await p.api.get('/apps/web/branches');
    assert.equal(trunk, 'main');
    const local = (await web.repository.git('branch', '--format=%(refname:short)')).split('\n').sort();
    assert.deepEqual((await listed()).map((row) => row.name).sort(), local);
});

test('each branch tells its tip, author, subject, and how far it is from trunk', async () => {
    const row = await branch('feature/功能');
    assert.equal(row.tip, await web.repository.tip('feature/功能'));
    assert.deepEqual([row.author, row.subject, row.ahead, row.behind], ['Tester', 'feature/功能', 1, 0]);
    await web.change('main', { 'lines.txt': 'trunk goes on\n' });
    assert.deepEqual([(await branch('feature/功能')).ahead, (await branch('feature/功能')).behind], [1, 1]);
});

test('a part of the name finds it', async () => {
    assert.deepEqual((await listed('功能')).map((row) => row.name), ['feature/功能']);
});

test('a developer pushes a branch, not trunk; a viewer neither; a stranger nothing', async () => {
    await web.repository.branch('feature/dev', { 'dev.txt': 'dev\n' });
    assert.equal((await web.pushAs(dev.token, ['feature/dev'])).code, 0);
    assert.ok(await branch('feature/dev'));
    await web.repository.commit('main', { 'sneaked.txt': 'in\n' });
    for (const [token, ref] of [[dev.token, 'main'], [viewer.token, 'feature/dev:feature/view'], ['no-such-token', 'feature/dev:feature/x']])
        assert.notEqual((await web.pushAs(token, [ref])).code, 0, ref);
    assert.notEqual((await branch('main')).tip, await web.repository.tip('main'));
    assert.equal(await branch('feature/view'), undefined);
});

test('a branch made on the platform is fetched', async () => {
    await dev.api.post('/apps/web/branches', { name: 'feature/on-platform', from: 'feature/a' });
    const header = `Authorization: Basic ${Buffer.from(`x:${dev.token}`).toString('base64')}`;
    const { hostname, port } = new URL(web.url);
    const configuration = { 'http.extraHeader': header, 'http.curloptResolve': `${hostname}:${port || 80}:127.0.0.1` };
    const done = await git(web.repository.dir, ['fetch', '-q', web.url, 'feature/on-platform:copy'], { configuration });
    assert.equal(done.code, 0, done.err);
    assert.equal(await web.repository.tip('copy'), await web.repository.tip('feature/a'));
});

test('the command line lists and makes branches', async () => {
    assert.match(await dev.cli.ok('branch', 'list', '-a', 'web').catch(() => dev.cli.ok('branch', '-a', 'web')), /feature\/功能/);
});

test('a developer rewinds and deletes a branch, and pushes a tag; trunk and tags stay where they are', async () => {
    const refused = async (...refs) => {
        const done = await web.pushAs(dev.token, refs);
        assert.notEqual(done.code, 0, refs.join(' '));
        return done.err;
    };
    await web.repository.git('checkout', '-q', '-B', 'feature/dev', 'main~1');
    await web.repository.commit('feature/dev', { 'dev.txt': 'again\n' });
    assert.match(await refused('feature/dev'), /rejected/); // not by mistake
    assert.equal((await web.pushAs(dev.token, ['--force', 'feature/dev'])).code, 0);
    assert.equal((await branch('feature/dev')).tip, await web.repository.tip('feature/dev'));
    const trunk = (await branch('main')).tip;
    await refused('--force', 'feature/dev:main');
    await refused('--force', 'feature/dev', 'feature/dev:main');
    await refused(':main');
    assert.equal((await web.pushAs(dev.token, ['feature/dev:refs/tags/v1', ':feature/dev'])).code, 0);
    assert.equal(await branch('feature/dev'), undefined);
    await refused('--force', 'main:refs/tags/v1');
    await refused(':refs/tags/v1');
    assert.equal((await branch('main')).tip, trunk);
    assert.notEqual((await web.pushAs(viewer.token, [':feature/a'])).code, 0);
    assert.equal((await web.pushAs(p.api.token, [':refs/tags/v1'])).code, 0);
});
