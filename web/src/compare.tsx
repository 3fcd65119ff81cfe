// What lies between two releases, wherever they ran: branches, commits, configuration, secrets, artifact.
import { visible } from './ansi';
import { query, seg } from './api';
import { t } from './i18n';
import { useResource } from './resource';
import { Age, Commit, ErrorBox, Loading, State } from './ui';

interface Change {
    from: any;
    to: any;
}
interface LogCommit {
    id: string;
    author: string;
    at: number;
    subject: string;
    merge: boolean;
}
interface Comparison {
    branches: { added: { branch: string; tip: string }[]; removed: { branch: string; tip: string }[]; changed: ({ branch: string } & Change)[] };
    commits: LogCommit[] | null;
    commits_more?: boolean;
    config: ({ path: string } & Change)[];
    secrets: ({ name: string } & Change)[];
    same_artifact: boolean;
}

const shown = (value: any): string => (value === null || value === undefined ? '–' : visible(typeof value === 'string' ? value : JSON.stringify(value)));

function Commits({ commits }: { commits: LogCommit[] }) {
    return <ul class="commits">{commits.map((one) => <li key={one.id}><Commit id={one.id} /> {visible(one.subject)} <span class="dim">{visible(one.author)}, <Age at={one.at} /></span></li>)}</ul>;
}

export function Compare({ app, from, to }: { app: string; from: string; to: string }) {
    const { data, error, reload } = useResource<Comparison>(`/apps/${seg(app)}/compare${query({ from, to })}`);
    if (!data)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const { added, removed, changed } = data.branches;
    const same = !added.length && !removed.length && !changed.length && !data.commits?.length && !data.config.length && !data.secrets.length;
    if (same)
        return <p>{t('env.same')} {data.same_artifact ? t('compare.sameArtifact') : t('compare.otherArtifact')}</p>;
    return (
        <div class="compare">
            <p class="dim">{from} → {to} · {data.same_artifact ? t('compare.sameArtifact') : t('compare.otherArtifact')}</p>
            {added.length + removed.length + changed.length > 0 && <h3>{t('compare.branches')}</h3>}
            <ul>
                {added.map((one) => <li key={one.branch}><State name="done" text={t('compare.added')} /> {one.branch} <Commit id={one.tip} /></li>)}
                {removed.map((one) => <li key={one.branch}><State name="failed" text={t('compare.removed')} /> {one.branch}</li>)}
                {changed.map((one) => <li key={one.branch}><State name="running" text={t('compare.changed')} /> {one.branch} <Commit id={one.from} /> → <Commit id={one.to} /></li>)}
            </ul>
            <h3>{t('compare.commits')}</h3>
            {data.commits === null ? <p class="dim">{t('compare.unknown')}</p> : data.commits.length === 0 ? <p class="dim">{t('compare.noCommits')}</p> : (
                <>
                    <Commits commits={data.commits.filter((one) => !one.merge)} />
                    {data.commits_more && <p>…</p>}
                    {data.commits.some((one) => one.merge) && <details><summary>{t('compare.merges', { n: data.commits.filter((one) => one.merge).length })}</summary><Commits commits={data.commits.filter((one) => one.merge)} /></details>}
                </>
            )}
            {data.config.length > 0 && (
                <>
                    <h3>{t('compare.config')}</h3>
                    <table class="compact"><tbody>{data.config.map((one) => <tr key={one.path}><td><code>{one.path}</code></td><td class="wrap mono del">{shown(one.from)}</td><td class="wrap mono ins">{shown(one.to)}</td></tr>)}</tbody></table>
                </>
            )}
            {data.secrets.length > 0 && (
                <>
                    <h3>{t('compare.secrets')}</h3>
                    <ul>{data.secrets.map((one) => <li key={one.name}><code>{one.name}</code> {one.from ? `v${one.from}` : '–'} → {one.to ? `v${one.to}` : '–'}</li>)}</ul>
                </>
            )}
        </div>
    );
}
