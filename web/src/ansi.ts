// Output of programs as pieces of text with a colour, and nothing else: what it says to a terminal besides SGR colours
// is dropped, controls and direction marks are shown as what they are. Never HTML: pieces become text nodes.
export interface Piece {
    text: string;
    class: string;
}

const names = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
// CSI ... final | OSC ... BEL or ST | other two-byte escapes
// eslint-disable-next-line no-control-regex
const ESCAPES = /\x1b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\|$)|[PX^_][^\x1b]*(?:\x1b\\|$)|[ -/]*[0-~])/g;
// eslint-disable-next-line no-control-regex
const HIDDEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

// Characters that are not seen, or that turn what stands beside them around, as marks.
export function visible(text: string): string {
    return text.replace(HIDDEN, (c) => (c < ' ' ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : '\ufffd'));
}

// The classes after these parameters of "ESC [ ... m".
function apply(state: { colour: string; bold: boolean }, params: string): void {
    for (const code of (params || '0').split(/[;:]/).map(Number)) {
        if (code === 0)
            Object.assign(state, { colour: '', bold: false });
        else if (code === 1)
            state.bold = true;
        else if (code === 22)
            state.bold = false;
        else if (code >= 30 && code <= 37)
            state.colour = names[code - 30]!;
        else if (code >= 90 && code <= 97)
            state.colour = names[code - 90]!;
        else if (code === 39)
            state.colour = '';
        else if (code === 38 || code === 48)
            return; // colours of other tables: left out, with what follows
    }
}

export function pieces(line: string): Piece[] {
    const out: Piece[] = [];
    const state = { colour: '', bold: false };
    let from = 0;
    const add = (text: string) => {
        if (text)
            out.push({ text: visible(text), class: [state.colour && `ansi-${state.colour}`, state.bold && 'ansi-bold'].filter(Boolean).join(' ') });
    };
    for (const match of line.matchAll(ESCAPES)) {
        add(line.slice(from, match.index));
        from = match.index + match[0].length;
        if (match[2] === 'm')
            apply(state, match[1] ?? '');
    }
    add(line.slice(from));
    return out;
}

// Without anything but its characters: for searching.
export function plain(line: string): string {
    return visible(line.replace(ESCAPES, ''));
}
