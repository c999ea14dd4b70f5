package rtmp

import (
	"bufio"
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/bluenviron/gortmplib/pkg/bytecounter"
	rtmpmessage "github.com/bluenviron/gortmplib/pkg/message"
)

// greeted is a gate behind the handshake.
func greeted(t testing.TB) *gate {
	g := newGate()
	if n, err := g.pass(append([]byte{3}, make([]byte, greeting)...)); err != nil || n != greeting {
		t.Fatalf("%d bytes pass of a greeting: %v", n, err)
	}
	return g
}

// chunk is a chunk of type 0.
func chunk(id byte, kind byte, length int, body ...byte) []byte {
	return append([]byte{id, 0, 0, 0, byte(length >> 16), byte(length >> 8), byte(length), kind, 1, 0, 0, 0}, body...)
}

func TestGate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		bytes []byte
		why   string // "" is let through
	}{
		{"a picture", chunk(6, videoMessage, 3, 1, 2, 3), ""},
		{"in two chunks", append(append(chunk(6, videoMessage, 130, make([]byte, 128)...), 0xc0|6), 1, 2), ""},
		{"then the next", append(append(chunk(6, videoMessage, 1, 9), 0xc0|6, 9), chunk(6, 8, 0)...), ""},
		{"a large picture", chunk(6, videoMessage, largestMedia), ""},
		{"too large a picture", chunk(6, videoMessage, largestMedia+1), "a message of"},
		{"large metadata", chunk(4, 18, largestWord+1), "a message of"},
		{"many messages at a time", append(chunk(6, videoMessage, largestMedia, make([]byte, 128)...), chunk(7, videoMessage, largestMedia)...), "at a time"},
		{"one is given up before", bytes.Join([][]byte{chunk(6, videoMessage, largestMedia, make([]byte, 128)...), chunk(2, abortMessage, 4, 0, 0, 0, 6), chunk(7, videoMessage, largestMedia)}, nil), ""},
		{"larger chunks", append(chunk(2, setChunkSize, 4, 0, 0, 1, 0), append(chunk(6, videoMessage, 200, make([]byte, 200)...), 6)...), ""},
		{"chunks of nothing", chunk(2, setChunkSize, 4, 0, 0, 0, 0), "chunks of 0"},
		{"huge chunks", chunk(2, setChunkSize, 4, 1, 0, 0, 0), "chunks of"},
		{"no beginning", []byte{0xc0 | 6}, "in the middle"},
		{"one within another", append(chunk(6, videoMessage, 200, make([]byte, 128)...), chunk(6, videoMessage, 1, 1)...), "within another"},
		{"a long id", []byte{0, 6}, "long id"},
		{"a long timestamp", append([]byte{6, 0xff, 0xff, 0xff, 0, 0, 1, 9, 1, 0, 0, 0, 1, 0, 0, 0, 7}, chunk(2, setChunkSize, 4, 0, 0, 0, 0)...), "chunks of 0"},
	}
	for _, test := range tests {
		for _, step := range []int{1, 7, len(test.bytes)} { // however it comes
			g := greeted(t)
			var err error
			for p := test.bytes; len(p) > 0 && err == nil; {
				var n int
				n, err = g.pass(p[:min(step, len(p))])
				p = p[n:]
			}
			if (err == nil) != (test.why == "") || (err != nil && !strings.Contains(err.Error(), test.why)) {
				t.Errorf("%s, %d bytes at a time: %v, want %q", test.name, step, err, test.why)
			}
		}
	}
	if _, err := newGate().pass([]byte("GET /")); err == nil {
		t.Error("HTTP is let through")
	}
}

// gated reads through a gate.
type gated struct {
	gate *gate
	from *bufio.Reader
}

func (g gated) Read(p []byte) (int, error) {
	if _, err := g.from.Peek(1); err != nil {
		return 0, err
	}
	seen, err := g.from.Peek(min(len(p), g.from.Buffered()))
	if err != nil {
		return 0, err
	}
	n, err := g.gate.pass(seen)
	if err != nil {
		return 0, err
	}
	return g.from.Read(p[:n])
}

func (gated) Write(p []byte) (int, error) { return len(p), nil }

// Whatever comes through the gate costs the library no more than it may.
func FuzzGate(f *testing.F) {
	f.Add(chunk(6, videoMessage, 3, 0x17, 1, 0))
	f.Add(append(chunk(2, setChunkSize, 4, 0, 0x7f, 0xff, 0xff), chunk(6, videoMessage, largestMedia, 0x17)...))
	f.Add(bytes.Join([][]byte{chunk(6, videoMessage, largestMedia, make([]byte, 128)...), chunk(2, abortMessage, 4, 0, 0, 0, 6), {0xc0 | 6}, chunk(7, 18, 9, 3)}, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := greeted(t)
		counter := bytecounter.NewReadWriter(gated{g, bufio.NewReader(bytes.NewReader(data))})
		r := rtmpmessage.NewReadWriter(counter, counter, false)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for {
			if _, err := r.Read(); err != nil {
				break
			}
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20+64*uint64(len(data)) {
			t.Fatalf("%d bytes cost %d bytes of memory", len(data), grown)
		}
		if g.begun < 0 || g.begun > mostBegun {
			t.Fatalf("%d bytes are begun", g.begun)
		}
	})
}
