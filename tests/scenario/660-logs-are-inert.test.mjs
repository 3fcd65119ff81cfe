// What apps, builds and commits say is text for people: nothing of it may steer a terminal or a page, and
// nothing of it is a template. Rows B075, B015.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { oracles, platform, until } from '../lib/index.mjs';

const LINES = ['<img src=x onerror=alert(1)>', '</script><script>alert(1)</script>', '\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\', '\x1b]52;c;ZXZpbA==\x07', '\x1b[2Jwiped', '\x1b[31mred\x1b[0m', 'over\u202ewrite', 'c1 \x9b2J', 'bell\x07', 'back\b\b\bspace', 'cr\rover', '${{7*7}} #{T(x)} {{x}} %n%s %s%n'];

let p, o, web;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { files: { 'loud.txt': `${LINES.join('\n')}\n` }, yaml: (text) => text.replace('  steps:\n', '  steps:\n    - {name: loud, run: [cat, loud.txt]}\n') });
    await web.deploy('dev');
    o = await oracles(p);
});
after(async () => {
    await o?.close();
    await p?.stop();
});

// Not a byte that steers a terminal; colour is only kept on one.
function inert(text, what) {
    assert.doesNotMatch(text, /[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe]/, what);
}

test('B075: output of instances is JSON by the API and inert text at the command line', async () => {
    for (const line of LINES)
        await web.request('POST', 'dev', '/log', { body: `marked ${line}\n` });
    await web.request('POST', 'dev', '/log', { body: Buffer.from([0x6d, 0x61, 0x72, 0x6b, 0x65, 0x64, 0x20, 0xff, 0xfe, 0xc3, 0x28, 0x0a]) });
    const lines = await until(async () => {
        const seen = await web.logs('dev', { grep: 'marked' });
        return seen.length >= LINES.length + 1 && seen;
    }, 20_000, 'all lines are there');
    assert.ok(lines.some((line) => line.text.includes('<img src=x onerror=alert(1)>')));
    assert.ok(lines.some((line) => line.text.includes('${{7*7}} #{T(x)} {{x}} %n%s %s%n')));
    const reply = await p.api.call('GET', '/apps/web/envs/dev/logs?grep=marked&limit=1000');
    assert.match(reply.headers['content-type'], /^application\/json/);
    assert.equal(reply.headers['x-content-type-options'], 'nosniff');
    assert.doesNotMatch(reply.text, /[\x00-\x08\x0b-\x1f]/);
    const shown = await p.cli('logs', '-a', 'web', '-e', 'dev', '--grep', 'marked', '-n', '1000');
    assert.equal(shown.code, 0, shown.err);
    assert.match(shown.out, /<img src=x onerror=alert\(1\)>/);
    inert(shown.out, 'slipway logs');
    await o.check({ audit: 0 });
});

test('B075: a line of 10 MB is cut and said to be', async () => {
    for (let i = 0; i < 3; i++)
        await web.request('POST', 'dev', '/log', { body: `${'long '.repeat(700_000)}` });
    await web.request('POST', 'dev', '/log', { body: '\nafter the long one\n' });
    const [line] = await until(async () => {
        const seen = await web.logs('dev', { grep: 'after the long one' });
        return seen.length > 0 && seen;
    }, 30_000, 'the line after it is there');
    assert.equal(line.text, 'after the long one');
    assert.ok((await p.api.call('GET', '/apps/web/envs/dev/logs?limit=1000')).bytes.length < 4 << 20);
    await o.check({ audit: 0 });
});

test('B075: output of a build, names and subjects are inert too', async () => {
    const shown = await p.cli('logs', 'build', '1', '-a', 'web', '-e', 'dev');
    assert.equal(shown.code, 0, shown.err);
    assert.match(shown.out, /<\/script><script>/);
    inert(shown.out, 'slipway logs build');
    await web.change('feature/<script>alert(1)</script>', { x: 'y' }, 'subject \x1b]52;c;ZXZpbA==\x07\x1b[2J\u202e <img src=x onerror=alert(1)> %s%n');
    for (const words of [['branch', 'ls', '-a', 'web'], ['status', '-a', 'web', '-e', 'dev'], ['history', 'builds', '-a', 'web', '-e', 'dev'], ['audit']]) {
        const done = await p.cli(...words);
        assert.equal(done.code, 0, done.err);
        inert(done.out + done.err, words.join(' '));
    }
    const done = await p.cli('app', 'show', 'x\x1b]0;evil\x07\x1b[2J', 'y');
    inert(done.out + done.err, 'an error that repeats a word');
    await o.check({ audit: { 'repo.pushed': 1 } });
});

test('B075: branches and files that steer are inert wherever they are named: deploy, plan, tick, doctor, audit', async () => {
    const names = ['c1\u009b2Jx', 'bidi\u202ex'], file = 'li\u202en\u009bes';
    for (const name of names)
        await web.change(name, { [file]: `${name}\n` });
    const at = ['-a', 'web', '-e', 'dev'];
    const outputs = [];
    await p.root.put('/envs/dev', { policy: 'stop' });
    for (const [words, good, told] of [
        [['tick', ...names, ...at], true, /c12Jx.*bidix/s], [['deploy', ...at], false, /bidix.*c12Jx.*lines/s], [['plan', ...at], false, /bidix.*c12Jx/s], [['build', ...at], false, /bidix.*c12Jx/s],
        [['branch', 'conflicts', ...at], true, /bidix.*c12Jx.*lines/s], [['branch', 'ls', '-a', 'web'], true, /bidix/], [['status'], true, /bidix/], [['status', ...at], true, /web in dev/], [['doctor'], true, /role host/], [['audit', '-n', '1000'], true, /bidi/],
        [['tick', `no\u009bsuch\u202e`, ...at], false, /nosuch/], [['branch', 'new', `new\u009b2J\u202e`, '-a', 'web'], true, /created new2J/], [['branch', 'rm', `new\u009b2J\u202e`, '-a', 'web'], true, /^$/],
        [['untick', names[0], ...at], true, /bidix/], [['deploy', ...at], true, /route all traffic/], [['history', 'releases', ...at], true, /bidix/], [['config', 'show', ...at, '--ref', names[1]], true, /run/],
    ])
        for (const more of [[], ['-o', 'json']]) {
            if (more.length && ['deploy', 'build', 'branch', 'untick'].includes(words[0]) && good)
                continue; // it is done
            const done = await p.cli(...words, ...more);
            const what = [...words, ...more].join(' ');
            assert.equal(done.code === 0, good, `${what}: ${done.out}${done.err}`);
            inert(done.out + done.err, what);
            if (more.length && done.out) // nothing is lost: the escapes read back
                assert.doesNotThrow(() => JSON.parse(done.out), what);
            else
                assert.match(done.out + done.err, told, what);
            outputs.push(done.out, done.err);
        }
    const { ticks } = await p.cli.ok('status', ...at, '-o', 'json');
    assert.deepEqual(ticks.map((row) => row.branch), [names[1]]);
    for (const path of ['/apps/web/branches?limit=1000', '/apps/web/envs/dev', '/apps/web/envs/dev/releases', '/audit?newest=1&limit=1000'])
        inert((await p.api.call('GET', path)).text, path);
    await o.check({ audit: { 'env.changed': 1, 'repo.pushed': 2, 'branch.created': 1, 'branch.deleted': 1, 'ticks.changed': 3, 'build.queued': 1, 'rollout.started': 1, 'build.running': 1, 'build.done': 1, 'rollout.done': 1 }, outputs });
});
