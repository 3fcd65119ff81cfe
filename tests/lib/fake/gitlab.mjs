// GitLab's API v4 as docs.gitlab.com/api publishes it: /user, /projects, branches, hooks, statuses, merge requests.
const STATES = ['pending', 'running', 'success', 'failed', 'canceled', 'skipped'];

const projectRow = (forge, p) => ({
    id: p.id, path: p.path.split('/').pop(), name: p.path.split('/').pop(), path_with_namespace: p.path, default_branch: p.trunk,
    http_url_to_repo: p.url, ssh_url_to_repo: `git@127.0.0.1:${p.path}.git`, web_url: `${forge.url}/${p.path}`, archived: false,
});
const branchRow = (p, { name, tip }) => {
    const held = p.protected?.includes(name) ?? false;
    return { name, commit: { id: tip, short_id: tip.slice(0, 8) }, merged: false, protected: held, default: name === p.trunk, can_push: !held };
};
const hookRow = (p, h) => ({ id: h.id, url: h.url, project_id: p.id, push_events: h.push_events, tag_push_events: h.tag_push_events, enable_ssl_verification: true });
const mergeRow = (forge, p, m) => ({
    id: 1000 + m.number, iid: m.number, project_id: p.id, source_project_id: m.fork ?? p.id, target_project_id: p.id, title: m.title, description: m.text, state: m.state, source_branch: m.source, target_branch: m.target,
    web_url: `${forge.url}/${p.path}/-/merge_requests/${m.number}`,
});

const routes = [
    ['GET', /^\/user$/, (forge, call) => call.answer(200, { id: 7, username: call.who, name: call.who, state: 'active' })],
    ['GET', /^\/projects$/, (forge, call) => {
        const search = call.query.get('search') ?? '';
        forge.paged(call, [...forge.projects.values()].filter((p) => p.path.includes(search)).map((p) => projectRow(forge, p)), 100);
    }],
    ['GET', /^\/projects\/([^/]+)$/, (forge, call, p) => call.answer(200, projectRow(forge, p))],
    ['GET', /^\/projects\/([^/]+)\/repository\/branches$/, async (forge, call, p) =>
        forge.paged(call, (await forge.branches(p)).map((b) => branchRow(p, b)), 100)],
    ['GET', /^\/projects\/([^/]+)\/hooks$/, (forge, call, p) => forge.paged(call, p.hooks.map((h) => hookRow(p, h)), 100)],
    ['POST', /^\/projects\/([^/]+)\/hooks$/, (forge, call, p) => {
        if (!/^https?:\/\//.test(call.body.url ?? ''))
            return call.answer(422, { message: { url: ['is blocked: Only allowed schemes are http, https'] } });
        p.hooks.push({ id: p.hooks.length + 1, ...call.body, secret: call.body.token });
        return call.answer(201, hookRow(p, p.hooks.at(-1)));
    }],
    ['PUT', /^\/projects\/([^/]+)\/hooks\/(\d+)$/, (forge, call, p, id) => {
        const hook = p.hooks.find((h) => h.id === Number(id));
        if (!hook)
            return call.answer(404, { message: '404 Not found' });
        Object.assign(hook, call.body, { secret: call.body.token });
        return call.answer(200, hookRow(p, hook));
    }],
    ['GET', /^\/projects\/([^/]+)\/repository\/commits\/([0-9a-f]{40})\/statuses$/, (forge, call, p, sha) =>
        forge.paged(call, p.statuses.filter((s) => s.sha === sha), 100)],
    ['POST', /^\/projects\/([^/]+)\/statuses\/([0-9a-f]{40})$/, (forge, call, p, sha) => {
        const { state, name, context, description, target_url } = { ...Object.fromEntries(call.query), ...call.body };
        if (!STATES.includes(state))
            return call.answer(400, { message: 'state does not have a valid value' });
        const row = p.statuses.find((s) => s.sha === sha && s.name === (name ?? context)) ?? { id: p.statuses.length + 1, sha, name: name ?? context };
        if (row.status === state)
            return call.answer(400, { message: `Cannot transition status via :${state} from :${state}` });
        Object.assign(row, { status: state, description: description ?? null, target_url: target_url ?? null });
        if (!p.statuses.includes(row))
            p.statuses.push(row);
        return call.answer(201, row);
    }],
    ['GET', /^\/projects\/([^/]+)\/merge_requests$/, (forge, call, p) => {
        const is = (key, value) => !call.query.has(key) || call.query.get(key) === value;
        forge.paged(call, p.merges.filter((m) => is('state', m.state) && is('source_branch', m.source) && is('target_branch', m.target)).map((m) => mergeRow(forge, p, m)), 100);
    }],
    ['POST', /^\/projects\/([^/]+)\/merge_requests$/, async (forge, call, p) => {
        const { source_branch: source, target_branch: target, title, description } = call.body;
        const names = (await forge.branches(p)).map((b) => b.name);
        if (!title || !names.includes(source) || !names.includes(target))
            return call.answer(400, { error: 'source_branch, target_branch or title is missing or invalid' });
        if (p.merges.some((m) => m.state === 'opened' && m.source === source && m.target === target))
            return call.answer(409, { message: [`Another open merge request already exists for this source branch: !${p.merges[0].number}`] });
        p.merges.push({ number: p.merges.length + 1, state: 'opened', source, target, title, text: description });
        return call.answer(201, mergeRow(forge, p, p.merges.at(-1)));
    }],
];

export const gitlab = {
    api: '/api/v4',
    unauthorized: { message: '401 Unauthorized' },
    token: (headers) => headers['private-token'] ?? /^Bearer (.*)$/.exec(headers.authorization ?? '')?.[1],
    pageHeaders: (page, last, per, total) => ({
        'x-page': String(page), 'x-next-page': page < last ? String(page + 1) : '', 'x-per-page': String(per), 'x-total': String(total), 'x-total-pages': String(last),
    }),
    async route(forge, call) {
        for (const [method, pattern, handle] of routes) {
            const match = method === call.method && pattern.exec(call.path);
            if (!match)
                continue;
            if (match.length === 1)
                return handle(forge, call);
            const name = decodeURIComponent(match[1]);
            const project = forge.projects.get(name) ?? [...forge.projects.values()].find((p) => String(p.id) === name);
            return project ? handle(forge, call, project, ...match.slice(2)) : call.answer(404, { message: '404 Project Not Found' });
        }
        return call.answer(404, { error: '404 Not Found' });
    },
    // A "Push Hook" or "Tag Push Hook"; the token is told as it is.
    push(forge, project, push, hook) {
        const tag = push.ref.startsWith('refs/tags/');
        const body = JSON.stringify({
            object_kind: tag ? 'tag_push' : 'push', event_name: tag ? 'tag_push' : 'push', before: push.old, after: push.new, ref: push.ref,
            checkout_sha: /^0+$/.test(push.new) ? null : push.new, user_username: 'dev', project_id: project.id,
            project: { path_with_namespace: project.path, git_http_url: project.url, default_branch: project.trunk }, commits: [], total_commits_count: 0,
        });
        const id = forge.id();
        return {
            body,
            headers: {
                'x-gitlab-event': tag ? 'Tag Push Hook' : 'Push Hook', 'x-gitlab-token': hook.secret ?? '', 'x-gitlab-event-uuid': id, 'idempotency-key': id,
                'x-gitlab-instance': forge.url, 'user-agent': 'GitLab/17.5.0',
            },
        };
    },
};
