/**
 * The link to this room, put on the clipboard. It serves whoever wants company.
 * Invariant: it says "copied" only when it is.
 */
import { useEffect, useState } from 'react';
import { LinkIcon } from './icons.js';

/** Milliseconds for which the outcome is shown. */
const SHOWN = 2_000;

export function roomLink(): string {
  return window.location.origin + window.location.pathname;
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without a secure origin there is no clipboard; the old way still works.
    return copyBySelection(text);
  }
}

function copyBySelection(text: string): boolean {
  const field = document.createElement('textarea');
  field.value = text;
  field.style.position = 'fixed';
  field.style.opacity = '0';
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  return done;
}

export function CopyLink({ className }: { className: string }) {
  const [outcome, setOutcome] = useState<'idle' | 'copied' | 'failed'>('idle');
  useEffect(() => {
    if (outcome === 'idle') return;
    const timer = setTimeout(() => setOutcome('idle'), SHOWN);
    return () => clearTimeout(timer);
  }, [outcome]);
  const label = { idle: 'Copy link', copied: 'Copied', failed: 'Copy failed' }[outcome];
  return (
    <button
      type="button"
      className={className}
      aria-label={outcome === 'idle' ? 'Copy link to this board' : label}
      onClick={() => void copyText(roomLink()).then((done) => setOutcome(done ? 'copied' : 'failed'))}
    >
      <LinkIcon />
      <span className="label" aria-live="polite">
        {label}
      </span>
    </button>
  );
}
