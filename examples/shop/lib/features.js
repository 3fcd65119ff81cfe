// A feature is a file in features/: { name, install(app, shop) }. Branches add files and seldom meet.
import { readdirSync } from 'node:fs';

export async function featuresLoad() {
    const folder = new URL('../features/', import.meta.url);
    const names = readdirSync(folder).filter((name) => name.endsWith('.js')).sort();
    const modules = await Promise.all(names.map((name) => import(new URL(name, folder))));
    return modules.map((module) => module.default);
}
