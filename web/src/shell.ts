// Lines that people copy into a shell. A branch's name may hold anything that git takes: ; $( ) | and quotes, too.

const PLAIN = /^[A-Za-z0-9._/:@%+=,-]+$/;

const word = (text: string): string => (PLAIN.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** shell`git push ${url} ${branch}`: what is put in becomes one word each, whatever it holds. */
export const shell = (parts: TemplateStringsArray, ...words: string[]): string =>
    parts.map((part, i) => part + (i < words.length ? word(words[i]!) : '')).join('');
