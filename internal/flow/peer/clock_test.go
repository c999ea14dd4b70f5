package peer

import (
	"testing"
	"time"
)

// ntpOf is what a sender's report says of that many seconds since it began.
func ntpOf(seconds float64) uint64 { return uint64((1e9 + seconds) * (1 << 32)) }

// Sound that comes 100 ms after the picture that it belongs to moves, slowly, to where
// the reports say that it belongs.
func TestTracksComeTogether(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1000, 0)
	var c common
	video, sound := newTrackClock(&c, 90000), newTrackClock(&c, 48000)
	const videoZero, soundZero = 4294967290, 123456789 // one wraps soon
	after := func(seconds float64) time.Time { return begin.Add(time.Duration(seconds * 1e9)) }
	picture := func(s float64) int64 { return video.at(uint32(videoZero+int64(s*90000)), after(s)) }
	frame := func(s float64) int64 { return sound.at(uint32(soundZero+int64(s*48000)), after(s+0.1)) }
	if got := picture(0); got != 0 {
		t.Errorf("the first picture is at %d", got)
	}
	if got := frame(0); got != 9000 {
		t.Errorf("without reports sound is at %d, want when it came", got)
	}
	video.report(ntpOf(0), videoZero)
	sound.report(ntpOf(0), soundZero)
	last := int64(9000)
	for i := 1; i < 500; i++ {
		s := float64(i) * 0.02
		got := frame(s)
		if step := got - last; step < 1800*9/10 || step > 1800*11/10 {
			t.Fatalf("sound goes on by %d ticks at %.2f s", step, s)
		}
		last = got
	}
	if off := last - picture(499*0.02); off < -20 || off > 20 {
		t.Errorf("after ten seconds sound is off by %d ticks", off)
	}
	// A clock that is set moves nothing.
	video.report(ntpOf(5000), uint32((videoZero+10*90000)&0xffffffff))
	if off := picture(10) - 900000; off < -20 || off > 20 {
		t.Errorf("pictures are off by %d ticks", off)
	}
}

// A track that comes a day later is where it came.
func TestLateTrack(t *testing.T) {
	t.Parallel()
	var c common
	begin := time.Unix(1000, 0)
	newTrackClock(&c, 90000).at(7, begin)
	if got := newTrackClock(&c, 48000).at(9, begin.Add(48*time.Hour)); got != 48*3600*90000 {
		t.Errorf("got %d", got)
	}
}

func TestMediaTime(t *testing.T) {
	t.Parallel()
	var m mediaTime
	if _, ok := m.at(time.Now()); ok {
		t.Error("it knows what nobody told it")
	}
	now := time.Unix(2000, 0)
	for i := range 100 {
		m.note(time.Hour+time.Duration(i)*20*time.Millisecond, now.Add(time.Duration(i)*20*time.Millisecond))
	}
	if got, _ := m.at(now.Add(3 * time.Second)); got != time.Hour+3*time.Second {
		t.Errorf("got %v", got)
	}
	const year = 365 * 24 * 3600 * 48000
	if got := span(year+24000, 48000); got != 365*24*time.Hour+500*time.Millisecond || ticksOf(got, 48000) != year+24000 {
		t.Errorf("got %v", got)
	}
	if got := ntp(time.Unix(0, 5e8)); got != 2208988800<<32|1<<31 {
		t.Errorf("got %x", got)
	}
}
