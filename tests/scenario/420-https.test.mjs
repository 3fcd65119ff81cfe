// HTTPS at the edge: the installation's own authority covers every app-env's name, an own certificate is
// served at once, HTTP/2 is spoken, and the command line works over it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { readFileSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import { platform, run, program, until } from '../lib/index.mjs';

let p, web, ca;
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('dev');
    ca = await until(() => readFileSync(`${p.dataDir}/ca.crt`, 'utf8'), 10_000, 'the authority is published');
});
after(() => p?.stop());

// A request with full verification against this authority.
function ask(host, path, authority = ca, options = {}) {
    return new Promise((resolve, reject) => {
        https.get({ host: '127.0.0.1', port: p.ports.https, servername: host, path, ca: authority, agent: false, headers: { host }, ...options }, (response) => {
            const { subject, issuer } = response.socket.getPeerCertificate();
            response.resume();
            response.on('end', () => resolve({ status: response.statusCode, subject, issuer }));
        }).on('error', reject);
    });
}

test('an app-env is served over HTTPS, verified against the authority in data_dir', async () => {
    const { status, issuer } = await until(() => ask('web.dev.localhost', '/up').catch(() => null), 20_000, 'its name is covered');
    assert.equal(status, 200);
    assert.match(issuer.CN, /^Slipway of localhost$/);
    await assert.rejects(ask('web.dev.localhost', '/up', undefined, { ca: undefined }), /self.signed|unable to (get|verify)/i);
});

test('another environment and an own domain are covered as soon as they are there', async () => {
    await web.deploy('test');
    assert.equal((await p.cli('env', 'domains', 'shop.example.com', '-a', 'web', '-e', 'test')).code, 0);
    for (const name of ['web.test.localhost', 'shop.example.com'])
        await until(async () => (await ask(name, '/up').catch(() => ({}))).status === 200, 20_000, `${name} is covered`);
});

test('HTTP/2 is spoken', async () => {
    const client = http2.connect(`https://127.0.0.1:${p.ports.https}`, { ca, servername: 'web.dev.localhost' });
    try {
        const status = await new Promise((resolve, reject) => {
            client.on('error', reject);
            const stream = client.request({ ':path': '/up', ':authority': 'web.dev.localhost' });
            stream.on('response', (headers) => resolve(headers[':status']));
            stream.on('error', reject);
        });
        assert.equal(status, 200);
    } finally {
        client.close();
    }
});

function ownCertificate(name) {
    const made = spawnSync('/usr/bin/openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', `/CN=${name}/O=Own`, '-addext', `subjectAltName=DNS:${name}`, '-keyout', `${p.dir}/own.key`, '-out', `${p.dir}/own.crt`]);
    assert.equal(made.status, 0, String(made.stderr));
    return { chain: readFileSync(`${p.dir}/own.crt`, 'utf8'), key: readFileSync(`${p.dir}/own.key`, 'utf8') };
}

test('an own certificate is served at once, and the journal holds its fingerprint, not its key', async () => {
    const { chain, key } = ownCertificate('shop.example.com');
    const done = await p.cli('env', 'certificate', 'shop.example.com', '-a', 'web', '-e', 'test', { input: chain + key });
    assert.equal(done.code, 0, done.err);
    const { status, subject } = await ask('shop.example.com', '/up', chain);
    assert.equal(status, 200);
    assert.equal(subject.O, 'Own');
    const row = (await p.api.get('/audit?limit=1000')).items.find(({ kind }) => kind === 'certificate.set');
    assert.equal(row.data.domain, 'shop.example.com');
    assert.match(row.data.sha256, /^[0-9a-f]{64}$/);
    assert.ok(!JSON.stringify(row).includes('PRIVATE KEY'));
    assert.equal((await ask('web.dev.localhost', '/up')).status, 200); // the others as before
});

test('what is no certificate, or not of this app-env, is refused', async () => {
    const { chain, key } = ownCertificate('other.example.com');
    const put = (body, env = 'test') => p.api.call('PUT', `/apps/web/envs/${env}/certificate`, body);
    assert.deepEqual([(await put({ domain: 'other.example.com', pem: chain + key })).json.error], ['not_found']);
    for (const pem of ['hello', chain, key, `${chain}${key}${key}`, chain.replace(/A/g, '!') + key]) {
        const { status, json } = await put({ domain: 'shop.example.com', pem });
        assert.deepEqual([status, json.error], [422, 'value_invalid'], pem.slice(0, 40));
    }
    await assert.rejects(ask('shop.example.com', '/up', chain), /verif|self/); // still the one from before
});

test('the command line signs in over HTTPS, and trusts what it was told to trust', async () => {
    const person = await p.person('lin', 'viewer');
    const { token } = await person.api.post('/tokens', { name: 'tls' });
    writeFileSync(`${p.dir}/ca.pem`, ca);
    const server = `https://slipway.localhost:${p.ports.https}`;
    const call = (more) => run(program('slipway'), ['app', 'ls', '--server', server], { env: { HOME: '/nonexistent', SLIPWAY_TOKEN: token, ...more } });
    assert.notEqual((await call({})).code, 0);
    const trusted = await call({ SLIPWAY_CA: `${p.dir}/ca.pem` });
    assert.equal(trusted.code, 0, trusted.err);
});
