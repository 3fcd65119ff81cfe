// A webhook is a hint and a fetch is the truth: who is not who he says is turned away and counted; the same word twice,
// a thousand times, a day later, or the old one last, ends where the branches are. A storm of ten thousand deliveries on a
// hundred branches: the newest commit of each is live, built once, and core has not grown.
import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { forgeNew, platform, request, rss, until } from '../lib/index.mjs';

const BRANCHES = 100, ROUNDS = 5, DELIVERIES = 10_000, AT_ONCE = 48;
let p, forge, project, shop, secret;
before(async () => {
    p = await platform({ settings: { forge_networks: '127.0.0.0/8' } });
    forge = await forgeNew('github', { dir: `${p.dir}/forge` });
    project = await forge.project('team/shop');
    await p.api.put('/forges', { name: 'hub', kind: 'github', url: forge.url, token: 'secret-token' });
    shop = await p.appOf('shop', forge, project);
    await until(() => project.hooks.length, 10_000, 'the webhook is made');
    forge.dropDeliveries = true; // from here on the test delivers
    secret = project.hooks[0].secret;
});
after(async () => {
    await forge?.close();
    await p?.stop();
});

const origin = () => p.api.get('/apps/shop/origin');
const sign = (body, key = secret) => `sha256=${createHmac('sha256', key).update(body).digest('hex')}`;
const bodyOf = (push) => JSON.stringify({ ...push, repository: { full_name: 'team/shop' }, commits: [] });
const send = (body, headers, app = 'shop') =>
    request({ port: p.ports.api }, 'POST', `/api/v1/hooks/${app}`, { body, headers: { 'content-type': 'application/json', 'x-github-event': 'push', ...headers } });
const deliver = (body, id = randomUUID()) => send(body, { 'x-github-delivery': id, 'x-hub-signature-256': sign(body) });

test('who has not the secret is turned away, whatever he sends, and is counted', async () => {
    const body = bodyOf({ ref: 'refs/heads/main' }), right = sign(body);
    await p.appOf('cart', forge, await forge.project('team/cart'), { fixture: null });
    const others = (await p.api.get('/apps/cart/origin/hook')).secret;
    const sha1 = `sha1=${createHmac('sha1', secret).update(body).digest('hex')}`;
    const bad = [
        {}, { 'x-hub-signature': sha1 }, { 'x-hub-signature-256': sha1 }, { 'x-hub-signature-256': sign(body, others) }, { 'x-hub-signature-256': right.slice(0, -1) },
        { 'x-hub-signature-256': right.toUpperCase() }, { 'x-hub-signature-256': '' }, { 'x-gitlab-token': 'guess' }, { 'x-gitlab-token': '' }, { 'x-gitea-signature': '00' },
    ];
    for (const headers of bad)
        assert.equal((await send(body, headers)).status, 401, JSON.stringify(headers));
    assert.equal((await send(`${body} `, { 'x-hub-signature-256': right })).status, 401, 'a byte more');
    assert.equal((await send(body.replace('main', 'mail'), { 'x-hub-signature-256': right })).status, 401, 'a byte changed');
    for (const app of ['nobody', 'Not-A-Name', '..%2f'])
        assert.ok([401, 404].includes((await send(body, { 'x-hub-signature-256': right }, app)).status), app);
    assert.equal((await send(body, { 'x-hub-signature-256': right })).status, 202);
    assert.equal((await origin()).refused, bad.length + 2);
    const large = 'x'.repeat(1024 * 1024 + 1);
    assert.equal((await send(large, { 'x-hub-signature-256': sign(large) }).catch(() => ({ status: 413 }))).status, 413);
});

test('the same delivery a thousand times, all at once, is one', async () => {
    const before = await origin(), fetches = forge.requests.length;
    const body = bodyOf({ ref: 'refs/heads/feature/a' }), id = randomUUID();
    const answers = await Promise.all(Array.from({ length: 1000 }, () => deliver(body, id)));
    const count = (status) => answers.filter((answer) => answer.status === status).length;
    assert.equal(count(202), 1);
    assert.equal(count(200) + count(429) + count(503), 999, 'or told to come again');
    const found = await origin();
    assert.equal(found.duplicates - before.duplicates, count(200));
    await p.api.post('/apps/shop/origin/fetch');
    assert.ok(forge.requests.length - fetches < 20, 'a look or two at the forge');
});

test('a storm: ten thousand deliveries, repeated and out of order, on a hundred branches', async () => {
    const names = Array.from({ length: BRANCHES }, (_, i) => `分支/${String(i).padStart(3, '0')}`);
    for (const name of names)
        await shop.repository.branch(name, { [`storm/${names.indexOf(name)}.txt`]: '0\n' });
    await shop.push();
    await p.api.post('/apps/shop/origin/fetch');
    await shop.ticks('dev', ...names);
    await shop.deploy('dev');
    await p.api.put('/apps/shop/envs/dev/automation', { when: 'push' });
    const pushes = [];
    const before = rss(p.pid('core'));
    let delivered = 0, busy = 0;
    const round = async (n) => {
        for (const [i, name] of names.entries())
            pushes.push({ ref: `refs/heads/${name}`, after: await shop.repository.commit(name, { [`storm/${i}.txt`]: `${n}\n` }), id: randomUUID() });
        await shop.push();
    };
    const storm = async () => {
        while (delivered < DELIVERIES) {
            delivered++;
            const push = pushes[Math.floor(Math.random() * pushes.length)]; // any of those that were, the old ones as well
            const answer = await deliver(bodyOf(push), Math.random() < 0.5 ? push.id : randomUUID());
            assert.ok([200, 202, 429].includes(answer.status), String(answer.status));
            busy += answer.status === 429;
        }
    };
    await round(1);
    const started = performance.now();
    const senders = Array.from({ length: AT_ONCE }, storm);
    for (let n = 2; n <= ROUNDS; n++)
        await round(n);
    await Promise.all(senders);
    const seconds = (performance.now() - started) / 1000;
    const oldest = pushes[0];
    await deliver(bodyOf(oldest)); // the old commit comes last
    const tips = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await shop.repository.tip(name)])));
    await until(async () => {
        const { release } = await shop.status('dev');
        return release?.branches?.length === BRANCHES && release.branches.every((row) => row.tip === tips[row.branch]);
    }, 240_000, 'the newest commit of each is live');
    const { items } = await p.api.get('/apps/shop/envs/dev/builds?limit=1000');
    const commits = items.map((build) => build.commit);
    assert.equal(new Set(commits).size, commits.length, 'none is built twice');
    const grown = (rss(p.pid('core')) - before) / 1024 / 1024;
    console.log(`${DELIVERIES} deliveries in ${seconds.toFixed(1)} s (${busy} told to come again), ${commits.length} builds, core grew by ${grown.toFixed(1)} MiB`);
    assert.ok(grown < 64, `core grew by ${grown} MiB`);
});
