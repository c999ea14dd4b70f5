package rtmp

import (
	"bufio"
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib/pkg/bytecounter"
	"github.com/bluenviron/gortmplib/pkg/rawmessage"
)

func newReader(data []byte) *reader {
	return &reader{chunkState: newChunkState(), in: bufio.NewReader(bytes.NewReader(data))}
}

// What the library writes is read as it was.
func TestReader(t *testing.T) {
	t.Parallel()
	var wire bytes.Buffer
	w := rawmessage.NewWriter(&wire, bytecounter.NewReadWriter(&wire).Writer, false)
	sent := []rawmessage.Message{
		{ChunkStreamID: 6, Type: videoMessage, Timestamp: 40 * time.Millisecond, MessageStreamID: 1, Body: bytes.Repeat([]byte{7}, 1000)},
		{ChunkStreamID: 6, Type: videoMessage, Timestamp: 80 * time.Millisecond, MessageStreamID: 1, Body: bytes.Repeat([]byte{8}, 1000)},
		{ChunkStreamID: 6, Type: videoMessage, Timestamp: 120 * time.Millisecond, MessageStreamID: 1, Body: bytes.Repeat([]byte{9}, 1000)},
		{ChunkStreamID: 4, Type: audioMessage, Timestamp: 0xffffff * time.Millisecond, MessageStreamID: 1, Body: bytes.Repeat([]byte{1}, 300)},
		{ChunkStreamID: 4, Type: audioMessage, Timestamp: 0x1000009 * time.Millisecond, MessageStreamID: 1, Body: []byte{2}},
		{ChunkStreamID: 6, Type: videoMessage, Timestamp: 0x2000000 * time.Millisecond, MessageStreamID: 1, Body: bytes.Repeat([]byte{3}, 300)},
		{ChunkStreamID: 6, Type: videoMessage, Timestamp: 10 * time.Millisecond, MessageStreamID: 1, Body: []byte{4}},
	}
	for i := range sent {
		if err := w.Write(&sent[i]); err != nil {
			t.Fatal(err)
		}
	}
	r := newReader(wire.Bytes())
	for i, want := range sent {
		got, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if got.kind != want.Type || got.stamp != uint32(want.Timestamp/time.Millisecond) || !bytes.Equal(got.body, want.Body) {
			t.Errorf("message %d: type %d, %d ms, %d bytes of %d, want type %d, %v, %d bytes", i, got.kind, got.stamp, len(got.body), got.body[0], want.Type, want.Timestamp, len(want.Body))
		}
	}
	if r.begun != 0 {
		t.Errorf("%d bytes are begun", r.begun)
	}
}

// A message in chunks of another between them; and one that is given up.
func TestReaderInterleaved(t *testing.T) {
	t.Parallel()
	r := newReader(bytes.Join([][]byte{
		chunk(6, videoMessage, 130, bytes.Repeat([]byte{1}, 128)...),
		chunk(7, videoMessage, 300, make([]byte, 128)...),
		chunk(4, audioMessage, 2, 5, 6),
		{0xc0 | 6, 2, 3},
		chunk(2, abortMessage, 4, 0, 0, 0, 7),
		chunk(7, videoMessage, 1, 9),
	}, nil))
	for _, want := range []string{"\x05\x06", string(bytes.Repeat([]byte{1}, 128)) + "\x02\x03", "\x00\x00\x00\x07", "\x09"} {
		m, err := r.next()
		if err != nil || string(m.body) != want {
			t.Errorf("%x, %v, want %x", m.body, err, want)
		}
	}
}

// reused is bytes that come again and again.
type reused struct {
	data []byte
	at   int
}

func (r *reused) Read(p []byte) (int, error) {
	n := copy(p, r.data[r.at:])
	r.at = (r.at + n) % len(r.data)
	return n, nil
}

func TestReaderDoesNotAllocate(t *testing.T) {
	wire := append(append(chunk(6, videoMessage, 130, make([]byte, 128)...), 0xc0|6, 2, 3), chunk(4, audioMessage, 2, 5, 6)...)
	r := &reader{chunkState: newChunkState(), in: bufio.NewReader(&reused{data: wire})}
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := r.next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a message, want none", n)
	}
}

// Whatever comes costs no more than it may, and both who read chunks agree on it.
func FuzzReader(f *testing.F) {
	f.Add(chunk(6, videoMessage, 3, 0x17, 1, 0))
	f.Add(append(chunk(2, setChunkSize, 4, 0, 0x7f, 0xff, 0xff), chunk(6, videoMessage, largestMedia, 0x17)...))
	f.Add(bytes.Join([][]byte{chunk(6, videoMessage, largestMedia, make([]byte, 128)...), chunk(2, abortMessage, 4, 0, 0, 0, 6), {0xc0 | 6}, chunk(7, 18, 9, 3)}, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := greeted(t)
		whole, passed := 0, 0
		for passed < len(data) {
			n, err := g.pass(data[passed:])
			passed += n
			if err != nil || (passed == len(data) && g.phase != gateBasic) {
				break
			}
			whole++
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, got := newReader(data), 0
		for {
			if _, err := r.next(); err != nil {
				break
			}
			got++
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20+64*uint64(len(data)) {
			t.Fatalf("%d bytes cost %d bytes of memory", len(data), grown)
		}
		if passed == len(data) && got != whole && got != whole-1 { // the last may not be whole
			t.Fatalf("%d messages are read, the gate saw %d", got, whole)
		}
	})
}

// newEndless reads bytes that come again and again.
func newEndless(wire []byte) *reader {
	r := &reader{chunkState: newChunkState(), in: bufio.NewReaderSize(&reused{data: wire}, readAhead)}
	r.size = largestChunk
	return r
}

// flow is what an encoder sends again and again, a picture and a frame of sound, and
// what it says before; chunks are as large as messages.
func flow() (wire, config []byte) {
	sequence, picture := avcSets()
	record := append([]byte{0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x28, 0xff, 0xe1, 0, byte(len(sequence))}, sequence...)
	record = append(append(record, 1, 0, byte(len(picture))), picture...)
	config = append(chunk(6, videoMessage, len(record), record...), chunk(4, audioMessage, 4, 0xaf, 0, 0x11, 0x90)...)
	body := append([]byte{0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x09, 0xf0, 0, 0, 0x20, 0, 0x65, 0x88}, make([]byte, 0x2000-2)...)
	return append(chunk(6, videoMessage, len(body), body...), chunk(4, audioMessage, 202, append([]byte{0xaf, 1}, make([]byte, 200)...)...)...), config
}
