// Several installations live on one machine at the same time: tests, benches, and perhaps a real one. A
// slot is a number that one process holds, and everything that must differ follows from it. The hold is
// a listening port (Node 18 cannot bind abstract sockets): it ends with the process, however that ends.
import { createServer } from 'node:net';
import { execFileSync } from 'node:child_process';

const SLOTS = 100;
const held = new Map();

function hold(server, at) {
    return new Promise((resolve) => {
        server.once('error', () => resolve(false));
        server.listen(at, () => resolve(true));
    });
}

async function portFree(port) {
    const server = createServer();
    const free = await hold(server, { port, host: '127.0.0.1', exclusive: true });
    if (free)
        await new Promise((resolve) => server.close(resolve));
    return free;
}

function subnetsInUse() {
    const routes = JSON.parse(execFileSync('ip', ['-j', 'route', 'show', 'table', 'all']).toString() || '[]');
    return new Set(routes.map((route) => /^10\.(\d+)\./.exec(route.dst ?? '')?.[1]).filter(Boolean).map(Number));
}

async function take(number) {
    const server = createServer((socket) => socket.destroy());
    if (!await hold(server, { port: slotOf(number).ports.hold, host: '127.0.0.1', exclusive: true }))
        return false;
    server.unref();
    held.set(number, server);
    return true;
}

export function slotRelease(number) {
    held.get(number)?.close();
    held.delete(number);
}

// stale(slot) is called for a slot that was got: it ends what a dead process may have left there, and says
// whether the slot can be used.
export async function slotTake(stale) {
    for (let number = 0; number < SLOTS; number++) {
        if (held.has(number) || !await take(number))
            continue;
        const slot = slotOf(number);
        if (await stale(slot) && !subnetsInUse().has(100 + number) && await portsFree(slot))
            return slot;
        slotRelease(number);
    }
    throw new Error('no free slot for a test installation: see /var/tmp/slipway-t*');
}

async function portsFree(slot) {
    for (const port of [slot.ports.api, slot.ports.http, slot.ports.https, slot.ports.canary])
        if (!await portFree(port))
            return false;
    return true;
}

// Ids have one width: no id is the beginning of another. Ports lie below the ephemeral range.
function slotOf(number) {
    const port = 20_000 + number * 40;
    const id = `t${String(number).padStart(2, '0')}`;
    return {
        number, id, dir: `/var/tmp/slipway-${id}`, subnet: `10.${100 + number}.0.0/16`, idFirst: 500_000_000 + number * 20_000_000,
        ports: { api: port, http: port + 1, https: port + 2, canary: port + 3, bare: port + 10, hold: port + 39 },
    };
}
