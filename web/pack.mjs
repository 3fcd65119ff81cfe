// dist/ as one file, console.pack: "slipway-console 1", then a line "NAME TYPE TAG LENGTH" for each file, an
// empty line, and the files, gzip, in that order (read by src/core/api/page.c). Says what the first load weighs.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { gzipSync } from 'node:zlib';

const FIRST_LOAD_MAX = 150_000;
const types = {
    '.html': 'text/html;charset=utf-8', '.js': 'text/javascript;charset=utf-8', '.css': 'text/css;charset=utf-8', '.svg': 'image/svg+xml',
};

const names = readdirSync('dist', { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile()).map((entry) => `${entry.parentPath ?? entry.path}/${entry.name}`.slice('dist/'.length)).sort();
const files = names.map((name) => {
    const type = types[extname(name)];
    if (!type)
        throw new Error(`no media type is known for ${name}`);
    const content = readFileSync(`dist/${name}`);
    return { name, type, tag: createHash('sha256').update(content).digest('hex').slice(0, 32), packed: gzipSync(content, { level: 9 }), text: content.toString('latin1') };
});
const head = files.map(({ name, type, tag, packed }) => `${name} ${type} ${tag} ${packed.length}\n`);
writeFileSync('console.pack', Buffer.concat([Buffer.from(`slipway-console 1\n${head.join('')}\n`), ...files.map((file) => file.packed)]));

const html = files.find((file) => file.name === 'index.html').text;
const first = files.filter((file) => file.name === 'index.html' || html.includes(`/${file.name}`));
const weight = first.reduce((sum, file) => sum + file.packed.length, 0);
console.log(`console: ${files.length} files, ${files.reduce((sum, file) => sum + file.packed.length, 0)} bytes packed, first load ${weight} bytes`);
if (weight > FIRST_LOAD_MAX)
    throw new Error(`the first load weighs ${weight} bytes: ${FIRST_LOAD_MAX} is the most`);
