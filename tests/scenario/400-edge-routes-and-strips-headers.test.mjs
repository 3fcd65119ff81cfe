// What comes in from outside: the host decides where it goes, the client's claims about itself are taken
// away, and the load is spread evenly.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { holds, platform, processes, raw, until } from '../lib/index.mjs';

let p, web, other;
before(async () => {
    p = await platform();
    web = await p.app('web');
    other = await p.app('other');
    await web.deploy('test');
    await other.deploy('dev');
});
after(() => p?.stop());

const headersOf = (text) => Object.fromEntries(text.split('\r\n').slice(1).filter(Boolean).map((line) => {
    const at = line.indexOf(':');
    return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
}));

test('each host reaches its own app, and no other', async () => {
    assert.equal((await web.get('test', '/id')).json.app, 'web');
    assert.equal((await other.get('dev', '/id')).json.app, 'other');
    for (const host of ['nowhere.example', 'web.dev.localhost', 'web.test.localhost.evil.example', '127.0.0.1'])
        assert.equal((await p.get(host, '/id')).status, 421, host);
    assert.equal((await p.get(`WEB.test.localhost:${p.ports.http}`, '/id')).json.app, 'web');
});

test('what a client claims about itself does not reach the app', async () => {
    const reply = await web.get('test', '/headers', {
        headers: { 'x-forwarded-for': '1.2.3.4', 'x-real-ip': '1.2.3.4', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil.example', 'x-forwarded-prefix': '/admin', forwarded: 'for=1.2.3.4', x_forwarded_for: '1.2.3.4', 'x-own': 'kept' },
    });
    const seen = headersOf(reply.text);
    assert.equal(seen['x-forwarded-for'], '127.0.0.1');
    assert.equal(seen['x-forwarded-proto'], 'http');
    assert.equal(seen['x-own'], 'kept');
    assert.doesNotMatch(reply.text, /1\.2\.3\.4|evil\.example|\/admin/);
});

test('a client cannot take a header away by naming it in Connection', async () => {
    const reply = await web.get('test', '/headers', { headers: { connection: 'close, x-forwarded-for, x-real-ip' } });
    assert.equal(headersOf(reply.text)['x-forwarded-for'], '127.0.0.1');
});

test('every request gets an id that the app and the request log both have', async () => {
    const id = headersOf((await web.get('test', '/headers')).text)['x-request-id'];
    assert.match(id, /^[0-9a-f-]{16,}$/);
    await until(async () => JSON.stringify(await p.api.get('/apps/web/envs/test/requests?limit=100')).includes(id), 10_000, 'it is in the log');
});

// Requests go to whoever has the fewest under way: on a busy machine not to the last per cent alike.
test('the load is spread over both', async () => {
    const load = await web.load('test', { connections: 8 }).flowing(1000);
    const seen = await load.stop();
    assert.equal(seen.lost, 0);
    const shares = Object.values(seen.instances).map((row) => row.ok);
    assert.equal(shares.length, 2);
    assert.ok(Math.min(...shares) >= seen.ok / 3, JSON.stringify(shares));
});

test('an own domain leads to the app beside the default one; nobody else can have it', async () => {
    await web.domains('test', 'shop.example');
    await until(async () => (await p.get('shop.example', '/id')).json?.app === 'web', 10_000, 'the domain is served');
    assert.equal((await web.get('test', '/id')).status, 200);
    await assert.rejects(other.domains('dev', 'shop.example'), { status: 409, error: 'domain_taken' });
    await web.domains('test');
    await until(async () => (await p.get('shop.example', '/id')).status === 421, 10_000, 'it is served no more');
});

test('two requests in one are refused, the second is never made', async () => {
    const host = web.domain('test');
    const { statuses } = await raw(p.edge, `POST /count HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /exit HTTP/1.1\r\nHost: ${host}\r\n\r\n`, { timeout: 1000 });
    assert.ok(statuses.every((status) => status >= 400) || statuses.length <= 1, statuses.join());
    assert.equal((await web.status('test')).instances.every((row) => row.state === 'serving'), true);
});

test('an app that answers with a failure is shown as it is', async () => {
    assert.equal((await web.get('test', '/no-such-page')).status, 404);
    assert.equal((await web.get('test', '/big?bytes=5000000')).bytes.length, 5_000_000);
});

test('an answer has the time that its slipway.yaml gives it, from the moment of the switch, without a reload', async () => {
    const edges = () => processes().filter(({ command, state }) => state !== 'Z' && /haproxy/.test(command[0] ?? '') && command.some((word) => word.includes(`${p.dir}/`))).map(({ pid }) => pid);
    const yaml = readFileSync(`${web.repository.dir}/slipway.yaml`, 'utf8');
    let before = edges(); // a reload for new names may still be on its way
    await until(async () => {
        const then = before;
        before = edges();
        return before.length === 1 && await holds(() => String(edges()) === String(then), 1500).then(() => true, () => false);
    }, 20_000, 'the edge is at rest');
    assert.equal((await web.get('test', '/slow?ms=2500')).status, 200);
    await web.change('main', { 'slipway.yaml': yaml.replace('proxy:\n', 'proxy:\n  response_timeout: 1s\n') }, 'be quick');
    await web.deploy('test');
    const slow = await web.get('test', '/slow?ms=2500');
    assert.equal(slow.status, 504);
    assert.match(slow.text, /response_timeout/);
    assert.equal((await web.get('test', '/slow?ms=200')).status, 200);
    assert.equal((await other.get('dev', '/slow?ms=2500')).status, 200);
    await web.rollback('test');
    assert.equal((await web.get('test', '/slow?ms=2500')).status, 200);
    assert.deepEqual(edges(), before);
});
