/**
 * Who is here, and how things stand. It serves everybody at the board, with eyes or without, with a mouse or without.
 * Invariant: the connection's standing is always on the screen, in words.
 */
import { useEffect, useId, useRef, useState } from 'react';
import { type Person, REACH_LABEL, type View } from '../live/view.js';
import { LONGEST_NAME } from '../sync/words.js';
import { initialsOf } from '../who/colour.js';
import { CopyLink, VIEW } from './copy-link.js';
import { CloseIcon, EyeIcon } from './icons.js';
import { Notice } from './notice.js';

/** Faces on the button; more are a number. */
const FACES = 3;

export interface PanelProps {
  view: View;
  name: string;
  onRename: (typed: string) => void;
  onRetry: () => void;
  viewLink: () => Promise<string>;
}

/** For those who look: how things stand, and that they only look. */
export function ViewerPanel({ view, onRetry }: Pick<PanelProps, 'view' | 'onRetry'>) {
  const { standing, notice } = view.connection;
  const isDown = standing === 'offline' || standing === 'stopped';
  return (
    <aside className="room" aria-label="Board">
      <div className="room-bar">
        <Standing view={view} />
        <p className="pill viewing">
          <EyeIcon />
          View only
        </p>
        {isDown && !notice && (
          <button type="button" className="pill" onClick={onRetry}>
            Connect again
          </button>
        )}
      </div>
      {notice && <Notice notice={notice} />}
    </aside>
  );
}

export function Panel(props: PanelProps) {
  const { view, name } = props;
  const [open, setOpen] = useState(false);
  const listId = useId();
  const button = useRef<HTMLButtonElement>(null);
  const count = view.people.length + 1;
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  return (
    <aside className="room" aria-label="Room">
      <div className="room-bar">
        <Standing view={view} />
        <button
          ref={button}
          type="button"
          className="pill people-button"
          aria-expanded={open}
          aria-controls={listId}
          onClick={() => setOpen(!open)}
        >
          <Faces view={view} name={name} />
          <span className="count" aria-hidden="true">
            {count}
          </span>
          <span className="spoken">
            {count === 1 ? 'Only you are here. Show people' : `${count} people are here. Show people`}
          </span>
        </button>
        <CopyLink className="pill copy" />
      </div>
      {view.connection.notice && !open && <Notice notice={view.connection.notice} />}
      {open && <People id={listId} {...props} onClose={close} />}
    </aside>
  );
}

function Standing({ view: { connection } }: { view: View }) {
  return (
    <p className="pill standing" role="status" data-standing={connection.standing} title={connection.detail}>
      <span className="dot" aria-hidden="true" />
      <span className="label">{connection.label}</span>
    </p>
  );
}

function Faces({ view, name }: { view: View; name: string }) {
  const faces = [{ id: 'me', name, colour: view.me.colour }, ...view.people];
  return (
    <span className="faces" aria-hidden="true">
      {faces.slice(0, FACES).map((face) => (
        <Face key={face.id} name={face.name} colour={face.colour} />
      ))}
    </span>
  );
}

function Face({ name, colour }: { name: string; colour: string }) {
  return (
    <span className="face" aria-hidden="true">
      <span className="face-colour" style={{ backgroundColor: colour }} />
      <span className="face-initials">{initialsOf(name)}</span>
    </span>
  );
}

interface PeopleProps extends PanelProps {
  id: string;
  onClose: () => void;
}

function People({ id, view, name, onRename, onRetry, viewLink, onClose }: PeopleProps) {
  const section = useRef<HTMLElement>(null);
  useEffect(() => section.current?.focus(), []);
  const { connection } = view;
  const alone = view.people.length === 0;
  const down = connection.standing === 'offline' || connection.standing === 'stopped';
  return (
    <section
      ref={section}
      id={id}
      className="people"
      aria-label="People"
      tabIndex={-1}
      onKeyDown={(event) => {
        // The editor listens for keys on the whole page: what is typed here is not a shortcut for it.
        event.stopPropagation();
        if (event.key === 'Escape') onClose();
      }}
    >
      <header>
        <h2>People</h2>
        <button type="button" className="plain" aria-label="Close" onClick={onClose}>
          <CloseIcon />
        </button>
      </header>
      <ul>
        <li className="me">
          <Face name={name} colour={view.me.colour} />
          <NameField key={name} name={name} onRename={onRename} />
          <span className="reach">you</span>
        </li>
        {view.people.map((person) => (
          <PersonRow key={person.id} person={person} />
        ))}
      </ul>
      {alone && <p className="alone">Nobody else is here yet. Share the link, and draw together.</p>}
      <p className="detail" data-standing={connection.standing}>
        {connection.detail}
      </p>
      <footer>
        {alone && <CopyLink className="wide" />}
        <CopyLink className="wide quiet" words={VIEW} link={viewLink} />
        {down && (
          <button type="button" className="wide quiet" onClick={onRetry}>
            Connect again
          </button>
        )}
      </footer>
    </section>
  );
}

function PersonRow({ person }: { person: Person }) {
  return (
    <li data-reach={person.reach}>
      <Face name={person.name} colour={person.colour} />
      <span className="name">{person.name}</span>
      <span className="reach">{REACH_LABEL[person.reach]}</span>
    </li>
  );
}

/** The name, to be typed over: taken with Enter or on leaving the field. */
export function NameField({ name, onRename }: { name: string; onRename: (typed: string) => void }) {
  const [typed, setTyped] = useState(name);
  const done = () => {
    if (typed !== name) onRename(typed);
  };
  return (
    <input
      className="name"
      aria-label="Your name"
      value={typed}
      maxLength={LONGEST_NAME}
      autoComplete="nickname"
      spellCheck={false}
      onChange={(event) => setTyped(event.target.value)}
      onBlur={done}
      onKeyDown={(event) => {
        if (event.key === 'Enter') event.currentTarget.blur();
      }}
    />
  );
}
