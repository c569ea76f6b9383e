/**
 * The main menu: what a board needs, and nothing that leads away from it. It serves the editor's corner.
 * Invariant: no entry takes away what others have drawn without their seeing it go.
 */
import { MainMenu } from '@excalidraw/excalidraw';
import { copyLink, roomLink } from './copy-link.js';
import { EyeIcon, FileIcon, LinkIcon } from './icons.js';
import type { Choice } from './theme.js';

export interface MenuProps {
  choice: Choice;
  choose: (choice: Choice) => void;
  /** What only those may do who draw: absent for those who look. */
  drawing: { onOpen: () => void; viewLink: () => Promise<string> } | undefined;
  say: (message: string) => void;
}

export function Menu({ choice, choose, drawing, say }: MenuProps) {
  const copy = (link: () => string | Promise<string>) =>
    void copyLink(link).then((done) => say(done ? 'The link is copied.' : 'The link could not be copied.'));
  return (
    <MainMenu>
      <MainMenu.Item icon={<LinkIcon />} onSelect={() => copy(roomLink)}>
        Copy link
      </MainMenu.Item>
      {drawing && (
        <MainMenu.Item icon={<EyeIcon />} onSelect={() => copy(drawing.viewLink)}>
          Copy read-only link
        </MainMenu.Item>
      )}
      {drawing && (
        <MainMenu.Item icon={<FileIcon />} onSelect={drawing.onOpen}>
          Open a drawing…
        </MainMenu.Item>
      )}
      <MainMenu.DefaultItems.SaveAsImage />
      <MainMenu.DefaultItems.Export />
      <MainMenu.DefaultItems.SearchMenu />
      <MainMenu.DefaultItems.Help />
      <MainMenu.Separator />
      <MainMenu.DefaultItems.ToggleTheme allowSystemTheme theme={choice} onSelect={choose} />
      {drawing && <MainMenu.DefaultItems.ChangeCanvasBackground />}
    </MainMenu>
  );
}
