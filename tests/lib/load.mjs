// The load client (benchmarks/load.c) beside a test. Never retries; every request begun ends as ok or lost.
//
//     const load = web.load('prod', { rate: 1000 });
//     const mark = await load.mark();
//     ... switch ...
//     const since = await load.report();    // since the mark: per release first and last answer, in ms
//     const all = await load.stop();        // the whole run
// Times are CLOCK_MONOTONIC in ms, the same clock as nowMs() here. SLIPWAY_TEST_RATE is a ceiling of every rate, for
// machines that are emulated: hundreds a second would be all that they do.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { program } from './paths.mjs';
import { PATIENCE, until } from './until.mjs';

const TIMEOUT_MS = 10_000; // bench-load's own
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

// The monotonic clock that bench-load prints.
export function nowMs() {
    return Number(process.hrtime.bigint()) / 1e6;
}

function argumentsOf({ to, host, rate, connections, get = [], post = [], postPercent, body, type, expect, echo = true, fresh, timeout }) {
    const args = ['--control', '--to', to, '--host', host];
    const add = (name, value) => value !== undefined && args.push(name, String(value));
    add('--rate', rate && Math.min(rate, process.env.SLIPWAY_TEST_RATE ?? rate));
    add('--connections', connections);
    get.forEach((path) => add('--get', path));
    post.forEach((path) => add('--post', path));
    add('--post-percent', postPercent);
    add('--body', body);
    add('--type', type);
    add('--expect', expect);
    add('--fresh', fresh);
    add('--timeout', PATIENCE === 1 ? timeout : (timeout ?? TIMEOUT_MS) * PATIENCE);
    if (!echo)
        args.push('--no-echo');
    return args;
}

export function loadNew(options) {
    const child = spawn(program('bench-load'), argumentsOf(options), { stdio: ['pipe', 'pipe', 'inherit'] });
    return new Load(child);
}

class Load {
    #child;
    #waiting = [];
    #ended;
    lost = [];
    releases = [];

    constructor(child) {
        this.#child = child;
        running.add(child);
        createInterface({ input: child.stdout }).on('line', (line) => this.#take(JSON.parse(line)));
        child.stdin.on('error', () => {});
        this.#ended = new Promise((resolve) => child.once('close', (code) => {
            running.delete(child);
            this.#waiting.splice(0).forEach(({ reject }) => reject(new Error(`bench-load ended with ${code}`)));
            resolve(code);
        }));
    }

    #take(event) {
        if (event.event === 'lost')
            this.lost.push(event);
        else if (event.event === 'release')
            this.releases.push(event);
        else
            this.#waiting.shift()?.resolve(event);
    }

    #ask(command) {
        return new Promise((resolve, reject) => {
            this.#waiting.push({ resolve, reject });
            this.#child.stdin.write(`${command}\n`);
        });
    }

    // Figures since now; returns the time.
    async mark() {
        this.releases.length = 0;
        return (await this.#ask('mark')).at_ms;
    }

    report() {
        return this.#ask('report');
    }

    total() {
        return this.#ask('total');
    }

    // Requests flow and are answered: begin what is measured only then.
    async flowing(ok = 50) {
        await until(async () => (await this.total()).ok >= ok, 20_000, 'the load is answered');
        return this;
    }

    // Nothing new is begun, what is under way ends; the figures of the whole run.
    async stop() {
        const summary = await this.#ask('stop');
        await this.#ended;
        return summary;
    }

    kill() {
        this.#child.kill('SIGKILL');
        return this.#ended;
    }
}

// Of a report: when the last answer of any other release was complete, and the first of this one.
export function switchOf(report, release) {
    const others = Object.entries(report.releases).filter(([name]) => name !== release).map(([, row]) => row);
    return {
        firstNewMs: report.releases[release]?.first_ms ?? null,
        lastOldMs: others.length ? Math.max(...others.map((row) => row.last_ms)) : null,
        lastOldSentMs: others.length ? Math.max(...others.map((row) => row.last_sent_ms)) : null,
    };
}
