package ladder

import (
	"context"
	"errors"
	"testing"

	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// Pictures of tests come 25 a second.
const step = 3600

// picture is the n-th picture of a stream, in decode order; one in ten is a key frame.
func picture(n int64) hub.Unit {
	return hub.Unit{DTS: n * step, PTS: n*step + step, Key: n%10 == 0, Data: []byte{byte(n)}}
}

func videoTrack() *hub.Track {
	return &hub.Track{Codec: hub.H264, Clock: 90000, Config: []byte{1}, Width: 1920, Height: 1080}
}

// filled is a tape with pictures from one to another.
func filled(l hub.Limits, from, to int64) *tape {
	t := newTape(l)
	t.track = videoTrack()
	for n := from; n < to; n++ {
		t.add(picture(n))
	}
	return t
}

func (t *tape) check(tt *testing.T) {
	tt.Helper()
	var bytes int64
	for i, e := range t.entries {
		bytes += int64(len(e.Data))
		if i == 0 && !e.Key && t.given < 0 {
			tt.Error("the first entry is no key frame")
		}
		if _, ok := t.marks[e.PTS]; !ok {
			tt.Errorf("no mark of %d", e.PTS)
		}
	}
	if bytes != t.bytes || len(t.marks) != len(t.entries) {
		tt.Errorf("%d bytes and %d marks of %d entries with %d bytes", t.bytes, len(t.marks), len(t.entries), bytes)
	}
}

func TestTapeBeginsWithAKeyFrame(t *testing.T) {
	t.Parallel()
	tape := filled(tapeLimits(), 3, 25)
	tape.check(t)
	if got := tape.entries[0].DTS / step; got != 10 {
		t.Errorf("begins with picture %d, want 10", got)
	}
}

// What is released is what nobody needs who has all up to that time.
func TestTapeRelease(t *testing.T) {
	t.Parallel()
	for last, want := range map[int64]int64{5: 0, 9: 0, 10: 10, 19: 10, 29: 20, 99: 30} {
		tape := filled(tapeLimits(), 0, 40)
		tape.release(last*step + step)
		tape.check(t)
		if got := tape.entries[0].DTS / step; got != want || tape.first != want {
			t.Errorf("after picture %d: begins with %d, number %d, want %d", last, got, tape.first, want)
		}
	}
}

// A tape does not grow, and who was too far behind goes on at a key frame.
func TestTapeOverflow(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]hub.Limits{"units": {Units: 25, Bytes: 1 << 20}, "bytes": {Units: 1000, Bytes: 25}} {
		tape := filled(limits, 0, 1005)
		tape.check(t)
		if len(tape.entries) > 25 {
			t.Errorf("%s: %d entries", name, len(tape.entries))
		}
		e, after, ok, err := tape.next(t.Context(), 7, tape.track)
		if err != nil || !ok || !e.Key || after != e.DTS/step+1 {
			t.Errorf("%s: got picture %d, then %d, %v %v, want a key frame", name, e.DTS/step, after, ok, err)
		}
		if want := e.DTS/step - 7; tape.missed() != want {
			t.Errorf("%s: %d pictures are missed, want %d", name, tape.missed(), want)
		}
	}
	// Without a key frame in reach it waits for the next one.
	tape := newTape(hub.Limits{Units: 5, Bytes: 100})
	tape.track = videoTrack()
	for n := range int64(13) {
		tape.add(picture(n))
	}
	tape.check(t)
	if got := tape.entries[0].DTS / step; got != 10 {
		t.Errorf("begins with picture %d, want 10", got)
	}
}

// A child that keeps up is given all pictures, however long no key frame comes; the next
// child begins with one.
func TestTapeWithoutKeyFrames(t *testing.T) {
	t.Parallel()
	tape := newTape(hub.Limits{Units: 200, Bytes: 1 << 20})
	tape.track = videoTrack()
	next := int64(0)
	for n := range int64(5000) {
		u := picture(n)
		u.Key = n == 0 || n == 4950
		tape.add(u)
		e, after, ok, err := tape.next(t.Context(), next, tape.track)
		if err != nil || !ok || e.DTS != u.DTS {
			t.Fatalf("given picture %d, %v, %v, want %d", e.DTS/step, ok, err, n)
		}
		next = after
		if _, known := tape.find(u.PTS - underway/2*step); !known && n > underway {
			t.Fatalf("what is under way is forgotten at picture %d", n)
		}
	}
	tape.check(t)
	if len(tape.entries) > 200 || tape.missed() > 0 {
		t.Errorf("%d entries, %d missed", len(tape.entries), tape.missed())
	}
	if s, _ := tape.oldest(); s.pts != 4950*step+step || s.number != 4950 {
		t.Errorf("another child begins with %+v, want picture 4950", s)
	}
}

// A period ends where the next one begins, also where that has no picture yet.
func TestTapePeriods(t *testing.T) {
	t.Parallel()
	tape := filled(tapeLimits(), 0, 3)
	old := tape.track
	if _, _, ok, _ := tape.next(t.Context(), 2, old); !ok {
		t.Error("the last picture of a period does not belong to it")
	}
	tape.track = videoTrack()
	if _, after, ok, err := tape.next(t.Context(), 3, old); ok || err != nil || after != 3 {
		t.Errorf("got %v, %v, want the end of the period", ok, err)
	}
	tape.add(picture(11)) // no key frame: nobody could begin with it
	tape.add(picture(20))
	if _, _, ok, _ := tape.next(t.Context(), 3, old); ok {
		t.Error("a picture of the next period belongs to the one before")
	}
	tape.skip(3)
	tape.check(t)
	if s, _ := tape.oldest(); s.track != nil {
		t.Error("it begins with one picture, whose rate nobody knows")
	}
	for n := range int64(rateFrom) {
		tape.add(picture(21 + n))
	}
	if s, _ := tape.oldest(); s.track != tape.track || s.pts != 21*step || s.number != 3 || s.rate != timebase.R(25, 1) {
		t.Errorf("begins with %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := tape.next(ctx, tape.first+int64(len(tape.entries)), tape.track); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want to wait", err)
	}
}

func TestRateOf(t *testing.T) {
	t.Parallel()
	ntsc := timebase.R(30000, 1001)
	for _, test := range []struct {
		name  string
		said  timebase.Rational
		ticks []int64 // between pictures
		want  timebase.Rational
	}{
		{"said and true", ntsc, []int64{3003, 3003, 3003}, ntsc},
		{"said and true, in milliseconds", ntsc, []int64{2970, 3060, 2970}, ntsc},
		{"said and wrong", timebase.R(50, 1), []int64{3600, 3600}, timebase.R(25, 1)},
		{"nonsense", timebase.R(90000, 1), []int64{3000, 3000, 3000}, timebase.R(30, 1)},
		{"not said", timebase.Rational{}, []int64{2970, 3060, 2970}, timebase.R(30, 1)},
		{"unusual", timebase.Rational{}, []int64{4500, 4500}, timebase.R(20, 1)},
		{"slow", timebase.Rational{}, []int64{900000, 900000}, timebase.R(1, 1)},
		{"one picture, said", ntsc, nil, ntsc},
		{"one picture, nonsense", timebase.R(1000, 1), nil, timebase.R(25, 1)},
	} {
		track := videoTrack()
		track.Rate = test.said
		entries := []entry{{track: track}}
		for _, ticks := range test.ticks {
			entries = append(entries, entry{hub.Unit{DTS: entries[len(entries)-1].DTS + ticks}, track})
		}
		if got := rateOf(track, entries); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
