// The command line client as a person types it: {code, out, err, json}.
import { spawn } from 'node:child_process';
import { program } from './paths.mjs';

const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

// options: env, input, timeout, uid, gid, cwd. json is what out holds when it is JSON.
export function run(file, args, { env = {}, input = '', timeout = 120_000, uid, gid, cwd = '/' } = {}) {
    return new Promise((resolve, reject) => {
        const child = spawn(file, args, { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', ...env }, uid, gid, cwd, stdio: 'pipe' });
        const out = [], err = [];
        running.add(child);
        const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
        child.stdout.on('data', (part) => out.push(part));
        child.stderr.on('data', (part) => err.push(part));
        child.stdin.on('error', () => {});
        child.stdin.end(input);
        child.on('error', reject);
        child.on('close', (code, signal) => {
            clearTimeout(timer);
            running.delete(child);
            resolve(outcome(code, signal, Buffer.concat(out).toString(), Buffer.concat(err).toString()));
        });
    });
}

function outcome(code, signal, out, err) {
    return {
        code, signal, out, err,
        get json() {
            return JSON.parse(out);
        },
    };
}

// A client for this installation. As root it finds the unix socket through the settings; a person's has a
// home with a login and runs as nobody.
export function cliNew({ settingsFile, home, uid, gid }) {
    const env = uid === undefined ? { SLIPWAY_SETTINGS: settingsFile, HOME: home } : { HOME: home };
    const cli = (...words) => {
        const options = typeof words.at(-1) === 'object' ? words.pop() : {};
        return run(program('slipway'), words.map(String), { uid, gid, cwd: home, ...options, env: { ...env, ...options.env } });
    };
    // Must succeed; returns its JSON when it printed some, else its text.
    cli.ok = async (...words) => {
        const done = await cli(...words);
        if (done.code !== 0)
            throw new Error(`slipway ${words.filter((word) => typeof word !== 'object').join(' ')}: exit ${done.code ?? done.signal}\n${done.err}${done.out}`);
        try {
            return done.json;
        } catch {
            return done.out;
        }
    };
    return cli;
}
