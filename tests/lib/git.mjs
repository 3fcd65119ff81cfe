// git for tests, deaf to this machine's settings, and the repositories of fixtures.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { run } from './cli.mjs';
import { FIXTURES } from './paths.mjs';

const QUIET = {
    GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0', HOME: '/nonexistent', LC_ALL: 'C.UTF-8',
    GIT_AUTHOR_NAME: 'Tester', GIT_AUTHOR_EMAIL: 'tester@server.example', GIT_COMMITTER_NAME: 'Tester', GIT_COMMITTER_EMAIL: 'tester@server.example',
};

// configuration: {key: value}, through the environment so that no secret stands in a command line.
export async function git(dir, args, { configuration = {}, env = {}, ...options } = {}) {
    const given = Object.entries(configuration);
    const variables = { GIT_CONFIG_COUNT: String(given.length) };
    given.forEach(([key, value], i) => Object.assign(variables, { [`GIT_CONFIG_KEY_${i}`]: key, [`GIT_CONFIG_VALUE_${i}`]: value }));
    return run('/usr/bin/git', ['-C', dir, ...args], { ...options, env: { ...QUIET, ...variables, ...env } });
}

export async function gitOk(dir, args, options) {
    const done = await git(dir, args, options);
    if (done.code !== 0)
        throw new Error(`git ${args.join(' ')}: exit ${done.code}\n${done.err}${done.out}`);
    return done.out.trim();
}

// The work tree of an app. files: {path: text, bytes, or null to delete}.
export class Repository {
    constructor(dir) {
        this.dir = dir;
    }

    static async fromFixture(fixture, dir) {
        const made = await run(`${FIXTURES[fixture] ?? fixture}/make-repo`, [dir]);
        if (made.code !== 0)
            throw new Error(`${fixture}/make-repo: ${made.err}`);
        return new Repository(dir);
    }

    static async empty(dir) {
        mkdirSync(dir, { recursive: true });
        await gitOk(dir, ['init', '-q', '-b', 'main']);
        await gitOk(dir, ['commit', '-q', '--allow-empty', '-m', 'begin']);
        return new Repository(dir);
    }

    git(...args) {
        return gitOk(this.dir, args);
    }

    async commit(branch, files, message = `change ${Object.keys(files).join(', ')}`) {
        await this.git('checkout', '-q', branch);
        this.#write(files);
        await this.git('add', '-A');
        await this.git('commit', '-q', '--allow-empty', '-m', message);
        return this.git('rev-parse', 'HEAD');
    }

    async branch(name, files = {}, { from = 'main', message = name } = {}) {
        await this.git('checkout', '-q', '-b', name, from);
        return this.commit(name, files, message);
    }

    tip(branch) {
        return this.git('rev-parse', `refs/heads/${branch}`);
    }

    #write(files) {
        for (const [path, content] of Object.entries(files)) {
            const full = `${this.dir}/${path}`;
            mkdirSync(dirname(full), { recursive: true });
            if (content === null)
                rmSync(full, { recursive: true });
            else
                writeFileSync(full, content);
        }
    }
}
