// Opens the shop and closes it in order: on SIGTERM no new connection is taken, every request that was
// begun gets its answer, then the process says what it counted and ends.
import { createServer } from 'node:http';
import pino from 'pino';
import { appNew } from './app.js';
import { featuresLoad } from './lib/features.js';
import { identity } from './lib/identity.js';
import { Orders } from './lib/orders.js';

const shop = { identity: identity(), features: await featuresLoad(), orders: new Orders(), log: pino(), stopping: false };
const port = Number(process.env.PORT ?? 3000);
const server = createServer(appNew(shop));
// Longer than the edge keeps an idle connection: the edge closes first, so that no request meets a closing one.
server.keepAliveTimeout = 75_000;
server.headersTimeout = 80_000;

function stop(signal) {
    if (shop.stopping)
        return;
    shop.stopping = true;
    server.close(() => {
        const { counted, repeated } = shop.orders;
        shop.log.info({ instance: shop.identity.instance }, `stopped: counted ${counted} repeated ${repeated}`);
        process.exit(0);
    });
    server.closeIdleConnections();
    shop.log.info({ signal }, 'stopping');
}

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
server.listen(port, () => {
    shop.log.info({ port, ...shop.identity, features: shop.features.map((feature) => feature.name) }, 'open');
    process.send?.('ready');
});
