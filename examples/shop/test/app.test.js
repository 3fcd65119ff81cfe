import test from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import pino from 'pino';
import { appNew } from '../app.js';
import { featuresLoad } from '../lib/features.js';
import { identity } from '../lib/identity.js';
import { Orders } from '../lib/orders.js';

const env = { SLIPWAY_ENV: 'test', SLIPWAY_RELEASE: '7', SLIPWAY_INSTANCE: 'shop.test.r7.1' };

async function opened(use) {
    const shop = { identity: identity(env), features: await featuresLoad(), orders: new Orders(), log: pino({ level: 'silent' }) };
    const server = createServer(appNew(shop));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
        await use(`http://127.0.0.1:${server.address().port}`, shop);
    } finally {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
    }
}

test('the page says where it comes from', () => opened(async (base, shop) => {
    const response = await fetch(`${base}/`);
    const text = await response.text();
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('x-release'), '7');
    assert.match(text, /id="env">test</);
    assert.match(text, /id="instance">shop\.test\.r7\.1</);
    for (const feature of shop.features)
        assert.ok(text.includes(feature.name));
}));

test('it is up', () => opened(async (base) => {
    assert.equal((await fetch(`${base}/up`)).status, 200);
}));

test('an order through a form and one through JSON', () => opened(async (base, shop) => {
    const headers = { 'idempotency-key': 'k1' };
    const form = await fetch(`${base}/cart`, { method: 'POST', body: new URLSearchParams({ product: 'cup' }), headers });
    assert.equal(form.status, 201);
    assert.equal(form.headers.get('idempotency-key'), 'k1');
    const json = await fetch(`${base}/cart`, {
        method: 'POST', body: JSON.stringify({ product: 'oolong', quantity: 2 }), headers: { 'content-type': 'application/json' },
    });
    assert.equal((await json.json()).total, 1980);
    assert.equal(shop.orders.counted, 2);
}));

test('nonsense is refused in words', () => opened(async (base) => {
    const response = await fetch(`${base}/cart`, { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } });
    assert.equal(response.status, 400);
}));
