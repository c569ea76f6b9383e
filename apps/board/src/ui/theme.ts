/**
 * Light or dark. It serves the page and the editor, which must agree.
 * Invariant: unless somebody chose, the system decides, and goes on deciding while the page is open.
 */
import { useCallback, useEffect, useState, useSyncExternalStore } from 'react';
import { pageMemory } from '../who/name.js';

export type Choice = 'system' | 'light' | 'dark';
export type Theme = 'light' | 'dark';

const KEY = 'inkwire.theme';
const darkness = window.matchMedia('(prefers-color-scheme: dark)');

function recall(): Choice {
  const kept = pageMemory()?.getItem(KEY);
  return kept === 'light' || kept === 'dark' ? kept : 'system';
}

function watchSystem(watcher: () => void): () => void {
  darkness.addEventListener('change', watcher);
  return () => darkness.removeEventListener('change', watcher);
}

export function useTheme(): { theme: Theme; choice: Choice; choose: (choice: Choice) => void } {
  const [choice, setChoice] = useState(recall);
  const systemIsDark = useSyncExternalStore(watchSystem, () => darkness.matches);
  const theme: Theme = choice === 'system' ? (systemIsDark ? 'dark' : 'light') : choice;
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const choose = useCallback((next: Choice) => {
    pageMemory()?.setItem(KEY, next);
    setChoice(next);
  }, []);
  return { theme, choice, choose };
}
