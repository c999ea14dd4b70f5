import { describe, expect, it } from 'vitest';
import { actionFor, shortcuts } from './keys';

const press = (key: string, held: Partial<{ ctrlKey: boolean; altKey: boolean; metaKey: boolean }> = {}) =>
  actionFor({ key, ctrlKey: false, altKey: false, metaKey: false, ...held });

describe('actionFor', () => {
  it.each([
    [' ', 'toggle'],
    ['K', 'toggle'],
    ['ArrowLeft', 'back5'],
    ['?', 'help'],
    ['>', 'faster'],
  ])('%j is %s', (key, action) => expect(press(key)).toMatchObject({ action }));

  it('reads digits as tenths', () => expect(press('7')).toBe(7));
  it('leaves the browser its own shortcuts', () => expect(press('f', { ctrlKey: true })).toBeUndefined());
  it('ignores other keys', () => expect(press('Tab')).toBeUndefined());
  it('gives each key one meaning', () => {
    const keys = shortcuts.flatMap((s) => s.keys);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
