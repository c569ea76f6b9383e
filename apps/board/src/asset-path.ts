/**
 * Where the editor finds its fonts. It serves the editor, which would ask a server on the internet otherwise.
 * Invariant: imported before the editor.
 */
declare global {
  interface Window {
    EXCALIDRAW_ASSET_PATH?: string | string[];
  }
}

window.EXCALIDRAW_ASSET_PATH = import.meta.env.BASE_URL;

export {};
