/**
 * Asks for a name, once, and out of the way. It serves whoever opens a board for the first time.
 * Invariant: it never takes the focus and never covers the middle of the canvas: one can draw without answering.
 */
import { useId, useState } from 'react';
import { LONGEST_NAME } from '../sync/words.js';

export function Greeting({ name, onDone }: { name: string; onDone: (typed: string) => void }) {
  const [typed, setTyped] = useState('');
  const field = useId();
  return (
    <form
      className="greeting"
      aria-label="Your name"
      onSubmit={(event) => {
        event.preventDefault();
        onDone(typed || name);
      }}
      // The editor listens for keys on the whole page: what is typed here is not a shortcut for it.
      onKeyDown={(event) => event.stopPropagation()}
    >
      <label htmlFor={field}>
        Others see you as <strong>{name}</strong>
      </label>
      <div className="greeting-row">
        <input
          id={field}
          placeholder="Your name"
          value={typed}
          maxLength={LONGEST_NAME}
          autoComplete="nickname"
          spellCheck={false}
          onChange={(event) => setTyped(event.target.value)}
        />
        <button type="submit">{typed.trim() ? 'Save' : 'Keep it'}</button>
      </div>
    </form>
  );
}
