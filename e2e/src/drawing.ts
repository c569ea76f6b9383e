/** Drawings in files, and ways to open and drop them. They serve the browser tests. */
import type { Visitor } from './browser.js';

/** The text of a file as the editor writes it. */
export const drawingOf = (elements: unknown[], files: Record<string, unknown> = {}) =>
  JSON.stringify({ type: 'excalidraw', version: 2, elements, appState: {}, files });

/** Opens a drawing as a person does, from the menu. */
export async function openDrawing({ page }: Visitor, text: string): Promise<void> {
  await page.getByTestId('main-menu-trigger').click();
  const asked = page.waitForEvent('filechooser');
  await page.getByText('Open a drawing…').click();
  const buffer = Buffer.from(text);
  await (await asked).setFiles({ name: 'many.excalidraw', mimeType: 'application/json', buffer });
}

/** Drops a file on the canvas. */
export async function drop({ page }: Visitor, name: string, type: string, bytes: Buffer): Promise<void> {
  const transfer = await page.evaluateHandle(
    ([fileName, fileType, base64]) => {
      const data = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const made = new DataTransfer();
      made.items.add(new File([data], fileName, { type: fileType }));
      return made;
    },
    [name, type, bytes.toString('base64')] as const,
  );
  const canvas = page.locator('canvas.interactive');
  await canvas.dispatchEvent('drop', { dataTransfer: transfer, clientX: 500, clientY: 350 });
}

export function rectangle(at: number): Record<string, unknown> {
  return {
    id: `many-${at}`,
    type: 'rectangle',
    version: 1,
    versionNonce: at,
    isDeleted: false,
    x: (at % 40) * 30,
    y: Math.floor(at / 40) * 30,
    width: 20,
    height: 20,
    angle: 0,
    strokeColor: '#1e1e1e',
    backgroundColor: 'transparent',
    fillStyle: 'solid',
    strokeWidth: 1,
    strokeStyle: 'solid',
    roughness: 1,
    opacity: 100,
    roundness: null,
    seed: at + 1,
    groupIds: [],
    frameId: null,
    boundElements: null,
    updated: 1,
    link: null,
    locked: false,
  };
}

/** A stroke of forty points, as a hand makes them. */
export function stroke(at: number): Record<string, unknown> {
  const points = Array.from({ length: 40 }, (_, n) => [
    n * 1.37,
    Math.round(Math.sin(n / 5 + at) * 900) / 100,
  ]);
  return {
    ...rectangle(at),
    type: 'freedraw',
    x: (at % 100) * 70,
    y: Math.floor(at / 100) * 40,
    width: 54,
    height: 18,
    points,
    pressures: [],
    simulatePressure: true,
    lastCommittedPoint: points.at(-1),
  };
}
