// Names of branches, apps, hosts and variables that are commands, options or paths somewhere else: they are
// literal text here, or refused. Rows B001-B003, B005-B010, B014, B016-B018, B047, B098, B100.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { environment, oracles, platform, processes, program, run } from '../lib/index.mjs';

let p, o, web, other;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => `keep_warm: 0s\n${text}` });
    await web.deploy('dev');
    other = await p.app('other', null);
    o = await oracles(p, { watch: [other] });
});
after(async () => {
    await o?.close();
    await p?.stop();
});

const P = '/apps/web/envs/dev';

// Every row is refused with one of these errors, changes nothing and executes nothing.
async function refused(rows, errors) {
    const outputs = [];
    for (const [method, path, json] of rows) {
        const reply = await p.api.call(method, path, json);
        const what = `${method} ${path} ${JSON.stringify(json)?.slice(0, 80)}`;
        assert.ok([413, 422].includes(reply.status) || (reply.status === 404 && errors.includes('not_found')), `${what}: ${reply.status} ${reply.text}`);
        assert.ok(errors.includes(reply.json.error), `${what}: ${reply.text}`);
        outputs.push(reply.text);
    }
    await o.check({ audit: 0, outputs });
}

async function typedInVain(...rows) {
    await typedAndTold(undefined, ...rows);
}

// The same, and the error that stderr names.
async function typedAndTold(name, ...rows) {
    const outputs = [];
    for (const words of rows) {
        const done = await p.cli(...words);
        assert.notEqual(done.code, 0, `slipway ${words.join(' ')}: ${done.out}`);
        if (name)
            assert.match(done.err, name, `slipway ${words.join(' ')}`);
        assert.equal(done.signal, null, `slipway ${words.join(' ')}`);
        assert.doesNotMatch(done.out + done.err, /root:|:\/bin\/(ba)?sh/, 'a file was echoed');
        outputs.push(done.out, done.err);
    }
    await o.check({ audit: 0, outputs });
}

test('B001 B002: branches that are shell text are pushed, listed, ticked, built and deleted as text', async () => {
    // the canary's name alone: with a folder before it git itself would make a file of that name
    const touch = `touch\${IFS}${o.name}`;
    const names = [`main;${touch}`, `$(id>${o.name})`, `\`${touch}\``, `a|${touch}`, `a&${touch}&`, `x'"$(${touch})"'`];
    for (const [i, name] of names.entries())
        await web.change(name, { [`evil${i}.txt`]: name });
    const listed = (await p.api.get('/apps/web/branches?limit=1000')).items.map((row) => row.name);
    for (const name of names)
        assert.ok(listed.includes(name), name);
    const made = `made\${IFS}by;${touch}`;
    await p.api.post('/apps/web/branches', { name: made, from: names[0] });
    await p.cli.ok('branch', 'new', `${made}2`, '--from', names[1], '-a', 'web');
    await p.cli.ok('tick', ...names.slice(0, 3), '-a', 'web', '-e', 'dev');
    await web.tick('dev', ...names.slice(3));
    const plan = await p.cli.ok('plan', '-a', 'web', '-e', 'dev');
    await web.deploy('dev');
    for (const [i, name] of names.entries())
        assert.equal((await web.get('dev', `/file?path=evil${i}.txt`)).text, name);
    await p.cli.ok('untick', names[0], '-a', 'web', '-e', 'dev');
    await web.ticks('dev');
    await p.api.delete(`/apps/web/branches?name=${encodeURIComponent(made)}`);
    await p.cli.ok('branch', 'rm', `${made}2`, '-a', 'web');
    await web.push(`:refs/heads/${names[0]}`);
    const left = (await p.api.get('/apps/web/branches?limit=1000')).items.map((row) => row.name);
    assert.ok(!left.includes(names[0]) && !left.includes(made) && left.includes(names[1]));
    await o.check({ audit: { 'repo.pushed': 7, 'branch.created': 2, 'branch.deleted': 2, 'ticks.changed': 4, 'build.queued': 1, 'rollout.started': 1, 'build.running': 1, 'build.done': 1, 'rollout.done': 1 }, outputs: [plan] });
});

test('B003: a ref that is an option is refused everywhere', async () => {
    const names = [`--upload-pack=touch\${IFS}${o.canary}`, '-c', '--exec=sh', '--output=/tmp/x', `--upload-pack=touch ${o.canary}`];
    await refused(names.flatMap((name) => [
        ['POST', '/apps/web/branches', { name }], ['POST', '/apps/web/branches', { name: 'fine', from: name }],
        ['DELETE', `/apps/web/branches?name=${encodeURIComponent(name)}`], ['POST', `${P}/ticks`, { add: [name] }],
        ['POST', `${P}/ticks`, { remove: [name] }], ['POST', `${P}/ticks`, { set: [name] }],
        ['GET', `/apps/web/config?env=dev&ref=${encodeURIComponent(name)}`], ['POST', '/apps', { name: 'fine', trunk: name }],
    ]), ['ref_invalid']);
    await typedInVain(...names.flatMap((name) => [['branch', 'new', '-a', 'web', '--', name], ['tick', '-a', 'web', '-e', 'dev', '--', name], ['branch', 'new', name, '-a', 'web']]));
    for (const name of names.slice(0, 4)) {
        const done = await web.pushAs(p.api.token, [`main:refs/heads/${name}`, `main:refs/tags/${name}`]);
        assert.notEqual(done.code, 0);
        assert.match(done.err, /neither a branch nor a tag with a valid name/);
    }
    await o.check({ audit: 0 });
});

test('B005 B006 B007 B017: an address of a server that is a command, an option or a file is refused', async () => {
    // hosts that curl would find in the last ones are this machine: a listener there hears nothing
    const urls = [`ext::sh -c touch% ${o.canary}`, 'fd::17', 'transport::x', `ssh://-oProxyCommand=touch\${IFS}${o.canary}/x`, 'git@-oProxyCommand=x:y',
        'file:///var/lib/slipway', '/etc', '\\\\host\\x', 'https:///evil/x', `http://-oProxyCommand=touch\${IFS}${o.canary}`, 'http://a b', 'http://[::1]%lo',
        `http:///${o.address}/`, `http://x@${o.address}`, `http://[::1%lo]:${o.port}`, `http://127.0.0.1\\:${o.port}`];
    await typedAndTold(/\((url_scheme|host_invalid)\)\n$/, ...urls.flatMap((url) => [
        ['login', '--server', url, '--name', 'admin', '--stdin', { input: 'password\n' }], ['setup', 'ABCDEF', '--server', url, '--stdin', { input: 'password\n' }],
        ['app', 'ls', { env: { SLIPWAY_SERVER: url, SLIPWAY_TOKEN: 'sw_x' } }],
    ]));
    for (const port of ['0', '65536', '-1', '8O', ''])
        await typedAndTold(/\((out_of_range|field_invalid)\)\n$/, ['login', '--server', `http://127.0.0.1:${port}`, '--name', 'admin', '--stdin', { input: 'password\n' }]);
    for (const url of urls) {
        for (const key of ['npm_registry', 'debian_mirror', 'http_proxy', 'forge_proxy', 'pip_index', 'go_proxy', 'maven_mirror', 'cargo_index']) {
            const file = `${p.dir}/evil.conf`;
            writeFileSync(file, `id = x\n${key} = ${url}\n`);
            const done = await run(program('slipway'), ['serve', '--settings', file, '--check']);
            assert.notEqual(done.code, 0, `${key} = ${url}`);
            assert.match(done.err + done.out, new RegExp(`:2: ${key} must be an http or https URL.*: (the URL begins with neither|the host of the URL is|a name or a password)`), `${key} = ${url}`);
        }
    }
    for (const name of [`x;touch\${IFS}${o.canary}`, '../../etc', '..%2f..%2fetc', '$(id)', '-x'])
        assert.notEqual((await p.request('GET', `slipway.${p.settings.base_domain ?? 'localhost'}`, `/git/${encodeURIComponent(name)}.git/info/refs?service=git-upload-pack`, { headers: { authorization: `Basic ${Buffer.from(`x:${p.api.token}`).toString('base64')}` } })).status, 200);
    await o.check({ audit: 0 });
});

test('B008: names that are no names', async () => {
    const names = ['a;reboot', 'a$(id)', '../x', '.', '', 'A b', 'a'.repeat(300), 'con\n', '-x', '1a', 'a-', 'ａ', 'a\u202eb'];
    await refused(names.flatMap((name) => [['POST', '/apps', { name }], ['POST', '/envs', { name }], ['POST', '/users', { name }], ['POST', '/tokens', { name }]]), ['name_invalid', 'field_invalid', 'too_large']);
    await refused(names.filter((name) => name !== '').flatMap((name) => [
        ['GET', `/apps/${encodeURIComponent(name)}`], ['DELETE', `/apps/${encodeURIComponent(name)}`], ['GET', `/apps/web/envs/${encodeURIComponent(name)}`],
        ['DELETE', `/users/${encodeURIComponent(name)}`], ['DELETE', `/tokens/${encodeURIComponent(name)}`],
    ]), ['not_found']);
    await typedInVain(...names.filter(Boolean).flatMap((name) => [['app', 'create', '--', name], ['env', 'add', '--', name], ['user', 'add', '--', name], ['status', '-a', name, '-e', 'dev']]));
});

test('B009 B014: variables reach the instance and the build as they are, and nothing else', async () => {
    await refused(['A=B', 'A\nB', '1A', 'A B', 'PORT', 'SLIPWAY_APP', '../A'].map((name) => ['PUT', `${P}/secrets/${encodeURIComponent(name)}`, { value: 'v', kind: 'env' }]), ['name_invalid', 'not_found']);
    await refused(['A=B', 'A B', '1A', '"A\\nB"', '""', 'PORT'].map((name) => ['POST', '/config/check', { text: `run: ./x\nenv: {clear: {${name.startsWith('"') ? name : `"${name}"`}: v}}\n` }]), ['config_invalid']);
    const literal = `x=$(touch ${o.canary}) \`touch ${o.canary}\``;
    await web.change('variables', {
        'slipway.yaml': (await web.repository.git('show', 'main:slipway.yaml'))
            .replace('  network: none', `  network: none\n  env: {LITERAL: ${JSON.stringify(literal)}, GIT_SSH_COMMAND: "touch ${o.canary}"}`)
            .replace('  steps:\n', '  steps:\n    - {name: show, run: "printenv LITERAL"}\n')
            .concat(`\nenv:\n  clear: {LD_PRELOAD: /nonexistent/evil.so, GIT_SSH_COMMAND: "touch ${o.canary}", PATH: /evil, LITERAL: ${JSON.stringify(literal)}}\n`),
    });
    await web.ticks('dev', 'variables');
    const { steps: [{ args }] } = await web.deploy('dev');
    assert.ok((await web.buildOutput('dev', args.build)).includes(`${literal}\n`));
    for (const [name, value] of Object.entries({ LD_PRELOAD: '/nonexistent/evil.so', PATH: '/evil', LITERAL: literal }))
        assert.equal((await web.get('dev', `/env?name=${name}`)).text, value);
    for (const { pid, command } of processes().filter((one) => one.command.some((word) => word.includes(`${p.dir}/`)))) {
        const given = environment(pid);
        if (given.SLIPWAY_APP)
            continue; // the instance itself
        assert.equal(given.LD_PRELOAD ?? given.GIT_SSH_COMMAND, undefined, command.join(' '));
        assert.notEqual(given.PATH, '/evil', command.join(' '));
    }
    await o.check({ audit: { 'repo.pushed': 1, 'ticks.changed': 1, 'build.queued': 1, 'rollout.started': 1, 'build.running': 1, 'build.done': 1, 'rollout.done': 1 } });
});

test('B010: values are delivered byte for byte; what cannot be is refused', async () => {
    const text = `two\nlines 'quoted' "twice" $(touch ${o.canary}) \`id\` \\n ünï\u202e`;
    const bytes = Buffer.concat([Buffer.from([0, 1, 255, 10, 13, 0]), Buffer.alloc(100_000, 'z')]);
    await refused([['PUT', `${P}/secrets/NUL`, { value_b64: 'YQBi', kind: 'env' }], ['PUT', `${P}/secrets/x`, { value_b64: '!!', kind: 'file' }], ['PUT', `${P}/secrets/x`, { value: 'a', value_b64: 'YQ==' }], ['PUT', `${P}/secrets/x`, { value: 'a', kind: 'magic' }]], ['value_invalid', 'field_invalid']);
    for (const [size, status] of [[1 << 20, [413]], [131_073, [413, 422]]])
        assert.ok(status.includes((await p.api.call('PUT', `${P}/secrets/x`, { value: 'x'.repeat(size) })).status), `${size} bytes`);
    assert.equal((await p.api.call('PUT', `${P}/secrets/x`, undefined, { body: '{"value":"a\\u0000b"}', headers: { 'content-type': 'application/json' } })).status, 400);
    await web.secret('dev', 'TEXT', text, 'env');
    await web.secret('dev', 'text', text, 'file');
    await p.api.put(`${P}/secrets/bytes`, { value_b64: bytes.toString('base64'), kind: 'file' });
    await web.deploy('dev');
    assert.equal((await web.get('dev', '/env?name=TEXT')).text, text);
    assert.equal((await web.get('dev', '/file?path=/run/slipway/secrets/text')).text, text);
    assert.ok((await web.get('dev', '/file?path=/run/slipway/secrets/bytes')).bytes.equals(bytes));
    await o.check({ audit: { 'secret.set': 3, 'build.queued': 1, 'rollout.started': 1, 'build.running': 1, 'build.done': 1, 'rollout.done': 1 } });
});

test('B009 B010: the command line gives names and values on as they are, or refuses them', async () => {
    const at = ['-a', 'web', '-e', 'dev'];
    for (const name of ['A=B', 'A\nB', '1A', 'A B', 'PORT', 'SLIPWAY_APP', '../A', 'A/B', '-A', 'ａ', 'A'.repeat(200), '$(id)'])
        await typedAndTold(/\((name_invalid|not_found|too_large|field_invalid)\)\n$/, ['secret', 'set', '--kind', 'env', ...at, '--', name, { input: 'v' }]);
    await typedAndTold(/\((usage|not_found|name_invalid)\)\n$/, ['secret', 'set', '', ...at, { input: 'v' }], ['secret', 'set', ...at, { input: 'v' }], ['secret', 'rm', '../../tokens', ...at]);
    await typedAndTold(/\(field_invalid\)\n$/, ['secret', 'set', 'x', '--kind', 'magic', ...at, { input: 'v' }]);
    for (const input of ['a\0b', '\0', Buffer.from([0xff, 0xfe])])
        await typedAndTold(/\(value_invalid\)\n$/, ['secret', 'set', 'x', ...at, { input }]);
    for (const size of [131_073, 1 << 20])
        await typedAndTold(/\(too_large\)\n$/, ['secret', 'set', 'x', ...at, { input: 'x'.repeat(size) }]);
    const values = { NL: 'two\nlines\n', QUOTES: `'single' "twice" \\ \\n`, SHELL: `$(touch ${o.canary}) \`touch ${o.canary}\` ; & |`, AT: '@/etc/passwd', BIDI: 'a\u202eb\u009b', EMPTYISH: ' ', LONG: 'x'.repeat(100_000) };
    for (const [name, input] of Object.entries(values))
        await p.cli.ok('secret', 'set', name, '--kind', 'env', ...at, { input });
    await p.cli.ok('secret', 'set', 'most', ...at, { input: 'y'.repeat(131_072) });
    const { items } = await p.api.get(`${P}/secrets`);
    for (const name of [...Object.keys(values), 'most'])
        assert.ok(items.some((row) => row.name === name), name);
    await web.deploy('dev');
    for (const [name, value] of Object.entries(values))
        assert.equal((await web.get('dev', `/env?name=${name}`)).text, value, name);
    assert.equal((await web.get('dev', '/file?path=/run/slipway/secrets/most')).text, 'y'.repeat(131_072));
    for (const name of Object.keys(values))
        await p.cli.ok('secret', 'rm', name, ...at);
    await o.check({ audit: { 'secret.set': 8, 'secret.deleted': 7, 'build.queued': 1, 'build.running': 1, 'build.done': 1, 'rollout.started': 1, 'rollout.done': 1 } });
});

test('B016: words of a command line are words, never files or options', async () => {
    await typedInVain(['app', 'create', '@/etc/passwd'], ['app', 'show', '@/etc/shadow'], ['status', '-a', '@/etc/passwd', '-e', 'dev'], ['app', 'create', '-'],
        ['tick', '--config=/etc/shadow', '-a', 'web', '-e', 'dev'], ['tick', '@/etc/passwd', '-a', 'web', '-e', 'dev'], ['config', 'check', '@/etc/passwd'],
        ['config', 'check', '--config=/etc/shadow'], ['secret', 'set', '@/etc/passwd', '-a', 'web', '-e', 'dev', { input: 'x' }], ['--config=/etc/shadow'],
        ['logs', 'build', '@/etc/passwd', '-a', 'web', '-e', 'dev'], ['deploy', '@/etc/passwd', '-a', 'web', '-e', 'dev'], ['cancel', '../../1', '-a', 'web', '-e', 'dev']);
    await p.cli.ok('secret', 'set', 'at', '-a', 'web', '-e', 'dev', { input: '@/etc/passwd' });
    await o.check({ audit: 1, kind: 'secret.set' });
});

test('B016: a file that is not ours is named, never shown', async () => {
    const secret = `$6$${o.secret}`;
    const files = { shadow: `root:${secret}:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n`, environment: `PASSWORD=${secret}\n`, key: `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`, ini: `[client]\npassword = "${secret}"\n`, bytes: `\0\x01${secret}\xff` };
    const outputs = [];
    for (const [name, text] of [...Object.entries(files), ['/etc/shadow', null]]) {
        const file = text === null ? name : `${p.dir}/home/not-ours-${name}`;
        if (text !== null)
            writeFileSync(file, text, { mode: 0o600 });
        for (const [words, code] of [[['config', 'check', file], 10], [['serve', '--settings', file, '--check'], null], [['app', 'ls', '--settings', file], 11], [['app', 'ls', { env: { SLIPWAY_SETTINGS: file } }], 11], [['config', 'check', `@${file}`], 12], [['tick', `--config=${file}`, '-a', 'web', '-e', 'dev'], 2]]) {
            const done = await p.cli(...words);
            const what = words.filter((word) => typeof word === 'string').join(' ');
            assert.equal(done.signal, null, what);
            assert.ok(code === null ? done.code > 0 : done.code === code, `${what}: exit ${done.code}: ${done.err}`);
            assert.doesNotMatch(done.out + done.err, /root:|daemon|19000|PASSWORD|PRIVATE|client|\$6\$/, what);
            outputs.push(done.out, done.err);
        }
        if (text !== null)
            rmSync(file);
    }
    await o.check({ audit: 0, outputs });
});

test('B047: a link that was used is used up at the command line too', async () => {
    const { link } = await p.api.post('/users', { name: 'latecomer', role: 'viewer' });
    const server = ['--server', `http://127.0.0.1:${p.ports.api}`, '--stdin'];
    const [first, second] = [await p.cli('setup', link, ...server, { input: 'long enough\n' }), await p.cli('setup', link, ...server, { input: 'long enough\n' })];
    assert.equal(first.code, 0, first.err);
    assert.equal(second.code, 11, second.err);
    assert.match(second.err, /\((link_used|setup_done)\)\n$/);
    for (const never of ['sl_0000', '', '../../etc/passwd', `${link}x`]) {
        const done = await p.cli('setup', never, ...server, { input: 'long enough\n' });
        assert.ok([2, 10, 11].includes(done.code), `${never}: ${done.code} ${done.err}`);
        assert.doesNotMatch(done.out, /signed in/);
    }
    await o.check({ audit: { 'person.added': 1, 'invite.used': 1 } });
});

test('B018 B100: a domain is a plain host name, and belongs to one app', async () => {
    const bad = ['a.com\n server evil 1.2.3.4:80', 'a.com;set server', '*', '*.a.com', 'a.com/../', 'a.com:80', 'A.com', 'a..com', '-a.com', 'a com', '', 'a.com\u0000'.replace('\u0000', '\t'), `${'a'.repeat(64)}.com`, 'ａ.com', '${x}', '127.0.0.1', '8.8.8.8'];
    await refused(bad.flatMap((domain) => [['PUT', `${P}/domains`, { domains: [domain] }], ['POST', '/config/check', { text: `run: ./x\nproxy: {host: ${JSON.stringify(domain)}}\n` }]]), ['domain_invalid', 'config_invalid']);
    for (const yaml of ['run: ./x\nproxy: {host: free.example}\n', 'run: ./x\nenvs:\n  prod:\n    proxy: {hosts: [mine.example]}\n']) {
        const { json } = await p.api.call('POST', '/config/check', { text: yaml });
        assert.equal(json.error, 'config_invalid');
        assert.match(json.text, /^slipway\.yaml:\d+:\d+: 'hosts?' cannot stand here: domains belong to the app-env: 'slipway env domains/);
    }
    await typedInVain(...bad.filter(Boolean).map((domain) => ['env', 'domains', '-a', 'web', '-e', 'dev', '--', domain]));
    await web.domains('dev', 'mine.example');
    for (const domain of ['mine.example', p.domain('web', 'prod'), p.domain('web', 'dev'), 'slipway.localhost', 'localhost', 'x.localhost']) {
        const reply = await p.api.call('PUT', '/apps/other/envs/dev/domains', { domains: [domain] });
        assert.deepEqual([reply.status, reply.json.error], [409, 'domain_taken'], domain);
        assert.equal((await p.api.call('PUT', '/apps/web/envs/prod/domains', { domains: [domain] })).status, 409, domain);
    }
    assert.notEqual((await p.cli('env', 'domains', 'mine.example', '-a', 'other', '-e', 'dev')).code, 0);
    assert.equal((await p.get('mine.example', '/id')).json.app, 'web');
    await o.check({ audit: 1, kind: 'domains.set' });
});

test('B098: numbers out of range', async () => {
    const yaml = ['instances: -1', 'instances: 2147483648', 'instances: NaN', 'instances: 1e3', 'deploy_timeout: 0', 'deploy_timeout: 1000000000000000000s', 'proxy: {app_port: 0}', 'proxy: {app_port: 65536}',
        'proxy: {app_port: -1}', 'update_config: {parallelism: 101}', 'retain: 0', 'deploy: {resources: {limits: {memory: 99999999999999999999g}}}', 'deploy: {resources: {limits: {cpus: NaN}}}', 'build: {pids: 0x10}'];
    await refused(yaml.map((line) => ['POST', '/config/check', { text: `run: ./x\n${line}\n` }]), ['out_of_range', 'config_invalid', 'field_invalid']);
    await refused([-1, 0, 101, 2147483648].map((batches) => ['POST', `${P}/rollouts`, { batches }]), ['out_of_range', 'field_invalid']);
    await refused([['POST', `${P}/rollouts`, { batches: 1.5 }], ['POST', `${P}/rollouts`, { release: -1 }], ['POST', '/tokens', { name: 't', days: 0 }], ['POST', '/tokens', { name: 't', days: 1e9 }],
        ['POST', '/envs', { name: 'x', position: -1 }], ['GET', `${P}/builds?limit=1000000000`], ['GET', `${P}/builds?limit=0`], ['GET', `${P}/builds?after=-1`], ['GET', `${P}/logs?limit=1000000000`],
        ['GET', '/audit?limit=1001'], ['GET', `${P}/top?seconds=0`], ['GET', `${P}/top?seconds=99999999999999999999`]], ['out_of_range', 'field_invalid']);
    const at = ['-a', 'web', '-e', 'dev'];
    await typedAndTold(/\((out_of_range|field_invalid)\)\n$/, ...['-1', '0', '101', '2147483648', '1.5', 'NaN', ''].map((batches) => ['deploy', ...at, '--batches', batches]),
        ...['-1', '0', '1000000000', '99999999999999999999'].map((days) => ['token', 'new', 't', '--days', days]), ...['0', '99999999999'].flatMap((lines) => [['logs', ...at, '-n', lines], ['audit', '-n', lines]]),
        ['rollback', ...at, '--release', '0'], ['deploy', 'r0', ...at], ['deploy', ...at, '--timeout', '0']);
});
