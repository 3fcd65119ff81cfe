// 合入主干: what the last environment runs becomes trunk.
import type { ComponentChildren } from 'preact';
import { visible } from './ansi';
import { api, seg } from './api';
import type { FeedEvent } from './feed';
import { t, tName } from './i18n';
import { useResource } from './resource';
import { may } from './session';
import type { AppEnv, Landing, LandingPreview, Page } from './types';
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
            {landings.data?.items.map((one, i) => <Row key={one.id} one={one}>{i === 0 && behindOf(one).map((row) => <Behind key={row.env} app={app} {...row} />)}</Row>)}
        </section>
    );
}

type Landed = Exclude<Landing['result'], { merge_request: object } | null>;
const landedOf = (one: Landing) => one.result?.merge_request ? null : one.result as Landed | null;
const behindOf = (one: Landing) => landedOf(one)?.behind ?? [];

// An environment that lacked the new trunk, as long as it runs what it ran then.
function Behind({ app, env, release }: { app: string; env: string; release: number }) {
    const to = `/apps/${seg(app)}/${seg(env)}`;
    const { data: ae } = useResource<AppEnv>(`/apps/${seg(app)}/envs/${seg(env)}`, { concerns: (event) => event.app === app && event.env === env && event.topic === 'rollout' });
    if (ae?.live_release !== release)
        return null;
    return <p>{t('land.behind', { env: tName('stage', env), release })} {may(ae.rights, 'deploy') && <a href={`${to}/submit`}>{t('land.rebuild', { env: tName('stage', env) })}</a>}</p>;
}

function Row({ one, children }: { one: Landing; children: ComponentChildren }) {
    const asked = one.result?.merge_request, result = landedOf(one);
    return (
        <div class="box">
            <State name={one.state} text={tName('landing', one.state)} /> r{one.release} <Commit id={one.commit} /> {one.tag && <code>{one.tag}</code>} <span class="dim">{one.by}, <Age at={one.at} /></span>
            {asked && <p>{t('land.asked')} <a href={asked.link} target="_blank" rel="noopener noreferrer">{asked.link}</a></p>}
            {result?.squashed && <p class="dim">{t('land.squashed')}</p>}
            {result && Object.entries(result.unticked).map(([env, names]) => <p key={env} class="dim">{t('land.unticked', { env: tName('stage', env), names: names.map(visible).join(', ') })}</p>)}
            {children}
            <ErrorBox error={one.error ?? undefined} />
        </div>
    );
}
