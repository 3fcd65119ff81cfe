// A place to leave an address (which this sample throws away).
import { sendJson } from '../lib/web.js';

export default {
    name: 'newsletter',
    install(app) {
        app.post('/newsletter', (request, response) => sendJson(response, 202, { thanks: true }));
    },
};
