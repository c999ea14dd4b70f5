package live

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/peer"
	"liuyun/internal/kit/web"
)

// whipPath is the endpoint of those who publish by WebRTC.
const whipPath = "/whip"

// newPeers makes what speaks WebRTC. It listens when the service runs.
func (s *Service) newPeers() *peer.Server {
	return &peer.Server{Desk: desk{s, byWebRTC}, Log: s.Log, Hosts: s.Config.WebRTCHosts, TURN: s.Config.TURNListen, Sent: s.sentBy(byWebRTC)}
}

func (s *Service) openWebRTC(ctx context.Context, address string) (*opened, error) {
	if err := s.peers.Listen(ctx, address); err != nil {
		return nil, err
	}
	return &opened{address: s.peers.Address(), serve: s.peers.Serve, close: func() {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_ = s.peers.Serve(ended) // which closes
	}}, nil
}

// hasWebRTC reports whether WebRTC is listened for here.
func (s *Service) hasWebRTC() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening["webrtc"] != ""
}

// whepSession is the path of a WHEP session below a stream, "" at the endpoint itself;
// false where a file is no such path.
func whepSession(file string) (session string, ok bool) {
	if file == whepName {
		return "", true
	}
	return strings.CutPrefix(file, whepName+"/")
}

const whepName = "whep"

// WHIP answers who publishes by WebRTC: what is in the API, and OPTIONS.
func (s *Service) WHIP() http.Handler { return s.peers.WHIP() }

// whipRoutes adds the operations of WHIP (RFC 9725) to the API. The stream key stands
// for an API key.
func (s *Service) whipRoutes(api *web.API) {
	const sdpType, fragmentType = "application/sdp", "application/trickle-ice-sdpfrag"
	handler := s.WHIP()
	op := func(id, method, path, summary string, status int) web.Op {
		return web.Op{ID: id, Method: method, Path: path, Tag: "WebRTC", Summary: summary, Status: status, Public: true}
	}
	key := web.Param{In: "header", Name: "Authorization", Description: "Bearer and the stream key.", Required: true}
	backup := web.Param{In: "query", Name: "backup", Description: "1 says that it is the second of two encoders of a stream."}
	etag := web.Param{Name: "ETag", Description: "Of the session's ICE credentials."}
	link := web.Param{Name: "Link", Description: "Where TURN is, with credentials that hold for a while."}
	match := web.Param{In: "header", Name: "If-Match", Description: "The ETag, to add candidates; * to restart ICE."}

	create := op("publish-whip", http.MethodPost, whipPath, "Publish a stream from a browser or an encoder (WHIP, RFC 9725)", http.StatusCreated)
	create.Description = "The offer has H.264 with packetization-mode 1, Opus, or both. It may have several layers of the pictures (simulcast): the largest that comes is used."
	api.Raw(create, web.Media{
		Request: sdpType, Response: sdpType, Params: []web.Param{key, backup},
		Headers: []web.Param{{Name: "Location", Description: "Of the session."}, etag, link},
	}, handler)
	const path = whipPath + "/{session}"
	change := op("change-whip", http.MethodPatch, path, "Add candidates to a session, or restart its ICE", http.StatusNoContent)
	change.Description = "A restart is answered with 200 and a fragment of SDP."
	api.Raw(change, web.Media{Request: fragmentType, Params: []web.Param{key, match}, Headers: []web.Param{etag}}, handler)
	api.Raw(op("end-whip", http.MethodDelete, path, "End a session", http.StatusOK), web.Media{Params: []web.Param{key}}, handler)
}

func (c Config) validateWebRTC() error {
	for _, host := range c.WebRTCHosts {
		if host == "" || strings.ContainsAny(host, "/ []") || (strings.Contains(host, ":") && net.ParseIP(host) == nil) {
			return fault.New(fault.Invalid, "webrtc_hosts has %q; write a name or an address alone, as live.example.org or 203.0.113.7", host)
		}
	}
	u, err := url.Parse(c.WHIPURL)
	if c.WHIPURL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "") {
		return fault.New(fault.Invalid, "whip_url %q is not an address such as https://live.example.org/whip", c.WHIPURL)
	}
	return nil
}
