// A Flask app from PyPI under gunicorn, by its own normal build (pip in a virtual environment, on a base of packages), released twice: nothing is lost
// while the second version rolls out. Needs the public registries.
import { test } from 'node:test';
import { foreignDay } from '../lib/index.mjs';

test('its own build makes it, and its second release rolls out with nothing lost', { timeout: 1_800_000 },
    (t) => foreignDay(t, { name: 'notes', fixture: 'flask', change: ['app.py', 'VERSION = "1"', 'VERSION = "2"'], sees: /version 2/ }));
