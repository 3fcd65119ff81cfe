// 试用环境: throw-away environments of some branches.
import { useState } from 'preact/hooks';
import { visible } from './ansi';
import { api, seg } from './api';
import { t, tName } from './i18n';
import { useResource } from './resource';
import { go } from './route';
import { may } from './session';
import type { App, Page, Try } from './types';
import { Act, Age, ask, Dialog, ErrorBox, Field, Form, State } from './ui';

const HOURS = [4, 24, 72, 168];

export function Tries({ app }: { app: App }) {
    const base = `/apps/${seg(app.name)}/tries`;
    const { data, error, reload } = useResource<Page<Try>>(base, { concerns: (event) => event.topic === 'journal' || (event.app === app.name && event.topic === 'rollout') });
    const [making, setMaking] = useState(false);
    if (!data)
        return <ErrorBox error={error} retry={reload} />;
    const end = (one: Try) => ask({
        title: one.name, says: t('try.endSays', { name: one.name }), go: t('try.end'), danger: true,
        act: async () => {
            await api.delete(`${base}/${seg(one.name)}`);
            reload();
        },
    });
    return (
        <section aria-labelledby="tries">
            <div class="bar"><h2 id="tries">{t('tries')}</h2><span class="grow" />{may(app.rights, 'tick') && <button type="button" onClick={() => setMaking(true)}>{t('try.new')}</button>}</div>
            {data.items.length === 0 && <p class="dim">{t('try.none')}</p>}
            {data.items.map((one) => (
                <div class="box" key={one.name}>
                    <div class="bar">
                        <a href={`/apps/${seg(app.name)}/${seg(one.name)}`}><b>{one.name}</b></a>
                        <State name={one.state === 'ending' ? 'running' : one.release ? 'done' : 'pending'} text={one.state === 'ending' ? t('try.ending') : one.release ? `r${one.release}` : t('never')} />
                        {one.text && <span>{visible(one.text)}</span>}
                        <span class="grow" />
                        {one.domain && <code>{one.domain}</code>}
                        {one.state === 'open' && <Act act={async () => { await api.post(`${base}/${seg(one.name)}/extend`, { hours: 24 }); reload(); }}>{t('try.extend')}</Act>}
                        {one.state === 'open' && <button type="button" class="danger" onClick={() => end(one)}>{t('try.end')}</button>}
                    </div>
                    <ul class="chips">{one.branches.map((branch) => <li key={branch}>{visible(branch)}</li>)}</ul>
                    <p class="dim">{t('try.like', { env: tName('stage', one.like) })} · {one.automation === 'push' ? t('try.byPush') : t('try.byClick')} · {one.by}, <Age at={one.at} /> · {t('try.left', { n: Math.max(0, Math.round((one.expires_at - Date.now()) / 3_600_000)) })}</p>
                </div>
            ))}
            {making && <Make app={app} onClose={() => setMaking(false)} />}
        </section>
    );
}

function Make({ app, onClose }: { app: App; onClose: () => void }) {
    const { data } = useResource<{ trunk: string; items: { name: string }[] }>(`/apps/${seg(app.name)}/branches?limit=500`);
    const [chosen, setChosen] = useState<Set<string>>(new Set());
    const [filter, setFilter] = useState('');
    const toggle = (name: string) => setChosen((before) => {
        const after = new Set(before);
        if (!after.delete(name))
            after.add(name);
        return after;
    });
    const shown = (data?.items ?? []).filter((one) => one.name !== data!.trunk && (chosen.has(one.name) || one.name.includes(filter)));
    return (
        <Dialog title={t('try.new')} onClose={onClose}>
            <p>{t('try.says')}</p>
            <Form go={t('try.new')} act={async ({ like, hours, text }) => {
                const { try: made } = await api.post(`/apps/${seg(app.name)}/tries`, { branches: [...chosen], like, hours: Number(hours), ...(text?.trim() ? { text: text.trim() } : {}) });
                onClose();
                go(`/apps/${seg(app.name)}/${seg(made.name)}`);
            }}>
                <Field label={t('filter')}><input value={filter} onInput={(event) => setFilter(event.currentTarget.value)} spellcheck={false} autofocus /></Field>
                <fieldset class="pick"><legend>{t('branch')}</legend>{shown.slice(0, 100).map((one) => <label key={one.name}><input type="checkbox" checked={chosen.has(one.name)} onChange={() => toggle(one.name)} /> {visible(one.name)}</label>)}</fieldset>
                <Field label={t('try.likeLabel')} hint={t('try.likeHint')}><select name="like">{app.envs.map((env) => <option key={env} value={env}>{tName('stage', env)}</option>)}</select></Field>
                <Field label={t('try.hours')}><select name="hours" defaultValue="24">{HOURS.map((n) => <option key={n} value={n} selected={n === 24}>{t('try.hoursN', { n })}</option>)}</select></Field>
                <Field label={t('try.text')}><input name="text" maxLength={60} /></Field>
            </Form>
        </Dialog>
    );
}
