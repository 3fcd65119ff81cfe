// What do the instances say, who asked for what, and how much of it? Read and followed; of instances that
// are gone too.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { first, platform, until } from '../lib/index.mjs';

const P = '/apps/web/envs/test';
let p, web;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => text.replace(/^envs:/m, 'keep_warm: 0s\n\nenvs:') });
    await web.deploy('test');
});
after(() => p?.stop());

const say = (text) => web.request('POST', 'test', '/log', { body: text });
const lines = (grep) => until(async () => {
    const found = await web.logs('test', { grep });
    return found.length && found;
}, 10_000, `a line with ${grep}`);

test('a line that an instance writes has its release and its instance', async () => {
    await say('the first line\nthe second line\n');
    const [line] = await lines('the first line');
    assert.equal(line.release, 1);
    assert.match(line.instance, /^web\.test\.r1\.[12]$/);
    assert.equal(line.stream, 'stdout');
    assert.equal((await lines('the second line'))[0].text, 'the second line');
});

test('logs are followed while they are written', async () => {
    const stream = await p.api.events(`${P}/logs?follow=1`);
    const wanted = first(stream, (event) => event.json?.text?.includes('followed'), 15_000, 'the followed line comes');
    await say('followed\n');
    assert.equal((await wanted).json.release, 1);
    stream.close();
});

test('a burst of lines reaches who follows them, all of it and in order', async () => {
    const count = 20_000;
    const stream = await p.api.events(`${P}/logs?follow=1&grep=burst`);
    const seen = [];
    const all = first(stream, (event) => {
        if (event.event !== 'begin')
            seen.push(event.event === 'line' ? Number(event.json.text.split(' ')[1]) : event);
        return seen.length >= count;
    }, 60_000, 'the whole burst comes');
    await say(Array.from({ length: count }, (_, i) => `burst ${i} ${'x'.repeat(80)}\n`).join(''));
    await all;
    stream.close();
    assert.deepEqual(seen, Array.from({ length: count }, (_, i) => i));
});

test('who stops reading is told how much went by, and goes on', { timeout: 90_000 }, async () => {
    const count = 80_000;
    // the machine's own socket holds little for a reader that sleeps
    const stream = await p.root.events(`${P}/logs?follow=1`);
    const reading = stream[Symbol.asyncIterator]();
    await say('the reader is there\n');
    while ((await reading.next()).value.json.text !== 'the reader is there')
        continue;
    stream.response.pause();
    for (let part = 0; part < 4; part++)
        await say(Array.from({ length: count / 4 }, (_, i) => `sleeper ${part * count / 4 + i} ${'x'.repeat(80)}\n`).join(''));
    await lines(`sleeper ${count - 1} `);
    let seen = 0, lost = 0;
    const newest = new Map(); // by instance: each has a file of its own
    while (seen + lost < count) {
        const { value: event } = await reading.next();
        if (event.event === 'gap')
            lost += event.json.lost;
        if (event.event !== 'line')
            continue;
        const number = Number(event.json.text.split(' ')[1]);
        assert.ok(number > (newest.get(event.json.instance) ?? -1), `lines keep their order: ${event.data}`);
        newest.set(event.json.instance, number);
        seen++;
    }
    stream.close();
    assert.ok(lost > 0);
    assert.equal(seen + lost, count);
});

test('who asked for what', async () => {
    for (let i = 0; i < 5; i++)
        await web.get('test', `/asked/${i}?in=secret`);
    await web.get('test', '/headers');
    await web.request('POST', 'test', '/asked/5', { body: 'x' });
    const rows = await until(async () => {
        const found = (await p.api.get(`${P}/requests?limit=1000`)).lines.filter((row) => /asked|headers/.test(row.path));
        return found.length === 7 && found;
    }, 10_000, 'the requests are logged');
    assert.deepEqual(rows.map((row) => `${row.method} ${row.path} ${row.status}`).sort(),
        [...[0, 1, 2, 3, 4].map((i) => `GET /asked/${i} 404`), 'GET /headers 200', 'POST /asked/5 404'].sort());
    for (const row of rows) {
        assert.match(row.instance, /^web\.test\.r1\.[12]$/);
        assert.equal(row.release, 1);
        assert.equal(row.client, '127.0.0.1');
        assert.ok(row.us > 0 && row.at > Date.now() - 60_000);
    }
});

test('requests are followed', async () => {
    const stream = await p.api.events(`${P}/requests?follow=1`);
    const wanted = first(stream, (event) => event.data.includes('/slow'), 15_000, 'the request comes');
    await web.get('test', '/slow?ms=1');
    await wanted;
    stream.close();
});

// All that top counts for web.test in the last hour.
const counted = async () => (await p.api.get(`${P}/top?seconds=3600`)).app_envs['web.test'];
const settled = () => until(async () => {
    const before = await counted();
    await web.get('test', '/id');
    return until(async () => {
        const now = await counted();
        return now.sum.requests === before.sum.requests + 1 && now;
    }, 3000, 'one request more is counted as one');
}, 20_000, 'the counts have settled');

test('top counts what the client counted, and errors', async () => {
    const before = await settled();
    const load = await web.load('test', { rate: 100 }).flowing(100);
    const summary = await load.stop();
    await web.get('test', '/no-such-page'); // the asker's mistake is no error of the app
    const instances = (await web.status('test')).instances.map((row) => row.name);
    const now = await until(async () => {
        const found = await counted();
        return found.sum.requests - before.sum.requests >= summary.ok + summary.lost + 1 && found;
    }, 10_000, 'top counts as many requests');
    assert.equal(now.sum.requests - before.sum.requests, summary.ok + 1, JSON.stringify(summary));
    assert.equal(summary.lost, 0);
    assert.equal(now.sum.errors, before.sum.errors);
    assert.equal(now.releases[1].requests, now.sum.requests);
    assert.equal(now.seconds.reduce((sum, second) => sum + second.requests, 0), now.sum.requests);
    assert.ok(now.sum.us_max * now.sum.requests >= now.sum.us_sum && now.sum.us_sum > 0);
    assert.equal(instances.length, 2);
    assert.deepEqual((await p.api.get('/top?seconds=3600')).app_envs['web.test'].sum.requests, now.sum.requests);
});

test('top shows each person what they may see', async () => {
    const viewer = await p.person('viewer', 'viewer', { app: 'web' });
    const stranger = await p.person('stranger', 'viewer', { app: 'other' }).catch(() => null)
        ?? await p.person('outsider');
    assert.deepEqual(Object.keys((await viewer.api.get('/top')).app_envs), ['web.test']);
    assert.deepEqual(Object.keys((await stranger.api.get('/top')).app_envs), []);
    assert.match(await viewer.cli.ok('top', '--since', '1h'), /REQUESTS\/1h[^]*web\.test +[1-9]/);
    const wrong = await viewer.cli('top', '--since', '2h');
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /hour/);
});

test('more lines than one answer holds are shown in pages', async () => {
    await say(Array.from({ length: 9000 }, (_, i) => `page ${i}\n`).join(''));
    await lines('page 8999');
    const shown = (await p.cli.ok('logs', '-a', 'web', '-e', 'test', '-n', '8500', '--grep', 'page ')).trim().split('\n');
    assert.equal(shown.length, 8500);
    assert.match(shown[0], / page 500$/);
    assert.match(shown.at(-1), / page 8999$/);
});

test('the output of instances that are gone is kept', async () => {
    await say('said before the end\n');
    await lines('said before the end');
    await web.deploy('test');
    await until(async () => (await web.status('test')).instances.every((row) => row.release === 2), 20_000, 'r1 is gone');
    assert.equal((await lines('said before the end'))[0].release, 1);
    assert.ok((await web.logs('test', { release: 1, grep: 'stopped: counted' })).length >= 2);
});

test('the command line shows the same', async () => {
    await say('shown at the command line\n');
    await lines('shown at the command');
    assert.match(await p.cli.ok('logs', '-a', 'web', '-e', 'test', '--grep', 'shown at'), /shown at the command line\n$/);
    assert.match(await p.cli.ok('requests', '-a', 'web', '-e', 'test'), /GET/);
    assert.equal((await p.cli('top', '-a', 'web', '-e', 'test')).code, 0);
});

test('signals is killed: lines written meanwhile are not lost', async () => {
    await p.kill('signals');
    await say('written while signals was away\n');
    await until(() => p.ready(), 20_000, 'signals is back');
    await lines('written while signals was away');
});
