import { en, type Key } from './messages.en';
import { zh } from './messages.zh';

export type { Key };
export type Locale = 'en' | 'zh-CN';

export const locales: readonly { id: Locale; name: string; short: string }[] = [
  { id: 'en', name: 'English', short: 'EN' },
  { id: 'zh-CN', name: '简体中文', short: '中文' },
];

const catalogs: Record<Locale, Readonly<Record<Key, string>>> = { en, 'zh-CN': zh };

/** localeOf chooses among the page's languages by what the browser prefers. */
export function localeOf(preferred: readonly string[]): Locale {
  for (const tag of preferred) {
    if (/^zh\b/i.test(tag)) return 'zh-CN';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}

/** message returns the text of key, with {name} replaced from values. */
export function message(locale: Locale, key: Key, values: Readonly<Record<string, string | number>> = {}): string {
  return catalogs[locale][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
