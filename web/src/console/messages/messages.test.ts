import { describe, expect, it } from 'vitest';
import { en, message, zh, type Key } from '.';

const holes = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();

const code = Object.values(import.meta.glob<string>(['../**/*.ts', '../**/*.svelte', '!./*'], { query: '?raw', import: 'default', eager: true })).join('\n');
const named = (key: string) => code.includes(`'${key}'`);

describe('messages of the console', () => {
  // A singular is chosen where its plural is named.
  it('has none that no page names', () => expect(Object.keys(en).filter((key) => !named(key) && !named(key.replace(/One$/, '')))).toEqual([]));
  it('has the same keys in each language', () => expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort()));
  it.each(Object.keys(en) as Key[])('%s is written, with the same values, in each language', (key) => {
    expect(zh[key].trim()).not.toBe('');
    // A singular may leave its number out.
    expect([holes(en[key]), []]).toContainEqual(holes(zh[key]));
  });
  it('fills in values', () => {
    expect(message('en', 'minutes', { n: 3 })).toBe('3 min');
    expect(message('zh-CN', 'minutes', { n: 3 })).toBe('3 分钟');
  });
});
