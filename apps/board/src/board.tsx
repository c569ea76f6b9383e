/**
 * The page: the editor, and around it the room. It serves whoever opens a link.
 * Invariant: the canvas needs nothing but itself: one can draw before, without and after any connection.
 */
import { Excalidraw } from '@excalidraw/excalidraw';
import type { ExcalidrawImperativeAPI, ExcalidrawInitialDataState } from '@excalidraw/excalidraw/types';
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import type { Live } from './live/live.js';
import { BEFORE } from './live/view.js';
import { Greeting } from './ui/greeting.js';
import { Hint } from './ui/hint.js';
import { Menu } from './ui/menu.js';
import { Panel } from './ui/panel.js';
import { useTheme } from './ui/theme.js';
import { keepName, pageMemory, recallName, tidyName } from './who/name.js';

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
  // Pictures are not shared yet, and a tool that works for one person only is none.
  tools: { image: false },
  canvasActions: { clearCanvas: false, loadScene: false, toggleTheme: true },
} as const;

const silence = () => () => undefined;

export function Board({ room }: { room: string }) {
  const { theme, choice, choose } = useTheme();
  const [name, setName] = useState(() => recallName(pageMemory(), Math.random));
  const [empty, setEmpty] = useState(true);
  const [api, setApi] = useState<ExcalidrawImperativeAPI>();
  const live = useLive(api, room, name.text);
  const view = useSyncExternalStore(
    live ? (watcher) => live.watch(watcher) : silence,
    () => live?.view ?? BEFORE,
  );
  const rename = (typed: string) => {
    const text = tidyName(typed) ?? name.text;
    setName(keepName(pageMemory(), text));
    live?.rename(text);
  };
  return (
    <main className="board" data-standing={view.connection.standing}>
      <Excalidraw
        excalidrawAPI={setApi}
        initialData={INITIAL}
        theme={theme}
        isCollaborating
        aiEnabled={false}
        autoFocus
        handleKeyboardGlobally
        validateEmbeddable={false}
        UIOptions={UI_OPTIONS}
        onChange={(elements) => {
          setEmpty(!elements.some((element) => !element.isDeleted));
          live?.look(elements);
        }}
        onPointerUpdate={({ pointer, button }) => live?.point({ pointer, button })}
      >
        <Menu choice={choice} choose={choose} />
      </Excalidraw>
      {empty && <Hint />}
      <Panel view={view} name={name.text} onRename={rename} onRetry={() => live?.retry()} />
      {!name.chosen && <Greeting name={name.text} onDone={rename} />}
    </main>
  );
}

/** Goes live once the editor stands and has been painted: the connection is no part of the first load. */
function useLive(api: ExcalidrawImperativeAPI | undefined, room: string, name: string): Live | undefined {
  const [live, setLive] = useState<Live>();
  const called = useRef(name);
  called.current = name;
  const start = useCallback(
    async (editor: ExcalidrawImperativeAPI, isWanted: () => boolean) => {
      const { Live: Loaded } = await import('./live/live.js');
      if (!isWanted()) return;
      const started = new Loaded(editor, room, called.current);
      window.inkwire = started.insight;
      setLive(started);
    },
    [room],
  );
  useEffect(() => {
    if (!api) return;
    let wanted = true;
    // Two frames: the first is drawn by then.
    requestAnimationFrame(() => requestAnimationFrame(() => void start(api, () => wanted)));
    return () => {
      wanted = false;
    };
  }, [api, start]);
  useEffect(() => () => live?.end(), [live]);
  return live;
}
