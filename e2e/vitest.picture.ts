/** Draws the picture in the README, anew: `npm run picture -w e2e`. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { include: ['pictures/*.picture.ts'], testTimeout: 180_000, hookTimeout: 60_000 },
});
