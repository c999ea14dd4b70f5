import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

// Where internal/console serves each page, and its files below static/.
const places: Record<string, string> = { 'player.html': '/', 'console.html': '/console/', 'embed.html': '/embed/' };

const server = 'http://127.0.0.1:8080';

// The pages are embedded in the Go program (internal/console): every asset is
// a file of our own with its hash in its name, never a data: URL, so that the
// content policy can stay at 'self'.
export default defineConfig({
  plugins: [svelte(), devPages()],
  experimental: {
    renderBuiltUrl: (name, { hostId, hostType }) =>
      hostType === 'html' ? (places[hostId] ?? '/') + name : { relative: true },
  },
  // `npm run dev` shows /player.html with the media of `liuyun play DIR --listen 127.0.0.1:8080`,
  // /console/ and /embed/ with the API of `liuyun serve`.
  server: { proxy: { '/media': server, '/v1': server, '/play': server, '/reports': server } },
  build: {
    outDir: '../internal/console/dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
    target: 'es2022',
    assetsDir: 'static',
    rolldownOptions: {
      input: { player: 'player.html', console: 'console.html', embed: 'embed.html', script: 'src/embed/script.ts' },
      // Other sites name this one: it has no hash.
      output: { entryFileNames: (chunk) => (chunk.name === 'script' ? 'embed.js' : 'static/[name]-[hash].js') },
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});

/** devPages answers below /console/ and /embed/ with their pages, as the program does. */
function devPages(): Plugin {
  return {
    name: 'dev-pages',
    configureServer({ middlewares }) {
      middlewares.use((request, _, next) => {
        const page = /^\/(console|embed)\//.exec(request.url ?? '')?.[1];
        if (page) request.url = `/${page}.html`;
        next();
      });
    },
  };
}
