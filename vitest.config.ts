import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // As the board is built: from the package's sources, which need no build of their own.
  resolve: { alias: { inkwire: fileURLToPath(new URL('packages/client/src/index.ts', import.meta.url)) } },
  test: { include: ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts'], testTimeout: 20_000 },
});
