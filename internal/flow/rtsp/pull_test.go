package rtsp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/ingest/ingesttest"
)

// pull has a desk's stream come from an address, until the test or ctx ends.
func pull(ctx context.Context, d *ingesttest.Desk, address string) <-chan error {
	in, err := d.Publish(ctx, goodKey, ingest.Connection{Protocol: "rtsp", Kick: func(string) {}})
	ended := make(chan error, 1)
	if err != nil {
		ended <- err
		return ended
	}
	go func() {
		p := &Puller{Dial: (&net.Dialer{}).DialContext, Log: slog.New(slog.DiscardHandler)}
		err := p.Pull(ctx, address, in)
		in.Close()
		ended <- err
	}()
	return ended
}

// What one server gives out another takes in.
func TestPull(t *testing.T) {
	t.Parallel()
	from, to := newDesk(), newDesk()
	address, _ := serve(t, from)
	encode(t, 0, slices.Concat(plain(), []string{"-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://" + address + "/live/" + goodKey})...)
	await(t, from.Await(t, 1), 30, 30)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := pull(ctx, to, watchURL(address))
	in := to.Await(t, 1)
	await(t, in, 75, 100)
	orderly(t, in)
	if tracks := firstTracks(t, to.Out); len(tracks) != 2 || tracks[0].Codec != hub.H264 || tracks[1].Codec != hub.AAC {
		t.Errorf("the tracks are %+v", tracks)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	// The source ends: it is to be tried again.
	again := pull(t.Context(), to, watchURL(address))
	await(t, to.Await(t, 2), 25, 0)
	from.Await(t, 1).From.Kick("enough")
	from.Out.End(nil)
	if err := <-again; fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("it ended with %v", err)
	}
}

// What cannot be had is a fault that says why.
func TestPullRefused(t *testing.T) {
	t.Parallel()
	d := newDesk()
	address, _ := serve(t, fakeStream(t))
	for url, want := range map[string]fault.Code{
		"http://" + address + "/":                   fault.Invalid,
		"rtsp://" + address + "/play/none?token=x":  fault.NotFound,
		"rtsp://" + address + "/play/" + goodStream: fault.Forbidden,
		"rtsp://127.0.0.1:1/closed":                 fault.Unavailable,
	} {
		if err := <-pull(t.Context(), d, url); fault.CodeOf(err) != want {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
	inside := &Puller{Log: slog.New(slog.DiscardHandler), Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, fault.New(fault.Forbidden, "the address is inside a private network")
	}}
	if err := inside.Pull(t.Context(), "rtsp://"+address+"/x", &ingesttest.Input{}); fault.CodeOf(err) != fault.Forbidden || !strings.Contains(fault.Message(err), "private") {
		t.Errorf("what may not be dialled: %v", err)
	}
}

// camera is a server that asks for a password, or sends one on and on.
type camera struct {
	server *gortsplib.Server
	stream *ingesttest.Desk
	inner  *handler
	onward string
}

func (c *camera) OnDescribe(r *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if c.onward != "" {
		return &base.Response{StatusCode: base.StatusMovedPermanently, Header: base.Header{"Location": base.HeaderValue{c.onward}}}, nil, nil
	}
	if !r.Conn.VerifyCredentials(r.Request, "admin", "pass:w@rd") {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	return c.inner.OnDescribe(r)
}

func (c *camera) OnSetup(r *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return c.inner.OnSetup(r)
}

func (c *camera) OnPlay(r *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return c.inner.OnPlay(r)
}

func (c *camera) OnResponse(conn *gortsplib.ServerConn, answer *base.Response) {
	c.inner.OnResponse(conn, answer)
}

func (c *camera) OnSessionClose(r *gortsplib.ServerHandlerOnSessionCloseCtx) {
	c.inner.OnSessionClose(r)
}

// serveCamera runs a camera until the test ends.
func serveCamera(t *testing.T) (c *camera, address string) {
	t.Helper()
	c = &camera{stream: fakeStream(t)}
	c.inner = newHandler(t.Context(), &Server{Desk: c.stream, Log: slog.New(slog.DiscardHandler)})
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.server = &gortsplib.Server{Handler: c, RTSPAddress: "camera", Listen: func(string, string) (net.Listener, error) { return socket, nil }}
	c.inner.server = c.server
	if err := c.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.Close)
	return c, socket.Addr().String()
}

// arrived is closed when a picture has come.
func arrived(in *ingesttest.Input) <-chan struct{} {
	come := make(chan struct{})
	go func() {
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if len(in.Now().Pictures) > 0 {
				break
			}
		}
		close(come)
	}()
	return come
}

// User and password are in the address.
func TestPullWithPassword(t *testing.T) {
	t.Parallel()
	c, address := serveCamera(t)
	writePicture(c.stream.Out, 0, 100, true)
	path := "@" + strings.TrimPrefix(watchURL(address), "rtsp://")
	to := newDesk()
	ctx, stop := context.WithCancel(t.Context())
	ended := pull(ctx, to, "rtsp://admin:pass%3Aw%40rd"+path)
	select {
	case err := <-ended:
		t.Fatal(err)
	case <-arrived(to.Await(t, 1)):
	}
	stop()
	<-ended
	if err := <-pull(t.Context(), to, "rtsp://admin:wrong"+path); fault.CodeOf(err) != fault.Forbidden {
		t.Errorf("a wrong password: %v", err)
	}
}

// A camera that sends on to itself is left after a few times.
func TestPullSentOnAndOn(t *testing.T) {
	t.Parallel()
	c, address := serveCamera(t)
	c.onward = "rtsp://" + address + "/again"
	if err := <-pull(t.Context(), newDesk(), c.onward); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("it ended with %v", err)
	}
}
