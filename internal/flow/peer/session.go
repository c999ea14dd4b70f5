package peer

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"liuyun/internal/base/fault"
)

// session is one connection, of a publisher or a viewer, from its offer to its end.
type session struct {
	id     string // that nobody can guess; it is part of the session's address
	key    string // of a publisher, who has to send something; "" is a viewer
	log    *slog.Logger
	ctx    context.Context // ends with the session
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	pc      *webrtc.PeerConnection // nil until the offer is looked at
	tag     string                 // of the ICE credentials in use, changes when they do
	offer   string                 // without candidates
	since   time.Time              // when the last packet came; zero: none yet
	flowing bool                   // the connection is there
}

func newSession(key string, log *slog.Logger) *session {
	x := &session{id: strings.ToLower(rand.Text()), key: key}
	x.log = log.With("session", x.id[:6])
	x.ctx, x.cancel = context.WithCancelCause(context.Background())
	return x
}

// end ends the session. What has begun with it sees its context end.
func (x *session) end(why string) { x.cancel(fmt.Errorf("%w: %s", errEnded, why)) }

// why is why the session has ended.
func (x *session) why() string { return context.Cause(x.ctx).Error() }

// heard notes that a packet came.
func (x *session) heard(now time.Time) {
	x.mu.Lock()
	x.since = now
	x.mu.Unlock()
}

// connect takes an offer and returns the answer to it.
func (x *session) connect(pc *webrtc.PeerConnection, e *engine, o *offer) (string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pc, x.offer = pc, o.text
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			x.mu.Lock()
			x.flowing = true
			x.mu.Unlock()
		case webrtc.PeerConnectionStateFailed:
			x.end("the way to the other side is lost")
		case webrtc.PeerConnectionStateClosed:
			x.end("the other side has left")
		}
	})
	return x.negotiate(e)
}

// negotiate answers the offer. The caller holds mu.
func (x *session) negotiate(e *engine) (string, error) {
	if err := x.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: x.offer}); err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the offer cannot be used: %v", err)
	}
	answer, err := x.pc.CreateAnswer(nil)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the offer cannot be answered: %v", err)
	}
	gathered := webrtc.GatheringCompletePromise(x.pc)
	if err := x.pc.SetLocalDescription(answer); err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the offer cannot be answered: %v", err)
	}
	select {
	case <-gathered: // its own addresses alone: at once
	case <-x.ctx.Done():
		return "", context.Cause(x.ctx)
	}
	text := addCandidates(x.pc.LocalDescription().SDP, e.hosts, e.port())
	x.tag = ufragOf(text)
	return text, nil
}

// restart takes new ICE credentials of a client whose network has changed (RFC 9725,
// 4.3.3), and returns ours.
func (x *session) restart(e *engine, ufrag, pwd string) (string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pc == nil {
		return "", fault.New(fault.Conflict, "the session is only beginning")
	}
	if ufrag == ufragOf(x.offer) {
		return "", fault.New(fault.Conflict, "these are the ICE credentials that are in use")
	}
	before := x.offer
	x.offer = replaceCredentials(x.offer, ufrag, pwd)
	text, err := x.negotiate(e)
	if err != nil {
		x.offer = before
	}
	return text, err
}

// watch ends a session that does not come about, or that nothing comes of any more.
// The caller's check is called about four times a second.
func (x *session) watch(l Limits, check func(now time.Time)) {
	begun := time.Now()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-x.ctx.Done():
			return
		case now := <-tick.C:
			x.mu.Lock()
			flowing, since := x.flowing, x.since
			x.mu.Unlock()
			switch publisher, late := x.key != "", now.Sub(begun) > l.Connect; {
			case late && !flowing:
				x.end("no way to the other side was found")
			case publisher && late && since.IsZero():
				x.end("no media came")
			case publisher && !since.IsZero() && now.Sub(since) > l.Silence:
				x.end("nothing came any more")
			default:
				check(now)
			}
		}
	}
}

// close closes the connection.
func (x *session) close() {
	x.mu.Lock()
	pc := x.pc
	x.mu.Unlock()
	if pc != nil {
		if err := pc.GracefulClose(); err != nil {
			x.log.Debug("a WebRTC connection was not closed well", "cause", err)
		}
	}
}
