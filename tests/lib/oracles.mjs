// What must be true after every bad input, whatever it was (bad-inputs.md; the status and the error's name
// are the test's own first oracle):
//   b  canaries untouched: the file was not made, nobody called the listener, the secret is in no output
//      and no store, apps that had nothing to do with it are as they were
//   c  the same roles run, none grew by 64 MiB, none keeps more files open
//   d  exactly the audit records that were asked for, without a character that steers a terminal
//
//     const o = await oracles(p, { watch: [other] });
//     const reply = await p.api.call('POST', '/apps', { name: `x;touch ${o.canary}` });
//     assert.equal(reply.status, 422);
//     await o.check({ audit: 1, outputs: [reply.text] });
import { createServer } from 'node:net';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { run } from './cli.mjs';
import { fds, rss } from './roles.mjs';
import { until } from './until.mjs';

const GROWTH_MAX = 64 * 1024 * 1024, FDS_SLACK = 3;
const STEERING = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;
const ENVS = ['dev', 'test', 'pre', 'prod'];

// How a secret may lie in a file: as it is, in base64 at its three offsets (without the characters that
// its neighbours have a part in), in hex.
export function forms(secret) {
    const bytes = Buffer.from(secret);
    const base64 = [0, 1, 2].map((offset) => {
        const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
        const end = Math.floor((offset + bytes.length) * 8 / 6);
        return text.slice(Math.ceil(offset * 8 / 6), end);
    });
    const url = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
    return [...new Set([secret, ...base64, ...url, bytes.toString('hex'), bytes.toString('hex').toUpperCase()])];
}

export async function oracles(p, { watch = [] } = {}) {
    const o = new Oracles(p, watch);
    await o.begin();
    return o;
}

class Oracles {
    #p;
    #watch;
    #listener;
    #before = null;

    constructor(p, watch) {
        this.#p = p;
        this.#watch = watch;
        this.name = `CANARY-${randomBytes(6).toString('hex')}`;
        this.canary = `${p.dir}/${this.name}`;
        this.born = Date.now() / 1000 - 1;
        this.secret = `s3cret${randomBytes(12).toString('hex')}`;
        this.hits = 0;
        this.port = p.ports.canary;
        this.address = `127.0.0.1:${this.port}`;
    }

    async begin() {
        this.#listener = createServer((socket) => {
            this.hits++;
            socket.destroy();
        });
        await new Promise((resolve, reject) => {
            this.#listener.once('error', reject);
            this.#listener.listen({ port: this.port, host: '0.0.0.0' }, resolve);
        });
        this.#listener.unref();
        await this.again();
    }

    // A new "before", for the next row of a table of inputs.
    async again() {
        this.#before = { roles: this.#roles(), watched: await this.#watched(), audit: await this.#auditLast() };
    }

    #roles() {
        return Object.fromEntries(Object.entries(this.#p.roles()).map(([role, pid]) => [role, { pid, rss: rss(pid), fds: fds(pid) }]));
    }

    async #watched() {
        const rows = {};
        for (const name of this.#watch.map((app) => app.name ?? app)) {
            rows[name] = await this.#p.api.get(`/apps/${name}`);
            for (const env of ENVS)
                rows[`${name}.${env}`] = await this.#p.api.get(`/apps/${name}/envs/${env}`);
        }
        return JSON.stringify(rows);
    }

    async #auditLast() {
        const { items } = await this.#p.api.get('/audit?newest=1&limit=1');
        return items[0]?.seq ?? 0;
    }

    // audit: the new records that there must be, as {kind: count} with nothing beside them or as a number (of
    // this kind; of all when it is absent); null: their number is not determined, they are read all the same.
    // outputs: texts that people or programs were shown.
    async check({ audit = 1, kind, outputs = [], secretMayBeIn = [] } = {}) {
        const wrong = [
            ...await this.#canaries(outputs, secretMayBeIn), ...await this.#processes(), ...await this.#audit(audit, kind),
        ];
        await this.again();
        if (wrong.length)
            throw new Error(`oracles: ${wrong.join('; ')}`);
    }

    async #canaries(outputs, secretMayBeIn) {
        const wrong = [];
        const found = await run('/usr/bin/find', [this.#p.dir, '-xdev', '-name', `${this.name}*`]);
        const elsewhere = ['/', '/tmp', '/root', '/var/tmp', process.cwd()].map((dir) => `${dir}/${this.name}`).filter((path) => existsSync(path));
        if (found.out.trim() || elsewhere.length)
            wrong.push(`the canary file was made: ${found.out.trim()} ${elsewhere.join(' ')}`);
        if (this.hits)
            wrong.push(`the canary listener was called ${this.hits} times`);
        for (const output of outputs)
            if (forms(this.secret).some((form) => String(output).includes(form)))
                wrong.push(`the canary secret was shown: ${String(output).slice(0, 200)}`);
        // run/live is a tmpfs: the one place where an instance's secrets lie open.
        // What was last touched before the secret was thought of cannot hold it: base images, mostly.
        const patterns = forms(this.secret).flatMap((form) => ['-e', form]);
        const args = [this.#p.dir, '-xdev', '(', '-name', 'live', '-o', '-name', 'repos', ')', '-prune', '-o', '-type', 'f', '-newerct', `@${this.born}`, '-exec', '/usr/bin/grep', '-laF', ...patterns, '{}', '+'];
        const stored = (await run('/usr/bin/find', args)).out.split('\n').filter((path) => path && !secretMayBeIn.some((part) => path.includes(part)));
        if (stored.length)
            wrong.push(`the canary secret lies open in ${stored.join(', ')}`);
        if (await this.#watched() !== this.#before.watched)
            wrong.push('another app changed');
        return wrong;
    }

    async #processes() {
        const before = this.#before.roles;
        const wrong = [];
        const now = this.#roles();
        for (const [role, was] of Object.entries(before)) {
            if (now[role]?.pid !== was.pid)
                wrong.push(`${role} was ${was.pid} and is ${now[role]?.pid ?? 'gone'}`);
            else if (now[role].rss - was.rss > GROWTH_MAX)
                wrong.push(`${role} grew by ${Math.round((now[role].rss - was.rss) / 1048576)} MiB`);
        }
        if (!wrong.length)
            await until(() => Object.entries(before).every(([, was]) => fds(was.pid) <= was.fds + FDS_SLACK), 10_000, 'files are closed again')
                .catch(() => wrong.push(`files stay open: ${JSON.stringify(before)} -> ${JSON.stringify(this.#roles())}`));
        return wrong;
    }

    async #audit(wanted, kind) {
        const reply = await this.#p.api.call('GET', `/audit?after=${this.#before.audit}&limit=1000`);
        const wrong = [];
        if (STEERING.test(reply.text))
            wrong.push('the audit log shows a character that steers a terminal as it is');
        const records = reply.json.items.filter((record) => !kind || record.kind === kind);
        const counts = {};
        for (const record of records)
            counts[record.kind] = (counts[record.kind] ?? 0) + 1;
        if (typeof wanted === 'number' ? records.length !== wanted : wanted && !isDeepStrictEqual(counts, wanted))
            wrong.push(`audit records ${JSON.stringify(counts)} instead of ${JSON.stringify(wanted)}: ${JSON.stringify(records).slice(0, 500)}`);
        return wrong;
    }

    close() {
        return new Promise((resolve) => this.#listener.close(resolve));
    }
}
