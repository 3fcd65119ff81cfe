// Who decided what, in order; and whether the rows are as they were written.
import { useEffect, useState } from 'preact/hooks';
import { visible } from '../ansi';
import { api, query } from '../api';
import { t } from '../i18n';
import { useResource } from '../resource';
import { address, param, setParam } from '../route';
import { me } from '../session';
import { useSignal } from '../signal';
import { full } from '../time';
import type { Page } from '../types';
import { Act, Empty, ErrorBox, Loading } from '../ui';

interface Row {
    seq: number;
    at: number;
    actor: string;
    kind: string;
    subject: string | null;
    data: any;
}
interface Verdict {
    ok: boolean;
    rows?: number;
    head?: string;
    text?: string;
    error?: string;
}
const LIMIT = 100;

const SHORT = 160;

// What is long is opened on demand.
function Data({ data }: { data: any }) {
    const text = data && Object.keys(data).length ? visible(JSON.stringify(data)) : '';
    return text.length <= SHORT ? <>{text}</> : <details><summary>{text.slice(0, SHORT)}…</summary>{text}</details>;
}

export function JournalPage() {
    const at = useSignal(address);
    const subject = param(at, 'subject') ?? '';
    const [before, setBefore] = useState<number[]>([]); // where the pages that one has turned begin
    useEffect(() => setBefore([]), [subject]);
    const { data, error, reload } = useResource<Page<Row>>(`/audit${query({ newest: 1, limit: LIMIT, subject, after: before.at(-1) })}`, { concerns: (event) => event.topic === 'journal', soon: 500 });
    const [verdict, setVerdict] = useState<Verdict>();
    if (!me.value?.admin)
        return <Empty title={t('journal.onlyAdmin')} />;
    const rows = [...(data?.items ?? [])].sort((a, b) => b.seq - a.seq);
    return (
        <>
            <div class="bar">
                <h1>{t('journal.title')}</h1>
                <input type="search" data-filter key={subject} defaultValue={subject} placeholder={t('journal.subject')} aria-label={t('journal.subject')} onChange={(event) => setParam('subject', event.currentTarget.value)} />
                <span class="grow" />
                <Act act={async () => setVerdict(await api.get('/audit/verify'))}>{t('journal.verify')}</Act>
            </div>
            {verdict && (verdict.ok ? <p class="box good" role="status">{t('journal.good', { n: verdict.rows ?? 0, head: verdict.head?.slice(0, 12) ?? '' })}</p> : <ErrorBox error={{ error: verdict.error ?? '', text: verdict.text ?? '' }} />)}
            {!data ? error ? <ErrorBox error={error} retry={reload} /> : <Loading /> : rows.length === 0 ? <Empty title={t('journal.empty')} /> : (
                <div class="scroll"><table class="compact">
                    <thead><tr><th scope="col">#</th><th scope="col">{t('when')}</th><th scope="col">{t('who')}</th><th scope="col">{t('what')}</th><th scope="col">{t('app')}</th><th scope="col" /></tr></thead>
                    <tbody>{rows.map((row) => <tr key={row.seq}><td class="number">{row.seq}</td><td class="nowrap">{full(row.at)}</td><td>{row.actor.replace(/^user:/, '')}</td><td>{row.kind}</td><td>{row.subject}</td><td class="wrap mono dim"><Data data={row.data} /></td></tr>)}</tbody>
                </table></div>
            )}
            <div class="buttons">
                {before.length > 0 && <button type="button" onClick={() => setBefore(before.slice(0, -1))}>{t('journal.newer')}</button>}
                {rows.length >= LIMIT && <button type="button" onClick={() => setBefore([...before, rows.at(-1)!.seq])}>{t('journal.older')}</button>}
            </div>
        </>
    );
}
