/**
 * The main menu: what a board needs, and nothing that leads away from it. It serves the editor's corner.
 * Invariant: no entry takes away what others have drawn without their seeing it go.
 */
import { MainMenu } from '@excalidraw/excalidraw';
import { copyText, roomLink } from './copy-link.js';
import { LinkIcon } from './icons.js';
import type { Choice } from './theme.js';

export function Menu({ choice, choose }: { choice: Choice; choose: (choice: Choice) => void }) {
  return (
    <MainMenu>
      <MainMenu.Item icon={<LinkIcon />} onSelect={() => void copyText(roomLink())}>
        Copy link
      </MainMenu.Item>
      <MainMenu.DefaultItems.SaveAsImage />
      <MainMenu.DefaultItems.Export />
      <MainMenu.DefaultItems.SearchMenu />
      <MainMenu.DefaultItems.Help />
      <MainMenu.Separator />
      <MainMenu.DefaultItems.ToggleTheme allowSystemTheme theme={choice} onSelect={choose} />
      <MainMenu.DefaultItems.ChangeCanvasBackground />
    </MainMenu>
  );
}
