import type { IconName } from './icons';

/** One line of a menu. Radio items carry checked; commands do not. */
export interface MenuItem {
  readonly label: string;
  readonly detail?: string;
  readonly icon?: IconName;
  readonly checked?: boolean;
  choose(): void;
}

export interface MenuGroup {
  readonly label: string;
  readonly items: readonly MenuItem[];
}
