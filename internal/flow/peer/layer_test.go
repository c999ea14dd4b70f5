package peer

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"liuyun/internal/flow/ingest"
)

// taken is an input that notes the pictures.
type taken struct {
	ingest.Input
	marks []byte // the last byte of the last unit of each
	pts   []int64
}

func (i *taken) Picture(p ingest.Picture) error {
	last := p.Units[len(p.Units)-1]
	i.marks, i.pts = append(i.marks, last[len(last)-1]), append(i.pts, p.PTS)
	return nil
}

// studio is a publisher with layers, and a clock that the test moves.
type studio struct {
	*publisher
	in    *taken
	now   time.Time
	asked map[*layer]int
}

func newStudio(t *testing.T, layers int) *studio {
	s := &studio{in: &taken{}, now: time.Unix(1000, 0), asked: map[*layer]int{}}
	s.publisher = &publisher{session: newSession("k", slog.New(slog.DiscardHandler)), input: s.in, expected: layers, toldVideo: true}
	for range layers {
		l := &layer{broken: true, clock: newTrackClock(&s.time, 90000)}
		l.ask = func() { s.asked[l]++ }
		s.layers = append(s.layers, l)
	}
	return s
}

// show has a layer show one picture; its size is what it says it is.
func (s *studio) show(t *testing.T, i int, key bool) {
	t.Helper()
	l := s.layers[i]
	l.heard = s.now
	if key {
		l.pixels = (i + 1) * 1000
	}
	c := picture{units: [][]byte{{0x41, byte(i)}}, stamp: uint32(s.now.UnixMilli() * 90), key: key}
	if err := s.takePicture(l, c, s.now); err != nil {
		t.Fatal(err)
	}
}

// The largest layer that comes is used, from its key frame on, and another one when it
// no longer comes.
func TestLayers(t *testing.T) {
	t.Parallel()
	s := newStudio(t, 2)
	pass := func(d time.Duration, layers ...int) {
		for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(40 * time.Millisecond) {
			for _, i := range layers {
				key := s.asked[s.layers[i]] > 0
				s.asked[s.layers[i]] = 0
				s.show(t, i, key)
			}
			s.askForKeys(s.now)
		}
	}
	// Both come: nothing is used before both have shown how large they are.
	pass(time.Second, 0, 1)
	if len(s.in.marks) == 0 || slices.Contains(s.in.marks, 0) || s.chosen != s.layers[1] {
		t.Fatalf("of two layers %v are used", s.in.marks)
	}
	// A key frame comes every two seconds, because it is asked for.
	pass(5*time.Second, 0, 1)
	if since := s.now.Sub(s.layers[1].key); since > keyEvery+keyAgain {
		t.Errorf("the last key frame is %v old", since)
	}
	used := len(s.in.marks)
	pass(3*time.Second, 0)
	if s.chosen != s.layers[0] || len(s.in.marks)-used < 25 {
		t.Errorf("after the large layer has gone, %d pictures of the other are used", len(s.in.marks)-used)
	}
	pass(3*time.Second, 0, 1)
	if s.chosen != s.layers[1] {
		t.Error("the large layer is back, and not used")
	}
	for i := 1; i < len(s.in.pts); i++ {
		if s.in.pts[i] <= s.in.pts[i-1] {
			t.Fatalf("time goes from %d to %d", s.in.pts[i-1], s.in.pts[i])
		}
	}
	// What is lost is not shown, and a key frame is asked for at once.
	used = len(s.in.marks)
	s.asked[s.layers[1]] = 0
	s.now = s.now.Add(keyAgain)
	if err := s.takePicture(s.layers[1], picture{stamp: uint32(s.now.UnixMilli() * 90), broken: true}, s.now); err != nil {
		t.Fatal(err)
	}
	if s.show(t, 1, false); len(s.in.marks) != used || s.asked[s.layers[1]] != 1 {
		t.Errorf("after a loss %d pictures are used, a key frame is asked for %d times", len(s.in.marks)-used, s.asked[s.layers[1]])
	}
}

// A layer that is offered and never comes is not waited for for ever.
func TestAbsentLayer(t *testing.T) {
	t.Parallel()
	s := newStudio(t, 3)
	for range 100 {
		key := s.asked[s.layers[0]] > 0
		s.asked[s.layers[0]] = 0
		s.show(t, 0, key)
		s.askForKeys(s.now)
		s.now = s.now.Add(40 * time.Millisecond)
	}
	if got := len(s.in.marks); got < 25 {
		t.Errorf("%d pictures in four seconds", got)
	}
}
