package live

import (
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// line is the way to a server that can be cut.
type line struct {
	address string

	mu    sync.Mutex
	away  bool
	conns map[net.Conn]bool
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{address: listener.Addr().String(), conns: map[net.Conn]bool{}}
	t.Cleanup(func() { listener.Close(); l.cut(true) })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil || !l.take(near, far) {
				near.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					io.Copy(pair[0], pair[1])
					pair[0].Close()
					pair[1].Close()
				}()
			}
		}
	}()
	return l
}

// take notes the two ends of a connection, or closes them where the line is cut.
func (l *line) take(ends ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range ends {
		if l.away {
			c.Close()
		}
		l.conns[c] = true
	}
	return !l.away
}

// cut takes the server away, or brings it back.
func (l *line) cut(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
	for c := range l.conns {
		c.Close()
	}
	clear(l.conns)
}

// troubled waits until the health of a stream has a problem of that code, or has none.
func (c *cloud) troubled(t *testing.T, id, code string, want bool) {
	t.Helper()
	var s client.Stream
	if !program.Eventually(patience, func() bool {
		var err error
		if s, err = c.Streams.Get(t.Context(), id); err != nil || s.Health == nil {
			return false
		}
		has := false
		for _, p := range s.Health.Problems {
			has = has || p.Code == code
		}
		return has == want
	}) {
		t.Fatalf("problems: %+v, want %s: %v", s.Health, code, want)
	}
}

// A recording goes straight to S3. While that is away it waits, and says so; it is
// stopped meanwhile, and the stream is gone: nothing is lost.
func TestRecordingToS3(t *testing.T) {
	t.Parallel() // it waits most of the time
	testkit.FFprobe(t)
	bucket := testkit.S3(t)
	target, err := url.Parse(bucket.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	way := newLine(t, target.Host)
	c := start(t, filepath.Join(t.TempDir(), "data"),
		"--set", "blob.url=s3://"+bucket.Bucket+"?endpoint="+url.QueryEscape("http://"+way.address),
		"--set", "live.slate=false", "--set", "blob.access_key="+bucket.AccessKey, "--set", "blob.secret_key="+bucket.SecretKey)
	s, err := c.Streams.Create(t.Context(), client.NewStream{Name: "Far", Record: true, Policy: client.Signed})
	if err != nil {
		t.Fatal(err)
	}
	encoder := push(t, ingest(s, s.Ingest.RTMP.Key))
	asset := c.awaitStored(t, s.ID, 4)
	if _, err := os.Stat(filepath.Join(bucket.Folder, "assets", asset, "media", "video")); err != nil {
		t.Errorf("nothing of it is on S3: %v", err)
	}
	way.cut(true)
	c.troubled(t, s.ID, "recording", true)
	w := rendition(t, c.Resolve(c.signed(t, s.ID)), "video")
	l := w.awaitSegments(t, 0)
	w.awaitSegments(t, next(l)+1) // live goes on
	w.verdict(t)
	encoder.kill()
	c.await(t, s.ID, client.StreamIdle)
	if s, err = c.Streams.Get(t.Context(), s.ID); err != nil || s.Recording == nil || s.Recording.Problem == "" {
		t.Errorf("the recording is %+v, %v", s.Recording, err)
	}
	if err := c.Streams.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	way.cut(false)
	a := c.awaitAsset(t, asset)
	c.whole(t, a, s.ID)
	if a.Playback.Policy != client.Signed || !strings.Contains(a.Playback.HLS, "/~") {
		t.Errorf("who may play it is another question than with the stream: %+v", a.Playback)
	}
	if len(a.Warnings) > 0 || a.Duration < 12 {
		t.Errorf("%.1f s were recorded; %v", a.Duration, a.Warnings)
	}
	if left, _ := os.ReadDir(filepath.Join(c.Data, "live")); len(left) > 0 {
		ok := program.Eventually(patience, func() bool {
			left, _ = os.ReadDir(filepath.Join(c.Data, "live"))
			return len(left) == 0
		})
		if !ok {
			t.Errorf("of the deleted stream is left: %v", left)
		}
	}
}

func (c *cloud) signed(t *testing.T, id string) string {
	t.Helper()
	p, err := c.Streams.SignedPlayback(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p.HLS
}

// The disk fills up while a stream is recorded onto it: live goes on, the page says
// what is wrong, and when there is room the recording goes on, behind what was lost.
func TestRecordingOnAFullDisk(t *testing.T) {
	t.Parallel() // it waits most of the time
	testkit.FFprobe(t)
	d := program.NewDisk(t, 160<<20)
	c := start(t, filepath.Join(d.Root, "data"), "--set", "blob.reserve_bytes=8MiB", "--set", "blob.reserve_percent=0", "--set", "bus.disk=32MiB")
	s, err := c.Streams.Create(t.Context(), client.NewStream{Name: "Full", Record: true})
	if err != nil {
		t.Fatal(err)
	}
	push(t, ingest(s, s.Ingest.RTMP.Key))
	asset := c.awaitStored(t, s.ID, 4)
	ballast := d.Fill(t, 4<<20)
	c.troubled(t, s.ID, "recording", true)
	c.troubled(t, s.ID, "storage", true)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c.troubled(t, s.ID, "recording", false)
	s, err = c.Streams.Get(t.Context(), s.ID)
	if err != nil || s.Recording == nil || s.Recording.Asset != asset {
		t.Fatalf("the recording is %+v, %v", s.Recording, err)
	}
	c.awaitStored(t, s.ID, s.Recording.Duration+4)
	off := false
	if _, err := c.Streams.Update(t.Context(), s.ID, client.StreamChange{Record: &off}); err != nil {
		t.Fatal(err)
	}
	c.whole(t, c.awaitAsset(t, asset), s.ID)
}
