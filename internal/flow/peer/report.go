package peer

import (
	"sync"
	"time"

	"github.com/pion/rtcp"

	"liuyun/internal/base/timebase"
)

// span is ticks of a clock as time; a stream may have gone on for months.
func span(ticks, clock int64) time.Duration {
	return time.Duration(timebase.MulDiv(ticks, int64(time.Second), clock))
}

// ticksOf is the reverse of span.
func ticksOf(d time.Duration, clock int64) int64 {
	return timebase.MulDiv(int64(d), clock, int64(time.Second))
}

// mediaTime says what moment of the stream is sent now, for reports from which the
// viewer knows how sound and pictures belong together.
type mediaTime struct {
	mu    sync.Mutex
	known bool
	zero  time.Time // when the stream's zero was, as what is sent shows it
}

// note takes the moment of something that is sent.
func (m *mediaTime) note(moment time.Duration, now time.Time) {
	const jump, smooth = 500 * time.Millisecond, 32
	zero := now.Add(-moment)
	m.mu.Lock()
	defer m.mu.Unlock()
	off := zero.Sub(m.zero)
	if !m.known || off > jump || off < -jump {
		m.known, m.zero = true, zero
		return
	}
	m.zero = m.zero.Add(off / smooth)
}

// at is the moment that is sent at that time; false while nothing is.
func (m *mediaTime) at(now time.Time) (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Sub(m.zero), m.known
}

// ntp is a time as reports have it.
func ntp(t time.Time) uint64 {
	const since1900 = 2208988800
	nanos := uint64(t.Nanosecond())
	return uint64(t.Unix()+since1900)<<32 | nanos<<32/1e9
}

// report tells the viewer when what it is sent belongs.
func (v *viewer) report(now time.Time) {
	moment, ok := v.time.at(now)
	if !ok {
		return
	}
	var list []rtcp.Packet
	for _, t := range []*sender{v.video, v.sound} {
		if t == nil || !t.ready() || t.packets.Load() == 0 {
			continue
		}
		list = append(list, &rtcp.SenderReport{
			SSRC: t.header.SSRC, NTPTime: ntp(now), RTPTime: uint32(ticksOf(moment, t.clock())) + t.offset.Load(),
			PacketCount: t.packets.Load(), OctetCount: t.octets.Load(),
		})
	}
	if len(list) > 0 {
		_ = v.pc.WriteRTCP(list) // its error is that of a connection that is closed
	}
}
