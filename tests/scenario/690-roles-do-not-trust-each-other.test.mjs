// A role, or an instance, that somebody has taken over: what it says to the others is refused, and what it
// can reach is its own. Rows B044, B101.
import assert from 'node:assert/strict';
import net from 'node:net';
import { readFileSync, statSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fds, oracles, platform, program, run, until } from '../lib/index.mjs';

let p, o, web, other;
before(async () => {
    p = await platform();
    web = await p.app('web');
    other = await p.app('other');
    await web.deploy('dev');
    await other.deploy('dev');
    o = await oracles(p);
});
after(async () => {
    await o?.close();
    await p?.stop();
});

// Bytes for a role's socket; when it closes: all that it answered.
function said(socket, bytes, ms = 3000) {
    return new Promise((resolve) => {
        const peer = net.connect({ path: `${p.runDir}/${socket}`, timeout: ms });
        let text = '';
        const finish = (closed) => {
            peer.destroy();
            resolve({ closed, text });
        };
        peer.on('timeout', () => finish(false)); // a quiet peer keeps us no longer
        peer.on('error', () => {});
        peer.on('data', (part) => { text += part.toString('latin1'); });
        peer.on('close', () => finish(true));
        peer.on('connect', () => peer.write(bytes));
    });
}

// As the protocol has it: four bytes of length, the first one the greatest.
const frame = (text, length = Buffer.byteLength(text)) => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length >>> 0);
    return Buffer.concat([head, Buffer.from(text)]);
};
const roleUid = (role) => Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${p.pid(role)}/status`, 'utf8'))[1]);

test('B101: nonsense at a role\'s socket ends that connection and nothing else', async () => {
    const ends = [
        frame('x', 0xffffffff), frame('x', 0x7fffffff), frame('x', (8 << 20) + 1), frame('x', 0), Buffer.alloc(70_000, 0xff), Buffer.from('GET / HTTP/1.1\r\n\r\n'),
        frame('not json'), frame('[]'), frame('"x"'), frame('['.repeat(60_000)), frame('{}'), frame('{"id":1}'), frame('{"id":0,"verb":"x"}'), frame('{"id":-1,"verb":"x"}'), frame('{"id":1.5,"verb":"x"}'),
        frame('{"id":9007199254740993,"verb":"x"}'), frame('{"id":1,"verb":7}'), frame('{"id":1,"verb":"x","args":[]}'), frame('{"id":1,"verb":"x","more":1}'), frame('{"id":1,"verb":"x","verb":"y"}'),
        frame('{"id":1,"verb":"x","ok":{}}'), frame('{"id":1,"ok":{},"error":"x"}'), frame('{"ok":{}}'), frame('{"event":"output","args":{}}'), frame(`{"id":1,"verb":"${'x'.repeat(60_000)}"}`),
    ];
    const before = fds(p.pid('host'));
    for (const socket of ['host.sock', 'courier.sock', 'signals.sock'])
        for (const bytes of ends) {
            const what = `${socket} ${JSON.stringify(bytes.toString('latin1', 0, 60))}`;
            const { closed, text } = await said(socket, bytes);
            assert.ok(closed, `${what}: the connection stays open`);
            assert.equal(text, '', what);
        }
    assert.equal((await p.api.get('/doctor')).checks.filter((check) => check.name.startsWith('role ') && !check.ok).length, 0);
    await o.check({ audit: 0 });
    await until(() => fds(p.pid('host')) <= before, 5000, 'host keeps no file open'); // a child of the doctor may still end
});

test('B101: a well-made message that nobody may send, or nobody asked for, does nothing', async () => {
    const refused = [
        ['{"id":1,"verb":"no.such.verb","args":{}}', /"error":"protocol"/], ['{"id":1,"verb":"instance.start","args":{"name":"../../x"}}', /"error":"(protocol|field_invalid|field_unknown|name_invalid)"/],
        ['{"id":1,"verb":"teardown","args":{"purge":"yes"}}', /"error":"(protocol|field_invalid|field_unknown)"/], [`{"id":1,"verb":"${'x'.repeat(64)}"}`, /"error":"protocol"/],
    ];
    const unasked = ['{"verb":"no.such.notice"}', '{"verb":"instance.start","args":{"name":"x"}}', '{"id":77,"ok":{"done":true}}', '{"id":1,"error":"internal","class":"INTERNAL","text":"x"}', '{"id":77,"event":"output","args":{}}', '{"id":1,"event":"exited","args":{"name":"../../x","status":0}}'];
    for (const socket of ['host.sock', 'courier.sock', 'signals.sock']) {
        for (const [text, answer] of refused) {
            const reply = await said(socket, frame(text), 500);
            assert.match(reply.text, answer, `${socket} ${text.slice(0, 60)}`);
            assert.doesNotMatch(reply.text, /"ok":/);
        }
        // and the connection goes on as if they had not been said
        const after = await said(socket, Buffer.concat([...unasked.map((text) => frame(text)), frame('{"id":5,"verb":"no.such.verb"}')]), 500);
        assert.equal([...after.text.matchAll(/"id":/g)].length, 1, `${socket}: ${after.text}`);
        assert.match(after.text, /"error":"protocol".*"id":5/);
    }
    await o.check({ audit: 0 });
});

test('B101: a flood of file descriptors ends the connection, and none of them stays', async () => {
    for (const [socket, role] of [['host.sock', 'host'], ['courier.sock', 'courier'], ['signals.sock', 'signals']]) {
        const before = fds(p.pid(role));
        for (const [count, messages] of [[30, 1], [253, 1], [4, 3], [1, 4], [5, 1]])
            for (let i = 0; i < 10; i++)
                assert.equal((await run(program('fd-flood'), [`${p.runDir}/${socket}`, count, messages].map(String))).out, 'closed\n', `${socket}: ${messages} x ${count}`);
        await until(() => fds(p.pid(role)) <= before, 5000, `${role} has closed what it was sent`);
    }
    await o.check({ audit: 0 });
});

test('B101: a role\'s socket is for core alone: no other user, no other role', async () => {
    const knock = (socket, uid) => run('/usr/bin/perl', ['-MIO::Socket::UNIX', '-e', `$s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 3; $SIG{ALRM} = sub { exit 9 }; alarm 2; exit(sysread($s, $b, 1) ? 8 : 4)`, `${p.runDir}/${socket}`], { uid, gid: uid });
    for (const uid of [65_534, roleUid('courier'), roleUid('signals')])
        for (const socket of ['host.sock', 'courier.sock', 'signals.sock'])
            if (!(socket === 'courier.sock' && uid === roleUid('courier')) && !(socket === 'signals.sock' && uid === roleUid('signals'))) {
                const { code } = await knock(socket, uid);
                assert.ok([3, 4].includes(code), `${socket} lets ${uid} in: ${code}`);
            }
    for (const file of [`${p.dataDir}/master.key`, `${p.dataDir}/core/store.db`, `${p.dataDir}/host/instances`, `${p.runDir}/edge/haproxy/admin.sock`])
        for (const uid of [65_534, roleUid('courier'), roleUid('signals'), ...file.includes('/core/') ? [] : [roleUid('core')]])
            assert.notEqual((await run('/bin/sh', ['-c', 'cat "$1" 2>/dev/null || ls "$1"/ 2>/dev/null', 'sh', file], { uid, gid: uid })).code, 0, `${uid} reads ${file}`);
    await o.check({ audit: 0 });
});

test('B101: the API\'s socket takes root for root and nobody else for anybody', async () => {
    const ask = (uid) => run('/usr/bin/curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--unix-socket', `${p.runDir}/api.sock`, 'http://localhost/api/v1/users'], { uid, gid: uid });
    assert.equal((await ask(0)).out, '200');
    assert.equal((await ask(65_534)).out, '401');
    assert.equal((await ask(roleUid('courier'))).out, '401');
    await o.check({ audit: 0 });
});

test('B101: a role has given up what it does not need, for good', async () => {
    const status = (role) => readFileSync(`/proc/${p.pid(role)}/status`, 'utf8');
    const field = (role, name) => new RegExp(`^${name}:\\s+(\\S+)$`, 'm').exec(status(role))[1];
    const capabilities = (role, name) => BigInt(`0x${field(role, name)}`);
    for (const role of ['core', 'courier', 'signals', 'host']) {
        assert.equal(field(role, 'NoNewPrivs'), '1', role);
        assert.match(readFileSync(`/proc/${p.pid(role)}/limits`, 'utf8'), /^Max core file size\s+0\s+0/m);
    }
    for (const role of ['core', 'courier', 'signals']) {
        assert.equal(field(role, 'Seccomp'), '2', role);
        for (const set of ['CapBnd', 'CapEff', 'CapPrm', 'CapInh', 'CapAmb'])
            assert.equal(capabilities(role, set), 0n, `${set} of ${role}`);
        assert.equal(statSync(`/proc/${p.pid(role)}/mem`).uid, 0, `${role} is dumpable`);
    }
    const machine = { SYS_MODULE: 16n, SYS_RAWIO: 17n, SYS_BOOT: 22n, SYS_TIME: 25n, MAC_ADMIN: 33n };
    for (const [name, bit] of Object.entries(machine))
        for (const set of ['CapBnd', 'CapEff', 'CapPrm'])
            assert.equal(capabilities('host', set) & (1n << bit), 0n, `host keeps ${name} in ${set}`);
    assert.notEqual(capabilities('host', 'CapEff'), 0n);
});

test('B101: an edge that was taken over puts nothing in the way of root', async () => {
    const folder = `${p.runDir}/edge`;
    const { uid, gid } = statSync(`${folder}/log.sock`);
    assert.notEqual(uid, 0);
    const tries = (script) => run('/bin/sh', ['-c', `cd ${folder} && ${script}`], { uid, gid });
    for (const script of ['ln -s /etc there', 'mv conf mine', 'rm -f log.sock', 'mv log.sock mine', 'ln -s /etc/shadow conf/certificates/x.pem', 'touch conf/haproxy.cfg.next', ': > conf/hosts.map', 'mv haproxy mine'])
        assert.notEqual((await tries(script)).code, 0, `the edge can: ${script}`);
    for (const file of ['conf/haproxy.cfg', 'haproxy/haproxy.pid'])
        assert.equal((await tries(`cat ${file}`)).code, 0, `the edge must read ${file}`);
    // in its own folder it may do anything: root neither follows what lies there nor waits for it
    for (const script of [`ln -sfn ${p.dataDir}/master.key haproxy/haproxy.pid`, 'rm haproxy/haproxy.pid && mkfifo haproxy/haproxy.pid']) {
        assert.equal((await tries(script)).code, 0, script);
        const host = p.pid('host');
        process.kill(host, 'SIGKILL');
        await until(() => p.roles().host && p.roles().host !== host, 10_000, 'host is back');
        await until(async () => (await p.api.get('/doctor')).checks.some((check) => check.name === 'edge' && check.ok), 20_000, 'the edge serves');
        assert.equal((await web.get('dev', '/up')).status, 200);
    }
    assert.equal(statSync(`${p.dataDir}/master.key`).uid, 0);
    await o.again();
});

test('B044: an instance reaches itself: not another app\'s, not ours, not the machine', async () => {
    const address = async (app) => (await app.status('dev')).instances.find((row) => row.state === 'serving').address;
    const [own, foreign] = [await address(web), await address(other)];
    const gateway = own.replace(/\d+$/, '1');
    const reach = async (to, port) => (await web.get('dev', `/connect?address=${to}&port=${port}`)).text;
    assert.equal(await reach('127.0.0.1', 3000), 'connected');
    const targets = [[foreign, 3000], ['127.0.0.1', p.ports.api], ['127.0.0.1', p.ports.canary], [gateway, p.ports.api], [gateway, p.ports.canary], [gateway, 22], ['169.254.169.254', 80], [p.settings.subnet.replace('.0.0/16', '.0.1'), p.ports.canary]];
    for (const [to, port] of targets)
        assert.notEqual(await reach(to, port), 'connected', `${to}:${port}`);
    await o.check({ audit: 0 });
});

test('B044: where an instance is asked for its health is no address', async () => {
    for (const path of ['http://127.0.0.1:2375/', '127.0.0.1/', '/x y', '/x\\r\\nHost: evil', '/\\x7f', 'unix:/run/docker.sock', '']) {
        const reply = await p.api.call('POST', '/config/check', { text: `run: x\nproxy: {healthcheck: {path: "${path}"}}\n` });
        assert.equal(reply.status, 422, `${path}: ${reply.text}`);
    }
    // an address in the path stays a path, asked of the instance itself
    await web.change('main', { 'slipway.yaml': (await web.repository.git('show', 'main:slipway.yaml')).replace('path: /up', `path: "//127.0.0.1:${o.port}/"`).replace('deploy_timeout: 10s', 'deploy_timeout: 2s') });
    const { error } = await web.deploy('dev', {}, { expect: 'reverted' });
    assert.equal(error.error, 'instance_not_ready');
    await until(async () => (await web.get('dev', '/up')).status === 200, 5000, 'the old release serves');
    await o.check({ audit: { 'repo.pushed': 1, 'build.queued': 1, 'rollout.started': 1, 'build.running': 1, 'build.done': 1, 'rollout.reverting': 1, 'rollout.reverted': 1 } });
});
