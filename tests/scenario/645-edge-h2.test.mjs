// HTTP/2 at the edge is HTTP/1 behind it: what would become a second request, or another one than was judged,
// ends there. Frames are made by hand, because no client would send them. Rows B071, B072.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { h2, oracles, platform, until } from '../lib/index.mjs';

let p, o, web, other, host;
before(async () => {
    p = await platform();
    web = await p.app('web');
    other = await p.app('other');
    await web.deploy('dev');
    await other.deploy('dev');
    host = p.domain('web', 'dev');
    await until(async () => (await h2(p.ports.https, head('GET', '/up'))).status === 200, 10_000, 'the edge serves HTTP/2');
    o = await oracles(p);
});
after(async () => {
    await o?.close();
    await p?.stop();
});

const head = (method, path, ...more) => [[':method', method], [':scheme', 'https'], [':authority', p.domain('web', 'dev')], [':path', path], ...more];
const counted = async () => (await Promise.all([web, other].map((app) => app.get('dev', '/counted')))).map((reply) => reply.json.counted);

test('B071: a good request of HTTP/2 arrives, and is counted once', async () => {
    const [before] = await counted();
    assert.equal((await h2(p.ports.https, head('POST', '/count', ['content-length', '5']), ['he', 'llo'])).status, 201);
    assert.deepEqual((await counted())[0], before + 1);
    await o.check({ audit: 0 });
});

test('B071: what would be another request behind the edge is refused, and the apps count nothing', async () => {
    const second = `POST /count HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`;
    const regular = head('POST', '/log');
    const rows = [
        [':path with CRLF', head('GET', `/id HTTP/1.1\r\nHost: ${host}\r\n\r\n${second}`)], [':path with LF', head('GET', '/id\nX: y')], [':path with CR', head('GET', '/id\rX: y')], [':path with a space', head('GET', '/count HTTP/1.1')],
        [':path with NUL', head('GET', '/id\0')], [':path empty', head('GET', '')], [':path without a slash', head('GET', 'id')], [':path @', head('GET', '@evil.example/id')],
        ['two :path', [...head('GET', '/id'), [':path', '/count']]], ['two :method', [...head('GET', '/id'), [':method', 'POST']]], ['two :authority', [...head('GET', '/id'), [':authority', 'evil.example']]],
        [':method with a request', head(`POST /count HTTP/1.1\r\nHost: ${host}\r\n\r\nGET`, '/id')], [':method with a space', head('GET /count', '/id')], ['no :method', head('GET', '/id').slice(1)], ['no :path', head('GET', '/id').slice(0, 3)],
        [':scheme with CRLF', [[':method', 'GET'], [':scheme', `https\r\n\r\n${second}`], [':authority', host], [':path', '/id']]], [':authority with CRLF', [[':method', 'GET'], [':scheme', 'https'], [':authority', `${host}\r\nX: y`], [':path', '/id']]],
        ['unknown pseudo-header', [...head('GET', '/id'), [':evil', 'x']]], ['pseudo-header after a regular one', [[':method', 'GET'], [':scheme', 'https'], [':authority', host], ['x', 'y'], [':path', '/id']]], [':status', [...head('GET', '/id'), [':status', '200']]],
        ['upper-case name', head('GET', '/id', ['X-Upper', 'x'])], ['name with CRLF', head('GET', '/id', ['x\r\ny', 'x'])], ['name with a colon', head('GET', '/id', ['x: y\r\nz', 'x'])], ['name with a space', head('GET', '/id', ['x y', 'x'])], ['name that is empty', head('GET', '/id', ['', 'x'])],
        ['value with CRLF', head('GET', '/id', ['x', `y\r\n\r\n${second}`])], ['value with LF', head('GET', '/id', ['x', 'y\nz: a'])], ['value with NUL', head('GET', '/id', ['x', 'a\0b'])],
        ['transfer-encoding', [...regular, ['transfer-encoding', 'chunked']], [`0\r\n\r\n${second}`]], ['connection', [...regular, ['connection', 'keep-alive']], ['x']], ['te', [...regular, ['te', 'chunked']], ['x']], ['upgrade', [...regular, ['upgrade', 'websocket']], ['x']],
        ['content-length 0 and DATA', [...regular, ['content-length', '0']], [second]], ['content-length below DATA', [...regular, ['content-length', '5']], [`hello${second}`]], ['content-length above DATA', [...regular, ['content-length', '500']], [second]],
        ['two content-lengths', [...regular, ['content-length', '0'], ['content-length', String(second.length)]], [second]], ['content-length +5', [...regular, ['content-length', '+5']], ['hello']], ['content-length list', [...regular, ['content-length', '5, 6']], ['hello']],
        ['content-length overflow', [...regular, ['content-length', '18446744073709551621']], ['hello']],
    ];
    const before = await counted();
    for (const [what, headers, bodies] of rows) {
        const { status, error, text } = await h2(p.ports.https, headers, bodies);
        assert.ok(['reset', 'goaway', 'closed'].includes(error) || status >= 400, `${what}: ${status} ${error} ${text}`);
        assert.deepEqual(await counted(), before, what);
    }
    assert.deepEqual(await counted(), before);
    await o.check({ audit: 0 });
});

test('B071: a host beside :authority does not choose another app', async () => {
    const before = await counted();
    const { status, text } = await h2(p.ports.https, head('POST', '/count', ['host', p.domain('other', 'dev')], ['content-length', '1']), ['x']);
    assert.ok(status === 201 || status >= 400, text);
    assert.deepEqual(await counted(), [before[0] + (status === 201 ? 1 : 0), before[1]], 'it went to the app of the host');
    const seen = (await h2(p.ports.https, head('GET', '/headers', ['host', p.domain('other', 'dev')]))).text.toLowerCase();
    assert.doesNotMatch(seen, /other\.dev/);
    await o.check({ audit: 0 });
});

test('B072: what only the edge may say about a client is taken out of HTTP/2 too', async () => {
    const evil = ['x-forwarded-for', 'x-forwarded-host', 'forwarded', 'x-real-ip', 'x_forwarded_proto', 'x_forwarded_for', 'x-client-ip', 'true-client-ip', 'x-original-url', 'x-rewrite-url', 'x-forwarded-prefix', 'x-request-id', 'proxy'].map((name) => [name, 'evil-6.6.6.6']);
    const { status, text } = await h2(p.ports.https, head('GET', '/headers', ...evil, ['x-forwarded-proto', 'http'], ['x-own', 'kept']));
    assert.equal(status, 200, text);
    const seen = text.toLowerCase();
    assert.doesNotMatch(seen, /6\.6\.6\.6|evil|x_forwarded/);
    assert.match(seen, /x-forwarded-for: 127\.0\.0\.1\r/);
    assert.match(seen, /x-forwarded-proto: https\r/);
    assert.equal(seen.match(/x-forwarded-proto:/g).length, 1);
    assert.match(seen, new RegExp(`x-forwarded-host: ${host}\r`));
    assert.match(seen, /x-own: kept\r/);
    await o.check({ audit: 0 });
});
