package peer

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"liuyun/internal/av/opus"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// ServeWHEP answers at the endpoint of a stream's viewers. Token is what the request's
// address has after its "~"; id is what the path has after the endpoint, that of a
// session, "" at the endpoint itself.
func (s *Server) ServeWHEP(w http.ResponseWriter, r *http.Request, stream, token, id string) {
	watch := func(w http.ResponseWriter, r *http.Request) error { return s.watch(w, r, stream, token) }
	s.serve(w, r, id, watch, func() (*session, error) { return s.viewerSession(id) })
}

// viewerSession is the session of a viewer, who knows its address.
func (s *Server) viewerSession(id string) (*session, error) {
	x := s.find(id)
	if x == nil || x.key != "" {
		return nil, errNoSession()
	}
	return x, nil
}

// watch answers an offer, and sends the stream then.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, stream, token string) error {
	program, err := s.Desk.Watch(r.Context(), stream, token)
	if err != nil {
		return err
	}
	o, err := offerOf(w, r, "recvonly")
	if err != nil {
		return err
	}
	host := hostOf(r)
	v := &viewer{session: newSession("", s.Log.With("stream", stream)), packs: &s.packs, program: program}
	e, err := s.enter(host, v.session)
	if err != nil {
		return err
	}
	leave := func() {
		v.close()
		v.work.Wait()
		v.letGo()
		s.leave(host, v.session)
	}
	answer, err := v.begin(r.Context(), e, o)
	if err != nil {
		v.end(fault.Message(err))
		leave()
		return err
	}
	v.work.Go(func() { ingest.Recheck(v.ctx, s.Desk, stream, token, v.end) })
	out := program.Enter()
	go func() {
		defer leave()
		defer out()
		counted := time.Now()
		v.session.watch(e.limits, func(now time.Time) {
			v.check(now)
			if s.Sent != nil && now.Sub(counted) >= countEvery {
				counted = now
				s.Sent(stream, v.takeBytes())
			}
		})
		if s.Sent != nil {
			s.Sent(stream, v.takeBytes())
		}
		v.log.Debug("a WebRTC viewer has left", "why", v.why())
	}()
	s.created(w, r, v.session, answer)
	return nil
}

// countEvery is how often it is told how much was sent.
const countEvery = 10 * time.Second

// viewer is the session of who watches.
type viewer struct {
	*session
	packs   *packs
	program ingest.Program
	picks   chooser

	video, sound *sender // nil: none
	estimate     estimator
	wanted       atomic.Pointer[hub.Stream] // whose pictures it is to be sent
	again        atomic.Bool                // begin at the newest key frame
	time         mediaTime
	way          atomic.Pointer[bundle] // to where the viewer is; nil: not known, or not by UDP

	work    sync.WaitGroup
	mu      sync.Mutex
	release []func()
	told    time.Time // when it was last sent a report
}

// letGo gives back what the viewer has taken.
func (v *viewer) letGo() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range v.release {
		f()
	}
	v.release = nil
}

func (v *viewer) keep(release func()) {
	v.mu.Lock()
	v.release = append(v.release, release)
	v.mu.Unlock()
}

// judgeTime bounds how long an offer waits until it is known what can be sent.
const judgeTime = 1500 * time.Millisecond

// begin answers the offer and has the stream sent.
func (v *viewer) begin(ctx context.Context, e *engine, o *offer) (string, error) {
	source, release := v.packs.take(v.program.Source())
	v.keep(release)
	select {
	case <-source.judged:
	case <-time.After(judgeTime):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	var choices []choice
	if o.video {
		choices = v.choices()
		if len(choices) == 0 && source.video.Load() {
			return "", errNothing()
		}
	}
	var sound *hub.Stream
	if o.sound {
		var err error
		if sound, err = v.soundOf(ctx, source); err != nil {
			return "", err
		}
	}
	if len(choices) == 0 && sound == nil {
		return "", errNothing()
	}
	pc, estimate, err := e.watching(quietLog{v.log}, o.video && v.program.Laddered())
	if err != nil {
		return "", err
	}
	v.pc, v.estimate = pc, estimate
	if len(choices) > 0 {
		v.video = newSender(webrtc.RTPCodecTypeVideo)
		v.wanted.Store(choices[start(choices, startRate)].stream)
	}
	if sound != nil {
		v.sound = newSender(webrtc.RTPCodecTypeAudio)
	}
	for _, track := range []*sender{v.video, v.sound} {
		if track == nil {
			continue
		}
		out, err := pc.AddTrack(track)
		if err != nil {
			return "", err
		}
		v.work.Go(func() { v.readReports(track, out) })
		if track == v.video {
			out.Transport().ICETransport().OnSelectedCandidatePairChange(func(pair *webrtc.ICECandidatePair) { v.found(e.udp, pair) })
			v.keep(func() { e.udp.leave(v.way.Swap(nil)) })
		}
	}
	answer, err := v.connect(pc, e, o)
	if err != nil {
		return "", err
	}
	if v.video != nil && accepted(answer, "video") {
		v.work.Go(func() { v.run(v.video, v.sendPictures) })
	}
	if v.sound != nil && accepted(answer, "audio") {
		v.work.Go(func() { v.run(v.sound, func() error { return v.sendSound(sound) }) })
	}
	return answer, nil
}

// found takes the way that was found to the viewer.
func (v *viewer) found(udp *udpPort, pair *webrtc.ICECandidatePair) {
	var way *bundle
	address, err := netip.ParseAddr(pair.Remote.Address)
	if err == nil && pair.Local.Protocol == webrtc.ICEProtocolUDP {
		way = udp.bundle(netip.AddrPortFrom(address, pair.Remote.Port))
	}
	udp.leave(v.way.Swap(way))
}

// soundOf is the program's sound as Opus, nil where it has none.
func (v *viewer) soundOf(ctx context.Context, source *pack) (*hub.Stream, error) {
	if source.opus.Load() {
		return v.program.Source(), nil
	}
	stream, release, err := v.program.Opus(ctx)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, nil
	}
	if err == nil {
		v.keep(release)
	}
	return stream, err
}

func errNothing() error {
	return fault.New(fault.Conflict, "WebRTC cannot carry this stream: it takes H.264 without B-frames (ffmpeg: -tune zerolatency; OBS: bframes=0) and Opus. Watch it by HLS, or turn on the stream's ladder")
}

// run sends a track when the connection is there, until it or the stream ends.
func (v *viewer) run(track *sender, send func() error) {
	select {
	case <-track.bound:
	case <-v.ctx.Done():
		return
	}
	switch err := send(); {
	case errors.Is(err, hub.ErrEnded):
		v.end("the stream has ended")
	case v.ctx.Err() == nil:
		v.log.Debug("a WebRTC viewer is no longer sent to", "cause", err)
		v.end("nothing more can be sent")
	}
}

// readReports reads what the viewer says of what it gets.
func (v *viewer) readReports(track *sender, out *webrtc.RTPSender) {
	for {
		list, _, err := out.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range list {
			switch p := p.(type) {
			case *rtcp.TransportLayerNack:
				if track.ready() {
					err = track.repeat(p, time.Now())
				}
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				v.again.Store(true)
			}
		}
		if err != nil {
			return
		}
	}
}

// sendSound sends Opus as it comes, from the newest on.
func (v *viewer) sendSound(stream *hub.Stream) error {
	r := stream.Read()
	offset := rand.Uint32()
	v.sound.offset.Store(offset)
	track := -1
	for {
		item, err := r.Next(v.ctx)
		if err != nil {
			return err
		}
		if item.Tracks != nil {
			track = -1
			for i, t := range item.Tracks {
				if t.Codec == hub.Opus {
					track = i
				}
			}
			continue
		}
		if item.Unit.Track != track {
			continue
		}
		if v.video == nil {
			v.time.note(span(item.Unit.PTS, opus.Rate), time.Now())
		}
		if err := v.sound.send(item.Unit.Data, uint32(item.Unit.PTS)+offset, false); err != nil {
			return err
		}
	}
}

// check is called four times a second.
func (v *viewer) check(now time.Time) {
	if now.Sub(v.told) >= time.Second {
		v.told = now
		v.report(now)
	}
	if v.estimate == nil {
		return
	}
	choices := v.choices()
	if len(choices) == 0 {
		return
	}
	current := -1
	wanted := v.wanted.Load()
	for i, c := range choices {
		if c.stream == wanted {
			current = i
		}
	}
	next := v.picks.choose(now, choices, current, int64(v.estimate.GetTargetBitrate()))
	if next != current {
		v.wanted.Store(choices[next].stream)
		v.log.Debug("a WebRTC viewer is to get another rendition", "bitrate", choices[next].bitrate, "estimate", v.estimate.GetTargetBitrate())
	}
}

// choices are the renditions that the viewer may be sent, the best first.
func (v *viewer) choices() []choice { return choicesOf(v.program, v.packs) }

// takeBytes is what was sent since it was last asked.
func (v *viewer) takeBytes() (n int64) {
	for _, t := range []*sender{v.video, v.sound} {
		if t != nil {
			n += t.bytes.Swap(0)
		}
	}
	return n
}
