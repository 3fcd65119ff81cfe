// GitHub's REST API (docs.github.com/rest, 2022-11-28, as an Enterprise Server has it at /api/v3) and Gitea's
// API v1 (docs.gitea.com/api), which took its shape from it. What differs stands in the two exports at the end.
const STATES = ['error', 'failure', 'pending', 'success'];

const projectRow = (forge, p) => ({
    id: p.id, node_id: `R_${p.id}`, name: p.path.split('/').pop(), full_name: p.path, private: true, owner: { login: p.path.split('/')[0] },
    default_branch: p.trunk, clone_url: p.url, ssh_url: `git@127.0.0.1:${p.path}.git`, html_url: `${forge.url}/${p.path}`, archived: false,
});
const hookRow = (forge, p, h) => ({
    id: h.id, type: forge.kind === 'gitea' ? 'gitea' : 'Repository', name: 'web', active: h.active, events: h.events,
    config: { url: h.config.url, content_type: h.config.content_type, ...(forge.kind === 'github' && { secret: '********', insecure_ssl: '0' }) },
});
const mergeRow = (forge, p, m) => ({
    id: 1000 + m.number, number: m.number, title: m.title, body: m.text, state: m.state === 'opened' ? 'open' : 'closed', merged: m.state === 'merged',
    html_url: `${forge.url}/${p.path}/${forge.kind === 'gitea' ? 'pulls' : 'pull'}/${m.number}`,
    head: { ref: m.source, label: `${p.path.split('/')[0]}:${m.source}`, repo: { id: m.fork ?? p.id } }, base: { ref: m.target, repo: { id: p.id } },
});
const invalid = (call, field, code = 'invalid', message) =>
    call.answer(422, { message: 'Validation Failed', errors: [{ resource: 'Hook', field, code, ...(message && { message }) }], documentation_url: 'https://docs.github.com/rest' });

const routes = [
    ['GET', /^\/user$/, (forge, call) => call.answer(200, { id: 7, login: call.who, type: 'User' })],
    ['GET', /^\/user\/repos$/, (forge, call) => forge.paged(call, [...forge.projects.values()].map((p) => projectRow(forge, p)), 100)],
    ['GET', /^\/repos\/([^/]+\/[^/]+)$/, (forge, call, p) => call.answer(200, projectRow(forge, p))],
    ['GET', /^\/repos\/([^/]+\/[^/]+)\/branches$/, async (forge, call, p) =>
        forge.paged(call, (await forge.branches(p)).map((b) => forge.ways.branchRow(p, b)), 100)],
    ['GET', /^\/repos\/([^/]+\/[^/]+)\/hooks$/, (forge, call, p) => forge.paged(call, p.hooks.map((h) => hookRow(forge, p, h)), 100)],
    ['POST', /^\/repos\/([^/]+\/[^/]+)\/hooks$/, (forge, call, p) => {
        const { config, events, active } = call.body;
        if (!/^https?:\/\//.test(config?.url ?? ''))
            return invalid(call, 'url');
        if (forge.kind === 'gitea' && call.body.type !== 'gitea')
            return call.answer(422, { message: 'Invalid hook type: undefined' });
        p.hooks.push({ id: p.hooks.length + 1, config, events, active, url: config.url, secret: config.secret });
        return call.answer(201, hookRow(forge, p, p.hooks.at(-1)));
    }],
    ['PATCH', /^\/repos\/([^/]+\/[^/]+)\/hooks\/(\d+)$/, (forge, call, p, id) => {
        const hook = p.hooks.find((h) => h.id === Number(id));
        if (!hook)
            return call.answer(404, { message: 'Not Found' });
        Object.assign(hook, { config: call.body.config, events: call.body.events, url: call.body.config.url, secret: call.body.config.secret });
        return call.answer(200, hookRow(forge, p, hook));
    }],
    ['GET', /^\/repos\/([^/]+\/[^/]+)\/commits\/([0-9a-f]{40})\/statuses$/, (forge, call, p, sha) =>
        forge.paged(call, p.statuses.filter((s) => s.sha === sha), 100)],
    ['POST', /^\/repos\/([^/]+\/[^/]+)\/statuses\/([0-9a-f]{40})$/, async (forge, call, p, sha) => {
        const { state, context = 'default', description = null, target_url = null } = call.body;
        if (![...STATES, ...(forge.kind === 'gitea' ? ['warning'] : [])].includes(state))
            return invalid(call, 'state');
        p.statuses.unshift({ id: p.statuses.length + 1, sha, state, status: state, context, description, target_url });
        return call.answer(201, p.statuses[0]);
    }],
    ['GET', /^\/repos\/([^/]+\/[^/]+)\/pulls$/, (forge, call, p) => {
        const state = call.query.get('state') ?? 'open', head = forge.kind === 'github' && call.query.get('head'), base = forge.kind === 'github' && call.query.get('base');
        const rows = p.merges.map((m) => mergeRow(forge, p, m)).filter((m) => (state === 'all' || m.state === state) && (!head || m.head.label === head) && (!base || m.base.ref === base));
        forge.paged(call, rows, 100);
    }],
    ['POST', /^\/repos\/([^/]+\/[^/]+)\/pulls$/, async (forge, call, p) => {
        const { head, base, title, body } = call.body;
        const names = (await forge.branches(p)).map((b) => b.name);
        if (!title || !names.includes(head) || !names.includes(base))
            return invalid(call, names.includes(head) ? 'base' : 'head');
        if (p.merges.some((m) => m.state === 'opened' && !m.fork && m.source === head && m.target === base))
            return forge.kind === 'gitea' ? call.answer(409, { message: 'pull request already exists for these targets' })
                : invalid(call, 'head', 'custom', `A pull request already exists for ${p.path.split('/')[0]}:${head}.`);
        p.merges.push({ number: p.merges.length + 1, state: 'opened', source: head, target: base, title, text: body });
        return call.answer(201, mergeRow(forge, p, p.merges.at(-1)));
    }],
];

async function route(forge, call) {
    for (const [method, pattern, handle] of routes) {
        const match = method === call.method && pattern.exec(call.path);
        if (!match)
            continue;
        if (match.length === 1)
            return handle(forge, call);
        const project = forge.projects.get(match[1].split('/').map(decodeURIComponent).join('/'));
        return project ? handle(forge, call, project, ...match.slice(2)) : call.answer(404, { message: 'Not Found' });
    }
    return call.answer(404, { message: 'Not Found' });
}

const pushBody = (forge, project, push) => JSON.stringify({
    ref: push.ref, before: push.old, after: push.new, created: /^0+$/.test(push.old), deleted: /^0+$/.test(push.new), commits: [],
    repository: projectRow(forge, project), pusher: { login: 'dev', name: 'dev' }, sender: { login: 'dev' },
});

export const github = {
    api: '/api/v3',
    unauthorized: { message: 'Bad credentials', documentation_url: 'https://docs.github.com/rest', status: '401' },
    token: (headers) => /^(?:Bearer|token) (.*)$/.exec(headers.authorization ?? '')?.[1],
    branchRow: (p, { name, tip }) => ({ name, commit: { sha: tip, url: '' }, protected: p.protected?.includes(name) ?? false }),
    route,
    push(forge, project, push, hook) {
        const body = pushBody(forge, project, push);
        return { body, headers: { 'x-github-event': 'push', 'x-github-delivery': forge.id(), 'x-hub-signature-256': `sha256=${forge.sign(hook.secret ?? '', body)}`, 'user-agent': 'GitHub-Hookshot/1' } };
    },
};

export const gitea = {
    api: '/api/v1',
    unauthorized: { message: 'invalid username, password or token', url: '/api/swagger' },
    token: (headers) => /^(?:token|Bearer) (.*)$/.exec(headers.authorization ?? '')?.[1],
    branchRow: (p, { name, tip }) => {
        const held = p.protected?.includes(name) ?? false;
        return { name, commit: { id: tip }, protected: held, user_can_push: !held };
    },
    route,
    push(forge, project, push, hook) {
        const body = pushBody(forge, project, push), id = forge.id(), signature = forge.sign(hook.secret ?? '', body);
        return { body, headers: { 'x-gitea-event': 'push', 'x-gitea-delivery': id, 'x-gitea-signature': signature, 'x-hub-signature-256': `sha256=${signature}`, 'user-agent': 'Go-http-client/1.1' } };
    },
};
