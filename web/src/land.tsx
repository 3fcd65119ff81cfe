// 合入主干: what the last environment runs becomes trunk.
import { visible } from './ansi';
import { api, seg } from './api';
import type { FeedEvent } from './feed';
import { t, tName } from './i18n';
import { useResource } from './resource';
import type { Landing, LandingPreview, Page } from './types';
import { Age, ask, Commit, ErrorBox, State } from './ui';

export function Land({ app, env, mayLand }: { app: string; env: string; mayLand: boolean }) {
    const base = `/apps/${seg(app)}`;
    const concerns = (event: FeedEvent) => event.app === app && (event.topic === 'repo' || event.topic === 'rollout');
    const preview = useResource<LandingPreview>(`${base}/landing`, { concerns });
    const landings = useResource<Page<Landing>>(`${base}/landings?limit=3`, { concerns });
    const next = preview.data;
    if (!next || next.env !== env)
        return <ErrorBox error={preview.error} retry={preview.reload} />;
    const land = () => ask({
        title: t('land'), go: t('land'),
        says: <><p>{t('land.says', { release: next.release, env: tName('stage', env), tag: next.tag })}</p><ul class="chips">{next.branches.map((one) => <li key={one.branch}>{visible(one.branch)}</li>)}</ul></>,
        act: async () => {
            await api.post(`${base}/landings`, { release: next.release });
            preview.reload();
            landings.reload();
        },
    });
    return (
        <section aria-labelledby="land">
            <div class="bar"><h2 id="land">{t('land.title')}</h2>{next.landed ? <State name="done" text={t('land.done', { release: next.release })} /> : !next.refused && mayLand && <button type="button" class="primary" onClick={land}>{t('land.go', { release: next.release })}</button>}</div>
            {landings.data?.items.map((one) => <Row key={one.id} one={one} />)}
        </section>
    );
}

function Row({ one }: { one: Landing }) {
    const asked = one.result?.merge_request, result = one.result?.merge_request ? null : one.result as Exclude<Landing['result'], { merge_request: object } | null> | null;
    return (
        <div class="box">
            <State name={one.state} text={tName('landing', one.state)} /> r{one.release} <Commit id={one.commit} /> <code>{one.tag}</code> <span class="dim">{one.by}, <Age at={one.at} /></span>
            {asked && <p>{t('land.asked')} <a href={asked.link} target="_blank" rel="noopener noreferrer">{asked.link}</a></p>}
            {result && Object.entries(result.unticked).map(([env, names]) => <p key={env} class="dim">{t('land.unticked', { env: tName('stage', env), names: names.map(visible).join(', ') })}</p>)}
            {result && result.behind.length > 0 && <p>{t('land.behind', { envs: result.behind.map((row) => `${tName('stage', row.env)} r${row.release}`).join(', ') })}</p>}
            <ErrorBox error={one.error ?? undefined} />
        </div>
    );
}
