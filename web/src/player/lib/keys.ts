// The keyboard, in one table: the help dialog and the handler read the same one.

export type Action =
  | 'toggle' | 'back10' | 'forward10' | 'back5' | 'forward5' | 'louder' | 'softer' | 'mute'
  | 'fullscreen' | 'captions' | 'stats' | 'facts' | 'frameBack' | 'frameForward'
  | 'slower' | 'faster' | 'start' | 'end' | 'help';

export interface Shortcut {
  readonly keys: readonly string[];
  readonly action: Action;
  /** arrow keys belong to a focused slider or menu first */
  readonly yields?: boolean;
}

export const shortcuts: readonly Shortcut[] = [
  { keys: [' ', 'k'], action: 'toggle' },
  { keys: ['j'], action: 'back10' },
  { keys: ['l'], action: 'forward10' },
  { keys: ['ArrowLeft'], action: 'back5', yields: true },
  { keys: ['ArrowRight'], action: 'forward5', yields: true },
  { keys: ['ArrowUp'], action: 'louder', yields: true },
  { keys: ['ArrowDown'], action: 'softer', yields: true },
  { keys: [','], action: 'frameBack' },
  { keys: ['.'], action: 'frameForward' },
  { keys: ['<'], action: 'slower' },
  { keys: ['>'], action: 'faster' },
  { keys: ['Home'], action: 'start', yields: true },
  { keys: ['End'], action: 'end', yields: true },
  { keys: ['m'], action: 'mute' },
  { keys: ['f'], action: 'fullscreen' },
  { keys: ['c'], action: 'captions' },
  { keys: ['i'], action: 'stats' },
  { keys: ['d'], action: 'facts' },
  { keys: ['?'], action: 'help' },
];

export interface KeyPress {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly altKey: boolean;
  readonly metaKey: boolean;
}

/** actionFor returns what a key press means, or a tenth (0–9) to jump to. */
export function actionFor(press: KeyPress): Shortcut | number | undefined {
  if (press.ctrlKey || press.altKey || press.metaKey) return undefined;
  if (/^[0-9]$/.test(press.key)) return Number(press.key);
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  return shortcuts.find((s) => s.keys.includes(key));
}
