package live

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/internal/kit/obs"
)

// way is how viewers get a stream.
type way int

const (
	byHTTP way = iota // HLS and DASH
	byWebRTC
	byRTMP // with TLS or without
	byRTSP
	bySRT
	ways int = iota
)

func (w way) String() string { return [ways]string{"http", "webrtc", "rtmp", "rtsp", "srt"}[w] }

// sum is that of all ways.
func sum[N int | int64](of [ways]N) (total N) {
	for _, n := range of {
		total += n
	}
	return total
}

// labelled are values of a metric, by way.
func labelled[N int | int64](of [ways]N) map[string]float64 {
	values := make(map[string]float64, ways)
	for w, n := range of {
		values[way(w).String()] = float64(n)
	}
	return values
}

// sentBytes counts bytes that viewers were sent.
type sentBytes [ways]atomic.Int64

func (s *sentBytes) now() (all [ways]int64) {
	for w := range s {
		all[w] = s[w].Load()
	}
	return all
}

// traffic is what all streams of this process have taken in and sent. The zero value is
// ready.
type traffic struct {
	sent sentBytes

	mu       sync.Mutex
	received map[string]int64 // bytes, by protocol
}

func (t *traffic) receive(protocol string, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.received == nil {
		t.received = make(map[string]int64)
	}
	t.received[protocol] += bytes
}

// served counts what viewers of a stream were sent.
func (s *Service) served(tenant string, crowd *audience, by way, bytes int64) {
	if bytes <= 0 {
		return
	}
	if tenant != "" {
		s.Served(tenant, bytes)
		if by == byHTTP {
			s.Answered(bytes)
		}
	}
	crowd.sent[by].Add(bytes)
	s.traffic.sent[by].Add(bytes)
}

// sentBy returns what counts what viewers of a stream were sent by another way than
// requests.
func (s *Service) sentBy(by way) func(stream string, bytes int64) {
	return func(stream string, bytes int64) {
		if l := s.current(stream); l != nil {
			s.served(l.tenant, l.crowd, by, bytes)
		}
	}
}

// Measure adds metrics of the streams of this process.
func (s *Service) Measure(m *obs.Registry) {
	m.Func("liuyun_live_streams_count", "Streams on air on this node.", func() float64 { return float64(s.countOnAir()) })
	m.FuncBy("liuyun_live_inputs_count", "Encoders and sources that send to this node, by protocol.", "protocol", s.countInputs)
	m.FuncBy("liuyun_live_viewers_count", "Who watches streams, by way, those at edges among them; those behind another cache count as one.", "way", func() map[string]float64 {
		return labelled(s.crowd.byWay(time.Now()))
	})
	m.FuncBy("liuyun_live_received_bytes_total", "Pictures and sound that came for streams, by protocol.", "protocol", func() map[string]float64 {
		s.traffic.mu.Lock()
		received := maps.Clone(s.traffic.received)
		s.traffic.mu.Unlock()
		values := make(map[string]float64, len(received))
		for protocol, n := range received {
			values[protocol] = float64(n)
		}
		return values
	})
	m.FuncBy("liuyun_live_sent_bytes_total", "What viewers of streams were sent, by way.", "way", func() map[string]float64 {
		return labelled(s.traffic.sent.now())
	})
}

// all returns the sessions that there are.
func (s *Service) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.sessions))
}

func (s *Service) countOnAir() (n int) {
	for _, l := range s.all() {
		if l.facts().onAir {
			n++
		}
	}
	return n
}

// countInputs has a value for each protocol that something came by, also when nothing
// does any more.
func (s *Service) countInputs() map[string]float64 {
	values := make(map[string]float64)
	s.traffic.mu.Lock()
	for protocol := range s.traffic.received {
		values[protocol] = 0
	}
	s.traffic.mu.Unlock()
	for _, l := range s.all() {
		l.mu.Lock()
		for _, in := range l.inputs {
			if in != nil {
				values[in.connection.Protocol]++
			}
		}
		l.mu.Unlock()
	}
	return values
}
