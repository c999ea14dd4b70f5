package rtmp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// desk lets everybody send to one stream with the key "key", and see it as "stream".
type desk struct {
	out     *hub.Stream
	channel *ingest.Channel
	joined  chan ingest.Connection
}

func newDesk() *desk {
	out := hub.New(hub.Limits{Units: 256, Bytes: 4 << 20})
	return &desk{out: out, channel: ingest.NewChannel(out, 0), joined: make(chan ingest.Connection, 16)}
}

func (d *desk) Publish(_ context.Context, key string, c ingest.Connection) (ingest.Input, error) {
	if key != "key" {
		return nil, fault.New(fault.Forbidden, "no stream has this key")
	}
	f := d.channel.Connect(time.Now())
	d.channel.Take(f)
	d.joined <- c
	return input{f}, nil
}

type input struct{ *ingest.Feed }

func (input) Close() {}

func (d *desk) Watch(_ context.Context, id, token string) (ingest.Program, error) {
	if id != "stream" || token != "token" {
		return nil, fault.New(fault.NotFound, "there is no stream %q", id)
	}
	return d, nil
}

func (d *desk) Source() *hub.Stream { return d.out }
func (d *desk) Enter() func()       { return func() {} }

func (d *desk) Rungs() []ingest.Rung { return nil }
func (d *desk) Laddered() bool       { return false }
func (d *desk) Opus(context.Context) (*hub.Stream, func(), error) {
	return nil, nil, errors.New("no Opus")
}

// serve serves a desk until the test ends, and returns its address.
func (d *desk) serve(t testing.TB) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return d.serveOn(t, socket)
}

func (d *desk) serveOn(t testing.TB, socket net.Listener) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s := &Server{Desk: d, Log: slog.New(slog.DiscardHandler), Protocol: "rtmp"}
	go func() { ended <- s.Serve(ctx, socket) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return socket.Addr().String()
}

// dial is a client of ours that has shown its key, or its wish.
func dial(t testing.TB, address, path string, publish bool) *gortmplib.Client {
	t.Helper()
	u, err := url.Parse("rtmp://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	var socket net.Conn
	c := &gortmplib.Client{URL: u, Publish: publish, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		socket, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return socket, err
	}}
	t.Cleanup(func() {
		if socket != nil {
			socket.Close()
		}
	})
	if err := c.Initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	socket.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// next takes the next item of a stream.
func next(t testing.TB, r *hub.Reader) hub.Item {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	item, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// Strangers are few, and so are viewers of one address.
func TestIngress(t *testing.T) {
	t.Parallel()
	g := newIngress()
	var inside []*connection
	for i := range mostStrangers {
		c := &connection{host: fmt.Sprint(i % 2), left: strangerBytes}
		if why := g.enter(c); why != "" {
			t.Fatal(why)
		}
		inside = append(inside, c)
	}
	if why := g.enter(&connection{host: "x", left: 1}); why == "" {
		t.Error("one stranger too many is let in")
	}
	for i, c := range inside {
		if !g.known(c, i%2 == 0) {
			t.Fatal("there is no room for a viewer")
		}
	}
	for g.viewers.Take("0") {
	}
	c := &connection{host: "0", left: 1}
	if why := g.enter(c); why != "" {
		t.Fatal(why)
	}
	if g.known(c, true) {
		t.Error("one address may have any number of viewers")
	}
	g.exit(c)
	for _, c := range inside {
		g.exit(c)
	}
	room := 0
	for ; g.viewers.Take("0"); room++ {
	}
	if g.strangers != 0 || len(g.open) != 0 || room != mostStrangers/2 {
		t.Errorf("left are %d strangers, %d connections, and room for %d viewers", g.strangers, len(g.open), room)
	}
}
