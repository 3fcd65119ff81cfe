// Who a request says it comes from: set-up links, tokens that are none, tokens in the wrong place, streams
// that outlive a right, pages of other sites. Rows B046, B047, B053, B054, B059.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { git, oracles, platform, raw, until } from '../lib/index.mjs';

let p, o, early;
before(async () => {
    p = await platform({ start: false });
    await p.serve();
    early = {
        version: await p.anonymous().call('GET', '/version'), users: await p.anonymous().call('POST', '/users', { name: 'me', role: 'admin' }),
        setup: await p.anonymous().call('POST', '/setup', { link: 'sl_00000', name: 'me', password: 'password' }), empty: await p.anonymous().call('POST', '/setup', { link: '', name: 'me', password: 'password' }),
        login: await p.anonymous().call('POST', '/login', { name: 'admin', password: 'password' }), log: p.log(),
    };
    p.api = (await p.person('admin', 'admin')).api;
    o = await oracles(p);
});
after(async () => {
    await o?.close();
    await p?.stop();
});

test('B047: a fresh installation lets nobody in without its one-time link', async () => {
    assert.equal(early.version.json.setup, true);
    assert.equal(early.users.status, 401);
    for (const reply of [early.setup, early.empty])
        assert.ok([410, 422].includes(reply.status), reply.text);
    assert.equal(early.login.status, 401);
    await o.check({ audit: 0, outputs: [early.users, early.setup, early.empty, early.login].map((reply) => reply.text) });
});

test('B047: a link works once, and set-up is over for good', async () => {
    const { link } = await p.api.post('/users', { name: 'guest', role: 'viewer' });
    const once = { link: link.split(/[/#=]/).pop(), password: 'long enough' };
    const both = await Promise.all([p.anonymous().call('POST', '/setup', once), p.anonymous().call('POST', '/setup', once)]);
    assert.deepEqual(both.map((reply) => reply.status).sort(), [200, 410]);
    assert.equal((await p.anonymous().call('POST', '/setup', once)).status, 410);
    assert.equal((await p.anonymous().get('/version')).setup, false);
    const other = await p.api.post('/users', { name: 'second', role: 'viewer' });
    const stolen = await p.anonymous().call('POST', '/setup', { link: other.link.split(/[/#=]/).pop(), name: 'root', password: 'long enough' });
    assert.ok([403, 422].includes(stolen.status), stolen.text);
    await o.check({ audit: { 'person.added': 2, 'invite.used': 1 } });
});

test('B046: what is no token of ours is nobody', async () => {
    const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
    const jwt = (header, payload, key) => `${b64(header)}.${b64(payload)}.${key === null ? '' : createHmac('sha256', key).update(`${b64(header)}.${b64(payload)}`).digest('base64url')}`;
    const claims = { sub: 'admin', admin: true, exp: 9_999_999_999 };
    const tokens = ['nothing', '', ' ', jwt({ alg: 'none' }, claims, null), jwt({ alg: 'HS256' }, claims, ''), jwt({ alg: 'HS256', kid: '../../dev/null' }, claims, ''), `${p.api.token}x`, p.api.token.slice(0, -1),
        p.api.token.toUpperCase(), ` ${p.api.token}`, `${p.api.token},${p.api.token}`, "sw_' OR 1=1 --", 'sw_0000000000000000000000000000000000000000', `sw_${'0'.repeat(7000)}`];
    for (const token of tokens) {
        const reply = await p.as(token || ' ').call('GET', '/me');
        assert.equal(reply.status, 401, `${token.slice(0, 60)}: ${reply.text}`);
        assert.ok(!reply.text.includes(p.api.token));
    }
    for (const authorization of ['Bearer', 'Bearer ', `bearer${p.api.token}`, `Basic ${Buffer.from(`admin:${p.api.token}`).toString('base64')}`, p.api.token, `Digest ${p.api.token}`])
        assert.equal((await p.anonymous().call('GET', '/me', undefined, { headers: { authorization } })).status, 401, authorization.slice(0, 20));
    const { statuses } = await raw({ port: p.ports.api }, `GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${'x'.repeat(1 << 20)}\r\n\r\n`);
    assert.ok(statuses.length <= 1 && [431, 401, undefined].includes(statuses[0]), String(statuses));
    assert.equal((await p.root.call('GET', '/me', undefined, { headers: { authorization: 'Bearer nothing' } })).status, 401, 'root with a bad token is not root');
    await o.check({ audit: 0 });
});

test('B054: a token is taken from its header only, and does no more than it may', async () => {
    const person = await p.person('worker', 'ops');
    const { token } = await person.api.post('/tokens', { name: 'reader', read_only: true });
    await p.api.post('/apps', { name: 'web' });
    await p.api.post('/apps', { name: 'other' });
    const narrow = (await person.api.post('/tokens', { name: 'narrow', app: 'web' })).token;
    for (const path of [`/me?token=${token}`, `/me?access_token=${token}`, `/apps?authorization=Bearer%20${token}`])
        assert.equal((await p.anonymous().call('GET', path)).status, 401);
    assert.equal((await p.anonymous().call('GET', '/me', undefined, { headers: { cookie: `token=${token}`, referer: `http://localhost/?token=${token}` } })).status, 401);
    assert.equal((await p.as(token).call('GET', '/apps')).status, 200);
    for (const [method, path, json] of [['POST', '/apps', { name: 'x' }], ['PUT', '/apps/web/envs/dev/secrets/A', { value: 'a' }], ['POST', '/apps/web/envs/dev/ticks', { set: [] }], ['POST', '/tokens', { name: 'more' }], ['DELETE', '/tokens/narrow'], ['POST', '/logout', {}]])
        assert.equal((await p.as(token).call(method, path, json)).status, 403, `${method} ${path}`);
    assert.equal((await p.as(narrow).call('GET', '/apps/web')).status, 200);
    for (const [method, path, json] of [['GET', '/apps/other'], ['PUT', '/apps/other/envs/dev/secrets/A', { value: 'a' }]])
        assert.equal((await p.as(narrow).call(method, path, json)).status, 404, `${method} ${path}`);
    assert.equal((await p.as(narrow).call('POST', '/apps', { name: 'more' })).status, 403);
    const gone = (await person.api.post('/tokens', { name: 'gone' })).token;
    await person.api.delete('/tokens/gone');
    assert.equal((await p.as(gone).call('GET', '/me')).status, 401);
    for (const secret of [token, narrow, gone, person.token])
        assert.ok(!p.log().includes(secret), 'a token stands in the log');
    await o.check({ audit: { 'person.added': 1, 'invite.used': 1, 'token.created': 3, 'app.created': 2, 'token.revoked': 1 } });
});

// How long a stream stays open after this was done to it.
async function closes(stream, act) {
    let over = false;
    const end = (async () => {
        for await (const event of stream)
            void event;
        over = true;
    })();
    await act();
    await until(() => over, 5000, 'the stream is closed');
    return end;
}

test('B053: a stream ends with the right it was opened by', async () => {
    const person = await p.person('watcher', 'viewer', { app: 'web' });
    const tokens = [];
    for (const name of ['one', 'two'])
        tokens.push((await person.api.post('/tokens', { name })).token);
    await closes(await p.as(tokens[0]).events('/events'), () => person.api.delete('/tokens/one'));
    await closes(await p.as(tokens[1]).events('/apps/web/envs/dev/logs?follow=1'), () => p.api.delete('/grants', { user: 'watcher', role: 'viewer', app: 'web' }));
    await p.api.post('/grants', { user: 'watcher', role: 'viewer', app: 'web' });
    await closes(await p.as(tokens[1]).events('/events?app=web'), () => p.api.delete('/users/watcher'));
    await o.check({ audit: { 'person.added': 1, 'invite.used': 1, 'grant.added': 2, 'token.created': 2, 'token.revoked': 1, 'grant.removed': 1, 'person.removed': 1 } });
});

test('B054: git too takes a token for no more than it may; in an address it is worth nothing and is kept nowhere', async () => {
    const shop = await p.app('shop'), till = await p.app('till');
    await shop.deploy('dev');
    const person = await p.person('pusher', 'ops');
    const reader = (await person.api.post('/tokens', { name: 'reads', read_only: true })).token;
    const narrow = (await person.api.post('/tokens', { name: 'shop-only', app: 'shop' })).token;
    const gone = (await person.api.post('/tokens', { name: 'revoked' })).token;
    await person.api.delete('/tokens/revoked');
    await o.again();
    const pushes = async (app, token, name) => (await app.pushAs(token, [`main:refs/heads/${name}`])).code === 0;
    const fetches = async (app, token) => {
        const { hostname, port } = new URL(app.url);
        return (await git(p.dir, ['ls-remote', app.url], { configuration: { 'http.extraHeader': `Authorization: Basic ${Buffer.from(`x:${token}`).toString('base64')}`, 'http.curloptResolve': `${hostname}:${port}:127.0.0.1` } })).code === 0;
    };
    assert.deepEqual([await fetches(shop, reader), await pushes(shop, reader, 'by-reader')], [true, false], 'a read-only token');
    assert.deepEqual([await fetches(till, narrow), await pushes(till, narrow, 'by-narrow')], [false, false], 'the token of another app');
    assert.deepEqual([await fetches(shop, gone), await pushes(shop, gone, 'by-gone')], [false, false], 'a token that was revoked');
    for (const app of [shop, till])
        assert.ok(!(await p.api.get(`/apps/${app.name}/branches?limit=100`)).items.some((row) => row.name.startsWith('by-')));
    await o.check({ audit: 0 });
    assert.ok(await pushes(shop, narrow, 'mine'), 'and its own');
    await o.check({ audit: { 'repo.pushed': 1 } });

    const host = 'slipway.localhost', path = new URL(shop.url).pathname;
    for (const [name, where] of [[host, '/api/v1/me'], [host, `${path}/info/refs`], [shop.domain('dev'), '/id'], ['nowhere.example', '/x']])
        for (const query of [`token=${reader}`, `service=git-upload-pack&access_token=${reader}`])
            assert.equal((await p.get(name, `${where}?${query}`, { headers: { referer: `http://${name}/?token=${reader}` } })).status === 200, where === '/id', `${name}${where}`);
    const text = async (env) => (await p.api.call('GET', `/apps/shop/envs/${env}/requests?limit=1000`)).text;
    await until(async () => (await text('dev')).includes('/id'), 10_000, 'the request is in the log');
    for (const secret of [reader, narrow, gone, p.api.token]) {
        assert.ok(!(await text('dev')).includes(secret), 'a token stands in the request log');
        assert.ok(!p.log().includes(secret), 'a token stands in the log of the roles');
    }
    await o.check({ audit: 0 });
});

test('B053: requests that are followed end with the right to see them', async () => {
    const person = await p.person('onlooker', 'viewer', { app: 'shop' });
    const token = (await person.api.post('/tokens', { name: 'one' })).token;
    await closes(await p.as(token).events('/apps/shop/envs/dev/requests?follow=1'), () => p.api.delete('/grants', { user: 'onlooker', role: 'viewer', app: 'shop' }));
    assert.equal((await p.as(token).call('GET', '/apps/shop/envs/dev/requests')).status, 404);
    // lowered, not taken: who may still see goes on seeing
    await p.api.post('/grants', { user: 'onlooker', role: 'ops', app: 'shop', env: 'dev' });
    await closes(await p.as(token).events('/apps/shop/envs/dev/requests?follow=1'), async () => {
        await p.api.post('/grants', { user: 'onlooker', role: 'viewer', app: 'shop', env: 'test' });
        await p.api.delete('/grants', { user: 'onlooker', role: 'ops', app: 'shop', env: 'dev' });
    });
    await o.check({ audit: { 'person.added': 1, 'invite.used': 1, 'grant.added': 3, 'token.created': 1, 'grant.removed': 2 } });
});

test('B059: pages of other sites and names that point here get nothing', async () => {
    const bearer = { authorization: `Bearer ${p.api.token}` };
    for (const origin of ['http://evil.com', 'null', 'http://localhost.evil.com', `http://localhost:${p.ports.api}.evil.com`, 'http://localhost:1', '', 'file://'])
        for (const path of ['/me', '/events', '/apps/web/envs/dev/logs?follow=1']) {
            const reply = await p.api.call('GET', path, undefined, { headers: { ...bearer, host: `localhost:${p.ports.api}`, origin } });
            assert.deepEqual([reply.status, reply.json.error], [403, 'origin_forbidden'], `${origin} ${path}`);
        }
    assert.equal((await p.api.call('GET', '/me', undefined, { headers: { host: `localhost:${p.ports.api}`, origin: `http://localhost:${p.ports.api}` } })).status, 200);
    for (const host of ['evil.com', 'localhost.evil.com', 'web.dev.localhost', '127.0.0.1.evil.com', '169.254.169.254', '[::2]', 'slipway.evil.com'])
        assert.equal((await p.api.call('GET', '/version', undefined, { headers: { host } })).status, 421, host);
    assert.equal((await p.get('slipway.evil.com', '/api/v1/version')).status, 421);
    assert.equal((await p.get('slipway.localhost', '/api/v1/version')).status, 200);
    assert.equal((await p.get('slipway.localhost', '/api/v1/events', { headers: { ...bearer, origin: 'http://evil.com' } })).status, 403);
    for (const path of ['/me', '/version'])
        assert.equal((await p.api.call('GET', path)).headers['access-control-allow-origin'], undefined);
    await o.check({ audit: 0 });
});

test('B043: git is given the token for our own addresses only, never by a part of their names', async () => {
    const person = await p.person('committer', 'viewer');
    const server = `http://127.0.0.1:${p.ports.api}`;
    const signedIn = await person.cli('login', '--server', server, '--name', 'committer', '--stdin', { input: `${person.password}\n` });
    assert.equal(signedIn.code, 0, signedIn.err);
    const asked = (host) => person.cli('git-credential', 'get', { input: `protocol=http\nhost=${host}\n\n` });
    for (const host of [`127.0.0.1:${p.ports.api}`, `slipway.localhost:${p.ports.http}`, 'slipway.localhost'])
        assert.match((await asked(host)).out, /^username=committer\npassword=sw_/, host);
    for (const host of ['slipway.evil.com', 'slipway.', '1', '127.0.0.1', `127.0.0.1:${String(p.ports.api).slice(0, -1)}`, 'slipway.localhost.evil.com', 'evil.com', 'localhost', ''])
        assert.equal((await asked(host)).out, '', host);
    await o.check({ audit: { 'person.added': 1, 'invite.used': 1, 'session.started': 1 } });
});
