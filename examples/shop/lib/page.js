// The pages, as text. Everything that did not come from this file is escaped.
import { products } from './catalogue.js';
import { money } from './price.js';

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export function escape(text) {
    return String(text).replace(/[&<>"']/g, (character) => ENTITIES[character]);
}

export function layout(shop, title, content) {
    const { identity, features } = shop;
    const names = features.map((feature) => `<li>${escape(feature.name)}</li>`).join('');
    return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<link rel="stylesheet" href="/shop.css">
<header><a href="/">Tea shop</a> <a href="/products">Products</a> <a href="/cart">Cart</a></header>
<main>
${content}
</main>
<footer>
<dl>
<dt>env</dt><dd id="env">${escape(identity.env)}</dd>
<dt>release</dt><dd id="release">${escape(identity.release)}</dd>
<dt>instance</dt><dd id="instance">${escape(identity.instance)}</dd>
<dt>payments</dt><dd id="payments">${identity.payments ? 'on' : 'off'}</dd>
</dl>
<ul id="features">${names}</ul>
</footer>
</html>
`;
}

// A page that only depends on who we are and what we sell is made once.
export function once(make) {
    let text = null;
    return (shop) => (text ??= make(shop));
}

export function homePage(shop) {
    return layout(shop, 'Tea shop', '<h1>Tea, and what it is drunk from</h1>\n<p><a href="/products">See what we have</a></p>');
}

export function productsPage(shop, shown = products) {
    const rows = shown.map((product) => `<tr><td>${escape(product.name)}</td><td>${money(product.price)}</td><td>
<form method="post" action="/cart"><input type="hidden" name="product" value="${escape(product.id)}">
<input name="quantity" type="number" value="1" min="1" max="1000"><button>Buy</button></form></td></tr>`);
    return layout(shop, 'Products', `<h1>Products</h1>\n<table>${rows.join('\n')}</table>`);
}

export function cartPage(shop) {
    return layout(shop, 'Cart', `<h1>Cart</h1>\n<p>${shop.orders.counted} orders went through this instance.</p>`);
}
