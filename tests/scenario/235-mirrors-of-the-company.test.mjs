// Builds in a company: mirrors and a proxy on private addresses, with a login, behind nothing that a build
// may reach otherwise. Builds get there and to no other port, instances do not get there at all; every tool
// is told in its own way; a password shows nowhere and stays in no layer.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { platform, run, until } from '../lib/index.mjs';

const WORD = `w0rd-of-${process.pid}/&`, ENCODED = encodeURIComponent(WORD);
const part = process.pid % 250, HERE = `172.31.${part}.1`, THERE = `172.31.${part}.2`, PORT = 4873, OTHER = 4874, NAMED = 4875;
const NAME = `0x${[172, 31, part, 2].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`; // a name that is looked up, without a DNS
const netns = `mirror-${process.pid}`;
const LOOK = `
try() { timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null && echo "reached $1:$2" || echo "no way to $1:$2"; }
try ${THERE} ${PORT}; try ${THERE} ${OTHER}; try ${THERE} ${NAMED}; try ${HERE} ${PORT}
curl -s --noproxy '*' "$PIP_INDEX_URL" | sed 's/^/pip got /'
echo "pip $PIP_INDEX_URL trusts $PIP_TRUSTED_HOST"; echo "go $GOPROXY"; echo "npm $npm_config_registry"; echo "no_proxy $no_proxy"
cat /etc/maven/settings.xml /.cargo/config.toml "$npm_config_globalconfig"
`;
const SERVER = `
const http = require('node:http');
for (const port of [${PORT}, ${NAMED}, ${OTHER}])
    http.createServer((request, reply) => reply.end('authorization ' + (request.headers.authorization ? 'given' : 'missing') + '\\n')).listen(port, () => port === ${OTHER} && console.log('listening'));
`;

let p, web, server, dir;
const ip = async (...words) => {
    const done = await run('/usr/sbin/ip', words);
    assert.equal(done.code, 0, `ip ${words.join(' ')}: ${done.err}`);
};

before(async () => {
    await ip('netns', 'add', netns);
    await ip('link', 'add', `mir${part}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
    await ip('address', 'add', `${HERE}/30`, 'dev', `mir${part}`);
    await ip('link', 'set', `mir${part}`, 'up');
    await ip('-n', netns, 'address', 'add', `${THERE}/30`, 'dev', 'eth0');
    await ip('-n', netns, 'link', 'set', 'eth0', 'up');
    server = spawn('/usr/sbin/ip', ['netns', 'exec', netns, process.execPath, '-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => { server.stdout.once('data', resolve); });
    dir = mkdtempSync('/tmp/mirrors-');
    writeFileSync(`${dir}/logins`, `${THERE}:${PORT} builder ${WORD}\n`, { mode: 0o600 });
    const url = `http://${THERE}:${PORT}`;
    p = await platform({ settings: { npm_registry: `${url}/npm/`, pip_index: `${url}/simple`, go_proxy: `${url}/go,direct`, maven_mirror: `http://${NAME}:${NAMED}/maven`, cargo_index: `${url}/index/`, no_proxy: 'localhost,.corp', mirror_logins: `${dir}/logins` } });
    web = await p.app('web', 'server', {
        files: { 'look.sh': LOOK },
        yaml: (text) => text.replace('  network: none\n', '').replace('  steps:\n', '  steps:\n    - {name: look, run: [bash, look.sh]}\n'),
    });
    await web.deploy('dev');
});
after(async () => {
    await p?.stop();
    server?.kill('SIGKILL');
    await run('/usr/sbin/ip', ['link', 'delete', `mir${part}`]);
    await run('/usr/sbin/ip', ['netns', 'delete', netns]);
    if (dir)
        rmSync(dir, { recursive: true });
});

test('a build reaches the mirrors of the settings, and nothing else inside', async () => {
    const output = await web.buildOutput('dev', 1);
    assert.match(output, new RegExp(`reached ${THERE}:${PORT}\n`));
    assert.match(output, new RegExp(`reached ${THERE}:${NAMED}\n`));
    assert.match(output, new RegExp(`no way to ${THERE}:${OTHER}\n`));
    assert.match(output, new RegExp(`no way to ${HERE}:${PORT}\n`));
    assert.match(output, /pip got authorization given/);
});

test('an instance does not', async () => {
    assert.notEqual((await web.get('dev', `/connect?address=${THERE}&port=${PORT}`)).text, 'connected');
});

test('each tool is told in its own way, and no password shows', async () => {
    const output = await web.buildOutput('dev', 1);
    assert.match(output, new RegExp(`pip http://builder:\\*\\*\\*@${THERE}:${PORT}/simple trusts ${THERE}\n`));
    assert.match(output, new RegExp(`go http://builder:\\*\\*\\*@${THERE}:${PORT}/go,direct\n`));
    assert.match(output, new RegExp(`npm http://${THERE}:${PORT}/npm/\n`));
    assert.match(output, /no_proxy localhost,\.corp\n/);
    assert.match(output, new RegExp(`<url>http://${NAME}:${NAMED}/maven</url>`));
    assert.match(output, new RegExp(`registry = "sparse\\+http://builder:\\*\\*\\*@${THERE}:${PORT}/index/"`));
    assert.match(output, new RegExp(`//${THERE}:${PORT}/npm/:_auth=.*\\*\\*\\*`));
    for (const secret of [WORD, ENCODED, Buffer.from(`builder:${WORD}`).toString('base64')])
        assert.equal(output.includes(secret), false, secret);
});

test('no layer and no file of the installation holds it', async () => {
    for (const secret of [WORD, ENCODED, WORD.replace('&', '&amp;'), Buffer.from(`builder:${WORD}`).toString('base64')]) {
        const found = await run('/usr/bin/grep', ['-rlF', '--', secret, p.dataDir]);
        assert.equal(found.out, '', found.out);
    }
    assert.equal((await web.get('dev', '/file?path=/.cargo/config.toml')).status, 404);
    assert.equal((await web.get('dev', '/env?name=PIP_INDEX_URL')).status, 404);
});

test('a login that others can read: nothing is built, and all that runs runs', async () => {
    chmodSync(`${dir}/logins`, 0o644);
    await p.kill('host');
    await until(() => /holds passwords, but others than root may read it/.test(p.log()), 20_000, 'the host says what is wrong');
    const doctor = async () => (await p.api.get('/doctor')).checks.find((row) => row.name === 'builds: logins and certificates')?.ok;
    await until(async () => await doctor() === false, 20_000, 'so does the doctor');
    assert.equal((await web.get('dev', '/up')).status, 200);
    await assert.rejects(web.deploy('dev'), /nothing can be built until host is started anew/);
    const { id } = await web.rolloutStart('dev', { kind: 'stop' });
    assert.equal((await web.rolloutEnd('dev', id)).state, 'done', 'what is no build goes on');
    chmodSync(`${dir}/logins`, 0o600);
    await p.kill('host');
    await until(async () => await doctor() === true, 20_000, 'it is back');
    await web.deploy('dev');
});
