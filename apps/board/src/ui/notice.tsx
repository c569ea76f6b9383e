/**
 * A word that must not be missed: what is wrong, and what to do. It serves whoever would draw, or wait, for nothing.
 * Invariant: it is said aloud once, takes no focus, and leaves the middle of the canvas free.
 */
import type { Notice as Said } from '../live/view.js';

export function Notice({ notice: { title, text, offersBoard } }: { notice: Said }) {
  return (
    <section className="notice" role="alert">
      <h2>{title}</h2>
      <p>{text}</p>
      {offersBoard && (
        <a className="wide" href="/" target="_blank" rel="noopener noreferrer">
          Open a new board
        </a>
      )}
    </section>
  );
}
