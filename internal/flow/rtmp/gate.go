package rtmp

import (
	"encoding/binary"
	"fmt"
)

// gate looks at the bytes of an RTMP connection before the library that reads them
// does, and refuses what would cost too much: the library takes messages of 10 MiB
// in each of 62 chunk streams at a time, and follows objects as deep as they go. It
// knows chunks (RTMP 1.0, 5.3) and no more.
type gate struct {
	phase  gatePhase
	want   int    // bytes until the phase is over
	seen   []byte // of the phase, where they matter
	chunk  uint32 // the most bytes of a message in a chunk
	chunks [64]chunkStream
	now    *chunkStream // whose chunk it is
	kind   byte         // of the chunk's header
	begun  int64        // bytes of messages that are not whole yet
}

type gatePhase int

const (
	gateGreeting gatePhase = iota
	gateBasic
	gateHeader
	gateExtended
	gateBody
)

// chunkStream is what a chunk may leave out because an earlier one had it.
type chunkStream struct {
	known    bool
	extended bool   // timestamps have 32 bits
	length   uint32 // of the message
	got      uint32 // of it
	message  byte   // type
	control  []byte // the message itself, where it is for the gate, too
}

const (
	greeting      = 1 + 1536 + 1536 // C0, C1, C2
	plainVersion  = 3
	firstChunk    = 128 // bytes, until another size is set
	largestChunk  = 8 << 20
	largestMedia  = 8 << 20
	largestWord   = 64 << 10 // of a message that is no media
	mostBegun     = 12 << 20
	setChunkSize  = 1
	abortMessage  = 2
	audioMessage  = 8
	videoMessage  = 9
	longTimestamp = 0xffffff
)

func newGate() *gate { return &gate{want: greeting, chunk: firstChunk} }

// pass looks at what has come. After an error nothing more may be passed on.
func (g *gate) pass(p []byte) error {
	for len(p) > 0 {
		take := min(g.want, len(p))
		switch {
		case g.phase == gateGreeting:
			if g.want == greeting && p[0] != plainVersion {
				return fmt.Errorf("rtmp version %d", p[0])
			}
		case g.phase == gateBody:
			if g.now.message == setChunkSize || g.now.message == abortMessage {
				g.now.control = append(g.now.control, p[:take]...)
			}
			g.now.got += uint32(take)
		default:
			g.seen = append(g.seen, p[:take]...)
		}
		p, g.want = p[take:], g.want-take
		for g.want == 0 {
			if err := g.turn(); err != nil {
				return err
			}
		}
	}
	return nil
}

// turn goes on to the next phase.
func (g *gate) turn() error {
	seen := g.seen
	g.seen = g.seen[:0]
	switch g.phase {
	case gateBasic:
		id := seen[0] & 0x3f
		if id < 2 {
			return fmt.Errorf("a chunk stream with a long id")
		}
		g.now, g.kind = &g.chunks[id], seen[0]>>6
		g.phase, g.want = gateHeader, [4]int{11, 7, 3, 0}[g.kind]
		return nil
	case gateHeader:
		return g.header(seen)
	case gateExtended:
		if g.kind != 3 {
			g.now.extended = binary.BigEndian.Uint32(seen) >= longTimestamp
		}
		return g.body()
	case gateBody:
		if err := g.end(); err != nil {
			return err
		}
	}
	g.phase, g.want = gateBasic, 1
	return nil
}

// header reads a chunk's header without its first byte.
func (g *gate) header(seen []byte) error {
	s := g.now
	switch {
	case g.kind != 0 && !s.known:
		return fmt.Errorf("a chunk stream begins in the middle")
	case g.kind != 3 && s.got > 0:
		return fmt.Errorf("a message begins within another")
	}
	long := s.extended
	if g.kind != 3 {
		long = seen[0] == 0xff && seen[1] == 0xff && seen[2] == 0xff
		s.extended = false
	}
	if g.kind < 2 {
		s.known, s.message = true, seen[6]
		s.length = uint32(seen[3])<<16 | uint32(seen[4])<<8 | uint32(seen[5])
		most := uint32(largestWord)
		if s.message == audioMessage || s.message == videoMessage {
			most = largestMedia
		}
		if s.length > most {
			return fmt.Errorf("a message of %d bytes, type %d", s.length, s.message)
		}
	}
	if long {
		g.phase, g.want = gateExtended, 4
		return nil
	}
	return g.body()
}

// body begins the part of a message that is in the chunk.
func (g *gate) body() error {
	if g.now.got == 0 {
		if g.begun += int64(g.now.length); g.begun > mostBegun {
			return fmt.Errorf("%d bytes of messages at a time", g.begun)
		}
		g.now.control = g.now.control[:0]
	}
	g.phase, g.want = gateBody, int(min(g.now.length-g.now.got, g.chunk))
	return nil
}

// end ends a chunk, and its message when that is whole.
func (g *gate) end() error {
	s := g.now
	if s.got < s.length {
		return nil
	}
	g.begun -= int64(s.length)
	s.got = 0
	if len(s.control) < 4 {
		return nil
	}
	value := binary.BigEndian.Uint32(s.control)
	switch s.message {
	case setChunkSize:
		if value == 0 || value > largestChunk {
			return fmt.Errorf("chunks of %d bytes", value)
		}
		g.chunk = value
	case abortMessage:
		if value >= uint32(len(g.chunks)) {
			return nil
		}
		if aborted := &g.chunks[value]; aborted.got > 0 {
			g.begun -= int64(aborted.length)
			aborted.got, aborted.length = 0, 0
		}
	}
	return nil
}
