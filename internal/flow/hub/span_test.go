package hub

import (
	"testing"
	"testing/synctest"
	"time"
)

// What all have taken and nobody would begin with is held for the span alone; what
// comes after the newest key frame stays, however old it is.
func TestSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{Units: 1000, Bytes: 1 << 20, Span: time.Second})
		s.Begin(video())
		for n := range byte(100) { // ten seconds, a key frame each four
			s.Write(picture(n, n%40 == 0))
			time.Sleep(100 * time.Millisecond)
		}
		// 80 is the newest key frame, and two seconds old.
		if s.count != 20 {
			t.Errorf("%d items are held", s.count)
		}
		r := s.Read()
		wantTracks(t, r, 2, false)
		for n := byte(80); n < 100; n++ {
			wantUnit(t, r, n, false)
		}
		s.Write(picture(120, true))
		if s.count != 11 { // a second before it, and itself
			t.Errorf("%d items are held after a key frame", s.count)
		}
		wantUnit(t, r, 120, false)
	})
}

// A reader that lags more than the span loses nothing; one that reads no more is waited
// for up to the other limits, and then no more.
func TestSpanWaitsForReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{Units: 60, Bytes: 1 << 20, Span: time.Second})
		s.Begin(video())
		write := func(from, to int) {
			for n := from; n < to; n++ {
				s.Write(picture(byte(n), n%20 == 0))
				time.Sleep(100 * time.Millisecond)
			}
		}
		write(0, 1)
		slow, gone := s.Read(), s.Read()
		for _, r := range []*Reader{slow, gone} {
			wantTracks(t, r, 2, false)
			wantUnit(t, r, 0, false)
		}
		write(1, 50)
		for n := byte(1); n < 50; n++ {
			wantUnit(t, slow, n, false)
		}
		write(50, 90) // more than the limit: the one that is gone has lost units
		for n := byte(50); n < 90; n++ {
			wantUnit(t, slow, n, false)
		}
		write(90, 101)
		if len(s.readers) != 1 || s.count != 11 { // from where the other is
			t.Errorf("%d readers are waited for, %d items are held", len(s.readers), s.count)
		}
		wantUnit(t, slow, 90, false)
		wantUnit(t, gone, 100, true)
	})
}

// Nothing is held for one who has asked for the tracks alone.
func TestTracks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Limits{Units: 60, Bytes: 1 << 20, Span: time.Second})
		s.Begin(video())
		s.Write(picture(0, true))
		if tracks, err := s.Tracks(t.Context()); err != nil || len(tracks) != 2 {
			t.Fatalf("%d tracks: %v", len(tracks), err)
		}
		for n := 1; n < 50; n++ {
			s.Write(picture(byte(n), n%20 == 0))
			time.Sleep(100 * time.Millisecond)
		}
		if len(s.readers) != 0 || s.count > 12 {
			t.Errorf("%d readers are waited for, %d items are held", len(s.readers), s.count)
		}
	})
}

// A reader that is in a period goes on in it, though nothing is left of its beginning
// and another one has begun.
func TestPeriodWithoutItsBeginning(t *testing.T) {
	t.Parallel()
	s := New(Limits{Units: 4, Bytes: 1 << 20})
	s.Begin(video())
	r := s.Read()
	for n := range byte(4) {
		s.Write(picture(n, true))
	}
	wantTracks(t, r, 2, false) // of the newest key frame
	wantUnit(t, r, 3, false)
	s.Write(picture(4, false))
	s.Write(picture(5, false))
	s.Begin(video()[:1])
	wantUnit(t, r, 4, false)
	wantUnit(t, r, 5, false)
	wantTracks(t, r, 1, false)
}

// Room for items grows with them, and their order stays.
func TestRoomGrows(t *testing.T) {
	t.Parallel()
	s := New(Limits{Units: 1000, Bytes: 1 << 20})
	s.Begin(video())
	s.Write(picture(0, true))
	r := s.Read()
	wantTracks(t, r, 2, false)
	for n := range 2000 {
		s.Write(picture(byte(n), false))
		if n >= 500 {
			continue
		}
		if n == 0 {
			wantUnit(t, r, 0, false)
		}
		wantUnit(t, r, byte(n), false)
	}
	if len(s.ring) != 1000 || s.count != 1000 {
		t.Errorf("%d items in room for %d", s.count, len(s.ring))
	}
}
