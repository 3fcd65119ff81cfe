import { signal } from './signal';

export type Theme = 'auto' | 'light' | 'dark';
const KEY = 'slipway.theme';

export const theme = signal<Theme>((localStorage.getItem(KEY) as Theme | null) ?? 'auto');
document.documentElement.dataset.theme = theme.value;

export function setTheme(next: Theme): void {
    localStorage.setItem(KEY, next);
    document.documentElement.dataset.theme = next;
    theme.value = next;
}
