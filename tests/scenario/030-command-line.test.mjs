// What one types, and what is printed to be typed: links that are whole addresses, names that a shell would
// run, lists that say when they were cut, wrong words that say how it is meant.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { dirname } from 'node:path';
import { platform, program, run, until } from '../lib/index.mjs';

const PASSWORD = 'a long enough password\n';
let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server');
});
after(() => p?.stop());

const server = () => `http://127.0.0.1:${p.ports.api}`;

test('a link is the whole address: setup asks the server that the link names, on whatever port', async () => {
    const added = await p.cli.ok('user', 'add', 'wang', '--role', 'developer');
    const [link] = /http:\S+/.exec(added);
    assert.match(link, new RegExp(`^${server()}/setup/swl_\\w+$`));
    const home = { env: { HOME: mkdtempSync(`${p.dir}/wang-`) }, input: PASSWORD };
    const signedIn = await p.cli('setup', link, '--stdin', home);
    assert.equal(signedIn.code, 0, signedIn.err);
    assert.match((await run(program('slipway'), ['token', 'ls'], { env: { ...home.env, SLIPWAY_TOKEN: 'sw_0' } })).err, /unauthenticated/);
    const again = await p.cli.ok('user', 'reset', 'wang');
    assert.match(again, new RegExp(`${server()}/setup/swl_`));
    // --server is stronger than the link, and half a link is none
    const [fresh] = /http:\S+/.exec(again);
    const elsewhere = await p.cli('setup', fresh, '--server', 'http://127.0.0.1:9', '--stdin', home);
    assert.match(elsewhere.err, /\(unavailable\)/);
    for (const wrong of [fresh.replace('http://', ''), fresh.replace('http://', 'http://user@'), 'http://x'])
        assert.equal((await p.cli('setup', wrong, '--stdin', home)).code, 2, wrong);
    const bare = await p.cli('setup', fresh.split('/').pop(), '--server', server(), '--stdin', home);
    assert.equal(bare.code, 0, bare.err);
});

test('completion offers branches that are commands as text, and runs none of them', async () => {
    const dir = mkdtempSync(`${p.dir}/completion-`);
    const touch = 'touch${IFS}RAN';
    const names = [`$(${touch})`, `\`${touch}\``, `a;${touch}`, `x'"$(${touch})"'`];
    for (const name of [...names, 'feature/plain'])
        await p.api.post('/apps/web/branches', { name, from: 'main' });
    const complete = async (...words) => {
        const script = '. <(slipway completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _slipway; eval "printf \'%s\\n\' ${COMPREPLY[*]}"';
        const env = { PATH: `${dirname(program('slipway'))}:/usr/bin:/bin`, SLIPWAY_SETTINGS: p.settingsFile, HOME: dir };
        const done = await run('/usr/bin/bash', ['-c', script, 'bash', 'slipway', ...words], { env, cwd: dir });
        assert.equal(done.err, '');
        return done.out.trim().split('\n');
    };
    const offered = await complete('tick', '-a', 'web', '');
    for (const name of [...names, 'feature/plain'])
        assert.ok(offered.includes(name), `${name}: ${offered}`);
    assert.deepEqual(await complete('tick', 'feature/p'), ['feature/plain']);
    assert.deepEqual(await complete('tick', '\\$\\(t'), [names[0]]);
    assert.deepEqual(await complete('branch', 'rm', '$(t'), [names[0]]);
    assert.deepEqual(await complete('user', 're'), ['reset', 'remove', 'revoke']);
    assert.deepEqual(await complete('deploy', '--st'), ['--strategy']);
    assert.deepEqual(await complete('deploy', '--strategy', 'r'), ['rolling']);
    assert.deepEqual(await complete('status', '-e', 'p'), ['pre', 'prod']);
    assert.deepEqual(readdirSync(dir), []);
    assert.equal(existsSync('/RAN'), false);
});

test('what is printed to be typed is quoted', async () => {
    const made = await p.cli.ok('branch', 'new', "a;'b'", '-a', 'web');
    assert.match(made, /git checkout 'a;'\\''b'\\'''\n/);
    assert.match(await p.cli.ok('branch', 'new', 'feature/x', '-a', 'web'), /git checkout feature\/x\n/);
    assert.match(await p.cli.ok('app', 'create', 'old', '--ref', 'master'), /git push \S+ master\n/);
});

test('wrong words: exit 2 and how it is meant', async () => {
    for (const words of [['user', 'delete', 'x'], ['user', 'add'], ['app', 'list'], ['env', 'remove', 'dev'], ['branch', 'prune'], ['token', 'make', 'x'], ['secret', 'get', 'X', '-e', 'dev'], ['audit', 'check'],
        ['plan', 'everything', '-e', 'dev'], ['history', 'commits', '-e', 'dev'], ['config', 'edit'], ['debug', 'core'], ['cancel', 'build', '-e', 'dev'], ['logs', 'build', '-e', 'dev', 'x', 'y'], ['logs', 'all', '-e', 'dev'],
        ['role', 'allow', 'ops'], ['role', 'make', 'ops'], ['df', 'all'], ['doctor', 'now'], ['status', 'web'], ['logout', 'wang'], ['completion', 'fish']]) {
        const done = await p.cli(...words, '-a', 'web');
        assert.equal(done.code, 2, `${words.join(' ')}: ${done.out}${done.err}`);
        assert.match(done.err, /usage: slipway /, words.join(' '));
    }
});

test('what only looks changes nothing, and what is taken away is said', async () => {
    const at = ['-a', 'web', '-e', 'dev'];
    await p.cli.ok('env', 'domains', 'one.example', 'two.example', ...at);
    for (const _ of [1, 2])
        assert.equal(await p.cli.ok('env', 'domains', ...at), 'web.dev.localhost\none.example\ntwo.example\n');
    assert.equal(await p.cli.ok('env', 'domains', 'none', ...at), 'web.dev.localhost\n');
    const empty = await p.cli('secret', 'set', 'KEY', ...at);
    assert.notEqual(empty.code, 0);
    assert.match(empty.err, /the value is empty.*secret rm.*value_invalid/);
});

test('a secret stays what it is given as, until that is said', async () => {
    const at = ['-a', 'web', '-e', 'dev'], kind = async () => (await p.api.get('/apps/web/envs/dev/secrets')).items.map((row) => row.kind);
    for (const [words, now] of [[['--kind', 'env'], 'env'], [[], 'env'], [['--kind', 'file'], 'file']]) {
        assert.equal((await p.cli('secret', 'set', 'KEY', ...at, ...words, { input: 'x' })).code, 0);
        assert.deepEqual(await kind(), [now]);
    }
    await p.cli.ok('secret', 'rm', 'KEY', ...at);
});

test('a role that is given with an invitation holds where it is said', async () => {
    await p.cli.ok('user', 'add', 'qq', '--role', 'tester', '-a', 'web', '-e', 'test');
    const { items } = await p.api.get('/users');
    assert.deepEqual(items.find((row) => row.name === 'qq').grants.map(({ role, app, env }) => [role, app, env]), [['tester', 'web', 'test']]);
    assert.notEqual((await p.cli('user', 'add', 'qw', '-a', 'web')).code, 0, 'of which role?');
    assert.equal((await p.cli('user', 'reset', 'qq', '-e', 'test')).code, 2);
    await p.cli.ok('user', 'remove', 'qq');
});

test('what is not there is said: apps, verbs, releases that never served', async () => {
    assert.equal((await p.cli('status', '-a', 'nope')).code, 12);
    assert.equal((await p.cli('help', 'nope')).code, 2);
    assert.match(await p.cli.ok('help', 'env'), /^usage: slipway env ls\n {7}slipway env add NAME/);
    assert.equal(await p.cli.ok('env', 'domains', '--help'), await p.cli.ok('help', 'env'));
    assert.match((await p.cli('env', 'rename')).err, /usage: slipway env ls \| .*'slipway help env' shows all \(usage\)/);
});

test('a list that is cut says so, and pages lead through all of it', async () => {
    const all = (await p.api.get('/apps/web/branches')).items.map((row) => row.name);
    assert.ok(all.length > 5);
    for (const limit of [1, 2, 100]) {
        const found = [];
        for await (const row of p.api.pages(`/apps/web/branches?limit=${limit}`))
            found.push(row.name);
        assert.deepEqual(found, all, `by ${limit}`);
    }
    const some = await p.cli('branch', 'ls', '-a', 'web', '-n', '2');
    assert.equal(some.out.trim().split('\n').length, 3);
    const [, behind] = /^there are more: -n COUNT shows so many, --after (\S+) goes on$/m.exec(some.err);
    const rest = await p.cli('branch', 'ls', '-a', 'web', '--after', behind.replaceAll("'", ''));
    assert.deepEqual([...some.out.trim().split('\n').slice(1), ...rest.out.trim().split('\n').slice(1)].length, all.length);
    const every = await p.cli('branch', 'ls', '-a', 'web');
    assert.deepEqual([every.out.trim().split('\n').length, every.err], [all.length + 1, '']);
    assert.equal((await p.api.call('GET', '/apps/web/branches?after=nothing')).json.error, 'field_invalid');
});

test('user ls shows who may what where', async () => {
    await p.api.post('/users', { name: 'zhao', role: 'viewer' });
    await p.api.post('/grants', { user: 'zhao', role: 'ops', app: 'web', env: 'prod' });
    await p.api.post('/grants', { user: 'zhao', role: 'tester', app: 'web' });
    assert.match(await p.cli.ok('user', 'ls'), /^zhao +ops@web\.prod, tester@web, viewer /m);
});

test('a new env is like another, and roles are changed at the command line', async () => {
    const person = await p.person('sun', 'developer', { app: 'web' });
    const deploys = async (env) => (await person.api.call('POST', `/apps/web/envs/${env}/ticks`, { set: [] })).status;
    assert.equal((await p.cli('env', 'add', 'odd', '--like', 'none')).code, 12);
    await p.cli.ok('env', 'add', 'qa', '--like', 'test');
    assert.match(await p.cli.ok('role', 'ls'), /^developer +qa +deploy,tick$/m);
    await p.cli.ok('env', 'add', 'stage');
    const order = async () => (await p.api.get('/envs')).items.map((row) => row.name).join(' ');
    assert.equal(await order(), 'dev test pre qa stage prod', 'the last env is still the last');
    await p.cli.ok('env', 'position', 'qa', '25');
    assert.equal(await order(), 'dev test qa pre stage prod');
    assert.deepEqual([await deploys('qa'), await deploys('stage')], [200, 403]);
    await p.cli.ok('role', 'allow', 'developer', 'tick', 'deploy', '-e', 'stage');
    assert.equal(await deploys('stage'), 200);
    await p.cli.ok('role', 'deny', 'developer', 'tick', '-e', 'stage');
    assert.equal(await deploys('stage'), 403);
    assert.match((await p.cli('role', 'deny', 'admin', 'admin')).err, /nobody who may administer.*\(state_conflict\)/);
    assert.equal((await person.api.call('PUT', '/roles/developer/rights', { permission: 'admin' })).status, 403);
    const { items } = await p.api.get('/audit?newest=1&limit=20');
    assert.deepEqual(items.filter((row) => row.subject === 'role:developer').map((row) => [row.kind, row.actor, row.data.permission, row.data.env]),
        [['role.denied', 'root', 'tick', 'stage'], ['role.allowed', 'root', 'deploy', 'stage'], ['role.allowed', 'root', 'tick', 'stage']]);
});

test('deploy and promote say when their source was built before; df says what fills the disk', async () => {
    assert.doesNotMatch(await p.cli.ok('deploy', '-a', 'web', '-e', 'dev'), /same source/);
    assert.match(await p.cli.ok('deploy', '-a', 'web', '-e', 'dev'), /^deploy of r2 to dev \(rollout \d+\) \(same source as build 1\)$/m);
    const df = await p.cli.ok('df');
    for (const row of [/^store +\d{4,} /m, /^repository web +\d{3,} /m, /^free \d+ MB of \d+ MB$/m, /^builds are refused below 256 MB free; each has a volume of 1024 MB at most$/m])
        assert.match(df, row);
});

test('a journal that could not be compared is not called whole', async () => {
    const done = await until(async () => {
        await p.kill('host');
        const typed = await p.cli('audit', 'verify');
        return typed.code !== 0 && typed;
    }, 20_000, 'verify is asked while host is away');
    assert.equal(done.code, 15, done.err);
    assert.match(done.out, /whether the tail is cut could not be told/);
    assert.match(done.err, /\(role_down\)/);
    await until(async () => (await p.cli('audit', 'verify')).code === 0, 20_000, 'host is back and the journal is whole');
});

test('the journal names who pushed, who made and deleted branches, and who signed out', async () => {
    const person = await p.person('li', 'ops');
    assert.equal((await web.pushAs(person.token, ['main:refs/heads/of-li'])).code, 0);
    await person.api.post('/apps/web/branches', { name: 'made-by-li' });
    await person.api.delete('/apps/web/branches?name=made-by-li');
    const { token } = await person.api.post('/tokens', { name: 'short' });
    await p.as(token).post('/logout');
    await person.api.post('/logout');
    const rows = await until(async () => {
        const { items } = await p.api.get('/audit?newest=1&limit=100');
        return items.some((row) => row.kind === 'repo.pushed' && row.actor === 'user:li') && items;
    }, 5000, 'the push is in the journal');
    const find = (kind) => rows.find((row) => row.kind === kind && row.actor.includes('li')) ?? assert.fail(`no ${kind}`);
    const tip = await web.repository.tip('main');
    assert.deepEqual(find('repo.pushed').data, { refs: [{ ref: 'refs/heads/of-li', old: '0'.repeat(40), new: tip }], count: 1 });
    assert.deepEqual(find('branch.created').data, { name: 'made-by-li', from: 'main', tip });
    assert.deepEqual([find('branch.deleted').data, find('branch.deleted').subject], [{ name: 'made-by-li' }, 'web']);
    assert.deepEqual([find('token.ended').actor, find('token.ended').data], ['token:li/short', { token: 'short' }]);
    assert.equal(find('session.ended').subject, 'user:li');
});
