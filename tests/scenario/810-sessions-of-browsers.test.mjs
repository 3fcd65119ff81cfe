// A browser's session is a cookie that no script reads: given at sign-in, new each time, ended by sign-out and by a new
// password, good for requests from pages of ours alone. Rows B047, B057, B058, B059, B073.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { platform, raw } from '../lib/index.mjs';

let p, li, origin, anybody;
before(async () => {
    p = await platform();
    li = await p.person('li', 'developer');
    origin = `http://127.0.0.1:${p.ports.api}`;
    anybody = p.anonymous();
});
after(() => p?.stop());

const call = (method, path, json, headers = {}) => anybody.call(method, path, json, { headers: { host: `127.0.0.1:${p.ports.api}`, ...headers } });
const cookieOf = (reply) => reply.headers['set-cookie']?.map((line) => line.split(';')[0])[0];
const signIn = async (name, password = li.password, headers = {}) => {
    const reply = await call('POST', '/login', { name, password, cookie: true }, { origin, ...headers });
    assert.equal(reply.status, 200, reply.text);
    return reply;
};

test('B057: the cookie is for the browser alone, and its token is nowhere else', async () => {
    const reply = await signIn('li', li.password, { cookie: 'slipway=sw_planted' });
    const [line] = reply.headers['set-cookie'];
    assert.match(line, /^slipway=sw_\w{40}; Max-Age=2592000; Path=\/; HttpOnly; SameSite=Strict$/);
    assert.equal(reply.json.token, undefined);
    assert.ok(!reply.text.includes(cookieOf(reply).slice('slipway='.length)));
    assert.ok(!line.includes('planted'), 'what was there before sign-in is not taken over');
    assert.equal((await call('GET', '/me', undefined, { cookie: cookieOf(reply) })).json.name, 'li');
    assert.equal((await call('GET', '/me', undefined, { cookie: 'slipway=sw_planted' })).status, 401);
});

test('over HTTPS it has the prefix that no other host can plant', async () => {
    const reply = await signIn('li', li.password, { 'x-forwarded-proto': 'https', origin: origin.replace('http:', 'https:') });
    assert.match(reply.headers['set-cookie'][0], /^__Host-slipway=sw_\w{40}; Max-Age=2592000; Path=\/; HttpOnly; SameSite=Strict; Secure$/);
    const value = cookieOf(reply).split('=')[1];
    assert.equal((await call('GET', '/me', undefined, { 'x-forwarded-proto': 'https', cookie: `slipway=${value}` })).status, 401, 'the plain name does not count there');
    assert.equal((await call('GET', '/me', undefined, { 'x-forwarded-proto': 'https', cookie: `__Host-slipway=${value}` })).status, 200);
});

test('B057: each sign-in has its own, and signing out ends it', async () => {
    const [one, two] = [cookieOf(await signIn('li')), cookieOf(await signIn('li'))];
    assert.notEqual(one, two);
    const out = await call('POST', '/logout', {}, { cookie: one, origin });
    assert.equal(out.status, 200);
    assert.match(out.headers['set-cookie'][0], /^slipway=; Max-Age=0;/);
    assert.equal((await call('GET', '/me', undefined, { cookie: one })).status, 401);
    assert.equal((await call('GET', '/me', undefined, { cookie: two })).status, 200);
});

test('B057: a new password ends every other session and renews this one', async () => {
    const wang = await p.person('wang', 'developer');
    const [here, there] = [cookieOf(await signIn('wang')), cookieOf(await signIn('wang'))];
    assert.equal((await call('PUT', '/me/password', { old: 'a wrong one', new: 'brand new secret' }, { cookie: here, origin })).status, 403);
    assert.equal((await call('PUT', '/me/password', { old: wang.password, new: 'short' }, { cookie: here, origin })).status, 422);
    const { token } = await wang.api.post('/tokens', { name: 'ci' });
    const changed = await call('PUT', '/me/password', { old: wang.password, new: 'brand new secret' }, { cookie: here, origin });
    assert.equal(changed.status, 200, changed.text);
    assert.equal(changed.json.token, undefined);
    for (const cookie of [here, there])
        assert.equal((await call('GET', '/me', undefined, { cookie })).status, 401);
    assert.equal((await call('GET', '/me', undefined, { cookie: cookieOf(changed) })).json.name, 'wang');
    assert.equal((await p.as(token).get('/me')).name, 'wang', 'a token for programs is no session');
    assert.equal((await call('POST', '/login', { name: 'wang', password: wang.password }, { origin })).status, 401);
    await signIn('wang', 'brand new secret');
    assert.ok((await p.api.get('/audit?newest=1&subject=user:wang')).items.some((row) => row.kind === 'password.changed'));
});

test('B057: a tab whose person has changed beside it does nothing for the new one', async () => {
    const cookie = cookieOf(await signIn('li')); // the other tab signed in as li
    const stale = await call('POST', '/tokens', { name: 'oops' }, { cookie, origin, 'x-slipway-user': 'wang' });
    assert.deepEqual([stale.status, stale.json.error], [401, 'unauthenticated']);
    assert.equal((await call('GET', '/me', undefined, { cookie, 'x-slipway-user': 'li' })).status, 200);
});

test('B058: a request that changes something comes from a page of ours, or with a token', async () => {
    const cookie = cookieOf(await signIn('li'));
    const body = JSON.stringify({ name: 'forged' });
    const forged = (headers) => anybody.call('POST', '/tokens', undefined, { body, headers: { host: `127.0.0.1:${p.ports.api}`, cookie, ...headers } });
    for (const headers of [
        { 'content-type': 'text/plain', origin: 'http://evil.example' }, { 'content-type': 'application/json', origin: 'http://evil.example' }, { 'content-type': 'application/json', origin: 'null' },
        { 'content-type': 'application/json' }, { 'content-type': 'application/json', 'sec-fetch-site': 'cross-site' }, { 'content-type': 'application/json', 'sec-fetch-site': 'same-site' },
        { 'content-type': 'application/json', origin: `http://127.0.0.1:${p.ports.http}` }, { 'content-type': 'application/json', origin: `https://shop.prod.localhost` },
    ]) {
        const reply = await forged(headers);
        assert.deepEqual([reply.status, reply.json.error], [403, 'origin_forbidden'], JSON.stringify(headers));
    }
    assert.equal((await forged({ 'content-type': 'text/plain', origin })).status, 415);
    assert.ok((await li.api.get('/tokens')).items.every(({ name }) => name !== 'forged'));
    assert.equal((await forged({ 'content-type': 'application/json', origin })).status, 201);
    assert.equal((await call('DELETE', '/tokens/forged', undefined, { cookie, 'sec-fetch-site': 'same-origin' })).status, 200);
    assert.equal((await li.api.call('POST', '/tokens', { name: 'by-token' })).status, 201, 'a token needs no Origin');
});

test('B058: no GET changes anything', async () => {
    const cookie = cookieOf(await signIn('li'));
    const before = (await p.api.get('/audit?newest=1&limit=1')).items[0].seq;
    for (const path of ['/logout', '/login', '/tokens/by-token', '/apps', '/me', '/me/password', '/setup'])
        await call('GET', path, undefined, { cookie });
    assert.equal((await p.api.get('/audit?newest=1&limit=1')).items[0].seq, before);
    assert.equal((await call('GET', '/me', undefined, { cookie })).status, 200);
});

test('B059: pages of other origins and names that point here get nothing, not even the page itself', async () => {
    const cookie = cookieOf(await signIn('li'));
    assert.equal((await call('GET', '/events', undefined, { cookie, origin: 'http://evil.example', accept: 'text/event-stream' })).status, 403);
    assert.equal((await call('GET', '/me', undefined, { cookie, host: 'evil.com' })).status, 421);
    for (const path of ['/', '/apps/web'])
        assert.equal((await p.anonymous().call('GET', `/../..${path}`, undefined, { headers: { host: 'evil.com' } })).status, 421);
});

test('two sessions in one request are none', async () => {
    const cookie = cookieOf(await signIn('li'));
    const reply = await call('GET', '/me', undefined, { cookie: `${cookie}; theme=dark; ${cookie}` });
    assert.deepEqual([reply.status, reply.json.error], [401, 'unauthenticated']);
    assert.equal((await call('GET', '/me', undefined, { cookie: `theme=dark; ${cookie}; x` })).status, 200);
});

const page = (path, headers = {}) => raw({ port: p.ports.api }, `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);

test('the page: strict, packed, and asked for once', async () => {
    const { statuses, text } = await page('/');
    assert.deepEqual(statuses, [200]);
    const head = text.split('\r\n\r\n')[0];
    assert.match(head, /Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self';[^\r]*frame-ancestors 'none'/);
    assert.doesNotMatch(head, /unsafe|https?:\/\/|\*/);
    for (const line of ['X-Content-Type-Options: nosniff', 'Referrer-Policy: no-referrer', 'Cross-Origin-Opener-Policy: same-origin', 'Cache-Control: no-cache'])
        assert.ok(head.includes(line), line);
    assert.match(text, /<!doctype html>/);
    assert.doesNotMatch(text, /<script(?![^>]* src="\/assets\/)|<style|style="|\son\w+="/);
    const tag = /ETag: ("\w+")/.exec(head)[1];
    assert.deepEqual((await page('/', { 'If-None-Match': tag })).statuses, [304]);
    assert.match((await page('/', { 'Accept-Encoding': 'gzip, br' })).text, /Content-Encoding: gzip/);
    const asset = /src="(\/assets\/[^"]+)"/.exec(text)[1];
    assert.match((await page(asset)).text, /Content-Type: text\/javascript;charset=utf-8[\s\S]*Cache-Control: public, max-age=31536000, immutable/);
    for (const path of ['/apps/shop/dev/submit', '/setup/swl_x', '/settings/people'])
        assert.match((await page(path)).text, /<!doctype html>/, path);
});

test('the page comes through the edge, too', async () => {
    const { text, statuses } = await raw({ port: p.ports.http }, 'GET /apps/web HTTP/1.1\r\nHost: slipway.localhost\r\nConnection: close\r\n\r\n');
    assert.deepEqual(statuses, [200], text.slice(0, 300));
    assert.match(text, /<!doctype html>/);
    assert.match(text, /frame-ancestors 'none'/i);
});

test('B073: nothing but the files of the console and addresses of pages', async () => {
    for (const path of ['/assets/..%2f..%2fetc/passwd', '/assets/../../etc/passwd', '/assets/%2e%2e/index.html', '/assets/%c0%ae', '/assets/x%00.js', '//', '//evil.example/', '/apps//x', '/assets/', '/assets', '/index.php', '/.git/config', '/apps/%00', '/etc/passwd', '/console.pack']) {
        const { statuses } = await page(path);
        assert.ok([400, 404].includes(statuses[0]), `${path}: ${statuses}`);
    }
    const post = await anybody.call('POST', '/../..//', undefined, { body: 'x' });
    assert.ok([400, 404, 405].includes(post.status));
});
