// The shop as an application: routes only. server.js gives it a port and ends it in order.
import polka from 'polka';
import sirv from 'sirv';
import { products } from './lib/catalogue.js';
import { cartPage, homePage, once, productsPage } from './lib/page.js';
import { bodyRead, send, sendJson, wantsJson } from './lib/web.js';

// Every answer says which instance and release gave it, and repeats the buyer's key.
function label(shop) {
    return (request, response, next) => {
        response.setHeader('x-instance', shop.identity.instance);
        response.setHeader('x-release', shop.identity.release);
        const key = request.headers['idempotency-key'];
        if (key)
            response.setHeader('idempotency-key', key.slice(0, 100));
        if (shop.stopping)
            response.setHeader('connection', 'close');
        next();
    };
}

function fail(shop) {
    return (error, request, response) => {
        const status = error.status ?? 500;
        if (status >= 500)
            shop.log.error({ error }, 'request failed');
        sendJson(response, status, { error: status >= 500 ? 'something broke here' : error.message });
    };
}

function routes(app, shop) {
    const home = once(homePage), list = once(productsPage);
    app.get('/up', (request, response) => send(response, 200, 'text', 'ok\n'));
    app.get('/', (request, response) => send(response, 200, 'html', home(shop)));
    app.get('/products', (request, response) => {
        if (wantsJson(request))
            sendJson(response, 200, products);
        else
            send(response, 200, 'html', list(shop));
    });
    app.get('/cart', (request, response) => send(response, 200, 'html', cartPage(shop)));
    app.post('/cart', async (request, response, next) => {
        try {
            const receipt = shop.orders.place(request.headers['idempotency-key'], await bodyRead(request));
            sendJson(response, 201, { ...receipt, instance: shop.identity.instance });
        } catch (error) {
            next(error);
        }
    });
    app.get('/counted', (request, response) => {
        const { counted, repeated } = shop.orders;
        sendJson(response, 200, { counted, repeated, instance: shop.identity.instance, release: shop.identity.release });
    });
    app.get('/id', (request, response) => sendJson(response, 200, { ...shop.identity, features: shop.features.map((feature) => feature.name) }));
}

// The handler of an http server.
export function appNew(shop) {
    const app = polka({ onError: fail(shop), onNoMatch: (request, response) => send(response, 404, 'text', 'there is no such page\n') });
    app.use(label(shop));
    app.use(sirv(new URL('public', import.meta.url).pathname, { maxAge: 3600 }));
    routes(app, shop);
    for (const feature of shop.features)
        feature.install?.(app, shop);
    return app.handler.bind(app);
}
