// An app of a test: its repository, and what people do with it, through the API. Everything waits to its
// end and throws when that is not the good one, unless told otherwise.
import { mkdirSync, readFileSync } from 'node:fs';
import { git, gitOk, Repository } from './git.mjs';
import { PATIENCE, until } from './until.mjs';

const FINAL = ['done', 'reverted', 'failed', 'cancelled'];
const BUILD_FINAL = ['done', 'failed', 'cancelled'];

// A machine that is emulated needs longer for a start as well.
const patient = (text) => text.replace(/^deploy_timeout: (\d+)s/m, (_, seconds) => `deploy_timeout: ${seconds * PATIENCE}s`);

// options: files (over main, before the push), yaml (text => text, over slipway.yaml), push: false
export async function appNew(p, name, fixture, { files = {}, yaml, push = true } = {}) {
    const made = await p.api.post('/apps', { name });
    mkdirSync(`${p.dir}/repos`, { recursive: true });
    const dir = `${p.dir}/repos/${name}`;
    const repository = fixture === null ? await Repository.empty(dir) : await Repository.fromFixture(fixture, dir);
    const changed = { ...files };
    const given = yaml || (PATIENCE !== 1 && fixture !== null) ? readFileSync(`${dir}/slipway.yaml`, 'utf8') : null;
    if (given)
        changed['slipway.yaml'] = patient(yaml ? yaml(given) : given);
    if (Object.keys(changed).length)
        await repository.commit('main', changed, 'for this test');
    const app = new App(p, name, made.git, repository, fixture);
    if (push && fixture !== null)
        await app.push();
    return app;
}

// One whose repository is a project of a forge (lib/fake/forge.mjs): pushed there, then followed.
// options: fixture, files, and for the API: forge (a name), once, ...
export async function appOf(p, name, forge, project, { fixture = 'server', files = {}, ...wanted } = {}) {
    mkdirSync(`${p.dir}/repos`, { recursive: true });
    const dir = `${p.dir}/repos/${name}`;
    const repository = fixture === null ? await Repository.empty(dir) : await Repository.fromFixture(fixture, dir);
    if (Object.keys(files).length)
        await repository.commit('main', files, 'for this test');
    const app = new App(p, name, forge.pushUrl(project), repository, fixture);
    app.elsewhere = true;
    await app.push();
    await p.api.post('/apps', { name, url: project.url, ...wanted });
    await until(async () => (await p.api.get(`/apps/${name}/branches`)).items.length > 0, 30_000, `${name} is fetched`);
    return app;
}

class App {
    constructor(p, name, url, repository, fixture) {
        Object.assign(this, { p, name, url, repository, fixture });
    }

    #path(env) {
        return `/apps/${this.name}/envs/${env}`;
    }

    // What git needs to reach the app's repository as the holder of a token.
    #asHolder(token) {
        const { hostname, port } = new URL(this.url);
        return { configuration: {
            'http.extraHeader': `Authorization: Basic ${Buffer.from(`tester:${token}`).toString('base64')}`,
            'http.curloptResolve': `${hostname}:${port || 80}:127.0.0.1`,
        } };
    }

    // Push everything, or these refspecs; as somebody when a token is given. Returns {code, out, err}.
    async pushAs(token, refs = ['--all', '--force']) {
        if (this.elsewhere)
            return git(this.repository.dir, ['push', '-q', this.url, ...refs]);
        return git(this.repository.dir, ['push', '-q', this.url, ...refs], this.#asHolder(token));
    }

    // For an app whose repository is elsewhere: a push to the copy.
    async pushHere(url, token) {
        const here = new App(this.p, this.name, url, this.repository, this.fixture);
        return here.pushAs(token, ['HEAD:refs/heads/pushed-here']);
    }

    // The branch as it is on the server, in the work tree, too.
    async pull(branch) {
        await gitOk(this.repository.dir, ['fetch', '-q', '--tags', this.url, branch], this.#asHolder(this.p.api.token));
        await this.repository.git('checkout', '-q', '-f', '-B', branch, 'FETCH_HEAD');
    }

    async push(...refs) {
        const done = await this.pushAs(this.p.api.token, refs.length ? refs : undefined);
        if (done.code !== 0)
            throw new Error(`git push: exit ${done.code}\n${done.err}`);
    }

    // Commit files on a branch (made off main when it is new) and push it.
    async change(branch, files, message) {
        const known = (await this.repository.git('branch', '--format=%(refname:short)')).split('\n');
        const commit = known.includes(branch) ? await this.repository.commit(branch, files, message)
            : await this.repository.branch(branch, files, { message });
        await this.push(branch);
        return commit;
    }

    domain(env) {
        return this.p.domain(this.name, env);
    }

    get(env, path = '/', options) {
        return this.p.get(this.domain(env), path, options);
    }

    request(method, env, path, options) {
        return this.p.request(method, this.domain(env), path, options);
    }

    status(env) {
        return this.p.api.get(this.#path(env));
    }

    tick(env, ...add) {
        return this.p.api.post(`${this.#path(env)}/ticks`, { add });
    }

    untick(env, ...remove) {
        return this.p.api.post(`${this.#path(env)}/ticks`, { remove });
    }

    ticks(env, ...set) {
        return this.p.api.post(`${this.#path(env)}/ticks`, { set });
    }

    plan(env, wanted = { kind: 'deploy' }) {
        return this.p.api.post(`${this.#path(env)}/plan`, wanted);
    }

    // wanted: {kind, from, release, strategy, ...}. Returns the row at once.
    async rolloutStart(env, wanted) {
        return (await this.p.api.post(`${this.#path(env)}/rollouts`, wanted)).rollout;
    }

    // The same as a person types it: `slipway deploy r2 --strategy rolling ...`. Returns the row at once.
    command(env, ...words) {
        return this.p.cli.ok(...words, '-a', this.name, '-e', env, '--no-wait', '-o', 'json');
    }

    rollout(env, id) {
        return this.p.api.get(`${this.#path(env)}/rollouts/${id}`);
    }

    async rollouts(env) {
        return (await this.p.api.get(`${this.#path(env)}/rollouts`)).items;
    }

    cancel(env, id) {
        return this.p.api.post(`${this.#path(env)}/rollouts/${id}/cancel`);
    }

    rolloutEnd(env, id, deadlineMs = 240_000) {
        return until(async () => {
            const row = await this.rollout(env, id);
            return FINAL.includes(row.state) && row;
        }, deadlineMs, `rollout ${id} of ${this.name}.${env} ends`);
    }

    async #carry(env, wanted, { expect = 'done', deadlineMs } = {}) {
        const started = await this.rolloutStart(env, wanted);
        const ended = await this.rolloutEnd(env, started.id, deadlineMs);
        if (expect && ended.state !== expect)
            throw Object.assign(new Error(`the rollout of ${this.name}.${env} ended ${ended.state}, not ${expect}: ${await this.#why(env, ended)}`), { rollout: ended });
        return ended;
    }

    async #why(env, rollout) {
        const steps = rollout.steps?.filter((step) => step.error).map((step) => `${step.text}: ${JSON.stringify(step.error)}`).join('; ');
        const number = rollout.steps?.find((step) => step.kind === 'build')?.args.build;
        const build = number ? await this.buildOutput(env, number).catch(() => '') : '';
        return `${JSON.stringify(rollout.error ?? null)} ${steps ?? ''}\n${build.slice(-2000)}`;
    }

    // Build the ticked set and carry it into the env; or an existing release: {release: 3}.
    deploy(env, wanted = {}, options) {
        return this.#carry(env, { kind: 'deploy', ...wanted }, options);
    }

    rollback(env, wanted = {}, options) {
        return this.#carry(env, { kind: 'rollback', ...wanted }, options);
    }

    promote(from, to, wanted = {}, options) {
        return this.#carry(to, { kind: 'promote', from, ...wanted }, options);
    }

    // A build alone; the row when it ended.
    async build(env, { expect = 'done', deadlineMs = 240_000 } = {}) {
        const { build } = await this.p.api.post(`${this.#path(env)}/builds`);
        const ended = await until(async () => {
            const row = await this.p.api.get(`${this.#path(env)}/builds/${build.number}`);
            return BUILD_FINAL.includes(row.state) && row;
        }, deadlineMs, `build ${build.number} of ${this.name}.${env} ends`);
        if (expect && ended.state !== expect)
            throw Object.assign(new Error(`build ${build.number} ended ${ended.state}, not ${expect}: ${JSON.stringify(ended.error)}\n${await this.buildOutput(env, build.number)}`), { build: ended });
        return ended;
    }

    async buildOutput(env, number) {
        const text = [];
        for (let offset = 0; ;) {
            const part = await this.p.api.get(`${this.#path(env)}/builds/${number}/output?offset=${offset}`);
            text.push(part.text);
            if (part.end || part.next === offset)
                return text.join('');
            offset = part.next;
        }
    }

    async releases(env) {
        return (await this.p.api.get(`${this.#path(env)}/releases`)).items;
    }

    secret(env, name, value, kind = 'file') {
        return this.p.api.put(`${this.#path(env)}/secrets/${name}`, { value, kind });
    }

    domains(env, ...domains) {
        return this.p.api.put(`${this.#path(env)}/domains`, { domains });
    }

    // Output lines of the instances that hold this text, gone ones too.
    async logs(env, { grep = '', limit = 10_000, since = 0, ...rest } = {}) {
        const query = new URLSearchParams({ limit, ...(grep && { grep }), ...(since && { since }), ...rest });
        return (await this.p.api.get(`${this.#path(env)}/logs?${query}`)).lines;
    }

    // Which release and instance answer right now?
    async who(env) {
        const reply = await this.get(env, '/id');
        return { status: reply.status, release: reply.headers['x-release'], instance: reply.headers['x-instance'] };
    }

    // Effects that all instances have counted: those that ended (by what they said last; a name may have had
    // several lives) and those that live (asked one by one through the edge). since: wall ms; the instances
    // must have been started after it.
    async counted(env, { since = 0 } = {}) {
        const lives = (await this.logs(env, { grep: 'counted', since })).map((line) => /counted (\d+) repeated (\d+)/.exec(line.text))
            .filter(Boolean).map((found) => ({ counted: Number(found[1]), repeated: Number(found[2]) }));
        lives.push(...(await this.#countedLive(env)).values());
        return {
            counted: lives.reduce((sum, life) => sum + life.counted, 0), repeated: lives.reduce((sum, life) => sum + life.repeated, 0),
            lives: lives.length,
        };
    }

    async #countedLive(env) {
        const { instances } = await this.status(env);
        const serving = instances.filter((instance) => instance.state === 'serving').map((instance) => instance.name);
        const found = new Map();
        await until(async () => {
            const { json } = await this.get(env, '/counted');
            found.set(json.instance, json);
            if (serving.every((name) => found.has(name)))
                return true;
            throw new Error(`only ${[...found.keys()].join(', ')} did; the edge: ${JSON.stringify(await this.p.edgeServers())}`);
        }, 20_000, `all of ${serving.join(', ')} tell what they counted`);
        return found;
    }

    load(env, options = {}) {
        const paths = this.fixture === 'shop' ? { get: ['/', '/products'], post: ['/cart'] } : { get: ['/id'], post: ['/count'] };
        return this.p.load(this.name, env, { ...paths, ...options });
    }
}
