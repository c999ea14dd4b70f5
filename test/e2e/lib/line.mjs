import dgram from 'node:dgram';

/** Line is a way by UDP to a port of this machine, which carries only so much back from there. */
export class Line {
  rate = Infinity; // bits a second
  lost = 0; // packets that the line had no room for

  #longest = 300; // ms that a packet may wait
  #free = 0; // when the line is free, ms
  #inner = new Map(); // a socket to the port for each that sends

  static async to(port) {
    const line = new Line();
    line.outer = dgram.createSocket('udp4');
    await new Promise((resolve) => line.outer.bind(0, '127.0.0.1', resolve));
    line.port = line.outer.address().port;
    line.outer.on('message', (packet, from) => line.#for(from).send(packet, port, '127.0.0.1'));
    return line;
  }

  close() {
    this.rate = 0; // what waits is lost
    for (const socket of [this.outer, ...this.#inner.values()]) socket.close();
  }

  #for(from) {
    let socket = this.#inner.get(from.port);
    if (!socket) {
      socket = dgram.createSocket('udp4');
      socket.on('message', (packet) => this.#back(packet, from));
      this.#inner.set(from.port, socket);
    }
    return socket;
  }

  #back(packet, { port, address }) {
    const now = performance.now();
    const begins = Math.max(now, this.#free);
    if (begins - now > this.#longest) {
      this.lost++;
      return;
    }
    this.#free = begins + packet.length * 8000 / this.rate;
    setTimeout(() => this.rate > 0 && this.outer.send(packet, port, address), this.#free - now);
  }
}
