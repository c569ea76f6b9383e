/** The page's own signs, drawn in the colour of the text around them. They serve the panel and the menu. */
import type { ReactNode } from 'react';

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg
      className="icon"
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="2"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const LinkIcon = () => (
  <Icon>
    <path d="M10 13a5 5 0 0 0 7.5.5l3-3a5 5 0 0 0-7-7l-1.8 1.7" />
    <path d="M14 11a5 5 0 0 0-7.5-.5l-3 3a5 5 0 0 0 7 7l1.7-1.7" />
  </Icon>
);

export const EyeIcon = () => (
  <Icon>
    <path d="M2 12c2.500-5 6-7 10-7s7.500 2 10 7c-2.500 5-6 7-10 7s-7.500-2-10-7z" />
    <circle cx="12" cy="12" r="3" />
  </Icon>
);

export const FileIcon = () => (
  <Icon>
    <path d="M6 3h8l5 5v13H6z" />
    <path d="M14 3v5h5" />
  </Icon>
);

export const PersonIcon = () => (
  <Icon>
    <circle cx="12" cy="8" r="4" />
    <path d="M4 20c1.5-4 4.5-6 8-6s6.500 2 8 6" />
  </Icon>
);

export const CloseIcon = () => (
  <Icon>
    <path d="M6 6l12 12M18 6L6 18" />
  </Icon>
);

export const Mark = () => (
  <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
    <path
      d="M4 22C7.500 12 10.500 8.500 13 9.500s-2.500 10 1 11 5.500-9 9-10 2.500 5 3.500 8"
      fill="none"
      stroke="currentColor"
      strokeWidth="3"
      strokeLinecap="round"
      strokeLinejoin="round"
    />
    <circle className="mark-dot" cx="27" cy="20" r="3" />
  </svg>
);
