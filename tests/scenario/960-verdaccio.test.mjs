// An app that nobody here wrote: verdaccio from npm, by its own normal build. While a new release of it
// rolls out, a package is published to it and installed from it through the edge. Needs npm's registry: where
// that cannot be reached, this is NOT RUN.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { notHere, platform, run, until } from '../lib/index.mjs';

const VERDACCIO = '5.10.3'; // later ones ask for a dependency by a tag, which mirrors of npm may not have
const YAML = `service: npm
base: [nodejs]
build:
  packages: [npm]
  steps:
    - {name: install, run: npm install --omit=dev --no-audit --no-fund}
  cache: [/root/.npm]
run: node node_modules/verdaccio/bin/verdaccio --config ./config.yaml --listen 0.0.0.0:4873
proxy:
  app_port: 4873
  healthcheck: {path: /-/ping, interval: 1s, timeout: 5s}
instances: 1
deploy:
  resources:
    limits: {memory: 512m, pids: 100}
deploy_timeout: 60s
`;
const CONFIG = `storage: /tmp/storage
auth: {htpasswd: {file: /tmp/htpasswd, max_users: 100}}
packages: {'**': {access: $all, publish: $all}}
log: {type: stdout, format: json, level: warn}
`;

let p, app, home, missing = 'not built yet';
before(async () => {
    p = await platform({ bases: true, settings: { build_volume: '2g' } });
    app = await p.app('npm', null);
    await app.repository.commit('main', {
        'slipway.yaml': YAML, 'config.yaml': CONFIG,
        'package.json': JSON.stringify({ name: 'npm', version: '1.0.0', private: true, dependencies: { verdaccio: VERDACCIO } }),
    }, 'verdaccio');
    await app.push();
    home = `${p.dir}/npm-home`;
    mkdirSync(`${home}/package`, { recursive: true });
    writeFileSync(`${home}/resolve.cjs`, RESOLVE);
});
after(() => p?.stop());

async function npm(dir, ...args) {
    const registry = `http://${app.domain('dev')}:${p.ports.http}/`;
    const done = await run('/usr/bin/env', ['npm', ...args, '--registry', registry, `--//${app.domain('dev')}:${p.ports.http}/:_authToken=anybody`], {
        cwd: dir, env: { PATH: process.env.PATH, HOME: home, npm_config_audit: 'false', npm_config_fund: 'false', NODE_OPTIONS: `--require=${home}/resolve.cjs` }, timeout: 120_000,
    });
    assert.equal(done.code, 0, `npm ${args.join(' ')}: ${done.err}${done.out}`);
    return done;
}

// Not every machine resolves *.localhost.
const RESOLVE = `const dns = require('node:dns'), lookup = dns.lookup;
dns.lookup = (name, ...rest) => lookup.call(dns, name.endsWith('.localhost') ? '127.0.0.1' : name, ...rest);
`;

function packageWrite(version) {
    writeFileSync(`${home}/package/package.json`, JSON.stringify({ name: 'left-pad-of-slipway', version, main: 'index.js' }));
    writeFileSync(`${home}/package/index.js`, 'module.exports = 1;\n');
}

test('its own build makes it, and it answers through the edge', { timeout: 900_000 }, async (t) => {
    missing = await app.deploy('dev', {}, { deadlineMs: 600_000 }).then(() => null, notHere);
    if (missing)
        return t.skip(missing);
    assert.equal((await app.get('dev', '/-/ping')).status, 200);
});

test('a package is published to it and installed from it, while a new release rolls out', { timeout: 900_000 }, async (t) => {
    if (missing)
        return t.skip(missing);
    const { id } = await app.rolloutStart('dev', { kind: 'deploy' });
    packageWrite('1.0.0');
    await npm(`${home}/package`, 'publish');
    mkdirSync(`${home}/user`, { recursive: true });
    writeFileSync(`${home}/user/package.json`, '{"name":"user","version":"1.0.0"}');
    await npm(`${home}/user`, 'install', 'left-pad-of-slipway');
    const load = await app.load('dev', { rate: 50, get: ['/-/ping'], post: [], postPercent: 0, echo: false }).flowing(20);
    assert.equal((await app.rolloutEnd('dev', id, 600_000)).state, 'done');
    await until(async () => (await load.total()).ok > 100, 20_000, 'the load flows');
    assert.equal((await load.stop()).lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    packageWrite('1.0.1');
    await npm(`${home}/package`, 'publish');
});
