/** How the page is built: one first load that draws, everything else when it is wanted. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { compressed } from './build/compress.js';
import { selfHostedFonts } from './build/fonts.js';
import { firstLoad } from './build/size.js';
import { withoutUnused } from './build/unused.js';
import { serviceWorker } from './build/worker.js';

/** The font of the word of welcome, see src/ui/hint.tsx. */
const HANDWRITING = 'fonts/Excalifont/Excalifont-Regular-a88b72a24fb54c9f94e3b5fdaa7481c9.woff2';

export default defineConfig({
  base: '/static/',
  resolve: {
    alias: { inkwire: fileURLToPath(new URL('../../packages/client/src/index.ts', import.meta.url)) },
  },
  build: {
    target: 'es2022',
    // The editor alone is more than the default; what counts is the compressed first load, see build/size.ts.
    chunkSizeWarningLimit: 2_000,
    reportCompressedSize: false,
    rolldownOptions: {
      onLog(level, log, handler) {
        // "use client" in libraries is for frameworks that render on a server.
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') handler(level, log);
      },
    },
  },
  plugins: [
    withoutUnused(),
    selfHostedFonts(),
    serviceWorker(),
    compressed(),
    firstLoad(900 * 1024, [HANDWRITING]),
  ],
});
