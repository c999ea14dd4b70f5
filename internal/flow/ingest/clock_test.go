package ingest

import (
	"math"
	"testing"
	"time"
)

// run is an encoder with pictures of 25 a second and sound of 48 kHz.
type run struct {
	t      *testing.T
	clock  clock
	wraps  *Unwrapper // of milliseconds of 32 bits, as RTMP has them
	now    time.Time
	dts    [2]int64 // of the last unit
	end    int64    // of the sound, silence included
	units  int
	filled int64 // frames of silence
	late   int   // frames that were not used
	apart  int64 // largest step from picture to picture, ticks
}

func newRun(t *testing.T, start time.Duration) *run {
	r := &run{t: t, clock: newClock(start), now: time.Unix(1_800_000_000, 0), dts: [2]int64{-1, -1}, end: -1, wraps: &Unwrapper{Bits: 32}}
	r.clock.setSound(48000)
	return r
}

func (r *run) picture(stamp uint32, offset int32) {
	r.t.Helper()
	wide := r.wraps.Unwrap(uint64(stamp)) * ms
	dts, pts := r.clock.picture(wide, wide+int64(offset)*ms, r.now)
	if dts <= r.dts[pictures] || pts-dts != int64(offset)*90 {
		r.t.Fatalf("picture %d: at %d, shown at %d, after %d", stamp, dts, pts, r.dts[pictures])
	}
	if r.dts[pictures] >= 0 {
		r.apart = max(r.apart, dts-r.dts[pictures])
	}
	r.dts[pictures] = dts
	r.units++
	dts, missing := r.clock.silence(1024)
	r.silent(dts, missing)
}

func (r *run) sound(stamp uint32) {
	r.t.Helper()
	dts, missing, use := r.clock.sound(r.wraps.Unwrap(uint64(stamp))*ms, 1024, 1024, r.now)
	if !use {
		r.late++
		return
	}
	r.silent(dts-missing*1024, missing)
	if dts < r.end {
		r.t.Fatalf("sound %d: at %d, within what was before until %d", stamp, dts, r.end)
	}
	r.dts[sounds], r.end = dts, dts+1024
	r.units++
}

// hold fills up to now.
func (r *run) hold() {
	r.t.Helper()
	end := r.clock.at(r.now)
	for {
		dts, due := r.clock.still(end)
		if !due {
			break
		}
		if dts <= r.dts[pictures] {
			r.t.Fatalf("a still picture at %d, after %d", dts, r.dts[pictures])
		}
		r.dts[pictures] = dts
		r.units++
	}
	dts, missing := r.clock.silenceUntil(end, 1024)
	r.silent(dts, missing)
}

func (r *run) silent(dts, missing int64) {
	r.t.Helper()
	if missing == 0 {
		return
	}
	if missing < 0 || dts < r.end {
		r.t.Fatalf("%d frames of silence at %d, after %d", missing, dts, r.end)
	}
	r.filled += missing
	r.end = dts + missing*1024
}

// play sends so many milliseconds from a timestamp on, in real time, with the sound
// some milliseconds away from the pictures.
func (r *run) play(from uint32, length int, sound int) {
	r.t.Helper()
	nextSound := 0.0
	for at := 0; at < length; at += 40 {
		for sound != noSound && nextSound < float64(at+40) {
			r.sound(from + uint32(math.Round(nextSound)) + uint32(sound))
			nextSound += 1024.0 / 48
		}
		r.picture(from+uint32(at), int32(at/40%3*40))
		r.now = r.now.Add(40 * time.Millisecond)
	}
}

const noSound = math.MaxInt32

// between is how far the last picture is after the last sound, in milliseconds.
func (r *run) between() int64 { return r.dts[pictures]/90 - r.dts[sounds]/48 }

func (r *run) want(length, filled int64) {
	r.t.Helper()
	if got := r.dts[pictures] / 90; got < length-60 || got > length+60 {
		r.t.Errorf("the last picture is at %d ms, want %d", got, length)
	}
	if r.filled < filled-20 || r.filled > filled+3 {
		r.t.Errorf("%d frames of silence, want %d", r.filled, filled)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		run  func(r *run)
		// length is where the last picture is, in ms; filled the frames of silence;
		// between the pictures minus the sound at the end, in ms.
		length, filled, between int64
	}{
		{"plain", func(r *run) { r.play(0, 4000, 0) }, 3960, 0, -21},
		{"any beginning", func(r *run) { r.play(3_000_000_000, 4000, 0) }, 3960, 0, -21},
		{"sound is before the pictures", func(r *run) { r.play(5000, 4000, -200) }, 4160, 0, 180},
		{"wrap", func(r *run) { r.play(math.MaxUint32-1999, 4000, 0) }, 3960, 0, -21},
		{"jump forwards", func(r *run) { r.play(0, 2000, 0); r.play(900_000, 2000, 0) }, 3960, 0, -21},
		{"jump just above what is kept", func(r *run) { r.play(0, 2000, 0); r.play(3060, 2000, 0) }, 3960, 0, -21},
		{"jump backwards", func(r *run) { r.play(900_000, 2000, 0); r.play(0, 2000, 0) }, 3960, 0, -21},
		{"jump across half of 32 bits", func(r *run) { r.play(0, 2000, 0); r.play(1<<31+5, 2000, 0) }, 3960, 0, -21},
		{"a little backwards", func(r *run) { r.play(900, 2000, 0); r.play(2600, 2000, 0) }, 3960, 0, -21},
		{"short gap", func(r *run) {
			r.play(0, 2000, 0)
			r.now = r.now.Add(800 * time.Millisecond)
			r.play(2800, 2000, 0)
		}, 4760, 800 * 48 / 1024, -21},
		{"long silence of both is closed up", func(r *run) {
			r.play(0, 2000, 0)
			r.now = r.now.Add(9 * time.Second)
			r.play(11_000, 2000, 0)
		}, 3960, 0, -21},
		{"a picture every two seconds is kept", func(r *run) {
			r.clock.setSound(0)
			for i := range 10 {
				r.picture(uint32(2000*i), 0)
				r.now = r.now.Add(2 * time.Second)
			}
		}, 18_000, 0, 18_000},
		{"sound stops", func(r *run) { r.play(0, 2000, 0); r.play(2000, 6000, noSound) }, 7960, 5500 * 48 / 1024, 5960},
		{"sound never begins", func(r *run) { r.play(0, 6000, noSound) }, 5960, 5500 * 48 / 1024, 5960},
		{"sound comes back", func(r *run) {
			r.play(0, 2000, 0)
			r.play(2000, 3000, noSound)
			r.play(5000, 2000, 0)
		}, 6960, 3000 * 48 / 1024, -21},
		{"new connection", func(r *run) {
			r.play(70_000, 2000, 0)
			r.now = r.now.Add(12 * time.Second)
			r.clock.connect()
			r.wraps = &Unwrapper{Bits: 32}
			r.play(0, 2000, 0)
		}, 4060, 100 * 48 / 1024, -21},
		{"the next connection at once", func(r *run) {
			r.play(70_000, 2000, 0)
			r.now = r.now.Add(500 * time.Millisecond)
			r.clock.connect()
			r.wraps = &Unwrapper{Bits: 32}
			r.play(0, 2000, 0)
		}, 4500, 500 * 48 / 1024, -21},
		{"nonsense between", func(r *run) {
			r.play(0, 2000, 0)
			r.picture(4_000_000_000, 0)
			r.play(2000, 2000, 0)
		}, 4000, 0, 19},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, 0)
			test.run(r)
			r.want(test.length, test.filled)
			if r.dts[sounds] >= 0 && (r.between() < test.between-60 || r.between() > test.between+60) {
				t.Errorf("the pictures end %d ms after the sound, want %d", r.between(), test.between)
			}
			if r.late > 0 {
				t.Errorf("%d frames of sound were not used", r.late)
			}
		})
	}
}

// Sound that only comes late gets the time that it needs, and is heard again.
func TestLateSound(t *testing.T) {
	t.Parallel()
	r := newRun(t, 0)
	sound := 0.0
	for at := 0; at < 20_000; at += 40 {
		r.picture(uint32(at), 0)
		for at >= 1500 && sound < float64(at-1500) {
			r.sound(uint32(sound))
			sound += 1024.0 / 48
		}
	}
	if r.late == 0 || r.late > 3000*48/1024 {
		t.Errorf("%d frames were not used, want a few at the beginning", r.late)
	}
	if r.between() > 1600 {
		t.Errorf("sound ends %d ms before the pictures", r.between())
	}
}

// A clock begins where it is told to.
func TestClockStart(t *testing.T) {
	t.Parallel()
	r := newRun(t, time.Hour)
	r.play(0, 1000, 0)
	r.want(3_600_960, 0)
}

// Drift is the encoder's time against ours.
func TestDrift(t *testing.T) {
	t.Parallel()
	r := newRun(t, 0)
	for at := range uint32(1000) {
		r.picture(at*40, 0)
		r.now = r.now.Add(40*time.Millisecond + 40*time.Microsecond) // 0.1 % slower than ours
	}
	if got := r.clock.drift; got > -38*time.Millisecond || got < -42*time.Millisecond {
		t.Errorf("drift %s after 40 s, want -40 ms", got)
	}
}

// What an encoder has stored comes at once, and is no drift.
func TestDriftAfterBurst(t *testing.T) {
	t.Parallel()
	r := newRun(t, 0)
	for at := range uint32(1000) {
		r.picture(at*40, 0)
		if at >= 50 {
			r.now = r.now.Add(40 * time.Millisecond)
		}
	}
	if got := r.clock.drift; got != 0 {
		t.Errorf("drift %s after a burst of 2 s, want none", got)
	}
}

// Whatever an encoder says: times grow, and no faster than by the longest step.
func FuzzClock(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 21, 1, 0, 255, 255, 255, 255, 0, 2, 0, 0, 0, 0, 200})
	f.Add([]byte{3, 127, 255, 255, 255, 9, 4, 128, 0, 0, 0, 1, 5, 0, 0, 0, 0, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRun(t, time.Minute)
		for ; len(data) >= 6; data = data[6:] {
			stamp := uint32(data[1])<<24 | uint32(data[2])<<16 | uint32(data[3])<<8 | uint32(data[4])
			r.now = r.now.Add(time.Duration(data[5]) * 10 * time.Millisecond)
			switch data[0] % 8 {
			case 7:
				r.clock.connect()
				r.wraps = &Unwrapper{Bits: 32}
			case 6:
				r.clock.lanes[sounds].begun = false // as when sound is set up anew
				r.end = 0
			case 4:
				r.hold()
			case 1, 3, 5:
				r.sound(stamp)
			default:
				r.picture(stamp, int32(data[5])-128)
			}
			most := 60_000*ms + apart + int64(r.units+1)*(longestStep+joint)
			if r.clock.head > most || r.clock.head < 60_000*ms {
				t.Fatalf("after %d units the clock is at %d ms", r.units, r.clock.head/ms)
			}
		}
	})
}
