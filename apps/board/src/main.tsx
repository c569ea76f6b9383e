/** Where the page begins: which room it is, and the board for it. */
import './asset-path.js';
import '@excalidraw/excalidraw/index.css';
import './style.css';
import { createRoot } from 'react-dom/client';
import { Board } from './board.js';
import type { Insight } from './live/live.js';

declare global {
  interface Window {
    /** What stands behind the page, to be read by the curious and by the browser tests. */
    inkwire?: Insight;
  }
}

const room = decodeURIComponent(window.location.pathname.slice(1));
document.title = `Inkwire – ${room}`;

const root = document.getElementById('root');
if (root) createRoot(root).render(<Board room={room} />);
