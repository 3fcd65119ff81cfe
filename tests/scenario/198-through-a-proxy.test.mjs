// The one way out of this company is a proxy, and only it knows the names outside. Forges at such names, and what is at
// public addresses, are reached through it; what is inside is not.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { forgeNew, gitOk, platform, proxyNew, Repository, until } from '../lib/index.mjs';

let p, proxy, repository, outside, tls, inside;
before(async () => {
    proxy = await proxyNew();
    p = await platform({ settings: { forge_proxy: proxy.url, forge_networks: '127.0.0.0/8' } });
    repository = await Repository.fromFixture('server', `${p.dir}/work`);
    const at = `${p.dir}/tls`;
    mkdirSync(at);
    const made = spawnSync('/usr/bin/openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=forge',
        '-addext', 'subjectAltName=DNS:forge.invalid', '-keyout', `${at}/key.pem`, '-out', `${at}/cert.pem`]);
    assert.equal(made.status, 0, String(made.stderr));
    outside = await forgeNew('gitea', { dir: `${p.dir}/outside`, host: 'plain.invalid' });
    tls = await forgeNew('github', { dir: `${p.dir}/tls-forge`, host: 'forge.invalid', tls: { key: readFileSync(`${at}/key.pem`), cert: readFileSync(`${at}/cert.pem`) } });
    inside = await forgeNew('gitlab', { dir: `${p.dir}/inside` });
});
after(async () => {
    await Promise.all([outside, tls, inside].map((forge) => forge?.close()));
    await p?.stop();
    await proxy?.close();
});

const push = (forge, project, ...refs) => gitOk(repository.dir, ['push', '-q', forge.pushUrl(project), ...refs], { configuration: { 'http.sslVerify': 'false' } });
const origin = (app) => p.api.get(`/apps/${app}/origin`);
const branches = async (app) => (await p.api.get(`/apps/${app}/branches?limit=1000`)).items.map((row) => row.name);

test('over TLS the proxy hears a host and a port, and no more', async () => {
    const project = await tls.project('team/shop');
    await push(tls, project, '--all');
    await p.cli.ok('forge', 'set', 'hub', 'github', tls.url, '--cert', `${p.dir}/tls/cert.pem`, { input: 'secret-token\n' });
    await p.cli.ok('app', 'create', 'shop', '--from', project.url);
    assert.equal((await origin('shop')).state, 'good');
    assert.ok((await branches('shop')).includes('feature/a'));
    assert.ok(proxy.asked.length >= 3);
    assert.deepEqual([...new Set(proxy.asked)], [`CONNECT forge.invalid:${tls.port}`]);
});

test('a branch that is made here goes there first, the same way', async () => {
    proxy.asked.length = 0;
    await p.api.post('/apps/shop/branches', { name: 'feature/new', from: 'main' });
    assert.ok((await tls.refs(tls.projects.get('team/shop'))).get('refs/heads/feature/new'));
    assert.ok(proxy.asked.length > 0);
});

test('without TLS as well; what is pushed there is found', async () => {
    const project = await outside.project('team/cart');
    await push(outside, project, '--all');
    await p.cli.ok('forge', 'set', 'tea', 'gitea', outside.url, { input: 'secret-token\n' });
    proxy.asked.length = 0;
    await p.cli.ok('app', 'create', 'cart', '--from', project.url);
    assert.ok(proxy.asked.some((line) => line.startsWith(`GET http://plain.invalid:${outside.port}/team/cart.git/info/refs`)), proxy.asked.join('\n'));
    await push(outside, project, 'main:refs/heads/feature/later');
    await until(async () => (await branches('cart')).includes('feature/later'), 30_000, 'its webhook was made, and it came');
});

test('a forge inside is not asked for through it', async () => {
    const project = await inside.project('team/own');
    await push(inside, project, '--all');
    await p.cli.ok('forge', 'set', 'own', 'gitlab', inside.url, { input: 'secret-token\n' });
    await p.cli.ok('app', 'create', 'own', '--from', project.url);
    assert.equal((await origin('own')).state, 'good');
    assert.deepEqual(proxy.asked.filter((line) => line.includes('127.0.0.1') || line.includes(`:${inside.port}`)), []);
});

test('a name that only the proxy knows is no address for everybody', async () => {
    await assert.rejects(p.api.post('/apps', { name: 'other', url: 'https://elsewhere.invalid/x.git' }), (error) => error.error === 'unavailable' && /an administrator entered/.test(error.text));
    assert.deepEqual(proxy.asked.filter((line) => line.includes('elsewhere')), []);
});

test('a proxy that lets nobody through is named', async () => {
    proxy.denies = true;
    await assert.rejects(p.api.post('/apps/shop/origin/fetch'), (error) => error.error === 'unavailable' && error.text.includes(`through the proxy '${proxy.url}'`));
    await assert.rejects(p.api.get('/forges/hub/projects'), (error) => error.text.includes(`through the proxy '${proxy.url}'`));
    proxy.denies = false;
    await p.api.post('/apps/shop/origin/fetch');
});
