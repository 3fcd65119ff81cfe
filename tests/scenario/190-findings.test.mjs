// A tester finds something wrong in test. It is a branch's; that is fixed and pushed, released there, tried again, and closed;
// or it is still there, in the next round. As long as it is not closed, the env behind does not take that branch.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { platform, request } from '../lib/index.mjs';

let p, web, vera;
before(async () => {
    p = await platform();
    web = await p.app('web');
    vera = await p.person('vera', 'viewer'); // who tries things
    for (const env of ['dev', 'test', 'pre'])
        await web.ticks(env, 'feature/a', 'feature/b');
});
after(() => p?.stop());

const finding = (number) => p.api.get(`/apps/web/findings/${number}`);
const act = (number, what, more = {}) => p.api.post(`/apps/web/findings/${number}`, { act: what, ...more });

test('against what is live: nothing live, nothing to find', async () => {
    await assert.rejects(vera.api.post('/apps/web/findings', { env: 'test', title: '价格不对' }), { status: 409, error: 'state_conflict' });
    await web.deploy('test');
    const row = await vera.api.post('/apps/web/findings', { env: 'test', title: '价格不对', text: '会员价显示为 0', severity: 'high', branch: 'feature/a' });
    assert.deepEqual([row.number, row.env, row.release, row.state, row.waits, row.round, row.by], [1, 'test', 1, 'open', 'fix', 1, 'vera']);
    assert.deepEqual(row.notes.map((note) => [note.kind, note.text]), [['filed', '会员价显示为 0']]);
    for (const [wrong, error] of [[{ title: ' ' }, 'field_invalid'], [{ severity: 'awful' }, 'field_invalid'], [{ branch: 'feature/none' }, 'branch_unknown'], [{ env: 'none' }, 'not_found']])
        await assert.rejects(vera.api.post('/apps/web/findings', { env: 'test', title: 'x', ...wrong }), { error });
});

test('the env behind takes that branch only when it is closed, if that is its rule', async () => {
    await web.plan('pre'); // no rule yet
    await p.cli.ok('env', 'gate', 'pre', 'high');
    await assert.rejects(web.plan('pre'), { status: 403, error: 'policy_denied' });
    await assert.rejects(web.promote('test', 'pre'), /finding 1 of feature\/a .high, in test. is not closed/);
    await web.deploy('test'); // its own env is free: there it is tried again
    await web.ticks('pre', 'feature/b');
    await web.deploy('pre');
    await web.ticks('pre', 'feature/a', 'feature/b');
    await p.cli.ok('env', 'gate', 'pre', 'critical');
    await web.plan('pre');
    await p.cli.ok('env', 'gate', 'pre', 'medium');
});

test('fixed is not released, released is not tried: the list says what each one waits for', async () => {
    await web.change('feature/a', { 'a.txt': 'mended\n' }, 'mend the price');
    assert.equal((await act(1, 'fix', { text: '已修复' })).waits, 'release');
    assert.match(await p.cli.ok('finding', 'show', '1', '-a', 'web'), /new commits are not deployed/);
    await web.deploy('test');
    assert.deepEqual([(await finding(1)).waits, (await finding(1)).state], ['retest', 'fixed']);
    await assert.rejects(web.plan('pre'), { error: 'policy_denied' });
});

test('still there: the next round; then it is closed, and the way is free', async () => {
    const again = await act(1, 'reopen', { text: '还是不对' });
    assert.deepEqual([again.state, again.round, again.waits], ['open', 2, 'fix']);
    await web.change('feature/a', { 'a.txt': 'mended well\n' }, 'mend it well');
    assert.equal((await act(1, 'fix')).waits, 'release');
    await web.deploy('test');
    assert.equal((await finding(1)).waits, 'retest');
    await vera.cli.ok('finding', 'close', '1', '确认', '-a', 'web');
    const row = await finding(1);
    assert.deepEqual([row.state, row.waits, row.round], ['closed', null, 2]);
    assert.deepEqual(row.notes.map((note) => note.kind), ['filed', 'fix', 'reopen', 'fix', 'close']);
    await web.deploy('pre');
    await assert.rejects(act(1, 'close'), { status: 409, error: 'state_conflict' });
    await assert.rejects(act(1, 'ponder'), { error: 'field_invalid' });
});

test('one of no branch keeps the whole app back; it is assigned when it is known whose it is', async () => {
    const { number } = await vera.api.post('/apps/web/findings', { env: 'test', title: 'slow', severity: 'critical' });
    await assert.rejects(web.plan('pre'), { error: 'policy_denied' });
    await p.cli.ok('finding', 'assign', String(number), 'feature/b', '-a', 'web');
    await web.ticks('pre', 'feature/a');
    await web.plan('pre');
    await p.cli.ok('finding', 'assign', String(number), 'feature/b', '--severity', 'low', '-a', 'web');
    await web.ticks('pre', 'feature/a', 'feature/b');
    await web.plan('pre');
});

test('lists by state, env, branch and person; the journal and the feed tell each step', async () => {
    const list = async (query) => (await p.api.get(`/apps/web/findings?${query}`)).items.map((row) => row.number);
    assert.deepEqual(await list(''), [2, 1]);
    assert.deepEqual([await list('state=unclosed'), await list('state=closed'), await list('branch=feature/b'), await list('env=dev'), await list('person=vera')], [[2], [1], [2], [], [2, 1]]);
    assert.match(await p.cli.ok('finding', '-a', 'web'), /slow/);
    const { items } = await p.api.get('/audit?newest=1&subject=web.test');
    assert.ok(items.some((one) => one.kind === 'finding.filed') && items.some((one) => one.kind === 'finding.close'));
});

test('pictures: what a browser shows and nothing else, for those who may see the finding', async () => {
    const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
    const send = (body, type = 'image/png', token = vera.token) => request({ port: p.ports.api }, 'POST', '/api/v1/apps/web/findings/1/pictures', { body, headers: { 'content-type': type, ...(token && { authorization: `Bearer ${token}` }) } });
    const added = await send(png);
    assert.equal(added.status, 201);
    const { pictures } = await finding(1);
    assert.deepEqual(pictures.map((one) => [one.type, one.bytes, one.by]), [['image/png', png.length, 'vera']]);
    const path = `/api/v1/apps/web/findings/1/pictures/${pictures[0].id}`;
    const got = await request({ port: p.ports.api }, 'GET', path, { headers: { authorization: `Bearer ${vera.token}` } });
    assert.deepEqual([got.status, got.headers['content-type'], got.headers['x-content-type-options']], [200, 'image/png', 'nosniff']);
    assert.match(got.headers['content-security-policy'], /sandbox/);
    assert.ok(got.bytes.equals(png));
    assert.equal((await request({ port: p.ports.api }, 'GET', path)).status, 401);
    assert.equal((await request({ port: p.ports.api }, 'GET', path.replace('findings/1', 'findings/2'), { headers: { authorization: `Bearer ${vera.token}` } })).status, 404);
    for (const [body, type] of [['<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', 'image/svg+xml'], ['<script>alert(1)</script>', 'image/png'], ['GIF89a.....', 'image/gif'], ['', 'image/png']])
        assert.equal((await send(body, type)).status, 415, type);
    assert.equal((await send(png, 'image/png', null)).status, 401);
    for (let n = 2; n <= 6; n++)
        assert.equal((await send(png)).status, 201);
    assert.equal((await send(png)).status, 429, 'six are enough');
});

test('a link to lines of a log is one to a page of ours', async () => {
    const row = await act(2, 'note', { text: 'see there', link: '/apps/web/test/logs?until=42&grep=price' });
    assert.equal(row.notes.at(-1).link, '/apps/web/test/logs?until=42&grep=price');
    for (const link of ['https://evil.example/', '//evil.example/x', 'javascript:alert(1)', '/apps//evil', '/apps/\\evil'])
        await assert.rejects(act(2, 'note', { link }), { error: 'field_invalid' }, link);
});

test('whose it may be: the branches of what is live that change such a file', async () => {
    const { branches } = await p.api.get('/apps/web/envs/test/touching?path=a.t');
    assert.deepEqual(branches, [{ branch: 'feature/a', files: ['a.txt'], file_count: 1 }]);
    assert.deepEqual((await p.api.get('/apps/web/envs/test/touching?path=no-such')).branches, []);
    assert.match(await p.cli.ok('finding', 'who', 'b.txt', '-a', 'web', '-e', 'test'), /feature\/b/);
    await assert.rejects(p.api.get('/apps/web/envs/prod/touching?path=a'), { status: 409 });
    await assert.rejects(p.api.get('/apps/web/envs/test/touching'), { error: 'field_invalid' });
});

test('all of them, for who may see them', async () => {
    const { items } = await vera.api.get('/findings?state=all');
    assert.deepEqual(items.map((row) => [row.app, row.number]), [['web', 2], ['web', 1]]);
    const cart = await p.app('cart');
    const stranger = await p.person('stranger', 'viewer', { app: 'cart' });
    assert.deepEqual((await stranger.api.get('/findings')).items, []);
    assert.equal(cart.name, 'cart');
});

test('from the command line: filed with a picture and a link; a file that is none of both leaves nothing', async () => {
    const file = `${p.dir}/seen.png`;
    writeFileSync(file, Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(3000)]));
    const words = ['finding', 'new', 'the total is wrong', '-a', 'web', '-e', 'test'];
    const row = await p.cli.ok(...words, '--picture', file, '--link', '/apps/web/test/logs?grep=total', '-o', 'json');
    assert.deepEqual(row.pictures.map(({ type, bytes }) => [type, bytes]), [['image/png', 3008]]);
    assert.equal(row.notes[0].link, '/apps/web/test/logs?grep=total');
    const told = await p.cli.ok('finding', 'note', String(row.number), 'once more', '-a', 'web', '--picture', file);
    assert.match(told, /note\n {4}once more[^]*a picture, image\/png, 2 kB[^]*a picture, image\/png, 2 kB/);
    const filed = (await p.api.get('/apps/web/findings')).items.length;
    for (const [bad, says] of [[`${p.dir}/absent.png`, /nothing was filed: the picture[^]*absent/], [p.binary, /nothing was filed: [^]*4 MiB/]]) {
        const done = await p.cli(...words, '--picture', bad);
        assert.notEqual(done.code, 0);
        assert.match(done.err, says);
    }
    assert.equal((await p.api.get('/apps/web/findings')).items.length, filed);
    writeFileSync(file, 'GIF89a and more');
    const refused = await p.cli(...words, '--picture', file);
    assert.match(refused.err, /the picture was not taken \(the rest of finding \d+ was\)[^]*PNG, JPEG or WebP/);
});
