// A forge that cannot be had here: GitLab, GitHub or Gitea as far as a release platform asks them, from their
// published API documents. Its repositories are real ones, served by git's own http-backend; who pushes
// sets off webhooks, signed as each of the three signs. Tests make it fail in the ways that forges do.
//
//     const forge = await forgeNew('gitlab', { dir });
//     const project = await forge.project('team/shop');
//     forge.fail({ status: 429, headers: { 'retry-after': '1' } }, 2);   // its next two answers
//
// tests/lib/fake.test.mjs drives it with the vendors' own clients as well, so that it is not our reading alone.
import { spawn } from 'node:child_process';
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { gitOk } from '../git.mjs';
import { gitlab } from './gitlab.mjs';
import { github, gitea } from './github.mjs';

const WAYS = { gitlab, github, gitea };
// What the real ones do with a hook of their own: whoever may not push to a branch hears why.
const UPDATE_HOOK = `#!/bin/sh
if grep -qxF "$1" "$GIT_DIR/protected" 2>/dev/null; then
    echo "GitLab: You are not allowed to push code to protected branches on this project." >&2
    exit 1
fi
exit 0
`;

export async function forgeNew(kind, options) {
    const forge = new Forge(kind, options);
    await forge.listen(options.port);
    return forge;
}

const same = (a, b) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

class Forge {
    #failures = [];

    // options: dir (an empty folder), tls ({key, cert}), page (rows of a page, at most), host (its name; without one its
    // address).
    constructor(kind, { dir, tls, page = 100, host = '127.0.0.1' }) {
        this.kind = kind;
        this.ways = WAYS[kind];
        this.dir = dir;
        this.page = page;
        this.host = host;
        this.tokens = new Map([['secret-token', 'slipway-bot']]);
        this.projects = new Map();
        this.requests = [];
        this.deliveries = [];
        const handle = (request, response) => this.#handle(request, response).catch((error) => {
            if (!response.headersSent)
                response.writeHead(500);
            response.end(JSON.stringify({ message: String(error) }));
        });
        this.server = tls ? createTlsServer(tls, handle) : createServer(handle);
        this.tls = Boolean(tls);
        mkdirSync(dir, { recursive: true });
    }

    async listen(port = 0) {
        await new Promise((resolve, reject) => this.server.once('error', reject).listen(port, '127.0.0.1', resolve));
        this.port = this.server.address().port;
        this.url = `${this.tls ? 'https' : 'http'}://${this.host}:${this.port}`;
    }

    async close() {
        this.server.closeAllConnections();
        await new Promise((resolve) => this.server.close(resolve));
    }

    // The next `times` answers of the API (git: true: of its repositories).
    fail(answer, times = 1, { git = false } = {}) {
        for (let i = 0; i < times; i++)
            this.#failures.push({ ...answer, git });
    }

    async project(path, { trunk = 'main' } = {}) {
        const dir = `${this.dir}/${path}.git`;
        mkdirSync(dir, { recursive: true });
        await gitOk(dir, ['init', '-q', '--bare', '-b', trunk]);
        await gitOk(dir, ['config', 'http.receivepack', 'true']);
        writeFileSync(`${dir}/hooks/update`, UPDATE_HOOK);
        chmodSync(`${dir}/hooks/update`, 0o755);
        const project = { id: this.projects.size + 1, path, trunk, dir, hooks: [], statuses: [], merges: [], url: `${this.url}/${path}.git` };
        this.projects.set(path, project);
        return project;
    }

    // Where somebody pushes who may.
    pushUrl(project, token = 'secret-token') {
        const url = new URL(project.url);
        url.hostname = '127.0.0.1';
        url.username = 'dev';
        url.password = token;
        return String(url);
    }

    // Branches, and whole refs of others.
    protect(project, ...names) {
        project.protected = names.filter((name) => !name.startsWith('refs/'));
        writeFileSync(`${project.dir}/protected`, names.map((name) => (name.startsWith('refs/') ? `${name}\n` : `refs/heads/${name}\n`)).join(''));
    }

    async refs(project) {
        const out = await gitOk(project.dir, ['for-each-ref', '--format=%(refname) %(objectname)']);
        return new Map(out.split('\n').filter(Boolean).map((line) => line.split(' ')));
    }

    async branches(project) {
        return [...await this.refs(project)].filter(([ref]) => ref.startsWith('refs/heads/'))
            .map(([ref, tip]) => ({ name: ref.slice('refs/heads/'.length), tip }));
    }

    // Somebody merges it there: by a merge commit, or squashed into one that does not know where it came from.
    async merge(project, number, { squash = false } = {}) {
        const merge = project.merges.find((m) => m.number === number);
        const before = await this.refs(project);
        const [source, target] = [merge.source, merge.target].map((name) => before.get(`refs/heads/${name}`));
        const tree = (await gitOk(project.dir, ['merge-tree', '--write-tree', target, source])).split('\n')[0];
        const commit = await gitOk(project.dir, ['commit-tree', tree, '-p', target, ...(squash ? [] : ['-p', source]), '-m', `Merge branch '${merge.source}'`]);
        await gitOk(project.dir, ['update-ref', `refs/heads/${merge.target}`, commit, target]);
        merge.state = 'merged';
        await this.pushed(project, before, await this.refs(project));
        return commit;
    }

    // ---- webhooks ----

    // A delivery for each ref that moved, to each hook; faults: repeat (times), drop (none comes).
    async pushed(project, before, after) {
        const moved = [...new Set([...before.keys(), ...after.keys()])].filter((ref) => before.get(ref) !== after.get(ref));
        for (const ref of moved)
            for (const hook of project.hooks)
                this.deliver(project, hook, { ref, old: before.get(ref) ?? '0'.repeat(40), new: after.get(ref) ?? '0'.repeat(40) });
    }

    deliver(project, hook, push) {
        if (this.dropDeliveries)
            return;
        const { headers, body } = this.ways.push(this, project, push, hook);
        const sent = fetch(hook.url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body })
            .then((answer) => answer.status, (error) => String(error.cause ?? error));
        this.deliveries.push({ ref: push.ref, headers, body, sent });
    }

    sign(secret, body) {
        return createHmac('sha256', secret).update(body).digest('hex');
    }

    id() {
        return randomUUID();
    }

    // ---- requests ----

    async #handle(request, response) {
        const url = new URL(request.url, this.url);
        const git = /^\/(?<path>.+?)\.git(?<rest>\/.*)$/.exec(url.pathname);
        const failure = this.#failures[0];
        this.requests.push({ method: request.method, path: url.pathname, query: url.search, headers: request.headers });
        if (this.hang)
            return;
        if (failure && Boolean(git) === failure.git) {
            this.#failures.shift();
            response.writeHead(failure.status, failure.headers ?? {});
            response.end(failure.body ?? JSON.stringify({ message: `fails with ${failure.status}` }));
            return;
        }
        if (git)
            await this.#git(request, response, url, git.groups);
        else
            await this.#api(request, response, url);
    }

    // Bytes of the body, or an object.
    async #body(request) {
        const pieces = [];
        for await (const piece of request)
            pieces.push(piece);
        return Buffer.concat(pieces);
    }

    login(request) {
        const token = this.ways.token(request.headers);
        return [...this.tokens].find(([known]) => token && same(known, token))?.[1];
    }

    async #api(request, response, url) {
        const text = (await this.#body(request)).toString();
        const answer = (status, body, headers = {}) => {
            response.writeHead(status, { 'content-type': 'application/json', ...headers });
            response.end(body === undefined ? '' : JSON.stringify(body));
        };
        const path = url.pathname.startsWith(this.ways.api) ? url.pathname.slice(this.ways.api.length) : null;
        if (path === null)
            return answer(404, { message: 'Not Found' });
        const who = this.login(request);
        if (!who)
            return answer(401, this.ways.unauthorized);
        if (this.denyHooks && /\/hooks/.test(path))
            return answer(403, { message: '403 Forbidden' });
        await this.ways.route(this, { who, method: request.method, path, query: url.searchParams, body: text ? JSON.parse(text) : {}, answer, url });
    }

    // Rows of the page that was asked for, with the headers that lead to the next one.
    paged(call, rows, size) {
        const per = Math.min(Number(call.query.get('per_page') ?? call.query.get('limit') ?? 20), this.page, size);
        const page = Number(call.query.get('page') ?? 1), last = Math.max(1, Math.ceil(rows.length / per));
        const link = (n, rel) => {
            const url = new URL(call.url);
            url.searchParams.set('page', String(n));
            return `<${url}>; rel="${rel}"`;
        };
        const links = [...(page < last ? [link(page + 1, 'next')] : []), link(1, 'first'), link(last, 'last')];
        call.answer(200, rows.slice((page - 1) * per, page * per), { link: links.join(', '), ...this.ways.pageHeaders?.(page, last, per, rows.length) });
    }

    // git's own server, behind the password that its forge takes.
    async #git(request, response, url, { path, rest }) {
        const project = this.projects.get(decodeURIComponent(path));
        const [, password] = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString().split(/:(.*)/s);
        if (!this.open && !this.tokens.has(password ?? '')) {
            response.writeHead(401, { 'www-authenticate': 'Basic realm="forge"' });
            response.end('HTTP Basic: Access denied');
            return;
        }
        if (!project) {
            response.writeHead(404);
            response.end('Not Found');
            return;
        }
        if (rest === '/git-upload-pack' && this.failFetch > 0 && this.looked?.has(path)) {
            this.failFetch--;
            response.writeHead(503);
            response.end();
            return;
        }
        if (rest === '/git-upload-pack')
            (this.looked ??= new Set()).add(path);
        const before = await this.refs(project);
        const status = await this.#backend(request, response, url, project, rest);
        if (rest === '/git-receive-pack' && status === 200)
            await this.pushed(project, before, await this.refs(project));
    }

    // As slow as `bytesASecond` says.
    async #send(response, body) {
        const piece = Math.ceil((this.bytesASecond ?? Infinity) / 10);
        for (let at = 0; at < body.length; at += piece) {
            response.write(body.subarray(at, at + piece));
            if (this.bytesASecond)
                await new Promise((resolve) => setTimeout(resolve, 100));
        }
        response.end();
    }

    async #backend(request, response, url, project, rest) {
        const input = await this.#body(request);
        const child = spawn('/usr/bin/git', ['http-backend'], {
            env: {
                PATH: '/usr/bin:/bin', GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', GIT_PROJECT_ROOT: project.dir, GIT_HTTP_EXPORT_ALL: '1',
                PATH_INFO: rest, QUERY_STRING: url.search.slice(1), REQUEST_METHOD: request.method, REMOTE_USER: 'bot',
                CONTENT_TYPE: request.headers['content-type'] ?? '', CONTENT_LENGTH: String(input.length),
                HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '', GIT_PROTOCOL: request.headers['git-protocol'] ?? '',
            },
        });
        child.stdin.on('error', () => {});
        child.stdin.end(input);
        const out = await this.#body(child.stdout);
        const end = out.indexOf('\r\n\r\n');
        const headers = Object.fromEntries(out.subarray(0, end).toString().split('\r\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
        const status = Number((headers.Status ?? '200').slice(0, 3));
        delete headers.Status;
        response.writeHead(status, headers);
        await this.#send(response, out.subarray(end + 4));
        return status;
    }
}

export const tlsOf = (dir) => ({ key: readFileSync(`${dir}/key.pem`), cert: readFileSync(`${dir}/cert.pem`) });
