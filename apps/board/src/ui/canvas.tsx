/**
 * The editor, and our menu in its corner. It serves the page.
 * Invariant: it is made anew only when what it is given is another; the page around it changes with every word about the
 * connection.
 */
import { Excalidraw } from '@excalidraw/excalidraw';
import type { ExcalidrawImperativeAPI, ExcalidrawInitialDataState } from '@excalidraw/excalidraw/types';
import { memo } from 'react';
import type { Live } from '../live/live.js';
import { Menu, type MenuProps } from './menu.js';
import type { Theme } from './theme.js';

/** The pencil lies ready: the first thing a hand does on a board is to draw. */
const INITIAL: ExcalidrawInitialDataState = {
  appState: {
    activeTool: {
      type: 'freedraw',
      customType: null,
      locked: false,
      lastActiveTool: null,
      fromSelection: false,
    },
  } as NonNullable<ExcalidrawInitialDataState['appState']>,
};

const UI_OPTIONS = {
  canvasActions: { clearCanvas: false, loadScene: false, toggleTheme: true },
} as const;

export interface CanvasProps extends MenuProps {
  theme: Theme;
  live: Live | undefined;
  onReady: (api: ExcalidrawImperativeAPI) => void;
  /** Told again and again. */
  onEmpty: (isEmpty: boolean) => void;
}

export const Canvas = memo(function Canvas({ theme, live, onReady, onEmpty, ...menu }: CanvasProps) {
  return (
    <Excalidraw
      excalidrawAPI={onReady}
      initialData={INITIAL}
      theme={theme}
      isCollaborating
      viewModeEnabled={!menu.drawing}
      aiEnabled={false}
      autoFocus
      handleKeyboardGlobally
      validateEmbeddable={false}
      UIOptions={UI_OPTIONS}
      onChange={(elements, _state, files) => {
        onEmpty(!elements.some((element) => !element.isDeleted));
        live?.look(elements, files);
      }}
      onPointerUpdate={({ pointer, button }) => live?.point({ pointer, button })}
    >
      <Menu {...menu} />
    </Excalidraw>
  );
});
