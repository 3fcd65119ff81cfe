// 缺陷: what testers found wrong with a release, and what each one waits for.
import { useState } from 'preact/hooks';
import { visible } from '../ansi';
import { api, query, seg } from '../api';
import type { FeedEvent } from '../feed';
import { t, tName } from '../i18n';
import { useResource } from '../resource';
import { address, param, setParam } from '../route';
import { me } from '../session';
import { useSignal } from '../signal';
import type { App, Finding, Page } from '../types';
import { Act, Age, Dialog, Empty, ErrorBox, Field, Form, Loading, State } from '../ui';

const STATES = ['unclosed', 'open', 'fixed', 'closed', ''];
const SEVERITIES = ['low', 'medium', 'high', 'critical'];
// The name of a colour.
const MARKS: Record<string, string> = { open: 'failed', fixed: 'running', closed: 'done', critical: 'failed', high: 'failed', medium: 'cancelled', low: 'pending' };

export function FindingsPage({ app }: { app: string }) {
    const base = `/apps/${seg(app)}`;
    const at = useSignal(address);
    const who = useSignal(me)!;
    const filter = { state: param(at, 'state') ?? 'unclosed', env: param(at, 'env') ?? '', person: param(at, 'person') ?? '' };
    const { data: about } = useResource<App>(base);
    // a release of its branch changes what one waits for
    const concerns = (event: FeedEvent) => event.app === app && (event.topic === 'finding' || event.topic === 'rollout');
    const { data, error, reload } = useResource<Page<Finding>>(`${base}/findings${query({ state: filter.state === 'all' ? null : filter.state, env: filter.env || null, person: filter.person || null })}`, { concerns });
    const [filing, setFiling] = useState(false);
    const select = (name: 'state' | 'env', label: string, options: [string, string][]) => (
        <select aria-label={label} value={filter[name]} onChange={(event) => setParam(name, event.currentTarget.value || (name === 'state' ? 'all' : ''))}>{options.map(([value, text]) => <option key={value} value={value}>{text}</option>)}</select>
    );
    return (
        <>
            <div class="bar">
                <h1>{app} <span class="dim">{t('findings')}</span></h1>
                {select('state', t('state'), STATES.map((one) => [one || 'all', tName('finding', one || 'all')]))}
                {about && select('env', t('env'), [['', t('all')], ...about.envs.map((env): [string, string] => [env, tName('stage', env)])])}
                <label><input type="checkbox" checked={filter.person === who.name} onChange={(event) => setParam('person', event.currentTarget.checked ? who.name : '')} /> {t('home.mine')}</label>
                <span class="grow" />
                <button type="button" class="primary" onClick={() => setFiling(true)}>{t('findings.file')}</button>
            </div>
            {!data && (error ? <ErrorBox error={error} retry={reload} /> : <Loading />)}
            {data?.items.length === 0 && <Empty title={t('findings.empty')} />}
            {data?.items.map((one) => <Row key={one.number} base={base} one={one} reload={reload} />)}
            {filing && about && <File app={about} onClose={() => setFiling(false)} onDone={reload} />}
        </>
    );
}

function Row({ base, one, reload }: { base: string; one: Finding; reload: () => void }) {
    const [open, setOpen] = useState(false);
    return (
        <section class="box" aria-labelledby={`finding-${one.number}`}>
            <p id={`finding-${one.number}`}><button type="button" class="quiet name" aria-expanded={open} onClick={() => setOpen(!open)}>#{one.number} {visible(one.title)}</button> <State name={MARKS[one.severity]!} text={tName('severity', one.severity)} /> <State name={MARKS[one.state]!} text={tName('finding', one.state)} /></p>
            <p class="dim">{tName('stage', one.env)} r{one.release} · {t('findings.round', { n: one.round })}{one.branch && ` · ${visible(one.branch)}`} · {one.by}, <Age at={one.at} />{one.waits && <> · <b>{one.waits === 'fix' ? t('finding.open') : t(`findings.${one.waits}`)}</b></>}</p>
            {open && <Detail base={base} number={one.number} reload={reload} />}
        </section>
    );
}

function Detail({ base, number, reload }: { base: string; number: number; reload: () => void }) {
    const path = `${base}/findings/${number}`;
    const { data: one, error, reload: again } = useResource<Finding>(path, { concerns: (event) => event.topic === 'finding' && event.data.number === number });
    const [text, setText] = useState('');
    if (!one)
        return error ? <ErrorBox error={error} retry={again} /> : <Loading />;
    const act = (what: string) => async () => {
        await api.post(path, { act: what, ...(text.trim() ? { text: text.trim() } : {}) });
        setText('');
        reload();
        again();
    };
    return (
        <>
            <ul class="plain">{one.notes!.map((note, i) => <li key={i}><b>{tName('note', note.kind)}</b> <span class="dim">{note.by}, r{note.release}, {t('findings.round', { n: note.round })}, <Age at={note.at} /></span>{note.text && <p class="wrap">{visible(note.text)}</p>}</li>)}</ul>
            <textarea rows={2} maxLength={2000} value={text} aria-label={t('findings.say')} placeholder={t('findings.say')} onInput={(event) => setText(event.currentTarget.value)} />
            <div class="buttons">
                {one.state === 'open' && <Act act={act('fix')}>{t('findings.fix')}</Act>}
                {one.state !== 'closed' && <Act act={act('close')}>{t('findings.close')}</Act>}
                {one.state !== 'open' && <Act act={act('reopen')}>{t('findings.reopen')}</Act>}
                <Act act={act('note')} disabled={!text.trim()}>{t('findings.note')}</Act>
            </div>
        </>
    );
}

function File({ app, onClose, onDone }: { app: App; onClose: () => void; onDone: () => void }) {
    const { data } = useResource<{ items: { name: string }[] }>(`/apps/${seg(app.name)}/branches?limit=500`);
    return (
        <Dialog title={t('findings.file')} onClose={onClose}>
            <Form go={t('findings.file')} act={async (values) => {
                await api.post(`/apps/${seg(app.name)}/findings`, Object.fromEntries(Object.entries(values).filter(([, value]) => value.trim())));
                onClose();
                onDone();
            }}>
                <Field label={t('findings.title')}><input name="title" required maxLength={60} autofocus /></Field>
                <Field label={t('env')} hint={t('findings.envHint')}><select name="env">{app.envs.map((env) => <option key={env} value={env}>{tName('stage', env)}</option>)}</select></Field>
                <Field label={t('findings.severity')}><select name="severity" defaultValue="medium">{SEVERITIES.map((one) => <option key={one} value={one} selected={one === 'medium'}>{tName('severity', one)}</option>)}</select></Field>
                <Field label={t('branch')} hint={t('findings.branchHint')}><input name="branch" list="finding-branches" /></Field>
                <datalist id="finding-branches">{data?.items.map((one) => <option key={one.name} value={one.name} />)}</datalist>
                <Field label={t('findings.text')}><textarea name="text" rows={5} maxLength={2000} /></Field>
            </Form>
        </Dialog>
    );
}
