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

test('who asked for what', async () => {
    await web.get('test', '/id?asked=this');
    const row = await until(async () => (await p.api.get(`${P}/requests?limit=1000`)).lines.find((line) => JSON.stringify(line).includes('asked=this') || JSON.stringify(line).includes('/id')), 10_000, 'the request is logged');
    assert.match(JSON.stringify(row), /GET/);
    assert.match(JSON.stringify(row), /200/);
    assert.match(JSON.stringify(row), /web\.test\.r1\.[12]/);
});

test('requests are followed', async () => {
    const stream = await p.api.events(`${P}/requests?follow=1`);
    const wanted = first(stream, (event) => event.data.includes('/slow'), 15_000, 'the request comes');
    await web.get('test', '/slow?ms=1');
    await wanted;
    stream.close();
});

test('top counts what the client counted, and errors', async () => {
    const load = await web.load('test', { rate: 100 }).flowing(100);
    await load.stop();
    await web.get('test', '/no-such-page');
    const top = await until(async () => {
        const text = JSON.stringify(await p.api.get(`${P}/top?seconds=60`));
        return /"requests":\s*[1-9]/.test(text) && text;
    }, 10_000, 'top tells of requests');
    assert.ok(top.length > 2);
    assert.match(JSON.stringify(await p.api.get('/top?seconds=60')), /web\.test/);
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
    assert.match(await p.cli.ok('logs', '-a', 'web', '-e', 'test', '--grep', 'followed'), /followed/);
    assert.match(await p.cli.ok('requests', '-a', 'web', '-e', 'test'), /GET/);
    assert.equal((await p.cli('top', '-a', 'web', '-e', 'test')).code, 0);
});

test('signals is killed: lines written meanwhile are not lost', async () => {
    await p.kill('signals');
    await say('written while signals was away\n');
    await until(() => p.ready(), 20_000, 'signals is back');
    await lines('written while signals was away');
});
