// Passes the first channel of its input to the page, 20 times a second.

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunk = new Float32Array(2432); // 19 quanta
    this.filled = 0;
  }

  process([input]) {
    const quantum = input[0] ?? new Float32Array(128);
    this.chunk.set(quantum, this.filled);
    this.filled += quantum.length;
    if (this.filled >= this.chunk.length) {
      this.port.postMessage(this.chunk);
      this.chunk = new Float32Array(2432);
      this.filled = 0;
    }
    return true;
  }
}

registerProcessor('recorder', Recorder);
