// Bodies that are too much, no JSON, or YAML with teeth; paths that mean another path after one decode too
// many. Rows B045, B067, B068, B069, B073. How fast they are refused is measured by ./bench limits.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { oracles, platform, raw, until } from '../lib/index.mjs';

let p, o, web;
before(async () => {
    p = await platform();
    await until(async () => (await p.get('slipway.localhost', '/api/v1/version')).status === 200, 10_000, 'the edge listens');
    web = await p.app('web');
    o = await oracles(p);
});
after(async () => {
    await o?.close();
    await p?.stop();
});

const JSON_TYPE = { 'content-type': 'application/json' };
const alive = async () => assert.equal((await p.api.call('GET', '/version')).status, 200);
const head = (path, more = '') => `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${p.api.token}\r\nContent-Type: application/json\r\n${more}`;

test('B045 B073: one decode and an exact match: nothing else is an address', async () => {
    const paths = ['/api/v1/users;.js', '/x?jsp=/api/v1/users;.jsp', '//api/v1/users', '/api/v1//users', '/api/./v1/users', '/api/v1/./users', '/api%2fv1%2fusers', '/api/v1%2fusers', '/API/v1/users', '/api/v1/USERS', '/api/v1/users/', '/api/v1/users/RPC2',
        '/api/v1/%75sers', '/api/v1/x/../users', '/api/v1/x/%2e%2e/users', '/api/v1/apps/..%2fusers', '/api/v1/apps/%2e%2e/users', '/api/v1/users%00', '/api/v1/users%20', '/api/v1/users\\', '/api/v1/users%c0%af',
        '/assets/..%2f..%2fetc/passwd', '/assets/%c0%ae%c0%ae/etc/passwd', '/%00', '//etc/passwd', '/../../../../etc/passwd', '/git/..%2f..%2fetc/passwd', '/git/../api/v1/users', '/api', '/api/v1', '/api/v2/users', '*'];
    const outputs = [];
    for (const port of [p.ports.api, p.ports.http])
        for (const path of paths) {
            const host = port === p.ports.api ? 'localhost' : 'slipway.localhost';
            const reply = await raw({ port }, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${p.api.token}\r\nConnection: close\r\n\r\n`);
            assert.ok(reply.statuses.length === 1 && reply.statuses[0] >= 400 && reply.statuses[0] < 500, `${port} ${path}: ${reply.text.slice(0, 200)}`);
            assert.doesNotMatch(reply.text, /root:|"name":"admin"/, path);
            outputs.push(reply.text);
        }
    await o.check({ audit: 0, outputs });
});

test('B067: a body that is too large is refused before it is read', async () => {
    for (const length of ['1073741824', '262145', '9223372036854775807']) { // the last has too many digits
        const reply = await raw({ port: p.ports.api }, head('/api/v1/config/check', `Content-Length: ${length}\r\n\r\n{`));
        assert.deepEqual(reply.statuses, [length.length > 18 ? 400 : 413], length);
    }
    const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`;
    const endless = await raw({ port: p.ports.api }, head('/api/v1/config/check', `Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(64)}`));
    assert.deepEqual(endless.statuses, [413]);
    const bomb = gzipSync(Buffer.alloc(50 << 20));
    assert.equal((await p.api.call('POST', '/config/check', undefined, { body: bomb, headers: { ...JSON_TYPE, 'content-encoding': 'gzip' } })).status, 415);
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', ''])
        assert.equal((await p.api.call('POST', '/config/check', undefined, { body: '{"text":"run: x"}', headers: { 'content-type': type } })).status, 415, type);
    await alive();
    await o.check({ audit: 0 });
});

test('B067: nobody who is not signed in has a body read; Expect is no trick', async () => {
    const stranger = await raw({ port: p.ports.api }, 'POST /api/v1/apps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n');
    assert.deepEqual(stranger.statuses, [401]);
    for (const expect of ['200-ok', '100-continue, x', 'x'])
        assert.deepEqual((await raw({ port: p.ports.api }, head('/api/v1/config/check', `Expect: ${expect}\r\nContent-Length: 2\r\n\r\n`))).statuses, [417], expect);
    const large = await raw({ port: p.ports.api }, head('/api/v1/config/check', 'Expect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n'));
    assert.deepEqual(large.statuses, [413]);
    await alive();
    await o.check({ audit: 0 });
});

test('B068: what is not strict JSON, an object, and within bounds is 400', async () => {
    const depth = 100_000;
    const bad = ['['.repeat(depth) + ']'.repeat(depth), '{"a":'.repeat(30_000), '{"text":"a","text":"b"}', '{"text":1e400}', '{"text":"\\ud800"}', '{"text":"a\\u0000b"}', '{"text":"a\0b"}',
        '\ufeff{}', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), '{} x', '{}{}', '[]', 'null', '"x"', '1', '{', "{'text':'x'}", '{"text":NaN}', '{"text":"x",}', '/**/{}', '{"text":"x"} //', '\0'];
    for (const body of bad) {
        const reply = await p.api.call('POST', '/config/check', undefined, { body, headers: JSON_TYPE });
        assert.equal(reply.status, 400, `${String(body).slice(0, 40)}: ${reply.status} ${reply.text.slice(0, 200)}`);
        assert.equal(reply.json.error, 'json_invalid', String(body).slice(0, 40));
    }
    for (const body of [{ text: 'run: x', more: 1 }, { text: 1 }, { text: null }, { text: ['x'] }, {}, Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [i, 1]))])
        assert.equal((await p.api.call('POST', '/config/check', body)).status, 422, JSON.stringify(body).slice(0, 80));
    await alive();
    await o.check({ audit: 0 });
});

test('B069: YAML that grows, refers, or means something else is refused', async () => {
    const laughs = ['a: &a [x, x, x, x, x, x, x, x, x]', ...'bcdefghi'.split('').map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[i]}`).join(', ')}]`)].join('\n');
    const bad = [laughs, 'a: &a [*a]', 'run: &x ./x\nservice: *x', 'run: !!python/object/apply:os.system [x]', 'run: !!binary aGk=', 'run: !x y', 'a: &a {b: 1}\nrun: x\n<<: *a', 'run: x\n<<: {instances: 3}',
        'run: x\ninstances: no', 'run: x\ninstances: 1:20', 'run: x\ninstances: 0x10', 'run: x\nnetwork: {outside: no}', 'run: x\nrun: y', 'run: x\n---\nrun: y', `run: ${'['.repeat(5000)}`, 'run: x\ninstancs: 3', '', '- run', 'run:\n\t- x', 'run: "\\x00"', '? [a]\n: b\nrun: x'];
    for (const text of bad) {
        const reply = await p.api.call('POST', '/config/check', { text });
        assert.equal(reply.status, 422, `${text.slice(0, 60)}: ${reply.status} ${reply.text.slice(0, 300)}`);
    }
    assert.equal((await p.api.call('POST', '/config/check', { text: `run: x # ${'y'.repeat(300_000)}` })).status, 413);
    await alive();
    await o.check({ audit: 0 });
});

test('B018 B069 B098: what is in the repository\'s own slipway.yaml is refused by name, and nothing is built', async () => {
    const good = await web.repository.git('show', 'main:slipway.yaml');
    const added = (text) => `${good}\n${text}\n`;
    const hosts = ['a.com;set server be/1 addr 6.6.6.6', 'a.com\\n server evil 1.2.3.4:80', '*', '*.a.com', 'a.com/../', 'A b', 'a.com:80', '${x}'];
    const rows = [
        ...hosts.map((host) => [`proxy host ${host}`, good.replace(/^proxy:$/m, () => `proxy:\n  host: "${host}"`), /domain_invalid|config_invalid/]),
        ['alias cycle', added('labels: &a [*a]'), /config_invalid/], ['laughs', added(`x: &a [x, x]\ny: &b [*a, *a]\nz: [*b, *b]`), /config_invalid/], ['tag', added('labels: !!python/object/apply:os.system [x]'), /config_invalid/], ['merge key', added('labels: {<<: {a: b}}'), /config_invalid/],
        ['instances 2^31', good.replace(/^instances: 1$/m, 'instances: 2147483648'), /out_of_range|config_invalid/], ['instances -1', good.replace(/^instances: 1$/m, 'instances: -1'), /out_of_range|config_invalid/], ['instances in base 60', good.replace(/^instances: 1$/m, 'instances: 1:20'), /config_invalid|field_invalid/], ['timeout 0', good.replace(/deploy_timeout: .*/, 'deploy_timeout: 0'), /out_of_range|config_invalid/],
        ['env A=B', added('env: {clear: {"A=B": v}}'), /config_invalid/], ['env with a line end', added('env: {clear: {"A\\nB": v}}'), /config_invalid/], ['env value with NUL', added('env: {clear: {A: "x\\0y"}}'), /config_invalid/], ['env SLIPWAY_APP', added('env: {clear: {SLIPWAY_APP: v}}'), /config_invalid/],
        ['two documents', added('---\nrun: x'), /config_invalid/], ['a key twice', added('deploy_timeout: 5s'), /config_invalid/], ['a key that nobody knows', added('privileged: true'), /config_invalid/], ['not UTF-8', Buffer.concat([Buffer.from(good), Buffer.from([0x23, 0xff, 0x0a])]), /value_invalid/],
        ['empty', '', /config_invalid|config_missing/], ['none', null, /config_missing/], ['300 KB', added(`# ${'y'.repeat(300_000)}`), /too_large|config_invalid/],
    ];
    for (const [i, [, text]] of rows.entries())
        await web.repository.branch(`bad/yaml-${i}`, { 'slipway.yaml': text });
    await web.push();
    const outputs = [];
    for (const [i, [what, text, error]] of rows.entries()) {
        assert.notEqual(text, good, what);
        await web.ticks('dev', `bad/yaml-${i}`);
        for (const [path, body] of [['builds', {}], ['plan', { kind: 'deploy' }], ['rollouts', { kind: 'deploy' }]]) {
            const reply = await p.api.call('POST', `/apps/web/envs/dev/${path}`, body);
            assert.ok([409, 413, 422].includes(reply.status), `${what}, ${path}: ${reply.status} ${reply.text}`);
            assert.match(reply.json.error, error, `${what}, ${path}: ${reply.text}`);
            outputs.push(reply.text);
        }
        const shown = await p.cli('config', 'show', '-a', 'web', '-e', 'dev', '--ref', `bad/yaml-${i}`);
        assert.notEqual(shown.code, 0, `${what}: ${shown.out}`);
        assert.match(shown.err, error, what);
    }
    assert.deepEqual((await p.api.get('/apps/web/envs/dev/builds')).items, []);
    await o.check({ audit: { 'repo.pushed': 1, 'ticks.changed': rows.length }, outputs });
});
