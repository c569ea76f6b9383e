/**
 * The editor's fonts, served by ourselves. They serve the build.
 * Invariant: nothing in the page knows another place to fetch a font from.
 */
import { cpSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Plugin } from 'vite';

const editor = dirname(createRequire(import.meta.url).resolve('@excalidraw/excalidraw'));

export function selfHostedFonts(): Plugin {
  let out = '';
  return {
    name: 'self-hosted-fonts',
    apply: 'build',
    configResolved(config) {
      out = join(config.root, config.build.outDir);
    },
    transform(code, id) {
      // The editor keeps a public host as the last place to look; here there is nothing to fall back to.
      if (!id.includes('@excalidraw/excalidraw/dist') || !code.includes('esm.sh')) return null;
      // The address stands in a template, so an expression fits in its place.
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it becomes one over there.
      return { code: code.replaceAll('https://esm.sh/', '${location.origin}/static/'), map: null };
    },
    closeBundle() {
      cpSync(join(editor, 'fonts'), join(out, 'fonts'), { recursive: true });
    },
  };
}
