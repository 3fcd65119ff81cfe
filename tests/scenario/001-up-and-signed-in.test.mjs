// The first minute: the supervisor starts every role, the set-up link makes the first person, once; people
// are invited, sign in, and sign out.
import assert from 'node:assert/strict';
import { readFileSync, existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { platform, until } from '../lib/index.mjs';

const PASSWORD = 'a long enough password';
let p, link, token;
before(async () => {
    p = await platform({ start: false });
    await p.serve();
});
after(() => p?.stop());

const linkFile = () => `${p.dataDir}/core/setup-link`;
const setUp = (fields) => p.anonymous().call('POST', '/setup', { password: PASSWORD, ...fields });

test('all five roles run, and nobody is let in yet', async () => {
    assert.deepEqual(Object.keys(p.roles()).sort(), ['core', 'courier', 'host', 'serve', 'signals']);
    const version = await p.anonymous().get('/version');
    assert.equal(version.setup, true);
    for (const path of ['/apps', '/users', '/me', '/audit'])
        assert.equal((await p.anonymous().call('GET', path)).status, 401, path);
});

test('the set-up link lies where only root reads it', async () => {
    link = readFileSync(linkFile(), 'utf8').trim().split(/[/#=]/).pop();
    assert.ok(link.length >= 16);
    assert.equal((await setUp({ link: `${link}x`, name: 'ada' })).status >= 400, true);
    await p.kill('core');
    await until(() => p.ready(), 20_000, 'core is back');
    assert.equal(readFileSync(linkFile(), 'utf8').trim(), link, 'what was printed before a restart is still good');
});

test('the link makes the first admin, and then it is used up', async () => {
    const reply = await setUp({ link, name: 'ada' });
    assert.equal(reply.status, 200, reply.text);
    token = reply.json.token;
    const me = await p.as(token).get('/me');
    assert.deepEqual([me.name, me.admin], ['ada', true]);
    assert.equal(existsSync(linkFile()), false, 'nobody is shown a link that was used');
    assert.equal((await setUp({ link, name: 'eve' })).status, 410);
    assert.equal((await p.anonymous().get('/version')).setup, false);
});

test('ada invites dev; the invitation works once', async () => {
    const { link: invitation } = await p.as(token).post('/users', { name: 'dev', role: 'developer' });
    const secret = invitation.split(/[/#=]/).pop();
    const reply = await setUp({ link: secret });
    assert.equal(reply.json.user, 'dev');
    assert.equal((await setUp({ link: secret })).status, 410);
    assert.equal((await p.as(reply.json.token).get('/me')).admin, false);
});

test('name and password give a token, a wrong password and an unknown name give the same refusal', async () => {
    const login = (name, password) => p.anonymous().call('POST', '/login', { name, password });
    const good = await login('dev', PASSWORD);
    assert.equal(good.status, 200);
    const wrong = await login('dev', 'not the password'), unknown = await login('nobody', PASSWORD);
    assert.equal(wrong.status, 401);
    assert.deepEqual(unknown.json, wrong.json);
    const session = p.as(good.json.token);
    assert.equal((await session.get('/me')).name, 'dev');
    await session.post('/logout');
    assert.equal((await session.call('GET', '/me')).status, 401);
});

test('a token for scripts is shown once, works, and can be taken back', async () => {
    const api = p.as(token);
    const made = await api.post('/tokens', { name: 'ci', read_only: true });
    const ci = p.as(made.token);
    assert.deepEqual((await ci.get('/apps')).items, []);
    assert.equal((await ci.call('POST', '/apps', { name: 'web' })).status, 403);
    assert.equal(JSON.stringify(await api.get('/tokens')).includes(made.token), false);
    await api.delete('/tokens/ci');
    assert.equal((await ci.call('GET', '/apps')).status, 401);
});

test('root on this machine needs no token, and a reset link is what `slipway user reset` prints', async () => {
    assert.match(await p.cli.ok('user', 'reset', 'dev'), /setup|http/);
    assert.equal((await p.root.get('/me')).admin, true);
});

test('all of it survives a restart of core', async () => {
    await p.kill('core');
    await until(() => p.ready(), 20_000, 'core is back');
    assert.equal((await p.as(token).get('/me')).name, 'ada');
    assert.equal(existsSync(linkFile()), false);
    assert.equal((await setUp({ link, name: 'eve' })).status, 410);
});
