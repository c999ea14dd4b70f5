export type Theme = 'system' | 'light' | 'dark';
export type View = 'grid' | 'list';

/** What a person chose on this machine; never a key. */
export interface Settings {
  theme?: Theme;
  view?: View;
  tenant?: string;
  /** that there may be a session, whose cookie no script can see */
  signedIn?: boolean;
}

const storageKey = 'liuyun.console';

/** loadSettings returns what was remembered: where storage is off, only that there may be a session. */
export function loadSettings(): Settings {
  try {
    const stored = JSON.parse(localStorage.getItem(storageKey) ?? '{}') as Record<string, unknown>;
    const settings: Settings = {};
    if (stored.theme === 'light' || stored.theme === 'dark') settings.theme = stored.theme;
    if (stored.view === 'list') settings.view = 'list';
    if (typeof stored.tenant === 'string') settings.tenant = stored.tenant;
    if (stored.signedIn === true) settings.signedIn = true;
    return settings;
  } catch {
    return { signedIn: true };
  }
}

/** saveSettings merges changes into what is remembered. */
export function saveSettings(changes: Settings): void {
  try {
    localStorage.setItem(storageKey, JSON.stringify({ ...loadSettings(), ...changes }));
  } catch {
    // Private windows may refuse storage: the page works without.
  }
}

/** applyTheme makes the page light or dark. */
export function applyTheme(theme: Theme): void {
  const dark = theme === 'dark' || (theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
}
