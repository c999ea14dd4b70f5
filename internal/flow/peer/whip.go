package peer

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/kit/web"
)

// WHIP is the endpoint of publishers, and their sessions one step below it, whose id
// is the path value "session".
func (s *Server) WHIP() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("session")
		s.serve(w, r, id, s.publish, func() (*session, error) { return s.publisherSession(w, r, id) })
	})
}

// keyOf is the key that a request shows.
func keyOf(w http.ResponseWriter, r *http.Request) (string, error) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || key == "" || len(key) > 256 {
		w.Header().Set("WWW-Authenticate", `Bearer realm="whip"`)
		return "", web.WithStatus(http.StatusUnauthorized, fault.New(fault.Forbidden, "the stream key is missing: send it as Authorization: Bearer KEY"))
	}
	return strings.TrimSpace(key), nil
}

// publisherSession is the session of who shows its key.
func (s *Server) publisherSession(w http.ResponseWriter, r *http.Request, id string) (*session, error) {
	key, err := keyOf(w, r)
	if err != nil {
		return nil, err
	}
	x := s.find(id)
	if x == nil || subtle.ConstantTimeCompare([]byte(x.key), []byte(key)) != 1 {
		return nil, errNoSession()
	}
	return x, nil
}

// publish answers an offer, and takes in what comes then.
func (s *Server) publish(w http.ResponseWriter, r *http.Request) error {
	key, err := keyOf(w, r)
	if err != nil {
		return err
	}
	o, err := offerOf(w, r, "sendonly")
	if err != nil {
		return err
	}
	host := hostOf(r)
	p := &publisher{session: newSession(key, s.Log), expected: o.layers}
	e, err := s.enter(host, p.session)
	if err != nil {
		return err
	}
	leave := func() {
		p.close()
		if p.input != nil {
			p.input.Close()
		}
		s.leave(host, p.session)
	}
	answer, err := s.letIn(r, p, e, o)
	if err != nil {
		p.end(fault.Message(err))
		leave()
		return err
	}
	go func() {
		defer leave()
		p.watch(e.limits, p.check)
		p.log.Info("a WebRTC publisher has left", "why", p.why())
	}()
	s.created(w, r, p.session, answer)
	return nil
}

// letIn asks the desk for the input of a publisher, and answers the offer.
func (s *Server) letIn(r *http.Request, p *publisher, e *engine, o *offer) (answer string, err error) {
	p.input, err = s.Desk.Publish(r.Context(), p.key, ingest.Connection{
		Protocol: "whip", Encoder: r.UserAgent(), Remote: r.RemoteAddr, Backup: r.URL.Query().Get("backup") == "1",
		Kick: p.end, Refresh: func() { p.refreshed.Store(true) }, Quality: p.way.quality,
	})
	if err != nil {
		return "", err
	}
	return p.begin(e, o, quietLog{p.log})
}

// publisher is the session of who sends.
type publisher struct {
	*session
	input    ingest.Input
	expected int // layers that are offered

	mu     sync.Mutex // of what follows, and of input while packets come
	time   common
	layers []*layer // of the pictures
	chosen *layer
	first  time.Time // when the first picture came
	last   int64     // PTS of the last picture
	// The input knows the codecs.
	toldVideo, toldSound bool
	way                  way

	refreshed atomic.Bool // a key frame is asked for
}

// begin answers the offer.
func (p *publisher) begin(e *engine, o *offer, log quietLog) (string, error) {
	pc, err := e.publishing(log)
	if err != nil {
		return "", err
	}
	pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		switch t.Kind() {
		case webrtc.RTPCodecTypeVideo:
			p.readVideo(t, r)
		case webrtc.RTPCodecTypeAudio:
			p.readAudio(t, r)
		}
	})
	answer, err := p.connect(pc, e, o)
	if err != nil {
		return "", err
	}
	video, sound := accepted(answer, "video"), accepted(answer, "audio")
	if !video && !sound {
		return "", web.WithStatus(http.StatusUnprocessableEntity, fault.New(fault.Invalid, "pictures have to be H.264 with packetization-mode=1, and sound Opus; offer these"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.input.Expect(video, sound)
	p.log.Info("a WebRTC publisher has come", "video", video, "sound", sound, "layers", o.layers)
	return answer, nil
}

// accepted reports whether an answer takes a kind of media.
func accepted(answer, kind string) bool {
	for _, line := range lines(answer) {
		if rest, ok := strings.CutPrefix(line, "m="+kind+" "); ok {
			return !strings.HasPrefix(rest, "0 ")
		}
	}
	return false
}

// read reads the packets of a track, in the order they come, until the track ends.
func (p *publisher) read(t *webrtc.TrackRemote, take func(packet) error) {
	buffer := make([]byte, 1600)
	var in rtp.Packet
	for {
		n, _, err := t.Read(buffer)
		if err != nil {
			return
		}
		if in.Unmarshal(buffer[:n]) != nil {
			continue
		}
		now := time.Now()
		p.heard(now)
		p.mu.Lock()
		err = take(packet{in.SequenceNumber, in.Timestamp, in.Marker, in.Payload, now})
		p.mu.Unlock()
		if err != nil {
			p.end(fault.Message(err))
			return
		}
	}
}

// readReports reads what the sender says of its time, until the receiver ends. A track
// that is not used yet need not move slowly to where it belongs.
func (p *publisher) readReports(read func() ([]rtcp.Packet, interceptor.Attributes, error), clock *trackClock, t *webrtc.TrackRemote, used func() bool) {
	for {
		list, _, err := read()
		if err != nil {
			return
		}
		for _, report := range list {
			sr, ok := report.(*rtcp.SenderReport)
			if !ok || sr.SSRC != uint32(t.SSRC()) {
				continue
			}
			p.mu.Lock()
			clock.report(sr.NTPTime, sr.RTPTime)
			if !used() {
				clock.settle()
			}
			p.mu.Unlock()
		}
	}
}

// way measures the way from a publisher.
type way struct {
	at            time.Time
	came, missing int64
	last          atomic.Pointer[ingest.Quality]
}

// quality is how the way is. It waits for nothing.
func (w *way) quality() ingest.Quality {
	if q := w.last.Load(); q != nil {
		return *q
	}
	return ingest.Quality{}
}

// measure is called now and then. The caller holds mu.
func (p *publisher) measure(now time.Time, rtt time.Duration) {
	w := &p.way
	if now.Sub(w.at) < 2*time.Second {
		return
	}
	var came, missing int64
	for _, l := range p.layers {
		came, missing = came+l.order.came, missing+l.order.missing
	}
	q := &ingest.Quality{RTT: rtt}
	if all := came + missing - w.came - w.missing; all > 0 {
		q.Loss = float64(missing-w.missing) / float64(all)
	}
	w.at, w.came, w.missing = now, came, missing
	w.last.Store(q)
}

// rtt is the round trip of the last check of the connection.
func (x *session) rtt() time.Duration {
	x.mu.Lock()
	pc := x.pc
	x.mu.Unlock()
	if pc == nil {
		return 0
	}
	stats, ok := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	if !ok {
		return 0
	}
	return time.Duration(stats.CurrentRoundTripTime * float64(time.Second))
}

// check is called four times a second.
func (p *publisher) check(now time.Time) {
	rtt := p.rtt()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.measure(now, rtt)
	p.askForKeys(now)
}
