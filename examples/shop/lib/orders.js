// What was ordered here. An order carries a key of the buyer's; the same key again is the same order, so
// that a browser which repeats a request does not buy twice. counted is what the money office believes.
import { productFind } from './catalogue.js';
import { lineTotal } from './price.js';
import { refusal } from './web.js';

const REMEMBERED_MAX = 500_000;

export class Orders {
    counted = 0;
    repeated = 0;
    #receipts = new Map();

    // Returns the receipt; throws an error with a status when the order makes no sense.
    place(key, body) {
        const known = key && this.#receipts.get(key);
        if (known) {
            this.repeated++;
            return known;
        }
        const product = productFind(body?.product);
        if (!product)
            throw refusal(422, 'there is no such product');
        const quantity = Number(body.quantity ?? 1);
        if (!Number.isInteger(quantity) || quantity < 1 || quantity > 1000)
            throw refusal(422, 'the quantity must be 1 to 1000');
        const receipt = { key, product: product.id, quantity, total: lineTotal(product, quantity, body) };
        if (key)
            this.#remember(key, receipt);
        this.counted++;
        return receipt;
    }

    #remember(key, receipt) {
        if (this.#receipts.size >= REMEMBERED_MAX)
            this.#receipts.delete(this.#receipts.keys().next().value);
        this.#receipts.set(key, receipt);
    }
}
