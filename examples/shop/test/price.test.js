import test from 'node:test';
import assert from 'node:assert/strict';
import { productFind } from '../lib/catalogue.js';
import { lineTotal, money } from '../lib/price.js';

test('a line costs its price times its quantity', () => {
    assert.equal(lineTotal(productFind('green-tea'), 3), 2040);
});

test('money has two places', () => {
    assert.equal(money(2040), '20.40');
    assert.equal(money(5), '0.05');
});
