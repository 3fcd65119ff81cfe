// A program reads what the command line says: one JSON document on standard output, whatever happens; and
// every word that a person types is used or refused, none is passed over.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { platform, program, run } from '../lib/index.mjs';

let p, web, at;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => text.replace('  steps:\n', '  steps:\n    - {name: gate, run: test ! -e broken}\n') });
    await web.change('feature/a', { a: 'a' }, 'a');
    await web.change('feature/broken', { broken: 'yes' }, 'broken');
    at = ['-a', 'web', '-e', 'dev'];
});
after(() => p?.stop());

// Exactly one document; strict, so that a second one or a word beside it fails.
const one = (done) => {
    try {
        return JSON.parse(done.out);
    } catch (error) {
        throw new Error(`${error.message}: ${done.out.slice(0, 500)} | ${done.err.slice(0, 500)}`);
    }
};

test('before anything is released status says where it will be', async () => {
    const shown = await p.cli.ok('status', ...at);
    assert.match(shown, /nothing is live in dev; a release will be at http/);
    assert.ok(shown.includes(`http://web.dev.localhost:${p.ports.http}/`) && shown.includes(`https://web.dev.localhost:${p.ports.https}/`), shown);
});

test('each verb answers a program with one JSON document', async () => {
    const verbs = [
        [['app', 'create', 'second']], [['app', 'ls']], [['app', 'show', 'web']], [['app', 'remove', 'second']],
        [['forge', 'set', 'corp', 'git', 'https://git.example.org', { input: 'token' }]], [['forge', 'ls']], [['forge', 'projects', 'corp'], true], [['forge', 'rm', 'corp']], [['app', 'origin', 'web'], true], [['app', 'fetch', 'web'], true],
        [['env', 'ls']], [['env', 'add', 'stage']], [['env', 'domains', 'own.example', ...at]],
        [['branch', 'ls', '-a', 'web']], [['branch', 'new', 'feature/new', '-a', 'web']], [['branch', 'rm', 'feature/new', '-a', 'web']],
        [['branch', 'conflicts', ...at]], [['branch', 'conflicts', 'feature/a', ...at]], [['env', 'purpose', 'stage', 'to look at']], [['env', 'policy', 'stage', 'skip']], [['env', 'culprits', 'stage', 'always']], [['env', 'automation', 'click', ...at]],
        [['branch', 'show', 'feature/a', '-a', 'web']], [['branch', 'tick', 'feature/a', 'feature/b', ...at]], [['branch', 'order', 'feature/b', 'feature/a', ...at]], [['branch', 'untick', 'feature/a', 'feature/b', ...at]],
        [['branch', 'resolve', 'conflict/left', 'conflict/right', '-a', 'web']], [['branch', 'resolutions', '-a', 'web']], [['branch', 'fold', 'resolve/conflict/left+conflict/right', 'conflict/left', '-a', 'web'], true],
        [['branch', 'drop', 'resolve/conflict/left+conflict/right', '-a', 'web']], [['culprits', ...at], true], [['culprits', 'cancel', '1', ...at], true],
        [['try', 'new', 'feature/a', '-a', 'web', '--no-wait']], [['try', 'ls']], [['try', 'extend', 'try-1', '-a', 'web', '--hours', '3']], [['try', 'end', 'try-1', '-a', 'web']],
        [['land', 'plan', '-a', 'web']], [['land', 'ls', '-a', 'web']], [['land', '-a', 'web'], true], [['land', 'cancel', '1', '-a', 'web'], true], [['land', 'rebuild', '-a', 'web']], [['hotfix', 'new', 'typo', '-a', 'web'], true],
        [['tick', 'feature/a', ...at]], [['plan', ...at]], [['build', ...at]], [['build', '--no-wait', ...at]], [['logs', 'build', '1', ...at]],
        [['deploy', ...at]], [['deploy', '1', ...at]],
        [['finding', 'new', 'wrong', 'in words', ...at]], [['finding', 'ls', '-a', 'web']], [['finding', 'who', 'a', ...at]], [['finding', 'note', '1', 'hm', '-a', 'web']], [['finding', 'close', '1', '-a', 'web']], [['finding', 'show', '1', '-a', 'web']], [['env', 'gate', 'stage', 'high']],
        [['untick', 'feature/a', ...at]], [['deploy', '--no-wait', ...at]], [['cancel', ...at], true],
        [['status']], [['status', ...at]], [['history', ...at]], [['history', 'releases', ...at]], [['history', 'builds', ...at]],
        [['promote', 'dev', 'test', '-a', 'web']], [['plan', 'promote', 'dev', 'test', '-a', 'web']], [['rollback', 'r1', ...at], true], [['plan', 'stop', ...at]], [['stop', ...at], true],
        [['compare', 'web', 'dev/1', 'test/1']], [['figures', '--days', '7']],
        [['logs', ...at]], [['requests', ...at]], [['top']], [['top', ...at, '--since', '5m']],
        [['config', 'show', ...at]], [['secret', 'set', 'NAME', ...at, { input: 'value' }]], [['secret', 'ls', ...at]], [['secret', 'rm', 'NAME', ...at]],
        [['user', 'add', 'somebody']], [['user', 'ls']], [['user', 'reset', 'somebody']], [['user', 'grant', 'somebody', '--role', 'viewer']],
        [['user', 'revoke', 'somebody', '--role', 'viewer']], [['user', 'remove', 'somebody']], [['role', 'ls']], [['role', 'allow', 'viewer', 'tick', '-e', 'stage']], [['role', 'deny', 'viewer', 'tick', '-e', 'stage']],
        [['audit']], [['audit', 'verify']], [['df']], [['doctor']], [['debug', 'dump']], [['debug', 'faults']], [['debug', 'fault', 'core', 'no.such.point'], true], [['version']],
    ];
    const known = (await p.cli('help')).out.split('\n').map((line) => /^ {2}([a-z-]+) {2,}\S/.exec(line)?.[1]).filter(Boolean);
    for (const [words, mayFail] of verbs) {
        const options = typeof words.at(-1) === 'object' ? words.pop() : {};
        const done = await p.cli(...words, '-o', 'json', options);
        const name = words.join(' ');
        assert.ok(done.code === 0 || mayFail, `${name}: ${done.code} ${done.out} ${done.err}`);
        assert.equal(typeof one(done), 'object', name);
    }
    const tried = new Set(verbs.map(([words]) => words[0]));
    // these sign in (620), mint secrets for a person, or speak another program's language
    const elsewhere = ['setup', 'login', 'logout', 'token', 'git-credential', 'completion'];
    assert.deepEqual(known.filter((verb) => !tried.has(verb) && !elsewhere.includes(verb)), []);
    const person = await p.person('programmer', 'developer');
    for (const words of [['token', 'new', 'ci'], ['token', 'ls'], ['token', 'rm', 'ci'], ['logout']])
        one(await person.cli(...words, '-o', 'json'));
});

test('what a program does not ask for is for people', async () => {
    assert.equal(await p.cli.ok('env', 'domains', 'own.example', ...at), 'web.dev.localhost\nown.example\n');
    const started = await p.cli.ok('build', '--no-wait', ...at);
    assert.match(started, /^build b\d+ of [0-9a-f]{9}.*\nit has started: 'slipway logs build \d+ -e dev -f'/);
});

test('a failure is one JSON document, too', async () => {
    await web.ticks('dev', 'feature/broken');
    const failed = await p.cli('deploy', ...at, '-o', 'json');
    assert.notEqual(failed.code, 0);
    assert.equal(one(failed).state, 'failed');
    assert.match(failed.err, /the rollout is failed/);
    const refused = await p.cli('deploy', 'r99', ...at, '-o', 'json');
    assert.equal(one(refused).error, 'not_found');
    const misspelt = await p.cli('deploy', '--bogus', '-o', 'json');
    assert.equal(misspelt.code, 2);
    assert.equal(one(misspelt).error, 'usage');
});

test('the program and the page agree: progress of a program goes to standard error', async () => {
    await web.ticks('dev');
    const done = await p.cli('deploy', ...at, '-o', 'json');
    assert.equal(one(done).state, 'done');
    assert.match(done.err, /^ {2}ok +.+ \d+\.\d\d s$/m);
    const said = await p.cli('deploy', ...at);
    assert.match(said.out, /^ {2}ok +.+ \d+\.\d\d s$/m);
    assert.equal(said.err, '');
});

test('status shows what is live, what is ticked and not live yet, and the address that works', async () => {
    await web.ticks('dev', 'feature/a');
    await web.deploy('dev');
    await web.change('feature/b', { b: 'b' }, 'b');
    await web.ticks('dev', 'feature/b');
    const shown = await p.cli.ok('status', ...at);
    const live = (await web.status('dev')).live_release;
    assert.ok(shown.includes(`r${live} is live at http://web.dev.localhost:${p.ports.http}/ and https://web.dev.localhost:${p.ports.https}/`), shown);
    assert.match(shown, /^branches: feature\/a$/m);
    assert.match(shown, /^ticked, not live yet: feature\/b$/m);
    const row = (await p.cli.ok('status')).split('\n').find((line) => /web +dev /.test(line));
    assert.match(row, /feature\/a +feature\/b/);
});

test('every word is used or refused', async () => {
    const plan = await p.cli.ok('plan', 'rollback', 'r1', ...at);
    assert.match(plan, /r1\b/);
    assert.doesNotMatch(plan, /r2\b.*start/);
    const promoted = await p.cli.ok('plan', 'promote', 'dev', 'pre', '-a', 'web');
    assert.ok(promoted.length > 0);
    assert.match(await p.cli.ok('plan', 'deploy', '1', ...at), /r1\b/);
    for (const words of [['rollback', 'r1', 'r2', ...at], ['deploy', 'r1', 'r2', ...at], ['plan', 'rollback', 'r1', 'r2', ...at], ['plan', 'nothing', ...at], ['plan', 'stop', 'r1', ...at], ['plan', 'promote', 'dev', '-a', 'web'],
        ['promote', 'dev', 'test', 'pre', '-a', 'web'], ['status', 'dev', '-a', 'web'], ['branch', 'ls', 'feature', '-a', 'web'], ['app', 'ls', 'web'], ['cancel', '1', '2', ...at],
        ['audit', 'verfy'], ['logs', 'web', ...at], ['env', 'add', 'one', 'two'], ['env', 'certificate', 'one', 'two'], ['top', 'web'], ['history', 'builds', 'more', ...at], ['user', 'ls', 'x']]) {
        const done = await p.cli(...words);
        assert.equal(done.code, 2, `${words.join(' ')}: ${done.code} ${done.out}${done.err}`);
        assert.match(done.err, /usage/);
    }
});

test('a list that is cut says so, and goes on', async () => {
    const page = await p.cli('history', 'builds', ...at, '-n', '2');
    const after_ = /^there are more: .*--after (\d+) goes on$/m.exec(page.err)[1];
    const next = await p.cli.ok('history', 'builds', ...at, '-n', '2', '--after', after_);
    assert.equal(next.split('\n')[1].trim().split(/ +/)[0], String(Number(after_) - 1));
    assert.match((await p.cli('audit', '-n', '3')).err, /^there are more: .*--after \d+ goes on$/m);
    assert.equal((await p.cli('history', 'builds', ...at, '-n', '1000')).err, '');
});

test('completion offers branches, and not the line that says there are more', async () => {
    const script = await p.cli.ok('completion', 'bash');
    const typed = `${script}\nslipway() { '${program('slipway')}' "$@" -a web; }\nCOMP_WORDS=(slipway tick '') COMP_CWORD=2\n_slipway\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
    const offered = (await run('/bin/bash', ['-c', typed], { env: { SLIPWAY_SETTINGS: p.settingsFile } })).out.trim().split('\n');
    const branches = (await p.api.get('/apps/web/branches?limit=1000')).items.map((branch) => branch.name);
    assert.ok(branches.includes('feature/broken'));
    assert.deepEqual(offered.sort(), branches.sort());
});

test('on a terminal a step that runs shows its seconds in place; elsewhere there are plain lines', async () => {
    await web.ticks('dev');
    await web.change('main', { 'slipway.yaml': (await web.repository.git('show', 'main:slipway.yaml')).replace('test ! -e broken', 'sh -c "echo the oven is hot; sleep 3"') }, 'slow');
    const command = [program('slipway'), 'deploy', ...at].join(' ');
    const typed = await run('/usr/bin/script', ['-qec', command, '/dev/null'], { env: { SLIPWAY_SETTINGS: p.settingsFile, TERM: 'xterm' } });
    assert.equal(typed.code, 0, typed.out);
    assert.match(typed.out, /\r\x1b\[K {2}\.\.\. {3}[^\r\n]* 2 s {2}\| the oven is hot/);
    assert.match(typed.out, /\r\x1b\[K {2}ok /);
    const plain = await p.cli('deploy', ...at);
    assert.equal(plain.code, 0, plain.err);
    assert.doesNotMatch(plain.out, /[\r\x1b]|\.\.\./);
});
