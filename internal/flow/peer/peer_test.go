package peer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/testkit"
)

const (
	goodKey  = "lys_good"
	streamID = "str_test"
)

// desk has one stream, which anybody with the key may send to.
type desk struct {
	out     *hub.Stream
	channel *ingest.Channel

	mu     sync.Mutex
	on     *deskInput
	opens  int
	rungs  []ingest.Rung
	ladder bool
	closed bool // to viewers
}

func newDesk() *desk {
	out := hub.New(hub.Limits{Units: 512, Bytes: 16 << 20})
	return &desk{out: out, channel: ingest.NewChannel(out, time.Second)}
}

type deskInput struct {
	*ingest.Feed
	desk       *desk
	connection ingest.Connection
}

func (d *desk) Publish(_ context.Context, key string, c ingest.Connection) (ingest.Input, error) {
	if key != goodKey {
		return nil, fault.New(fault.Forbidden, "no stream has this key")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.on != nil {
		return nil, fault.New(fault.Conflict, "another encoder sends")
	}
	d.opens++
	d.on = &deskInput{d.channel.Connect(time.Now()), d, c}
	d.channel.Take(d.on.Feed)
	return d.on, nil
}

func (i *deskInput) Close() {
	i.desk.mu.Lock()
	defer i.desk.mu.Unlock()
	i.desk.channel.Drop(i.Feed)
	i.desk.on = nil
}

func (d *desk) input() *deskInput {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.on
}

func (d *desk) Watch(_ context.Context, id, token string) (ingest.Program, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case id != streamID:
		return nil, fault.New(fault.NotFound, "no such stream")
	case d.closed || token == "bad":
		return nil, fault.New(fault.Forbidden, "this stream needs a signed address")
	}
	return d, nil
}

func (d *desk) Source() *hub.Stream { return d.out }

func (d *desk) Enter() func() { return func() {} }

func (d *desk) Rungs() []ingest.Rung {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rungs
}

func (d *desk) Laddered() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ladder
}

func (d *desk) Opus(context.Context) (*hub.Stream, func(), error) { return d.out, func() {}, nil }

// house is a server with its handlers.
type house struct {
	*Server
	desk *desk
	url  string
}

func newHouse(t *testing.T, change func(*Server)) *house {
	t.Helper()
	h := &house{Server: &Server{Log: slog.New(slog.DiscardHandler)}, desk: newDesk()}
	h.Desk = h.desk
	if change != nil {
		change(h.Server)
	}
	if err := h.Listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx) }()
	mux := http.NewServeMux()
	mux.Handle("/whip", h.WHIP())
	mux.Handle("/whip/{session}", h.WHIP())
	mux.HandleFunc("/play/{stream}/whep", func(w http.ResponseWriter, r *http.Request) {
		h.ServeWHEP(w, r, r.PathValue("stream"), r.URL.Query().Get("token"), "")
	})
	mux.HandleFunc("/play/{stream}/whep/{session}", func(w http.ResponseWriter, r *http.Request) {
		h.ServeWHEP(w, r, r.PathValue("stream"), "", r.PathValue("session"))
	})
	web := httptest.NewServer(mux)
	h.url = web.URL
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		web.Close()
	})
	return h
}

// send makes a request and returns its answer with the body read.
func send(t *testing.T, method, url, key, contentType, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// client is the other side: pion, as others use it.
func client(t *testing.T, change func(*webrtc.SettingEngine), config webrtc.Configuration) *webrtc.PeerConnection {
	t.Helper()
	var m webrtc.MediaEngine
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	r := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(&m, r); err != nil {
		t.Fatal(err)
	}
	var s webrtc.SettingEngine
	s.LoggerFactory = quietLog{slog.New(slog.DiscardHandler)}
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if change != nil {
		change(&s)
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&m), webrtc.WithInterceptorRegistry(r), webrtc.WithSettingEngine(s)).NewPeerConnection(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.GracefulClose() })
	return pc
}

// post sends the client's offer and takes the answer. It returns the session's address.
func post(t *testing.T, pc *webrtc.PeerConnection, url, key string) (*http.Response, string) {
	t.Helper()
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	answer, text := send(t, http.MethodPost, url, key, sdpType, pc.LocalDescription().SDP)
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", answer.Status, text)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: text}); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	at, err := answer.Location()
	if err != nil {
		t.Fatal(err)
	}
	return answer, at.String()
}

// sets are parameter sets of 320x180, constrained baseline, as x264 writes them.
func sets(t *testing.T) (sps, pps []byte) {
	t.Helper()
	sps, err := hex.DecodeString("6742c00cda05067e7c0440000003004000000ca3c50aa8")
	if err != nil {
		t.Fatal(err)
	}
	return sps, []byte{0x68, 0xce, 0x0f, 0xc8}
}

// sending is a publisher: pictures of numbered bytes, 25 a second, and sound.
type sending struct {
	pc     *webrtc.PeerConnection
	video  *webrtc.TrackLocalStaticRTP
	sound  *webrtc.TrackLocalStaticRTP
	asked  chan struct{} // for a key frame
	number int
	seq    uint16
}

func newSending(t *testing.T, pc *webrtc.PeerConnection) *sending {
	t.Helper()
	s := &sending{pc: pc, asked: make(chan struct{}, 100)}
	var err error
	if s.video, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeH264}, "v", "s"); err != nil {
		t.Fatal(err)
	}
	if s.sound, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "a", "s"); err != nil {
		t.Fatal(err)
	}
	for _, track := range []webrtc.TrackLocal{s.video, s.sound} {
		x, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				list, _, err := x.Sender().ReadRTCP()
				if err != nil {
					return
				}
				for _, p := range list {
					if _, ok := p.(*rtcp.PictureLossIndication); ok {
						select {
						case s.asked <- struct{}{}:
						default:
						}
					}
				}
			}
		}()
	}
	return s
}

// run sends until the test ends. A key frame is sent first, and where it is asked for.
func (s *sending) run(t *testing.T) {
	sps, pps := sets(t)
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			key := s.number == 0
			select {
			case <-s.asked:
				key = true
			default:
			}
			s.picture(key, sps, pps)
			for i := range uint32(2) {
				n := uint32(s.number)*2 + i
				_ = s.sound.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: n * 960}, Payload: []byte{0xfc, byte(n)}})
			}
			s.number++
		}
	}()
}

func (s *sending) picture(key bool, sps, pps []byte) {
	slice := make([]byte, 3000)
	rand.Read(slice)
	slice[0] = 0x41
	var first [][]byte
	if key {
		slice[0], first = 0x65, [][]byte{sps, pps}
	}
	slice[1] = 0x88 // first_mb 0, slice type 7
	slice[2], slice[3] = byte(s.number>>8), byte(s.number)
	data, _ := appendPayloads(nil, first, access(slice))
	for len(data) > 0 {
		n := int(data[0])<<8 | int(data[1])
		s.seq++
		h := rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: uint32(s.number) * 3600, Marker: len(data) == n+2}
		_ = s.video.WriteRTP(&rtp.Packet{Header: h, Payload: data[2 : 2+n]})
		data = data[2+n:]
	}
}

// watching is a viewer that notes what it gets.
type watching struct {
	pc *webrtc.PeerConnection

	mu       sync.Mutex
	pictures []picture // units copied
	frames   int
}

func newWatching(t *testing.T, pc *webrtc.PeerConnection) *watching {
	t.Helper()
	w := &watching{pc: pc}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo, webrtc.RTPCodecTypeAudio} {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			t.Fatal(err)
		}
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		order, make1 := reorder{wait: time.Second}, assembler{}
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			w.mu.Lock()
			if track.Kind() == webrtc.RTPCodecTypeAudio {
				w.frames++
			} else {
				order.push(packet{p.SequenceNumber, p.Timestamp, p.Marker, p.Payload, time.Now()}, func(in packet, lost bool) {
					make1.put(in, lost, func(c picture) {
						for i, u := range c.units {
							c.units[i] = append([]byte(nil), u...)
						}
						c.units = append([][]byte(nil), c.units...)
						if len(w.pictures) == 0 && (!c.key || c.set == nil) {
							// Its beginning came before this side was ready: as browsers do.
							_ = pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(track.SSRC())}})
							return
						}
						w.pictures = append(w.pictures, c)
					})
				})
			}
			w.mu.Unlock()
		}
	})
	return w
}

func (w *watching) count() (pictures, frames int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pictures), w.frames
}

// check looks at what came: it begins with a key frame, with its sets, and nothing is
// missing or in disorder.
func (w *watching) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	number := -1
	for i, p := range w.pictures {
		if p.broken {
			t.Fatalf("picture %d is broken", i)
		}
		slice := p.units[len(p.units)-1]
		n := int(slice[2])<<8 | int(slice[3])
		switch {
		case i == 0 && (!p.key || p.set == nil || len(p.units) != 3):
			t.Fatalf("the first picture is no key frame with its sets: %d units", len(p.units))
		case i > 0 && n != number+1:
			t.Fatalf("picture %d after %d", n, number)
		case i > 0 && int32(p.stamp-w.pictures[i-1].stamp) <= 0:
			t.Fatalf("picture %d is shown %d ticks after the one before", n, int32(p.stamp-w.pictures[i-1].stamp))
		}
		number = n
	}
}

// publish sends pictures and sound by an address, and comes back when both are there.
func (h *house) publish(t *testing.T, path string) (session string) {
	t.Helper()
	pc := client(t, nil, webrtc.Configuration{})
	s := newSending(t, pc)
	_, session = post(t, pc, h.url+path, goodKey)
	s.run(t)
	testkit.Until(t, 30*time.Second, "a period with two tracks", func() bool {
		item, err := h.desk.out.Read().Next(expired())
		return err == nil && len(item.Tracks) == 2
	})
	return session
}

// A publisher's pictures and sound reach a viewer who comes late, whole and in order.
func TestPublishAndWatch(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	session := h.publish(t, "/whip?backup=1")
	c := h.desk.input().connection
	if c.Protocol != "whip" || !c.Backup || c.Encoder == "" || c.Kick == nil || c.Refresh == nil || c.Quality == nil {
		t.Errorf("the connection is %+v", c)
	}
	viewer := client(t, nil, webrtc.Configuration{})
	w := newWatching(t, viewer)
	answer, view := post(t, viewer, h.url+"/play/"+streamID+"/whep", "")
	if answer.Header.Get("ETag") == "" || !strings.HasPrefix(view, h.url+"/play/"+streamID+"/whep/") {
		t.Errorf("headers %v", answer.Header)
	}
	testkit.Until(t, 30*time.Second, "100 pictures and 150 frames of sound", func() bool { p, f := w.count(); return p >= 100 && f >= 150 })
	w.check(t)
	testkit.Until(t, 30*time.Second, "the round trip", func() bool { return c.Quality().RTT > 0 })
	if q := c.Quality(); q.Loss != 0 {
		t.Errorf("quality %+v", q)
	}
	if answer, text := send(t, http.MethodDelete, view, "", "", ""); answer.StatusCode != http.StatusOK {
		t.Errorf("the viewer leaves: %s %s", answer.Status, text)
	}
	if answer, _ := send(t, http.MethodDelete, session, "lys_other", "", ""); answer.StatusCode != http.StatusNotFound {
		t.Errorf("another key ends the session: %s", answer.Status)
	}
	if answer, _ := send(t, http.MethodDelete, session, goodKey, "", ""); answer.StatusCode != http.StatusOK {
		t.Errorf("the publisher leaves: %s", answer.Status)
	}
	testkit.Until(t, 30*time.Second, "the end of both", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.sessions) == 0 && len(h.from) == 0 && h.desk.input() == nil
	})
	h.packs.mu.Lock()
	defer h.packs.mu.Unlock()
	if len(h.packs.open) != 0 {
		t.Errorf("%d streams are still made payloads of", len(h.packs.open))
	}
}

// expired has a reader give only what is there.
func expired() context.Context { return noWait() }

// The ways in that are not UDP: TCP on the same port, and TURN.
func TestOtherWays(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(s *Server) { s.TURN = "127.0.0.1:0" })
	pc := client(t, func(s *webrtc.SettingEngine) { s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4}) }, webrtc.Configuration{})
	s := newSending(t, pc)
	post(t, pc, h.url+"/whip", goodKey)
	s.run(t)
	testkit.Until(t, 30*time.Second, "pictures by TCP", func() bool { _, err := h.desk.out.Read().Next(expired()); return err == nil })
	if pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair(); err != nil || pair.Local.Protocol != webrtc.ICEProtocolTCP {
		t.Errorf("the way is %v, %v, want TCP", pair, err)
	}

	answer, _ := send(t, http.MethodOptions, h.url+"/play/"+streamID+"/whep", "", "", "")
	servers := iceServers(t, answer.Header.Values("Link"))
	if len(servers) != 2 || answer.Header.Get("Accept-Post") != sdpType {
		t.Fatalf("headers %v", answer.Header)
	}
	for i, network := range []string{"udp", "tcp"} {
		viewer := client(t, nil, webrtc.Configuration{ICEServers: servers[i : i+1], ICETransportPolicy: webrtc.ICETransportPolicyRelay})
		w := newWatching(t, viewer)
		post(t, viewer, h.url+"/play/"+streamID+"/whep", "")
		testkit.Until(t, 30*time.Second, "pictures by TURN over "+network, func() bool { p, _ := w.count(); return p >= 20 })
		w.check(t)
	}
	if n := h.engine.turn.open.Load(); n == 0 {
		t.Error("no relay is open")
	}
}

// iceServers reads Link headers.
func iceServers(t *testing.T, links []string) (list []webrtc.ICEServer) {
	t.Helper()
	for _, link := range links {
		value := func(name string) string {
			_, rest, _ := strings.Cut(link, name+`="`)
			v, _, _ := strings.Cut(rest, `"`)
			return v
		}
		url, _, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
		if value("rel") != "ice-server" {
			t.Fatalf("link %s", link)
		}
		list = append(list, webrtc.ICEServer{URLs: []string{url}, Username: value("username"), Credential: value("credential")})
	}
	return list
}

// A relay goes nowhere but to this server's media port.
func TestRelayIsFenced(t *testing.T) {
	t.Parallel()
	other, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	way := &wayIn{addresses: []net.IP{net.IPv4(127, 0, 0, 1)}, port: 9}
	if way.has(net.IPv4(127, 0, 0, 2)) || way.has(net.IPv4(10, 0, 0, 1)) {
		t.Error("addresses that are not ours are permitted")
	}
	if f := (&fenced{other, way}); f.allows(other.LocalAddr()) || !f.allows(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}) {
		t.Error("another port is reached")
	}
}

// Requests that are wrong are refused in words.
func TestRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(s *Server) { s.Limits = Limits{One: 2} })
	whip, whep := h.url+"/whip", h.url+"/play/"+streamID+"/whep"
	offer := strings.ReplaceAll(sampleOffer, "\n", "\r\n")
	vp8 := strings.ReplaceAll(strings.ReplaceAll(offer, "H264", "VP8"), "opus", "PCMU")
	for _, test := range []struct {
		method, url, key, contentType, body string
		status                              int
	}{
		{"POST", whip, "", sdpType, offer, 401},
		{"POST", whip, "lys_bad", sdpType, offer, 403},
		{"POST", whip, goodKey, "text/plain", offer, 415},
		{"POST", whip, goodKey, sdpType, "no offer", 400},
		{"POST", whip, goodKey, sdpType, strings.Repeat("a", largestOffer+1), 413},
		{"POST", whip, goodKey, sdpType, offer, 400}, // without a fingerprint
		{"POST", whip, goodKey, sdpType, vp8, 400},
		{"GET", whip, goodKey, "", "", 405},
		{"DELETE", whip + "/nothing", goodKey, "", "", 404},
		{"PATCH", whip + "/nothing", "", fragmentType, "", 401},
		{"POST", h.url + "/play/str_other/whep", "", sdpType, offer, 404},
		{"POST", whep + "?token=bad", "", sdpType, offer, 403},
		{"POST", whep, "", sdpType, offer, 400}, // it wants to send
		{"DELETE", whep + "/nothing", "", "", "", 404},
		{"PUT", whep, "", "", "", 405},
	} {
		answer, text := send(t, test.method, test.url, test.key, test.contentType, test.body)
		if answer.StatusCode != test.status || !strings.Contains(text, "detail") {
			t.Errorf("%s %s: %s, want %d: %s", test.method, test.url, answer.Status, test.status, text)
		}
		if answer.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s: no page may read the answer", test.method, test.url)
		}
	}
	testkit.Until(t, 30*time.Second, "all that was refused to be gone", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.sessions) == 0 && h.desk.input() == nil
	})
	for n := range 3 {
		x := newSession("", h.Log)
		if _, err := h.enter("192.0.2.1", x); (err == nil) != (n < 2) {
			t.Errorf("session %d of one address: %v", n, err)
		}
		if n < 2 {
			t.Cleanup(func() { h.leave("192.0.2.1", x) })
		}
	}
}

// A server without the port says so to whoever asks.
func TestNotListening(t *testing.T) {
	t.Parallel()
	s := &Server{Log: slog.New(slog.DiscardHandler), Desk: newDesk()}
	web := httptest.NewServer(s.WHIP())
	defer web.Close()
	for _, method := range []string{http.MethodOptions, http.MethodPost} {
		if answer, text := send(t, method, web.URL, goodKey, sdpType, sampleOffer); answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s %s", method, answer.Status, text)
		}
	}
}

// A client whose network changes gets on with other ICE credentials.
func TestRestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	pc := client(t, nil, webrtc.Configuration{})
	s := newSending(t, pc)
	answer, session := post(t, pc, h.url+"/whip", goodKey)
	s.run(t)
	testkit.Until(t, 30*time.Second, "pictures", func() bool { _, err := h.desk.out.Read().Next(expired()); return err == nil })
	tag := answer.Header.Get("ETag")
	fragment := fragmentOf(pc.LocalDescription().SDP)
	if answer, _ := send(t, http.MethodPatch, session, goodKey, fragmentType, fragment, "If-Match", tag); answer.StatusCode != http.StatusNoContent {
		t.Errorf("candidates: %s", answer.Status)
	}
	if answer, _ := send(t, http.MethodPatch, session, goodKey, fragmentType, fragment, "If-Match", `"other"`); answer.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("candidates of other credentials: %s", answer.Status)
	}
	offer, err := pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	answer, text := send(t, http.MethodPatch, session, goodKey, fragmentType, fragmentOf(offer.SDP), "If-Match", "*")
	if answer.StatusCode != http.StatusOK || answer.Header.Get("ETag") == tag {
		t.Fatalf("restart: %s %v %s", answer.Status, answer.Header, text)
	}
	ufrag, pwd, err := readFragment(text)
	if err != nil {
		t.Fatal(err)
	}
	// As a browser does, which has the last answer and puts in what the fragment says.
	remote := replaceCredentials(pc.RemoteDescription().SDP, ufrag, pwd)
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: remote}); err != nil {
		t.Fatal(err)
	}
	testkit.Until(t, 30*time.Second, "the way with other credentials", func() bool { return pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected })
	r := h.desk.out.Read()
	begin := time.Now()
	testkit.Until(t, 30*time.Second, "new pictures", func() bool {
		for {
			item, err := r.Next(expired())
			if err != nil {
				return false
			}
			if item.Unit.Wall.Sub(begin) > time.Second {
				return true
			}
		}
	})
}
