// Requests that two readers would cut in two different places, at the edge and at our own API; and headers
// by which a client says something about itself that only the edge may say. Rows B071, B072.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { oracles, platform, raw } from '../lib/index.mjs';

let p, o, web;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('dev');
    o = await oracles(p);
});
after(async () => {
    await o?.close();
    await p?.stop();
});

const SECOND = (host) => `POST /count HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`;

// [what, head after "Host", body]; the second request lies hidden in the body.
function rows(host) {
    const second = SECOND(host);
    const chunked = `0\r\n\r\n${second}`;
    return [
        ['CL and TE', `Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`],
        ['TE and CL', `Transfer-Encoding: chunked\r\nContent-Length: ${chunked.length}\r\n\r\n${chunked}`],
        ['two CL', `Content-Length: 0\r\nContent-Length: ${second.length}\r\n\r\n${second}`],
        ['CL list', `Content-Length: 0, ${second.length}\r\n\r\n${second}`],
        ['CL +5', `Content-Length: +${second.length}\r\n\r\n${second}`], ['CL -1', `Content-Length: -1\r\n\r\n${second}`], ['CL 0x', `Content-Length: 0x10\r\n\r\n${second}`],
        ['CL overflow', `Content-Length: 18446744073709551616\r\n\r\n${second}`],
        ['TE xchunked', `Transfer-Encoding: xchunked\r\n\r\n${chunked}`], ['TE VT', `Transfer-Encoding:\x0bchunked\r\n\r\n${chunked}`], ['TE twice', `Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n${chunked}`],
        ['space before colon', `Transfer-Encoding : chunked\r\n\r\n${chunked}`], ['obs-fold', `X: a\r\n Transfer-Encoding: chunked\r\n\r\n${chunked}`],
        ['bare CR', `X: a\rContent-Length: 5\r\n\r\n${second}`], ['NUL', `X: a\0b\r\n\r\n${second}`],
        ['chunk size overflow', `Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n${second}`], ['chunk size -1', `Transfer-Encoding: chunked\r\n\r\n-1\r\n${second}`], ['chunk size 0x', `Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n${second}`],
    ];
}

test('B071: at the edge none of them reaches the app as a second request', async () => {
    const host = p.domain('web', 'dev');
    const before = (await web.get('dev', '/counted')).json.counted;
    for (const [what, rest] of rows(host).filter(([name]) => name !== 'NUL')) { // HAProxy lets it pass within a value; it hides no request
        const reply = await raw(p.edge, `POST /log HTTP/1.1\r\nHost: ${host}\r\n${rest}`, { timeout: 700 });
        // a folded line is one line of one request; what follows it is no request
        assert.ok(reply.statuses.filter((status) => status < 400).length <= (what === 'obs-fold' ? 1 : 0), `${what}: ${reply.text}`);
        assert.equal((await web.get('dev', '/counted')).json.counted, before, what);
    }
    assert.deepEqual((await raw(p.edge, `GET /id HTTP/1.1\r\nHost: ${host}\r\nHost: other.dev.localhost\r\n\r\n`, { timeout: 700 })).statuses, [400]);
    for (const path of [`/id HTTP/1.1\r\nX: y`, '/a b', '/\x01', '/\xff'])
        assert.ok((await raw(p.edge, Buffer.from(`GET ${path} HTTP/1.1\r\nHost: evil\r\nHost: evil\r\n\r\n`, 'latin1'), { timeout: 700 })).statuses[0] >= 400, path);
    assert.equal((await web.get('dev', '/up')).status, 200);
    await o.check({ audit: 0 });
});

// HAProxy takes a bare LF for the end of a line (RFC 9112 allows it) and writes CRLF to the app: what counts is
// that the app sees the requests that the edge saw, each answered, and none of them more.
test('B071: a bare LF means the same before and behind the edge', async () => {
    const host = p.domain('web', 'dev');
    const second = SECOND(host);
    const rows = [
        ['in the head, a length behind it', `POST /log HTTP/1.1\r\nHost: ${host}\r\nX: a\nContent-Length: ${second.length}\r\n\r\n${second}`, 0],
        ['in the head, chunked behind it', `POST /log HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n${(second.length).toString(16)}\r\n${second}\r\n0\r\n\r\n`, 0],
        ['in an extension of a chunk', `POST /log HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n5;\nx\r\nhello\r\n0\r\n\r\n${second}`, 0],
        ['at every line', `POST /log HTTP/1.1\nHost: ${host}\nContent-Length: ${second.length}\n\n${second}`, 0],
        ['at the end of the head', `POST /log HTTP/1.1\r\nHost: ${host}\r\nX: a\n\n${second}`, 1],
        ['after chunks', `POST /log HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n${second}`, 1],
    ];
    for (const [what, bytes, most] of rows) {
        const before = (await web.get('dev', '/counted')).json.counted;
        const { statuses, text } = await raw(p.edge, bytes, { timeout: 700 });
        const answered = statuses.filter((status) => status === 201).length;
        assert.ok(answered <= most, `${what}: ${text}`);
        assert.equal((await web.get('dev', '/counted')).json.counted, before + answered, `${what}: the app saw a request that the edge did not`);
    }
    await o.check({ audit: 0 });
});

test('B071: at our own API each is one refusal and the end of the connection', async () => {
    const auth = `Authorization: Bearer ${p.api.token}\r\nContent-Type: application/json\r\n`;
    const second = `POST /api/v1/apps HTTP/1.1\r\nHost: localhost\r\n${auth}Content-Length: 15\r\n\r\n{"name":"evil"}`;
    for (const [what, rest] of [...rows('localhost'), ['bare LF', `X: a\n\n${SECOND('localhost')}`], ['two Hosts', 'Host: evil\r\nContent-Length: 0\r\n\r\n']]) {
        const reply = await raw({ port: p.ports.api }, `POST /api/v1/config/check HTTP/1.1\r\nHost: localhost\r\n${auth}${rest.replace(SECOND('localhost'), second)}`, { timeout: 1500 });
        assert.ok(reply.statuses.length === 1 && reply.statuses[0] >= 400 && reply.statuses[0] < 500, `${what}: ${reply.text}`);
        assert.ok(reply.closed, `${what}: the connection stays open`);
    }
    assert.equal((await p.api.call('GET', '/apps/evil')).status, 404);
    await o.check({ audit: 0 });
});

test('B072: what only the edge may say about a client is taken out', async () => {
    const evil = { 'x-forwarded-for': '6.6.6.6', 'x-forwarded-proto': 'https', 'x-forwarded-prefix': '/evil', 'x-forwarded-host': 'evil.com', forwarded: 'for=6.6.6.6', 'x-real-ip': '6.6.6.6', 'x_forwarded_proto': 'https', 'x_forwarded_for': '6.6.6.6', 'x-client-ip': '6.6.6.6',
        'true-client-ip': '6.6.6.6', 'x-original-url': '/evil', 'x-rewrite-url': '/evil', 'x-request-id': 'evil', proxy: 'http://evil' };
    for (const more of [{}, { connection: 'X-Forwarded-For, X-Real-IP, close' }, { connection: 'keep-alive, Forwarded' }]) {
        const seen = (await web.get('dev', '/headers', { headers: { ...evil, ...more } })).text.toLowerCase();
        assert.doesNotMatch(seen, /6\.6\.6\.6|evil|x_forwarded/);
        assert.match(seen, /x-forwarded-for: 127\.0\.0\.1\r/);
        assert.match(seen, /x-forwarded-proto: http\r/);
        assert.match(seen, new RegExp(`x-forwarded-host: ${p.domain('web', 'dev')}`));
    }
    await o.check({ audit: 0 });
});
