import { Excalidraw } from '@excalidraw/excalidraw';
import { createRoot } from 'react-dom/client';
import '@excalidraw/excalidraw/index.css';

const root = document.getElementById('root');
if (root)
  createRoot(root).render(
    <div style={{ position: 'fixed', inset: 0 }}>
      <Excalidraw />
    </div>,
  );
