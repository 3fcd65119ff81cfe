// Apps of a stack that is not ours, with real dependencies: built by their own normal build from the public
// registries, and released under load. What cannot be had here (a registry, a package of the distribution) is
// no failure of ours: the test is skipped, which ./check prints as NOT RUN.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { platform } from './platform.mjs';
import { FIXTURES } from './paths.mjs';

const BUILD_MS = 900_000;
// How npm, pip, go, mvn and apt say that they could not get through.
const UNREACHABLE = new RegExp(['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENETUNREACH', 'no such host', 'i/o timeout',
    'Could not resolve', 'Temporary failure', 'Name or service not known', 'Unknown host', 'Connection refused', 'Network is unreachable',
    'Failed to establish a new connection', 'Unable to locate package', 'Failed to fetch'].join('|'), 'i');

// {path: bytes} of a folder.
export function filesOf(dir, below = '') {
    const found = {};
    for (const entry of readdirSync(`${dir}/${below}`, { withFileTypes: true }))
        Object.assign(found, entry.isDirectory() ? filesOf(dir, `${below}${entry.name}/`) : { [`${below}${entry.name}`]: readFileSync(`${dir}/${below}${entry.name}`) });
    return found;
}

// Why this deploy cannot be had here; an error that is ours is thrown on.
export function notHere(error) {
    const found = UNREACHABLE.exec(error.message);
    if (!found)
        throw error;
    return `a registry or a package cannot be reached from here (${found[0]})`;
}

// One day of such an app: first release, then a second one rolls out under load.
//   change: [path, from, to] makes the second version; sees: what its page says then
export async function foreignDay(t, { name, fixture, change: [path, from, to], sees, settings = {} }) {
    const p = await platform({ bases: fixture, settings: { build_volume: '3g', ...settings } });
    t.after(() => p.stop());
    const app = await p.app(name, null);
    const files = filesOf(FIXTURES[fixture]);
    await app.repository.commit('main', files, 'the first version');
    await app.push();
    const first = await app.deploy('dev', {}, { deadlineMs: BUILD_MS }).catch(notHere);
    if (typeof first === 'string')
        return t.skip(first);
    assert.equal((await app.get('dev', '/')).status, 200);

    const load = await app.load('dev', { rate: 50, get: ['/'], post: [], postPercent: 0, echo: false }).flowing(50);
    const next = files[path].toString().replace(from, to);
    assert.notEqual(next, files[path].toString());
    await app.change('main', { [path]: next });
    await app.deploy('dev', {}, { deadlineMs: BUILD_MS });
    assert.match((await app.get('dev', '/')).text, sees);
    const seen = await load.stop();
    assert.equal(seen.lost, 0, JSON.stringify(load.lost.slice(0, 5)));
    t.diagnostic(`${seen.ok} requests answered, ${seen.lost} lost`);
}
