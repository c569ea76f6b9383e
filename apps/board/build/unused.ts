/**
 * What the editor could load and this page never asks for, left out. It serves the build, whose outcome is part of the
 * server's binary.
 * Invariant: nothing a person can reach on the page is missing.
 */
import type { Plugin } from 'vite';

const NOTHING = '\0unused';

/**
 * Diagrams written as text need a library four times the size of the editor; their entry is hidden (style.css), and text
 * that looks like one is pasted as the text it is. Of the editor's languages the page offers one, like its own words.
 */
const UNUSED = [/^@excalidraw\/mermaid-to-excalidraw$/, /^\.\/locales\/(?!en-)/];

export function withoutUnused(): Plugin {
  return {
    name: 'without-unused',
    apply: 'build',
    enforce: 'pre',
    resolveId(id) {
      return UNUSED.some((pattern) => pattern.test(id)) ? NOTHING : null;
    },
    load(id) {
      return id === NOTHING ? 'throw new Error("not part of this page");' : null;
    },
  };
}
