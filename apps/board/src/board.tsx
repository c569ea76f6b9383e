/**
 * The page: the editor, and around it the room; or the view of one. It serves whoever opens a link.
 * Invariant: the canvas needs nothing but itself: one can draw before, without and after any connection.
 */
import type { ExcalidrawImperativeAPI } from '@excalidraw/excalidraw/types';
import {
  type DragEvent,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';
import type { Live, Place, prepare } from './live/live.js';
import { BEFORE, UNLOADED } from './live/view.js';
import { keepPage } from './offline.js';
import { Canvas } from './ui/canvas.js';
import { Greeting } from './ui/greeting.js';
import { Hint } from './ui/hint.js';
import { Panel, ViewerPanel } from './ui/panel.js';
import { useTheme } from './ui/theme.js';
import { keepName, pageMemory, recallName, tidyName } from './who/name.js';

/** Milliseconds for which a short message is shown. */
const TOAST = 3_000;

const silence = () => () => undefined;

export interface BoardProps {
  place: Place;
  /** The part that goes live. */
  begin: Promise<ReturnType<typeof prepare>>;
}

export function Board({ place, begin }: BoardProps) {
  const isView = place.kind === 'view';
  const { theme, choice, choose } = useTheme();
  const [name, setName] = useState(() => recallName(pageMemory(), Math.random));
  const [empty, setEmpty] = useState(true);
  const [api, setApi] = useState<ExcalidrawImperativeAPI>();
  const loaded = useLive(api, begin, name.text);
  const live = typeof loaded === 'string' ? undefined : loaded;
  const view = useSyncExternalStore(
    live ? (watcher) => live.watch(watcher) : silence,
    () => live?.view ?? (loaded === 'unloaded' ? UNLOADED : BEFORE),
  );
  useWarning(live);
  const isLive = view.connection.standing === 'live';
  useEffect(() => {
    if (isLive) keepPage();
  }, [isLive]);
  const say = useCallback((message: string) => api?.setToast({ message, duration: TOAST }), [api]);
  const opening = useOpening(live, say);
  const rename = (typed: string) => {
    const text = tidyName(typed) ?? name.text;
    setName(keepName(pageMemory(), text));
    live?.rename(text);
  };
  const retry = () => (live ? live.retry() : window.location.reload());
  const viewLink = useCallback(async () => {
    if (!live) throw new Error('not live yet');
    return window.location.origin + (await live.viewPath());
  }, [live]);
  const drawing = useMemo(
    () => (isView ? undefined : { onOpen: opening.choose, viewLink }),
    [isView, opening, viewLink],
  );
  return (
    <main
      className="board"
      data-kind={place.kind}
      data-standing={view.connection.standing}
      onDropCapture={isView ? undefined : opening.onDrop}
    >
      <Canvas
        theme={theme}
        live={live}
        onReady={setApi}
        onEmpty={setEmpty}
        choice={choice}
        choose={choose}
        drawing={drawing}
        say={say}
      />
      {empty && !isView && <Hint />}
      {isView ? (
        <ViewerPanel view={view} onRetry={retry} />
      ) : (
        <Panel view={view} name={name.text} onRename={rename} onRetry={retry} viewLink={viewLink} />
      )}
      {!name.chosen && !isView && <Greeting name={name.text} onDone={rename} />}
    </main>
  );
}

/** Drawings out of files: chosen in a dialog, or dropped. */
function useOpening(live: Live | undefined, say: (message: string) => void) {
  return useMemo(() => openingFor(live, say), [live, say]);
}

function openingFor(live: Live | undefined, say: (message: string) => void) {
  const open = async (file: File) => {
    if (!live) throw new Error('This page is not ready for it yet.');
    const leftOut = await live.open(file);
    if (leftOut === 0) return;
    const elements = leftOut === 1 ? '1 element is' : `${leftOut} elements are`;
    say(`${elements} nothing for a board, and left out.`);
  };
  const tryOpen = (file: File) =>
    void open(file).catch((error: unknown) => say(error instanceof Error ? error.message : String(error)));
  return {
    choose: () => {
      const field = document.createElement('input');
      field.type = 'file';
      field.accept = '.excalidraw,.excalidraw.json';
      field.onchange = () => {
        const file = field.files?.[0];
        if (file) tryOpen(file);
      };
      field.click();
    },
    onDrop: (event: DragEvent) => {
      const file = [...event.dataTransfer.files].find(isDrawing);
      // The editor would put it in the place of what is there.
      if (!file) return;
      event.preventDefault();
      event.stopPropagation();
      tryOpen(file);
    },
  };
}

/** The editor's own files. Images that hold a drawing are the editor's to open. */
const isDrawing = ({ name }: File) => /\.excalidraw(\.json)?$/i.test(name);

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
  begin: BoardProps['begin'],
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
      const goLive = await begin;
      if (!wanted) return;
      started = goLive(api, called.current);
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
  }, [api, begin]);
  return live;
}
