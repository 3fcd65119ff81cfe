import test from 'node:test';
import assert from 'node:assert/strict';
import { Orders } from '../lib/orders.js';

test('an order is counted once, however often it is sent', () => {
    const orders = new Orders();
    const first = orders.place('a', { product: 'cup', quantity: 2 });
    const again = orders.place('a', { product: 'cup', quantity: 2 });
    assert.equal(first.total, 3000);
    assert.equal(again, first);
    assert.equal(orders.counted, 1);
    assert.equal(orders.repeated, 1);
});

test('an order without sense is refused and not counted', () => {
    const orders = new Orders();
    assert.throws(() => orders.place('b', { product: 'coffee' }), { status: 422 });
    assert.throws(() => orders.place('c', { product: 'cup', quantity: 0 }), { status: 422 });
    assert.equal(orders.counted, 0);
});
