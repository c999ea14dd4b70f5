package peer

import (
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/web"
)

const (
	sdpType      = "application/sdp"
	fragmentType = "application/trickle-ice-sdpfrag"
)

const (
	endpointMethods = "POST, OPTIONS"
	sessionMethods  = "PATCH, DELETE, OPTIONS"
)

// serve answers at an endpoint, where begin takes an offer, and below it at the session
// with that id, which find finds.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, id string, begin func(http.ResponseWriter, *http.Request) error, find func() (*session, error)) {
	methods := endpointMethods
	if id != "" {
		methods = sessionMethods
	}
	allowAnyOrigin(w.Header(), methods)
	var err error
	switch {
	case r.Method == http.MethodOptions:
		s.answerOptions(w, r, methods)
	case r.Method == http.MethodPost && id == "":
		err = begin(w, r)
	case (r.Method == http.MethodPatch || r.Method == http.MethodDelete) && id != "":
		var x *session
		if x, err = find(); err == nil {
			err = s.change(w, r, x)
		}
	default:
		err = web.WithStatus(http.StatusMethodNotAllowed, fault.New(fault.Invalid, "only %s are answered here", methods))
	}
	if err != nil {
		web.Problem(w, r, err)
	}
}

// change changes a session, or ends it.
func (s *Server) change(w http.ResponseWriter, r *http.Request, x *session) error {
	if r.Method == http.MethodPatch {
		return s.patch(w, r, x)
	}
	x.end("the other side has ended it")
	w.WriteHeader(http.StatusOK)
	return nil
}

// allowAnyOrigin lets pages of every origin publish and watch. No cookies are
// involved: a publisher shows a key, a viewer's address has a token.
func allowAnyOrigin(h http.Header, methods string) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "ETag, Link, Location, Retry-After")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Allow", methods)
}

// answerOptions answers OPTIONS, of a browser before it asks, or of a client that
// wants to know where TURN is (RFC 9725, 4.6). Players ask by it whether there is
// WebRTC at all.
func (s *Server) answerOptions(w http.ResponseWriter, r *http.Request, methods string) {
	if s.running() == nil {
		web.Problem(w, r, errNotListening())
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	h.Set("Access-Control-Max-Age", "7200")
	h.Set("Accept-Post", sdpType)
	s.addLinks(h, r)
	w.WriteHeader(http.StatusNoContent)
}

// addLinks says where TURN is. Credentials open a way to this server's media port
// alone, so that whoever may ask may have them.
func (s *Server) addLinks(h http.Header, r *http.Request) {
	e := s.running()
	if e == nil || e.turn == nil {
		return
	}
	host := ""
	if len(s.Hosts) > 0 {
		host = s.Hosts[0]
	} else if host = r.Host; strings.Contains(host, ":") {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
	}
	for _, link := range e.turn.links(strings.Trim(host, "[]"), time.Now()) {
		h.Add("Link", link)
	}
}

// readBody reads the text of a request that has to be of that type.
func readBody(w http.ResponseWriter, r *http.Request, contentType string) (string, error) {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || got != contentType {
		return "", web.WithStatus(http.StatusUnsupportedMediaType, fault.New(fault.Invalid, "the body has to be of the type %s", contentType))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestOffer))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return "", err
		}
		return "", fault.Wrap(err, fault.Invalid, "the body ended before it was whole; send it again")
	}
	return string(body), nil
}

// offerOf reads the offer of a request, see [readOffer].
func offerOf(w http.ResponseWriter, r *http.Request, direction string) (*offer, error) {
	text, err := readBody(w, r, sdpType)
	if err != nil {
		return nil, err
	}
	return readOffer(text, direction)
}

// created answers with a session's address.
func (s *Server) created(w http.ResponseWriter, r *http.Request, x *session, answer string) {
	h := w.Header()
	h.Set("Content-Type", sdpType)
	h.Set("Location", strings.TrimSuffix(r.URL.Path, "/")+"/"+x.id)
	h.Set("ETag", `"`+x.etag()+`"`)
	h.Set("Accept-Patch", fragmentType)
	s.addLinks(h, r)
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, answer)
}

func (x *session) etag() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.tag
}

// patch takes candidates, of which nothing is needed, or restarts ICE (RFC 9725, 4.3).
func (s *Server) patch(w http.ResponseWriter, r *http.Request, x *session) error {
	text, err := readBody(w, r, fragmentType)
	if err != nil {
		return err
	}
	e := s.running()
	if e == nil {
		return fault.New(fault.Unavailable, "the server is stopping")
	}
	match := r.Header.Get("If-Match")
	if match != "*" {
		if match != "" && strings.Trim(match, `"`) != x.etag() {
			return web.WithStatus(http.StatusPreconditionFailed, fault.New(fault.Conflict, "the session goes on with other ICE credentials"))
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	ufrag, pwd, err := readFragment(text)
	if err != nil {
		return err
	}
	answer, err := x.restart(e, ufrag, pwd)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", fragmentType)
	h.Set("ETag", `"`+x.etag()+`"`)
	_, err = io.WriteString(w, fragmentOf(answer))
	if err != nil {
		x.end("the other side has left")
	}
	return nil
}

// hostOf is the address that a request comes from.
func hostOf(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

func errNotListening() error {
	return fault.New(fault.Unavailable, "this server does not listen for WebRTC; see live.webrtc_listen")
}

// errNoSession is for addresses of sessions that are over.
func errNoSession() error {
	return fault.New(fault.NotFound, "there is no such session; it may have ended")
}
