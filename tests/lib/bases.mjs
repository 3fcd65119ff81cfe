// Base images take a minute to make and are named by what goes in: installations of tests hand them on.
// What one has made lies in CACHE and is copied into the next that asks for it (platform({ bases: true }))
// before it starts: some hundred megabytes, so the others build on `base: host`. Who needs a large one keeps it
// apart from them: platform({ bases: 'spring' }). SLIPWAY_TEST_BASES=no turns it off; deleting the folders does no
// harm.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { run } from './cli.mjs';

const CACHE = '/var/tmp/slipway-test-bases';
const PARTS = ['bases', 'blobs', 'unpacked'];
const off = process.env.SLIPWAY_TEST_BASES === 'no';

const cacheOf = (bases) => (bases === true ? CACHE : `${CACHE}-${bases}`);

function records(dir) {
    return existsSync(`${dir}/bases`) ? readdirSync(`${dir}/bases`).filter((name) => name.endsWith('.json')) : [];
}

async function copy(from, to) {
    mkdirSync(to, { recursive: true, mode: 0o700 });
    for (const part of PARTS.filter((name) => existsSync(`${from}/${name}`))) {
        const done = await run('/usr/bin/cp', ['-a', '--one-file-system', '--reflink=auto', `${from}/${part}`, `${to}/`]);
        if (done.code !== 0)
            throw new Error(`cp ${part}: ${done.err}`);
    }
}

// Before the first start.
export async function basesGive(dataDir, bases) {
    const cache = cacheOf(bases);
    if (off || !records(cache).length)
        return;
    mkdirSync(dataDir, { recursive: true, mode: 0o755 });
    await copy(cache, `${dataDir}/host`);
}

// Before the end, while its files are still there; nothing of it may be written to at this time.
export async function basesTake(dataDir, bases) {
    const cache = cacheOf(bases);
    const made = records(`${dataDir}/host`);
    const known = new Set(records(cache));
    if (off || !made.some((name) => !known.has(name)))
        return;
    const fresh = `${cache}.${process.pid}`;
    try {
        await copy(`${dataDir}/host`, fresh);
        rmSync(cache, { recursive: true, force: true });
        renameSync(fresh, cache);
    } catch {
        rmSync(fresh, { recursive: true, force: true }); // two at once: the other one's will do
    }
}
