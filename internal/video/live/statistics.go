package live

import (
	"context"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/web"
)

// StreamStatistics is what a session of a stream has come to: from its first encoder
// until nobody sends and it is idle. Nothing of it is stored.
type StreamStatistics struct {
	Since    *time.Time    `json:"since" doc:"When this session began, or the last one where nobody sends; if the server started meanwhile, when it did. Null where there was none since then. It is known to the node that has the session, until the next begins, the stream is deleted or the server ends."`
	Until    *time.Time    `json:"until" doc:"When it ended; null while it goes on."`
	BytesIn  int64         `json:"bytes_in" doc:"Of pictures and sound that encoders have sent, on air or not."`
	BytesOut int64         `json:"bytes_out" doc:"That viewers were sent while it went on, in all ways."`
	Viewers  int           `json:"viewers" doc:"How many watch now, as of the stream."`
	Most     int           `json:"viewers_most" doc:"How many watched at the most at a time, looked at each second."`
	MostAt   *time.Time    `json:"viewers_most_at" doc:"When it was first so many; null for nobody."`
	Ways     StreamWays    `json:"ways"`
	Series   []StreamPoint `json:"series" nullable:"false" doc:"The last hour while it goes on, a point each ten seconds; none when it is over."`
}

// StreamWays is what viewers get by each way.
type StreamWays struct {
	HTTP   StreamWay `json:"http" doc:"HLS and DASH."`
	WebRTC StreamWay `json:"webrtc"`
	RTMP   StreamWay `json:"rtmp" doc:"With TLS or without."`
	RTSP   StreamWay `json:"rtsp"`
	SRT    StreamWay `json:"srt"`
}

// StreamWay is what viewers get by one way.
type StreamWay struct {
	BytesOut int64 `json:"bytes_out"`
	Viewers  int   `json:"viewers"`
}

// StreamPoint is ten seconds of a stream.
type StreamPoint struct {
	At      time.Time `json:"at" doc:"Their end."`
	Viewers int       `json:"viewers" doc:"The most at a time."`
	BitsIn  int64     `json:"bits_in" doc:"A second."`
	BitsOut int64     `json:"bits_out" doc:"A second."`
}

// The series.
const (
	pointEvery = 10 * time.Second
	seriesFor  = time.Hour
)

// statistics are those of the last session of a stream. The zero value is ready, and of
// none.
type statistics struct {
	mu           sync.Mutex
	began, ended time.Time // zero is not yet
	before       [ways]int64
	in           int64
	out          [ways]int64
	most         int
	mostAt       time.Time

	series            []StreamPoint // the oldest first
	slots             int64         // how many points there could be since it began
	crest             int           // the most viewers since the last
	pointAt           time.Time
	pointIn, pointOut int64
}

// begin forgets what was: a session begins, and viewers were sent so much before.
func (s *statistics) begin(now time.Time, sent [ways]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began, s.ended, s.pointAt = now, time.Time{}, now
	s.before, s.in, s.out, s.most, s.mostAt = sent, 0, [ways]int64{}, 0, time.Time{}
	s.series, s.slots, s.crest, s.pointIn, s.pointOut = nil, 0, 0, 0, 0
}

// tick takes how many watch now, and what came and was sent until now.
func (s *statistics) tick(now time.Time, viewers int, in int64, sent [ways]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(in, sent)
	if viewers > s.most {
		s.most, s.mostAt = viewers, now
	}
	s.crest = max(s.crest, viewers)
	if slots := int64(now.Sub(s.began) / pointEvery); slots > s.slots {
		s.slots = slots
		s.point(now)
	}
}

func (s *statistics) note(in int64, sent [ways]int64) {
	s.in = in
	for w := range sent {
		s.out[w] = sent[w] - s.before[w]
	}
}

// point adds a point to the series, and drops those that are too old. Their times are of
// a grid, so that there are never more of them than fit into seriesFor.
func (s *statistics) point(now time.Time) {
	at := shown(s.began.Add(time.Duration(s.slots) * pointEvery))
	out, length := sum(s.out), now.Sub(s.pointAt)
	old := 0
	for old < len(s.series) && at.Sub(s.series[old].At) >= seriesFor {
		old++
	}
	s.series = append(slices.Delete(s.series, 0, old), StreamPoint{at, s.crest, perSecond(s.in-s.pointIn, length), perSecond(out-s.pointOut, length)})
	s.crest, s.pointAt, s.pointIn, s.pointOut = 0, now, s.in, out
}

// perSecond is the bits a second of so many bytes.
func perSecond(bytes int64, length time.Duration) int64 {
	return int64(math.Round(8 * float64(bytes) / length.Seconds()))
}

// end keeps the totals.
func (s *statistics) end(now time.Time, in int64, sent [ways]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(in, sent)
	s.ended, s.series = now, nil
}

// show is what the API shows, while so many watch.
func (s *statistics) show(viewers [ways]int) *StreamStatistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	way := func(w way) StreamWay { return StreamWay{s.out[w], viewers[w]} }
	return &StreamStatistics{
		Since: orNull(s.began), Until: orNull(s.ended), BytesIn: s.in, BytesOut: sum(s.out),
		Viewers: sum(viewers), Most: s.most, MostAt: orNull(s.mostAt),
		Ways:   StreamWays{way(byHTTP), way(byWebRTC), way(byRTMP), way(byRTSP), way(bySRT)},
		Series: append([]StreamPoint{}, s.series...),
	}
}

// shown is a time as the API shows it.
func shown(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// orNull is the same, null for zero.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = shown(t)
	return &t
}

// count takes what an input has sent since it was counted last. The session's mutex is
// held.
func (l *session) count(in *input) {
	received := in.feed.Received()
	l.received += received - in.counted
	l.traffic.receive(in.connection.Protocol, received-in.counted)
	in.counted = received
}

// finish ends the statistics of a session that is over.
func (l *session) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, in := range l.inputs {
		if in != nil {
			l.count(in)
		}
	}
	l.crowd.last.end(time.Now(), l.received, l.crowd.sent.now())
}

func (s *Service) statisticsRoutes(api *web.API, op func(id, method, path, summary, scope string) web.Op) {
	get := op("get-stream-statistics", http.MethodGet, "/v1/streams/{id}/statistics", "Get what a stream has taken in and sent, and who has watched", guard.AssetsRead)
	get.Description = "Of the session that goes on, or the last one, as of the last second. The node that the stream is on air on counts it in memory: totals stay until the next session begins or the server ends, the series until the session ends."
	web.Add(api, get, s.apiStatistics)
}

type statisticsOutput struct{ Body *StreamStatistics }

func (s *Service) apiStatistics(ctx context.Context, in *StreamPath) (*statisticsOutput, error) {
	r, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	crowd := s.crowd.find(r.ID)
	return &statisticsOutput{crowd.last.show(crowd.byWay(time.Now()))}, nil
}
