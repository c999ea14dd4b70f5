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
	// The shortest and the longest of the last key frame intervals. Irregular says that
	// they differ more than players and segments like, Open that decoding may begin at key
	// frames, though not all that follows can be decoded then.
	KeyShortest, KeyLongest time.Duration
	Irregular, Open         bool
	Offset                  time.Duration // that pictures come before the sound that belongs to them
	Drift                   time.Duration // that the encoder's clock has gained on ours since it connected
	Jumps                   int64         // times that timestamps could not be
	Silence                 int64         // frames of silence that were made
	Holes                   int64         // times that sound was missing and no silence is known
	Changes                 int64         // times that what decoders are set up with was another
	Pictures                int64

	// Since the connection began.
	Drops, Silent int64 // what could not be used; frames of silence
	HasPictures   bool  // pictures are to come
}

// meter counts what an encoder sends.
type meter struct {
	about   Report   // what changes with the encoder only
	keys    [8]int64 // ticks from key frame to key frame, the newest first
	since   int64    // and since the last
	open    bool     // the last key frame is one
	offset  int64
	drops   int64
	silence int64
	bytes   int64 // up to the last tick
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
	holes    int64
	changes  int64
	drift    time.Duration // the largest: what came with the least delay
}

func newMeter() meter { return meter{now: second{drift: math.MinInt64}} }

func (m *meter) noteDrift(d time.Duration) { m.now.drift = max(m.now.drift, d) }

// tick ends a second.
func (m *meter) tick(length time.Duration) {
	m.now.length = length
	m.bytes += m.now.bytes
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
		r.Holes += s.holes
		r.Changes += s.changes
		drift = max(drift, s.drift)
	}
	if r.Length > 0 {
		r.Bitrate = int64(float64(8*bytes) / r.Length.Seconds())
		r.FPS = float64(r.Pictures) / r.Length.Seconds()
	}
	if drift != math.MinInt64 {
		r.Drift = drift
	}
	m.reportKeys(&r)
	r.Offset = timeOf(m.offset)
	r.Drops, r.Silent = m.drops, m.silence
	return r
}

// noteKey takes the ticks from the key frame before.
func (m *meter) noteKey(interval int64) {
	copy(m.keys[1:], m.keys[:])
	m.keys[0] = interval
}

// unlike is how much longer the longest key frame interval may be than the shortest,
// where it is longer than tolerated.
const (
	unlike    = 2
	tolerated = 4 * time.Second
)

func (m *meter) reportKeys(r *Report) {
	r.KeyInterval, r.Open = timeOf(max(m.keys[0], m.since)), m.open
	shortest, longest := m.keys[0], m.keys[0]
	for _, k := range m.keys {
		if k > 0 {
			shortest, longest = min(shortest, k), max(longest, k)
		}
	}
	r.KeyShortest, r.KeyLongest = timeOf(shortest), timeOf(longest)
	r.Irregular = r.KeyLongest > tolerated && longest > unlike*shortest
}
