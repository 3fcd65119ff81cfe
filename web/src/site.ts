import type { AppEnv } from './types';

// Where visitors find it: by the edge's ports, which are only said when they are not the usual ones. Over HTTPS when
// this page came that way.
export function siteUrl(ae: Pick<AppEnv, 'edge_http' | 'edge_https'>, domain: string): string {
    const secure = location.protocol === 'https:';
    const port = secure ? ae.edge_https : ae.edge_http;
    return `${secure ? 'https' : 'http'}://${domain}${port === (secure ? 443 : 80) ? '' : `:${port}`}/`;
}
