package live

import (
	"fmt"
	"math"
	"time"

	"liuyun/internal/flow/window"
)

// meter counts what an encoder sends. Its report is over the last few seconds.
type meter struct {
	health  StreamHealth // what only changes with the encoder
	video   bool         // pictures are to come
	drops   int64
	silence int64
	now     second
	last    [5]second // the newest first
	filled  int
}

// second is what one second had.
type second struct {
	length   time.Duration
	bytes    int64
	pictures int64
	silence  int64
	jumps    int64
	drift    time.Duration // the largest: what came with the least delay
}

func (m *meter) noteDrift(d time.Duration) { m.now.drift = max(m.now.drift, d) }

// tick ends a second.
func (m *meter) tick(length time.Duration) {
	m.now.length = length
	copy(m.last[1:], m.last[:])
	m.last[0] = m.now
	m.filled = min(m.filled+1, len(m.last))
	m.now = second{drift: math.MinInt64}
}

// report is the health by what the meter and the window say.
func (m *meter) report(w window.Health) *StreamHealth {
	h := m.health
	var sum second
	sum.drift = math.MinInt64
	for _, s := range m.last[:m.filled] {
		sum.length += s.length
		sum.bytes += s.bytes
		sum.pictures += s.pictures
		sum.silence += s.silence
		sum.jumps += s.jumps
		sum.drift = max(sum.drift, s.drift)
	}
	if sum.length > 0 {
		h.Bitrate = int64(float64(8*sum.bytes) / sum.length.Seconds())
		h.FPS = rounded(float64(sum.pictures) / sum.length.Seconds())
	}
	if sum.drift != math.MinInt64 {
		h.Drift = rounded(sum.drift.Seconds())
	}
	h.KeyInterval, h.Drops, h.Silence = rounded(w.KeyInterval.Seconds()), m.drops+w.Dropped, m.silence
	h.Window, h.Stored = rounded(w.Window.Seconds()), w.Bytes
	h.Problems = m.problems(sum, w)
	return &h
}

func rounded(v float64) float64 { return math.Round(v*1000) / 1000 }

// patientWithKeys is how far apart key frames may be.
const patientWithKeys = 6 * time.Second

func (m *meter) problems(sum second, w window.Health) []StreamProblem {
	list := []StreamProblem{}
	add := func(code, format string, args ...any) {
		list = append(list, StreamProblem{code, fmt.Sprintf(format, args...)})
	}
	if apart := max(w.KeyInterval, w.SinceKey); m.video && apart > patientWithKeys {
		add("key_frames", "key frames are %.1f s apart, so that viewers wait to begin: set the encoder's key frame interval to 2 s", apart.Seconds())
	}
	if m.video && m.filled == len(m.last) && sum.pictures == 0 {
		add("no_pictures", "no picture has come for %.0f s: look at the encoder and its network", sum.length.Seconds())
	}
	if sum.silence > 0 {
		add("sound_missing", "sound is missing, viewers hear silence: look at the encoder's sound source")
	}
	if sum.jumps > 0 {
		add("jumps", "the encoder's timestamps jump; they were put right, but viewers may see it: look at its clock and sources")
	}
	if w.Disk != nil {
		add("storage", "the disk is full, so that viewers can go back less far: delete something, or give the server a larger disk")
	}
	return list
}
