import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// The pages are embedded in the Go program (internal/console): every asset is
// a file of our own with its hash in its name, never a data: URL, so that the
// content policy can stay at 'self'.
export default defineConfig({
  plugins: [svelte()],
  // `npm run dev` shows /player.html with the media of `liuyun play DIR --listen 127.0.0.1:8080`.
  server: { proxy: { '/media': 'http://127.0.0.1:8080' } },
  build: {
    outDir: '../internal/console/dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
    target: 'es2022',
    rolldownOptions: { input: { player: 'player.html' } },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
