import { defineConfig } from 'vite';

// No inline script or style (the page's policy forbids them), file names by content, no source maps in the pack.
export default defineConfig({
    base: '/',
    build: {
        target: 'es2022',
        outDir: 'dist',
        assetsInlineLimit: 0,
        modulePreload: { polyfill: false },
        cssCodeSplit: false,
        rollupOptions: { output: { entryFileNames: 'assets/[name]-[hash].js', chunkFileNames: 'assets/[name]-[hash].js', assetFileNames: 'assets/[name]-[hash][extname]' } },
    },
    esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
    server: { proxy: { '/api': 'http://127.0.0.1:7000' } }, // the Host stays: it must be the page's own
});
