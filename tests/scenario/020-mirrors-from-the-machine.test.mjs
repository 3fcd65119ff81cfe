// What a machine already knows about the way out becomes settings: tools/mirrors reads the files of its
// tools, and puts passwords where root alone reads them.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, program, run } from '../lib/index.mjs';

let dir;
before(() => { dir = mkdtempSync('/tmp/mirrors-of-'); });
after(() => rmSync(dir, { recursive: true }));

const put = (path, text) => {
    mkdirSync(dirname(`${dir}/${path}`), { recursive: true });
    writeFileSync(`${dir}/${path}`, text);
};
const mirrors = async (env = {}, ...args) => {
    const done = await run('/usr/bin/env', ['-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', `HOME=${dir}/home`, `MIRRORS_ETC=${dir}/etc`, `MIRRORS_CA=${dir}/ca`, 'APT_CONFIG=/dev/null', ...Object.entries(env).map(([key, value]) => `${key}=${value}`), `${ROOT}/tools/mirrors`, ...args]);
    assert.equal(done.code, 0, done.err);
    return { lines: done.out.trim().split('\n').filter(Boolean), err: done.err };
};

test('a machine that says nothing gives no lines', async () => {
    put('home/.npmrc', 'fund=false\n');
    put('home/.config/go/env', 'GOFLAGS=-mod=mod\n');
    assert.deepEqual((await mirrors()).lines.filter((line) => !line.startsWith('http_proxy')), []);
});

test('each tool\'s own file is read, and the settings take the lines', async () => {
    put('etc/pip.conf', '[global]\nindex-url = https://me:p%40ss@pypi.corp/simple\n');
    put('home/.npmrc', '; ours\nregistry = "http://10.1.2.3:4873/npm/"\n');
    put('home/.config/go/env', 'GOPROXY=https://go.corp,direct\n');
    put('home/.m2/settings.xml', '<settings><!-- <mirrors><mirror><mirrorOf>*</mirrorOf><url>http://old</url></mirror> -->\n<mirrors>\n<mirror><id>a</id><mirrorOf>other</mirrorOf><url>https://no.corp/</url></mirror>\n<mirror>\n <mirrorOf>central</mirrorOf>\n <url>https://maven.corp/all?a&amp;b</url></mirror></mirrors></settings>\n');
    put('home/.cargo/config.toml', '[source.crates-io]\nreplace-with = "corp"\n[source.corp]\nregistry = "sparse+https://cargo.corp/index/"\n');
    put('ca/corp.crt', 'x');
    const { lines } = await mirrors({ https_proxy: 'http://you:w%2Frd@proxy.corp:3128', no_proxy: 'localhost, .corp' }, '--logins', `${dir}/logins`);
    assert.deepEqual(lines, ['ca_bundle = /etc/ssl/certs/ca-certificates.crt', 'npm_registry = http://10.1.2.3:4873/npm/', 'pip_index = https://pypi.corp/simple', 'go_proxy = https://go.corp,direct',
        'maven_mirror = https://maven.corp/all?a&b', 'cargo_index = https://cargo.corp/index/', 'http_proxy = http://proxy.corp:3128', 'no_proxy = localhost,.corp', `mirror_logins = ${dir}/logins`]);
    assert.equal(readFileSync(`${dir}/logins`, 'utf8'), 'pypi.corp me p@ss\nproxy.corp:3128 you w/rd\n');
    assert.equal(statSync(`${dir}/logins`).mode & 0o777, 0o600);
    writeFileSync(`${dir}/slipway.conf`, `${lines.join('\n')}\n`);
    const done = await run(program('slipway'), ['serve', '--settings', `${dir}/slipway.conf`, '--check']);
    assert.equal(done.code, 0, done.err + done.out);
});

test('without a place for logins they are left out, and said', async () => {
    const { lines, err } = await mirrors();
    assert.ok(lines.includes('pip_index = https://pypi.corp/simple'));
    assert.match(err, /pip_index needs a login at pypi\.corp/);
    assert.doesNotMatch(lines.join() + err, /p@ss|p%40ss/);
});
