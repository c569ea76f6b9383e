/**
 * The colour of a person. It serves the panel, which must show the one the editor gives to the person's cursor.
 * Invariant: a function of the id alone, so everybody sees the same person in the same colour.
 */

/** One of 37 hues, by the editor's own rule for cursors. */
export function hueOf(id: string): number {
  let hash = 0;
  for (let at = 0; at < id.length; at += 1) hash = (hash << 5) - hash + id.charCodeAt(at);
  return (Math.abs(hash) % 37) * 10;
}

export const colourOf = (id: string) => `hsl(${hueOf(id)}, 100%, 83%)`;

/** One or two letters for the round sign. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters.map((word) => [...(word ?? '')][0]?.toUpperCase() ?? '').join('') || '?';
}
