// 代码托管平台: where repositories elsewhere live, and what an app follows of them.
import { useState } from 'preact/hooks';
import { visible } from './ansi';
import { api, seg } from './api';
import { t, tName } from './i18n';
import { useResource } from './resource';
import { may } from './session';
import type { App, Forge, Origin, Page } from './types';
import { Act, Age, ask, Copy, Dialog, Empty, ErrorBox, Field, Form, Loading, State } from './ui';

const KINDS = ['gitlab', 'github', 'gitea', 'git'];
// The name of a colour.
const MARKS: Record<string, string> = { new: 'running', good: 'done', failing: 'failed', none: 'pending', made: 'done', refused: 'cancelled' };

export function Forges() {
    const { data, error, reload } = useResource<Page<Forge>>('/forges', { concerns: (event) => event.topic === 'journal' });
    const [form, setForm] = useState<Partial<Forge>>();
    if (!data)
        return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
    const remove = (one: Forge) => ask({
        title: one.name, says: t('forge.removeSays', { name: one.name }), go: t('delete'), danger: true,
        act: async () => {
            await api.delete(`/forges/${seg(one.name)}`);
            reload();
        },
    });
    return (
        <>
            <div class="buttons"><button type="button" class="primary" onClick={() => setForm({})}>{t('forge.add')}</button></div>
            {data.items.length === 0 ? <Empty title={t('forge.empty')}><p class="dim">{t('forge.emptyNext')}</p></Empty> : (
                <div class="scroll"><table>
                    <thead><tr><th scope="col">{t('name')}</th><th scope="col">{t('forge.kind')}</th><th scope="col">{t('forge.url')}</th><th scope="col">{t('forge.as')}</th><th scope="col">{t('apps')}</th><th scope="col">{t('when')}</th><th scope="col" /></tr></thead>
                    <tbody>{data.items.map((one) => (
                        <tr key={one.name}>
                            <td>{one.name}</td><td>{tName('forge', one.kind)}</td><td><code>{one.url}</code></td><td>{one.seen_as ?? '–'}</td><td>{one.apps}</td><td><Age at={one.at} /></td>
                            <td class="end"><button type="button" class="small" onClick={() => setForm(one)}>{t('change')}</button>{' '}<button type="button" class="small danger" disabled={one.apps > 0} onClick={() => remove(one)}>{t('delete')}</button></td>
                        </tr>
                    ))}</tbody>
                </table></div>
            )}
            {form && <Edit one={form} onClose={() => setForm(undefined)} onDone={reload} />}
        </>
    );
}

function Edit({ one, onClose, onDone }: { one: Partial<Forge>; onClose: () => void; onDone: () => void }) {
    const [kind, setKind] = useState(one.kind ?? 'gitlab');
    return (
        <Dialog title={one.name ?? t('forge.add')} onClose={onClose}>
            <p>{t('forge.says')}</p>
            <Form go={t('save')} act={async (values) => {
                await api.put('/forges', Object.fromEntries(Object.entries({ ...values, name: one.name ?? values.name }).filter(([, value]) => value && value.trim())));
                onClose();
                onDone();
            }}>
                {!one.name && <Field label={t('name')} hint={t('newApp.nameHint')}><input name="name" pattern="[a-z][a-z0-9\-]*" maxLength={40} required autofocus spellcheck={false} /></Field>}
                <Field label={t('forge.kind')}><select name="kind" value={kind} onChange={(event) => setKind(event.currentTarget.value)}>{KINDS.map((name) => <option key={name} value={name}>{tName('forge', name)}</option>)}</select></Field>
                <Field label={t('forge.url')}><input name="url" required defaultValue={one.url ?? ''} placeholder="https://gitlab.example.com" spellcheck={false} /></Field>
                <Field label={t('forge.token')} hint={t('forge.tokenHint')}><input name="token" type="password" autocomplete="off" required={kind !== 'git'} /></Field>
                {kind === 'git' && <Field label={t('forge.login')}><input name="login" defaultValue={one.login ?? ''} spellcheck={false} /></Field>}
                {kind === 'git' && <Field label={t('forge.key')} hint={t('forge.keyHint')}><textarea name="key" rows={3} spellcheck={false} /></Field>}
                {kind === 'git' && <Field label={t('forge.knownHosts')} hint={t('forge.knownHostsHint')}><textarea name="known_hosts" rows={2} defaultValue={one.known_hosts ?? ''} spellcheck={false} /></Field>}
                <Field label={t('forge.ca')} hint={t('forge.caHint')}><textarea name="ca" rows={3} defaultValue={one.ca ?? ''} spellcheck={false} /></Field>
            </Form>
        </Dialog>
    );
}

// Of an app whose repository is elsewhere; nothing of one that is here.
export function OriginBox({ app }: { app: App }) {
    const base = `/apps/${seg(app.name)}/origin`;
    const { data: one, error, reload } = useResource<Origin>(base, { every: 30_000, concerns: (event) => event.topic === 'repo' || event.topic === 'fetch' ? event.app === app.name : event.topic === 'journal' && event.data.subject === app.name });
    const [hook, setHook] = useState<{ url: string; secret: string }>();
    if (!one)
        return error && error.code !== 'not_found' ? <ErrorBox error={error} retry={reload} /> : null;
    const admin = may(app.rights, 'admin');
    const unfollow = () => ask({
        title: t('origin.unfollow'), says: t('origin.unfollowSays', { url: one.url }), go: t('origin.unfollow'), danger: true,
        act: async () => {
            await api.delete(base);
            reload();
        },
    });
    return (
        <section class="box" aria-labelledby="origin">
            <div class="bar">
                <h2 id="origin">{t('origin.title')}</h2>
                <State name={MARKS[one.state]!} text={one.fetching ? t('origin.fetching') : tName('origin', one.state)} />
                <span class="grow" />
                {may(app.rights, 'branch') && <Act act={async () => { await api.post(`${base}/fetch`).finally(reload); }}>{t('origin.fetch')}</Act>}
                {admin && one.kind !== 'git' && <Act act={async () => setHook(await api.get(`${base}/hook`))}>{t('origin.hook')}</Act>}
                {admin && <button type="button" class="danger" onClick={unfollow}>{t('origin.unfollow')}</button>}
            </div>
            {one.progress && <p><progress max={100} value={one.progress.percent} aria-label={t('origin.fetching')} /> {tName('origin', one.progress.stage)} {one.progress.percent} %</p>}
            <p><code>{visible(one.url)}</code> {one.forge && <span class="dim">{one.forge}</span>}</p>
            <p class="dim">
                {one.fetched_at ? <>{t('origin.fetched')} <Age at={one.fetched_at} /></> : t('origin.notYet')}
                {one.moved_at && <> · {t('origin.moved')} <Age at={one.moved_at} /></>}
                {one.kind !== 'git' && <> · {t('origin.hook')}: {tName('hook', one.hook)}{one.hook_text && `: ${visible(one.hook_text)}`}</>}
                {one.deliveries > 0 && <> · {t('origin.deliveries', { n: one.deliveries })}</>}
            </p>
            <ErrorBox error={one.error ?? undefined} />
            {hook && (
                <Dialog title={t('origin.hook')} onClose={() => setHook(undefined)}>
                    <p>{t('origin.hookSays')}</p>
                    <p><Copy text={hook.url} /></p>
                    <p><Copy text={hook.secret} label={t('origin.hookSecret')} /></p>
                    <div class="buttons"><button type="button" autofocus onClick={() => setHook(undefined)}>{t('close')}</button></div>
                </Dialog>
            )}
        </section>
    );
}

// What the forges show us, to choose from.
export function ProjectOptions({ id }: { id: string }) {
    const { data } = useResource<Page<Forge>>('/forges');
    return <datalist id={id}>{data?.items.filter((one) => one.kind !== 'git').map((one) => <Projects key={one.name} forge={one.name} />)}</datalist>;
}

function Projects({ forge }: { forge: string }) {
    const { data } = useResource<{ projects: { project: string; url: string; archived: boolean }[] }>(`/forges/${seg(forge)}/projects`);
    return <>{data?.projects.filter((one) => !one.archived).map((one) => <option key={one.url} value={one.url}>{one.project}</option>)}</>;
}
