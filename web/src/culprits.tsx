// 问题分支: the smallest set of branches that makes a build fail, found by building others of them.
import { visible } from './ansi';
import { api, seg } from './api';
import type { FeedEvent } from './feed';
import { t, tName } from './i18n';
import { useResource } from './resource';
import type { Build, Culprit } from './types';
import { ask, ErrorBox, State } from './ui';

const MARKS = { running: 'running', found: 'done', failed: 'failed', cancelled: 'cancelled' };

function found(row: Culprit): string {
    const names = (row.culprits ?? []).map(visible).join(', ');
    return row.culprits?.length ? t(row.culprits.length === 1 ? 'culprits.one' : 'culprits.all', { names }) : t('culprits.trunk');
}

export function Culprits({ app, env, build, mayBuild }: { app: string; env: string; build: Build; mayBuild: boolean }) {
    const path = `/apps/${seg(app)}/envs/${seg(env)}/builds/${build.number}/culprits`;
    const by = build.error?.error;
    const may = build.state === 'failed' && (by === 'build_failed' || by === 'check_failed') && !build.culprits_of;
    const concerns = (event: FeedEvent) => event.app === app && event.env === env && event.topic === 'build' && event.data.number === build.number && event.data.event === 'culprits';
    const { data: row, error, reload } = useResource<Culprit>(may ? path : null, { concerns });
    if (!may)
        return null;
    const begin = () => ask({
        title: t('culprits.find'), go: t('culprits.find'),
        says: <p>{t('culprits.says', { n: Math.ceil(Math.log2(build.ticks.length + 1)) + 2 })}</p>,
        act: async () => {
            await api.post(path);
            reload();
        },
    });
    const button = mayBuild && row?.state !== 'running' && row?.state !== 'found' && <button type="button" class="primary" onClick={begin}>{t('culprits.find')}</button>;
    if (!row)
        return <ErrorBox error={error} retry={reload} />;
    if (row.state === 'none')
        return button ? <p>{button}</p> : null;
    return (
        <section class="box" aria-labelledby="culprits" aria-live="polite">
            <div class="bar"><h2 id="culprits">{t('culprits.title')}</h2><State name={MARKS[row.state]} text={tName('culprit', row.state)} /><span class="grow" />
                {button}{mayBuild && row.state === 'running' && <button type="button" class="small" onClick={() => void api.post(`${path}/cancel`).then(reload, reload)}>{t('cancel')}</button>}</div>
            {row.state === 'found' && <p><b>{found(row)}</b></p>}
            <ErrorBox error={row.error ?? undefined} />
            <ul class="plain">{row.tried.map((one, i) => (
                <li key={i}><State name={one.failed === null ? 'running' : one.failed ? 'failed' : 'done'} text={tName('culprit', one.failed === null ? 'now' : one.failed ? 'bad' : 'good')} /> {one.branches.length ? one.branches.map(visible).join(', ') : t('culprits.trunkAlone')} {one.build && <a href={`/apps/${seg(app)}/${seg(env)}/builds/${one.build}`}>b{one.build}</a>} {one.text && <span class="dim">{visible(one.text)}</span>}</li>
            ))}</ul>
        </section>
    );
}
