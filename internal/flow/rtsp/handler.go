package rtsp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"path"
	"strings"
	"sync"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
)

// handler answers the requests that the library has read.
type handler struct {
	*Server
	ctx    context.Context // the library's calls have none
	door   *door
	server *gortsplib.Server
	work   sync.WaitGroup // what is sent to players
}

func newHandler(ctx context.Context, s *Server) *handler {
	return &handler{Server: s, ctx: ctx, door: newDoor()}
}

// party is what a session is for: an encoder or a player. The library calls for one
// session at a time.
type party interface {
	// host is the address that it counts for.
	host() string
	// close ends it. The session is over.
	close(cause error)
}

// encoder is a session that sends a stream.
type encoder struct {
	*receiver
	from net.Addr
	log  *slog.Logger

	mu      sync.Mutex
	because string // why it is to end, "" goes on
}

func (e *encoder) host() string { return ingest.HostOf(e.from) }

// kick has the session end.
func (e *encoder) kick(session *gortsplib.ServerSession, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.because == "" {
		e.because = why
		session.Close()
	}
}

func (e *encoder) close(cause error) {
	unusable := e.stop()
	e.in.Close()
	e.mu.Lock()
	why := e.because
	e.mu.Unlock()
	var left liberrors.ErrServerSessionTornDown
	switch {
	case why != "":
		e.log.Warn("an encoder was sent away", "reason", why)
	case errors.As(cause, &left):
		e.log.Info("an encoder has stopped", "unusable_packets", unusable)
	default:
		e.log.Warn("an encoder was lost", "cause", cause, "unusable_packets", unusable)
	}
}

// refused answers a request with what is wrong.
func refused(err error) *base.Response {
	status := base.StatusBadRequest
	switch fault.CodeOf(err) {
	case fault.Forbidden:
		status = base.StatusForbidden
	case fault.NotFound:
		status = base.StatusNotFound
	case fault.Conflict:
		status = base.StatusMethodNotValidInThisState
	case fault.Unavailable, fault.StorageFull, fault.Limit, fault.Canceled:
		status = base.StatusServiceUnavailable
	case fault.Internal:
		status = base.StatusInternalServerError
	}
	// The sentence takes the place of the usual words, which is what programs show.
	line := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, fault.Message(err))
	return &base.Response{StatusCode: status, StatusMessage: line}
}

func accepted() *base.Response { return &base.Response{StatusCode: base.StatusOK} }

// errRefused has the library close a connection whose request was answered with what
// is wrong.
var errRefused = errors.New("refused")

// trust takes a connection for one that is known.
func trust(c *gortsplib.ServerConn) {
	if known, ok := c.NetConn().(*connection); ok {
		known.trust()
	}
}

// enter counts a session of an address.
func (h *handler) enter(c *gortsplib.ServerConn) error {
	if !h.door.sessions.Take(ingest.HostOf(c.NetConn().RemoteAddr())) {
		return fault.New(fault.Limit, "there are too many streams, or too many to and from this address")
	}
	return nil
}

// mostName is how many bytes of what an encoder calls itself are kept.
const mostName = 100

// OnAnnounce lets an encoder in: its description comes with its key.
func (h *handler) OnAnnounce(r *gortsplib.ServerHandlerOnAnnounceCtx) (*base.Response, error) {
	log := h.Log.With("from", r.Conn.NetConn().RemoteAddr().String())
	key, name := path.Base(r.Path), firstOf(r.Request.Header["User-Agent"])
	e, err := h.admit(r, key, name[:min(len(name), mostName)])
	if err != nil {
		log.Warn("an encoder was refused", "key", ingest.MaskKey(key), "reason", fault.Message(err))
		return refused(err), errRefused
	}
	trust(r.Conn)
	r.Session.SetUserData(e)
	return accepted(), nil
}

// admit asks the desk for an input.
func (h *handler) admit(r *gortsplib.ServerHandlerOnAnnounceCtx, key, name string) (e *encoder, err error) {
	taken, leftOut, err := newReceiver(r.Description)
	if err != nil {
		return nil, err
	}
	if err := h.enter(r.Conn); err != nil {
		return nil, err
	}
	remote := r.Conn.NetConn().RemoteAddr()
	e = &encoder{receiver: taken, from: remote, log: h.Log.With("from", remote.String())}
	taken.failed = func(err error) { e.kick(r.Session, fault.Message(err)) }
	query, _ := url.ParseQuery(r.Query)
	asking, cancel := context.WithTimeout(h.ctx, deskTime)
	defer cancel()
	in, err := h.Desk.Publish(asking, key, ingest.Connection{
		Protocol: "rtsp", Encoder: name, Remote: remote.String(), Backup: query.Get("backup") == "1",
		Kick: func(why string) { e.kick(r.Session, why) }, Quality: taken.quality,
	})
	if err == nil {
		if err = taken.begin(in); err != nil {
			in.Close()
		}
	}
	if err != nil {
		h.door.sessions.Give(ingest.HostOf(remote))
		return nil, err
	}
	if len(leftOut) > 0 {
		e.log.Warn("of what an encoder sends some is left out", "tracks", leftOut)
	}
	return e, nil
}

func firstOf(values base.HeaderValue) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// OnDescribe tells a player what a stream has.
func (h *handler) OnDescribe(r *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	_, _, tracks, err := h.watch(r.Path, r.Query)
	if err == nil {
		var body []byte
		if body, err = describeTracks(tracks, r.Request.URL); err == nil {
			trust(r.Conn)
			return &base.Response{StatusCode: base.StatusOK, Body: body}, nil, nil
		}
	}
	h.Log.Warn("a player was refused", "from", r.Conn.NetConn().RemoteAddr().String(), "reason", fault.Message(err))
	return refused(err), nil, nil
}

// OnSetup lets a player choose a track, or an encoder say how one will come.
func (h *handler) OnSetup(r *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	switch p := r.Session.UserData().(type) {
	case *encoder:
		return accepted(), nil, nil
	case *player:
		return accepted(), p.stream, nil
	}
	p, err := h.newPlayer(r)
	if err != nil {
		h.Log.Warn("a player was refused", "from", r.Conn.NetConn().RemoteAddr().String(), "reason", fault.Message(err))
		return refused(err), nil, errRefused
	}
	trust(r.Conn)
	r.Session.SetUserData(p)
	return accepted(), p.stream, nil
}

// OnPlay has a player's stream begin, once this is answered: see OnResponse.
func (h *handler) OnPlay(r *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	if p, ok := r.Session.UserData().(*player); ok {
		p.want()
		return accepted(), nil
	}
	return refused(fault.New(fault.Invalid, "this session plays nothing")), nil
}

// OnResponse is called before each answer is sent. Only then is a session that plays
// ready to send.
func (h *handler) OnResponse(c *gortsplib.ServerConn, answer *base.Response) {
	session := c.Session()
	if session == nil || answer.StatusCode != base.StatusOK {
		return
	}
	if p, ok := session.UserData().(*player); ok && p.start() {
		h.work.Go(func() { p.run(session) })
	}
}

// OnRecord has an encoder's packets taken.
func (h *handler) OnRecord(r *gortsplib.ServerHandlerOnRecordCtx) (*base.Response, error) {
	e, ok := r.Session.UserData().(*encoder)
	if !ok {
		return refused(fault.New(fault.Invalid, "this session sends nothing")), nil
	}
	e.listen(r.Session)
	return accepted(), nil
}

// OnSessionClose ends what a session was for.
func (h *handler) OnSessionClose(r *gortsplib.ServerHandlerOnSessionCloseCtx) {
	p, ok := r.Session.UserData().(party)
	if !ok {
		return
	}
	p.close(r.Error)
	h.door.sessions.Give(p.host())
}

// OnConnClose notes connections that came to nothing.
func (h *handler) OnConnClose(r *gortsplib.ServerHandlerOnConnCloseCtx) {
	h.Log.Debug("an RTSP connection has ended", "from", r.Conn.NetConn().RemoteAddr().String(), "cause", r.Error)
}

// OnPacketsLost counts packets of an encoder that did not come. Without this and those
// after it the library would write to the log itself.
func (h *handler) OnPacketsLost(r *gortsplib.ServerHandlerOnPacketsLostCtx) {
	if e, ok := r.Session.UserData().(*encoder); ok {
		e.lose(r.Lost)
	}
}

// OnDecodeError is told of packets that are none.
func (h *handler) OnDecodeError(r *gortsplib.ServerHandlerOnDecodeErrorCtx) {
	h.Log.Debug("a packet cannot be read", "cause", r.Error)
}

// OnStreamWriteError is told of packets that a player does not take.
func (h *handler) OnStreamWriteError(r *gortsplib.ServerHandlerOnStreamWriteErrorCtx) {
	h.Log.Debug("a packet was not sent", "cause", r.Error)
}
