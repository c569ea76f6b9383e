/** Where the page begins: which room or view it is, and the board for it. */
import './asset-path.js';
import '@excalidraw/excalidraw/index.css';
import './style.css';
import { createRoot } from 'react-dom/client';
import { Board } from './board.js';
import type { Insight, Place } from './live/live.js';
import { holdEdition } from './offline.js';

declare global {
  interface Window {
    /** What stands behind the page, to be read by the curious and by the browser tests. */
    inkwire?: Insight;
  }
}

holdEdition();

const id = decodeURIComponent(window.location.pathname.slice(1));
// No room has a dot in its id; a view begins with one.
const place: Place = { kind: id.startsWith('v.') ? 'view' : 'room', id };
document.title = place.kind === 'view' ? 'Inkwire' : `Inkwire – ${id}`;

// On its way while the editor is set up; whoever waits for it is told of a failure.
const begin = import('./live/live.js').then(({ prepare }) => prepare(place));
begin.catch(() => undefined);

const root = document.getElementById('root');
if (root) createRoot(root).render(<Board place={place} begin={begin} />);
