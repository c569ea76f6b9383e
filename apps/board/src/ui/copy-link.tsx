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

interface Words {
  /** What stands on the button, and what is said of it where that is too short. */
  label: string;
  name: string;
}

const EDIT: Words = { label: 'Copy link', name: 'Copy link to this board' };
export const VIEW: Words = {
  label: 'Copy read-only link',
  name: 'Copy read-only link: whoever has it can look, and change nothing',
};

interface CopyLinkProps {
  className: string;
  words?: Words;
  link?: () => string | Promise<string>;
}

export function CopyLink({ className, words = EDIT, link = roomLink }: CopyLinkProps) {
  const [outcome, setOutcome] = useState<'idle' | 'copied' | 'failed'>('idle');
  useEffect(() => {
    if (outcome === 'idle') return;
    const timer = setTimeout(() => setOutcome('idle'), SHOWN);
    return () => clearTimeout(timer);
  }, [outcome]);
  const label = { idle: words.label, copied: 'Copied', failed: 'Copy failed' }[outcome];
  return (
    <button
      type="button"
      className={className}
      aria-label={outcome === 'idle' ? words.name : label}
      onClick={() => void copyLink(link).then((done) => setOutcome(done ? 'copied' : 'failed'))}
    >
      <LinkIcon />
      <span className="label" aria-live="polite">
        {label}
      </span>
    </button>
  );
}

/** Whether it is on the clipboard. */
export async function copyLink(link: () => string | Promise<string>): Promise<boolean> {
  try {
    return await copyText(await link());
  } catch {
    // Without a connection there is no asking for a link.
    return false;
  }
}
