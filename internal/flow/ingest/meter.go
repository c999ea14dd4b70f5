package ingest

import (
	"math"
	"time"
)

// Report is how one connection goes, over the last few seconds.
type Report struct {
	VideoCodec           string // RFC 6381; "" without pictures
	Width, Height        int
	AudioCodec           string // RFC 6381; "" without sound
	SampleRate, Channels int

	Length      time.Duration // that it is about; 0 until the first second is over
	Bitrate     int64         // bits a second
	FPS         float64
	KeyInterval time.Duration // between the last two key frames, or since the last if that is more
	Drift       time.Duration // that the encoder's clock has gained on ours since it connected
	Jumps       int64         // times that timestamps could not be
	Silence     int64         // frames of silence that were made
	Pictures    int64

	// Since the connection began.
	Drops, Silent int64 // what could not be used; frames of silence
	HasPictures   bool  // pictures are to come
}

// meter counts what an encoder sends.
type meter struct {
	about    Report // what changes with the encoder only
	interval int64  // ticks from key frame to key frame
	since    int64  // and since the last
	drops    int64
	silence  int64
	now      second
	last     [5]second // the newest first
	filled   int
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

func newMeter() meter { return meter{now: second{drift: math.MinInt64}} }

func (m *meter) noteDrift(d time.Duration) { m.now.drift = max(m.now.drift, d) }

// tick ends a second.
func (m *meter) tick(length time.Duration) {
	m.now.length = length
	copy(m.last[1:], m.last[:])
	m.last[0] = m.now
	m.filled = min(m.filled+1, len(m.last))
	m.now = second{drift: math.MinInt64}
}

// report is how it went in the last few seconds.
func (m *meter) report() Report {
	r := m.about
	drift := time.Duration(math.MinInt64)
	var bytes int64
	for _, s := range m.last[:m.filled] {
		r.Length += s.length
		bytes += s.bytes
		r.Pictures += s.pictures
		r.Silence += s.silence
		r.Jumps += s.jumps
		drift = max(drift, s.drift)
	}
	if r.Length > 0 {
		r.Bitrate = int64(float64(8*bytes) / r.Length.Seconds())
		r.FPS = float64(r.Pictures) / r.Length.Seconds()
	}
	if drift != math.MinInt64 {
		r.Drift = drift
	}
	r.KeyInterval = timeOf(max(m.interval, m.since))
	r.Drops, r.Silent = m.drops, m.silence
	return r
}
