/**
 * A word of welcome on an empty board. It serves whoever sees the page for the first time.
 * Invariant: no pointer ever touches it, so the first stroke can start anywhere.
 */
import { Mark } from './icons.js';

export function Hint() {
  return (
    <div className="hint">
      <h1>
        <Mark />
        Inkwire
      </h1>
      <p>Draw anywhere. Whoever has the link draws with you.</p>
    </div>
  );
}
