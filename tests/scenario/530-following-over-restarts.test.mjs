// Who follows goes on when a role of the platform is killed: no line is missing, none comes twice. It ends,
// and not with 0, when the rights are gone.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { holds, platform, program, until } from '../lib/index.mjs';

let p, web;
const at = ['-a', 'web', '-e', 'dev'];
before(async () => {
    p = await platform();
    web = await p.app('web');
    await web.deploy('dev');
});
after(() => p?.stop());

// A command that goes on: {out, err, code (once it ended), signal(name), end()}.
function follow(words, env = { SLIPWAY_SETTINGS: p.settingsFile }, ids = {}) {
    const child = spawn(program('slipway'), words, { env: { PATH: '/usr/bin:/bin', ...env }, cwd: '/', ...ids });
    const state = { out: '', err: '', code: null, end: () => child.kill('SIGKILL'), signal: (name) => child.kill(name) };
    child.stdout.on('data', (part) => (state.out += part));
    child.stderr.on('data', (part) => (state.err += part));
    child.on('close', (code, signal) => (state.code = code ?? signal));
    return state;
}

const say = (...texts) => web.request('POST', 'dev', '/log', { body: texts.map((text) => `${text}\n`).join('') });
const shows = (state, text) => until(() => {
    assert.equal(state.code, null, `it ended: ${state.err}`);
    return state.out.includes(text);
}, 20_000, `'${text}' is shown`);
const numbers = (state) => [...state.out.matchAll(/ line (\d+)$/gm)].map((found) => Number(found[1]));

const many = (first_, count) => Array.from({ length: count }, (_, i) => `burst ${first_ + i} ${'x'.repeat(80)}`);
const bursts = (state) => [...state.out.matchAll(/ burst (\d+) /g)].map((found) => Number(found[1]));

test('a burst reaches logs -f whole', async () => {
    const state = follow(['logs', ...at, '-f', '--grep', 'burst']);
    await say('burst begins');
    await shows(state, 'burst begins');
    await say(...many(0, 20_000));
    await shows(state, ' burst 19999 ');
    state.end();
    assert.deepEqual(bursts(state), Array.from({ length: 20_000 }, (_, i) => i));
    assert.equal(state.err, '');
});

test('who sleeps through a flood is told what went by, and goes on', async () => {
    await say('before the sleep'); // the newest line: none of the burst before is shown again
    await until(async () => (await web.logs('dev', { grep: 'before the sleep' })).length, 20_000, 'it is read');
    const state = follow(['logs', ...at, '-f', '-n', '1']);
    await shows(state, 'before the sleep');
    state.signal('SIGSTOP');
    for (let part = 0; part < 4; part++)
        await say(...many(part * 20_000, 20_000));
    await until(async () => (await web.logs('dev', { grep: 'burst 79999 ' })).length, 20_000, 'the flood is read');
    state.signal('SIGCONT');
    await shows(state, ' burst 79999 ');
    state.end();
    const lost = [...state.err.matchAll(/(\d+) lines went by unseen/g)].reduce((sum, found) => sum + Number(found[1]), 0);
    assert.ok(lost > 0, state.err);
    assert.equal(bursts(state).length + lost, 80_000);
});

test('logs -f goes on over a kill of core and of signals', async () => {
    const state = follow(['logs', ...at, '-f', '--grep', 'line']);
    await say('line 1', 'line 2');
    await shows(state, 'line 2');
    await p.kill('core');
    await say('line 3');
    await shows(state, 'line 3');
    await until(() => p.ready(), 20_000, 'core is back');
    await say('line 4');
    await shows(state, 'line 4');
    await p.kill('signals');
    await say('line 5', 'line 6');
    await shows(state, 'line 6');
    await until(() => p.ready(), 20_000, 'signals is back');
    await say('line 7');
    await shows(state, 'line 7');
    await p.kill('signals');
    await p.kill('core');
    await say('line 8');
    await shows(state, 'line 8');
    state.end();
    assert.deepEqual(numbers(state), [1, 2, 3, 4, 5, 6, 7, 8], `${state.out}\n${state.err}`);
});

test('requests -f goes on, too', async () => {
    await until(() => p.ready(), 20_000, 'all is up');
    const state = follow(['requests', ...at, '-f', '-n', '1']);
    await web.get('dev', '/asked/first');
    await shows(state, '/asked/first');
    await p.kill('signals');
    await until(() => p.ready(), 20_000, 'signals is back');
    await until(async () => {
        await web.get('dev', '/asked/second');
        return state.out.includes('/asked/second');
    }, 20_000, 'it goes on');
    assert.equal(state.out.split('/asked/first').length, 2, state.out);
    state.end();
});

test('status -w and a deploy that is followed go on over a kill of core', async () => {
    const watching = follow(['status', ...at, '-w']);
    await shows(watching, 'r1 is live');
    await web.change('main', { 'switch/START_DELAY_MS': '2500' }, 'slow start');
    const deploying = follow(['deploy', ...at]);
    await shows(deploying, 'rollout 2');
    // both are in the middle of a question when it dies
    process.kill(p.pid('core'), 'SIGSTOP');
    await holds(() => watching.code === null && deploying.code === null, 1500, 'they wait for the answer');
    await p.kill('core');
    await until(() => deploying.code !== null, 60_000, 'the deploy ends');
    assert.equal(deploying.code, 0, deploying.err);
    assert.match(deploying.out, /r2 is live/);
    await shows(watching, 'r2 is live');
    watching.end();
});

test('when the right is gone, following ends, and not with 0', async () => {
    await p.person('reader', 'viewer', { app: 'web' });
    const home = `${p.dir}/home-reader`;
    const state = follow(['logs', ...at, '-f'], { HOME: home }, { uid: 65534, gid: 65534 });
    await say('seen by the reader');
    await shows(state, 'seen by the reader');
    await p.root.delete('/grants', { user: 'reader', role: 'viewer', app: 'web' });
    await say('not for the reader');
    await until(() => state.code !== null, 10_000, 'it ends');
    assert.equal(state.code, 12, state.err);
    assert.match(state.err, /no such app or env/);
    assert.doesNotMatch(state.out, /not for the reader/);
});

test('where nobody answers at the first call, it fails at once', async () => {
    const state = follow(['logs', ...at, '-f', '--server', 'http://127.0.0.1:1'], { SLIPWAY_TOKEN: 'x', HOME: '/' });
    await until(() => state.code !== null, 5000, 'it ends');
    assert.equal(state.code, 15);
});
