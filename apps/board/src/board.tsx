/**
 * The page: the editor, and around it the room. It serves whoever opens a link.
 * Invariant: the canvas needs nothing but itself: one can draw before, without and after any connection.
 */
import { Excalidraw } from '@excalidraw/excalidraw';
import type { ExcalidrawImperativeAPI, ExcalidrawInitialDataState } from '@excalidraw/excalidraw/types';
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import type { Live } from './live/live.js';
import { BEFORE, UNLOADED } from './live/view.js';
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
  const loaded = useLive(api, room, name.text);
  const live = typeof loaded === 'string' ? undefined : loaded;
  const view = useSyncExternalStore(
    live ? (watcher) => live.watch(watcher) : silence,
    () => live?.view ?? (loaded === 'unloaded' ? UNLOADED : BEFORE),
  );
  useWarning(live);
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
      <Panel
        view={view}
        name={name.text}
        onRename={rename}
        onRetry={() => (live ? live.retry() : window.location.reload())}
      />
      {!name.chosen && <Greeting name={name.text} onDone={rename} />}
    </main>
  );
}

/** Whoever would lose what the server does not have, and the browser does not keep, is asked first. */
function useWarning(live: Live | undefined): void {
  useEffect(() => {
    const warn = (event: BeforeUnloadEvent) => {
      if (live?.isAtStake) event.preventDefault();
    };
    window.addEventListener('beforeunload', warn);
    return () => window.removeEventListener('beforeunload', warn);
  }, [live]);
}

/** Goes live once the editor stands and has been painted: the connection is no part of the first load. */
function useLive(
  api: ExcalidrawImperativeAPI | undefined,
  room: string,
  name: string,
): Live | 'loading' | 'unloaded' {
  const [live, setLive] = useState<Live | 'loading' | 'unloaded'>('loading');
  const called = useRef(name);
  called.current = name;
  useEffect(() => {
    if (!api) return;
    let wanted = true;
    let started: Live | undefined;
    const start = async () => {
      const { Live: Loaded } = await import('./live/live.js');
      if (!wanted) return;
      started = new Loaded(api, room, called.current);
      window.inkwire = started.insight;
      setLive(started);
    };
    const onFailure = () => setLive('unloaded');
    // Two frames: the first is drawn by then.
    requestAnimationFrame(() => requestAnimationFrame(() => void start().catch(onFailure)));
    return () => {
      wanted = false;
      started?.end();
    };
  }, [api, room]);
  return live;
}
