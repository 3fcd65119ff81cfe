// Where things lie in this repository.
import { existsSync, readdirSync } from 'node:fs';

export const ROOT = new URL('../..', import.meta.url).pathname.replace(/\/$/, '');
export const BUILD = process.env.SLIPWAY_BUILD ?? `${ROOT}/build`;
const fixture = (name) => `${ROOT}/tests/fixtures/${name}`;
export const FIXTURES = {
    server: fixture('server'), shop: `${ROOT}/examples/shop`, spring: fixture('spring'), flask: fixture('flask'), go: fixture('go'),
};

// A program of the build, wherever in it meson put it.
export function program(name) {
    const folders = [BUILD, ...readdirSync(BUILD, { withFileTypes: true }).filter((entry) => entry.isDirectory())
        .map((entry) => `${BUILD}/${entry.name}`), `${BUILD}/src/serve`];
    const found = folders.map((folder) => `${folder}/${name}`).find((path) => existsSync(path));
    if (!found)
        throw new Error(`'${name}' is not in ${BUILD}: run meson compile -C ${BUILD}`);
    return found;
}
