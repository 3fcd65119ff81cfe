// One feed tells all that happens, to those who may know; whoever was away goes on where they stopped.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { first, platform } from '../lib/index.mjs';

let p, web, other, reader;
before(async () => {
    p = await platform();
    web = await p.app('web', 'server', { yaml: (text) => text.replace('  steps:\n', '  steps:\n    - {name: greet, run: echo hello}\n') });
    other = await p.app('other');
    reader = await p.person('reader', 'viewer', { app: 'web' });
});
after(() => p?.stop());

test('a deploy is told from its start to its end, in order', async () => {
    const stream = await p.api.events('/events?app=web');
    const seen = [];
    const end = first(stream, (event) => {
        seen.push(event);
        return event.json?.topic === 'rollout' && event.json.data.state === 'done';
    }, 60_000, 'the rollout is told done');
    await web.deploy('dev');
    await end;
    stream.close();
    const topics = new Set(seen.map((event) => event.json.topic));
    for (const topic of ['journal', 'build', 'output', 'rollout', 'instance'])
        assert.ok(topics.has(topic), `${topic} of ${[...topics].join()}`);
    const ids = seen.map((event) => Number(event.id));
    assert.deepEqual(ids, [...ids].sort((a, b) => a - b));
    assert.ok(seen.every((event) => event.json.app === 'web' && event.json.env === 'dev'));
});

test('after=ID goes on from there, nothing twice, nothing left out', async () => {
    const read = async (after, count) => {
        const stream = await p.api.events(`/events?app=web&after=${after}`);
        const ids = [];
        await first(stream, (event) => ids.push(event.id) === count, 10_000, `${count} events`);
        stream.close();
        return ids;
    };
    const [start, ...rest] = await read(1, 8);
    assert.deepEqual(await read(start, 7), rest);
});

test('a person sees the apps they may see, and nothing of others', async () => {
    const stream = await reader.api.events('/events');
    const seen = [];
    const mine = first(stream, (event) => {
        seen.push(event.json);
        return event.json?.topic === 'rollout' && event.json.data.state === 'done';
    }, 60_000, 'the rollout of web is told');
    await other.deploy('dev');
    await web.deploy('dev');
    await mine;
    stream.close();
    assert.equal(seen.some((event) => event?.app === 'other'), false);
});

test('when the right is taken away the stream tells nothing more', async () => {
    const stream = await reader.api.events('/events');
    const seen = [];
    const reading = (async () => {
        for await (const event of stream)
            seen.push(event.json);
    })();
    await p.api.delete('/grants', { user: 'reader', role: 'viewer', app: 'web' });
    await web.deploy('test');
    stream.close();
    await reading;
    assert.equal(seen.some((event) => event?.env === 'test'), false);
});

test('nobody without a token gets the feed', async () => {
    assert.equal((await p.anonymous().call('GET', '/events')).status, 401);
});
