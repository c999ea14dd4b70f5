export interface Toast {
  readonly id: number;
  readonly text: string;
  readonly kind: 'done' | 'failed';
}

const shown = 5000; // milliseconds; failures stay twice as long

/** Toasts are short messages about what just happened, read out by screen readers. */
export class Toasts {
  list = $state.raw<readonly Toast[]>([]);
  private last = 0;

  done(text: string): void {
    this.add({ id: ++this.last, text, kind: 'done' }, shown);
  }

  failed(text: string): void {
    this.add({ id: ++this.last, text, kind: 'failed' }, 2 * shown);
  }

  remove(id: number): void {
    this.list = this.list.filter((t) => t.id !== id);
  }

  private add(toast: Toast, time: number): void {
    this.list = [...this.list.slice(-1), toast]; // more than two hide the page
    setTimeout(() => this.remove(toast.id), time);
  }
}
