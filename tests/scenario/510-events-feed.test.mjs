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

test('an administrator who is none any more learns nothing more of the installation', async () => {
    const second = await p.person('second', 'admin');
    const stream = await second.api.events('/events');
    const reading = stream[Symbol.asyncIterator]();
    const seen = [];
    const told = async (fits) => {
        do
            seen.push((await reading.next()).value.json);
        while (!fits(seen.at(-1)));
    };
    await p.root.post('/envs', { name: 'early', position: 60 });
    await told((event) => event.topic === 'journal' && JSON.stringify(event).includes('early'));
    await p.root.post('/grants', { user: 'second', role: 'viewer', app: 'web' });
    await p.root.delete('/grants', { user: 'second', role: 'admin' });
    await p.root.post('/envs', { name: 'late', position: 61 });
    await web.domains('dev', 'own.example');
    await told((event) => event.app === 'web');
    stream.close();
    assert.equal(JSON.stringify(seen).includes('late'), false);
});

test('an env without its app is refused, not ignored', async () => {
    const refused = await p.api.call('GET', '/events?env=dev&limit=1');
    assert.equal(refused.status, 422);
    assert.match(refused.text, /goes with 'app'/);
});

test('the feed is read in pages, too', async () => {
    const ids = [];
    for await (const event of p.api.pages('/events?app=web&limit=7')) {
        assert.equal(event.topic === 'gap' || event.app === 'web', true);
        ids.push(event.id);
    }
    assert.ok(ids.length > 7);
    assert.deepEqual(ids, [...new Set(ids)].sort((a, b) => a - b));
    const reply = await p.api.call('GET', '/events', undefined, { headers: { accept: 'application/json' } });
    assert.match(reply.headers['content-type'], /json/);
    const { last } = reply.json;
    assert.deepEqual(await p.api.get(`/events?after=${last}&limit=5`), { items: [], next: null, last });
});

test('much that is kept reaches who resumes, whole', async () => {
    const chatty = await p.app('chatty', 'server', { yaml: (text) => text.replace('  steps:\n', '  steps:\n    - {name: talk, run: seq 1000000 1300000}\n') });
    const { last } = await p.api.get('/events?limit=1');
    await chatty.build('dev');
    const pages = [];
    for await (const event of p.api.pages(`/events?app=chatty&after=${last}&limit=50`))
        pages.push(event.id);
    const stream = await p.root.events(`/events?app=chatty&after=${last}`);
    const seen = [];
    let text = '';
    await first(stream, (event) => {
        seen.push(event.json.id);
        text += event.json.topic === 'output' ? event.json.data.text ?? '' : '';
        return event.json.id === pages.at(-1);
    }, 20_000, 'all that is kept comes');
    stream.close();
    assert.deepEqual(seen, pages);
    assert.ok(text.length > 1_000_000, `${text.length} bytes of output`);
});

test('nobody without a token gets the feed', async () => {
    assert.equal((await p.anonymous().call('GET', '/events')).status, 401);
});
