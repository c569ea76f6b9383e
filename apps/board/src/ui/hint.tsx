/**
 * A word of welcome on an empty board. It serves whoever sees the page for the first time.
 * Invariant: no pointer ever touches it, so the first stroke can start anywhere.
 */
import { useEffect } from 'react';
import { Mark } from './icons.js';

/** The editor's own handwriting, from the very file the editor will ask for. */
const HANDWRITING = 'fonts/Excalifont/Excalifont-Regular-a88b72a24fb54c9f94e3b5fdaa7481c9.woff2';

function useHandwriting(): void {
  useEffect(() => {
    const face = new FontFace('Handwriting', `url(${import.meta.env.BASE_URL}${HANDWRITING})`, {
      display: 'swap',
    });
    document.fonts.add(face);
    return () => {
      document.fonts.delete(face);
    };
  }, []);
}

export function Hint() {
  useHandwriting();
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
