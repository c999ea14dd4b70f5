package rtmp

import (
	"encoding/binary"
	"fmt"
)

// gate looks at the bytes of an RTMP connection before the library that reads its
// first messages does, and refuses what would cost too much: the library takes
// messages of 10 MiB in each of 62 chunk streams at a time, and follows objects as
// deep as they go. It knows chunks (RTMP 1.0, 5.3) and no more.
type gate struct {
	chunkState
	phase gatePhase
	want  int          // bytes until the phase is over
	seen  []byte       // of the phase, where they matter
	now   *chunkStream // whose chunk it is
	kind  byte         // of the chunk's header
}

type gatePhase int

const (
	gateGreeting gatePhase = iota
	gateBasic
	gateHeader
	gateExtended
	gateBody
)

const (
	greeting     = 1 + 1536 + 1536 // C0, C1, C2
	plainVersion = 3
)

func newGate() *gate { return &gate{want: greeting, chunkState: newChunkState()} }

// pass looks at what has come, as far as the end of the message or of the greeting
// that it begins in, and returns how much that was. After an error nothing more may be
// passed on.
func (g *gate) pass(p []byte) (int, error) {
	passed := 0
	for passed < len(p) {
		part := p[passed:min(len(p), passed+g.want)]
		switch {
		case g.phase == gateGreeting:
			if g.want == greeting && part[0] != plainVersion {
				return 0, fmt.Errorf("rtmp version %d", part[0])
			}
		case g.phase == gateBody:
			if g.concerns(g.now) {
				g.now.body = append(g.now.body, part...)
			}
			g.now.got += uint32(len(part))
		default:
			g.seen = append(g.seen, part...)
		}
		passed, g.want = passed+len(part), g.want-len(part)
		for g.want == 0 {
			whole, err := g.turn()
			if err != nil {
				return 0, err
			}
			if whole {
				return passed, nil
			}
		}
	}
	return passed, nil
}

// turn goes on to the next phase, and reports whether something is whole.
func (g *gate) turn() (whole bool, err error) {
	seen := g.seen
	g.seen = g.seen[:0]
	switch g.phase {
	case gateGreeting:
		whole = true
	case gateBasic:
		id := seen[0] & 0x3f
		if id < 2 {
			return false, fmt.Errorf("a chunk stream with a long id")
		}
		g.now, g.kind = &g.streams[id], seen[0]>>6
		g.phase, g.want = gateHeader, headerSize(g.kind)
		return false, nil
	case gateHeader:
		long, err := g.header(g.now, g.kind, seen)
		if long {
			g.phase, g.want = gateExtended, 4
		}
		if long || err != nil {
			return false, err
		}
		return false, g.body()
	case gateExtended:
		g.now.stamped(g.kind, binary.BigEndian.Uint32(seen))
		return false, g.body()
	case gateBody:
		if whole, err = g.end(g.now); err != nil {
			return false, err
		}
	}
	g.phase, g.want = gateBasic, 1
	return whole, nil
}

// body begins the part of a message that is in the chunk.
func (g *gate) body() (err error) {
	g.phase = gateBody
	g.want, err = g.begin(g.now)
	return err
}

// between reports whether no message is in the middle, so that another reader can go
// on from here.
func (g *gate) between() bool { return g.phase == gateBasic && g.begun == 0 }
