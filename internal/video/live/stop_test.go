package live

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
	"liuyun/internal/testkit"
)

// goLive makes a stream and an encoder that is on air, and reads what viewers get.
func (c *cloud) goLive(t *testing.T) (Stream, *pusher, *hub.Reader) {
	t.Helper()
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	p := c.begin(t, made)
	r := c.reader(t, made.ID)
	c.await(t, made.ID, Live)
	return made, p, r
}

// begin has an encoder send one picture.
func (c *cloud) begin(t *testing.T, made Stream) *pusher {
	t.Helper()
	p, err := c.push(t, made.Ingest.RTMP.Key)
	if err != nil {
		t.Fatal(err)
	}
	sequence, parameters := parameterSets()
	p.must(p.picture(0, 0, sequence, parameters, []byte{0x65, 0x88, 1}))
	return p
}

// over reads until viewers are told that the stream is over.
func over(t *testing.T, r *hub.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		if _, err := r.Next(ctx); err != nil {
			if !errors.Is(err, hub.ErrEnded) {
				t.Errorf("viewers are told %v", err)
			}
			return
		}
	}
}

// A stream that is stopped ends as one whose encoder has gone, without waiting for it,
// and takes no encoder until it is started.
func TestStop(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.serve(t)
	made, p, r := c.goLive(t)
	if made.Stopped {
		t.Error("a new stream is stopped")
	}
	path := "/v1/streams/" + made.ID
	_, etag := c.call(t, writer, 200, "GET", path, "")
	c.call(t, writer, 412, "POST", path+"/stop", "", "If-Match", `"0"`)
	c.call(t, "ten_a assets:read", 403, "POST", path+"/stop", "")
	c.call(t, "ten_b assets:write", 404, "POST", path+"/stop", "")
	if s, _ := c.call(t, writer, 200, "POST", path+"/stop", "", "If-Match", etag); !s.Stopped {
		t.Error("the answer does not say that it is stopped")
	}
	want := "the stream is stopped; start it in the console or by POST " + path + "/start"
	if why := p.goodbye(); !strings.Contains(why, want) {
		t.Errorf("the encoder was told %q", why)
	}
	over(t, r)
	if s := c.await(t, made.ID, Idle); !s.Stopped || s.LiveSince != nil {
		t.Errorf("stopped: %+v", s)
	}
	for _, backup := range []bool{false, true} {
		in, err := c.Publish(t.Context(), made.Ingest.RTMP.Key, ingest.Connection{Backup: backup})
		if in != nil || fault.CodeOf(err) != fault.Conflict || fault.Message(err) != want {
			t.Errorf("backup %v: %v, %v", backup, in, err)
		}
	}
	if p, err := c.push(t, made.Ingest.RTMP.Key); err == nil {
		if why := p.goodbye(); !strings.Contains(why, want) {
			t.Errorf("an encoder that comes is told %q", why)
		}
	}
	c.call(t, writer, 200, "POST", path+"/stop", "") // once more
	if s, _ := c.call(t, writer, 200, "POST", path+"/start", ""); s.Stopped {
		t.Error("the answer does not say that it is started")
	}
	c.begin(t, made)
	c.await(t, made.ID, Live)
	kinds := slices.Compact(c.bus.kinds()) // a stream may be live before it was said to be connecting
	if diff := cmp.Diff([]string{event.StreamUpdated, event.StreamIdle, event.StreamUpdated, event.StreamLive}, kinds[max(len(kinds)-4, 0):]); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A stream whose encoder is awaited is over at once too.
func TestStopReconnecting(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.serve(t)
	made, p, r := c.goLive(t)
	p.close()
	c.await(t, made.ID, Reconnecting)
	l := c.current(made.ID)
	c.call(t, writer, 200, "POST", "/v1/streams/"+made.ID+"/stop", "")
	over(t, r)
	<-l.done
	if s, _ := c.call(t, writer, 200, "GET", "/v1/streams/"+made.ID, ""); s.Status != Idle {
		t.Errorf("it is %s", s.Status)
	}
}

// A stream that another node stops is off the air here soon, and its source is not
// fetched.
func TestStoppedElsewhere(t *testing.T) {
	t.Parallel()
	c := newSourced(t, "")
	c.serve(t)
	other := c.neighbour(t)
	made, p, r := c.goLive(t)
	fetched, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{"source":{"url":"rtsp://127.0.0.1:9/a"}}`)
	c.source(t, fetched.ID, SourceWaiting)
	for _, id := range []string{made.ID, fetched.ID} {
		other.call(t, writer, 200, "POST", "/v1/streams/"+id+"/stop", "")
	}
	if why := p.goodbye(); !strings.Contains(why, "stopped") {
		t.Errorf("the encoder was told %q", why)
	}
	over(t, r)
	c.await(t, made.ID, Idle)
	testkit.Until(t, time.Minute, "the source is not fetched any more", func() bool {
		c.fetching.mu.Lock()
		defer c.fetching.mu.Unlock()
		return len(c.fetching.running) == 0
	})
	// A node that takes nothing in can let encoders in again, and does not fetch.
	other.call(t, writer, 503, "POST", "/v1/streams/"+fetched.ID+"/start", "")
	other.call(t, writer, 200, "POST", "/v1/streams/"+made.ID+"/start", "")
	c.begin(t, made)
	c.await(t, made.ID, Live)
}

// neighbour is another node with the same records, which takes nothing in.
func (c *cloud) neighbour(t *testing.T) *cloud {
	t.Helper()
	d := c.Deps
	d.Node, d.Folder = "nod_2", t.TempDir()
	n := &cloud{Service: New(d), bus: c.bus}
	api := web.New(web.Options{Title: "t", Version: "1", Authenticate: authenticate, Log: d.Log})
	n.Routes(api)
	n.api = api.Handler()
	return n
}

// A stream stays stopped when the server starts again. One that was on air when its
// node was away is not waited for.
func TestStoppedRestarts(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	on := Listeners{RTMP: Listener{Address: "127.0.0.1:0"}}
	go func() { ended <- c.Run(ctx, on, func() { close(ready) }) }()
	<-ready
	made, _, _ := c.goLive(t)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s, err := c.streamOf(t.Context(), made.ID); err != nil || s.Status == Idle {
		t.Fatalf("the record of a stream whose server ended: %+v, %v", s, err)
	}
	c.neighbour(t).call(t, writer, 200, "POST", "/v1/streams/"+made.ID+"/stop", "")
	next := New(c.Deps)
	c.Service = next
	c.serve(t)
	r, err := c.streamOf(t.Context(), made.ID)
	if err != nil || !r.Stopped {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := c.Publish(t.Context(), made.Ingest.RTMP.Key, ingest.Connection{}); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("an encoder is told %v", err)
	}
	testkit.Until(t, time.Minute, "it is idle", func() bool {
		if r, err = c.streamOf(t.Context(), made.ID); err != nil {
			t.Fatal(err)
		}
		return r.Status == Idle
	})
}

// What nodes of the version before wrote is understood: a source that is off.
func TestStoppedBefore(t *testing.T) {
	t.Parallel()
	c := newSourced(t, "")
	c.serve(t)
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{"source":{"url":"rtsp://127.0.0.1:9/a"}}`)
	for on, stopped := range map[int]bool{0: true, 1: false} {
		err := c.DB.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE streams SET source_on = ? WHERE id = ?`, on, made.ID)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if s, _ := c.call(t, writer, 200, "GET", "/v1/streams/"+made.ID, ""); s.Stopped != stopped {
			t.Errorf("source_on is %d: stopped is %v", on, s.Stopped)
		}
	}
}
