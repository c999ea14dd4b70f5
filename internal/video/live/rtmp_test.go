package live

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/gortmplib/pkg/message"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/kit/store"
	"liuyun/internal/testkit"
)

// sequence and parameters are those of pictures of 1920 × 1080.
func parameterSets() (sequence, picture []byte) {
	return []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}, []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
}

// logBuffer is a log that several goroutines write.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// serve runs the service until the test ends.
func (c *cloud) serve(t *testing.T) *logBuffer {
	t.Helper()
	return c.serveOn(t, Listeners{RTMP: Listener{Address: "127.0.0.1:0"}, RTSP: Listener{Address: "127.0.0.1:0"}})
}

func (c *cloud) serveOn(t *testing.T, on Listeners) *logBuffer {
	t.Helper()
	log := &logBuffer{}
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- c.Run(ctx, on, func() { close(ready) }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	return log
}

// pusher is an encoder of ours.
type pusher struct {
	t      *testing.T
	client *gortmplib.Client
	writer *gortmplib.Writer
	track  *gortmplib.Track
	socket net.Conn
}

// push connects with a key. The sound of the metadata is "none", and is set up when
// the pusher says so.
func (c *cloud) push(t *testing.T, key string) (*pusher, error) {
	t.Helper()
	u, err := url.Parse(c.rtmpURL() + "/" + key)
	if err != nil {
		t.Fatal(err)
	}
	p := &pusher{t: t}
	p.client = &gortmplib.Client{URL: u, Publish: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		socket, err := (&net.Dialer{}).DialContext(ctx, network, address)
		p.socket = socket
		return socket, err
	}}
	t.Cleanup(p.close)
	if err := p.client.Initialize(t.Context()); err != nil {
		return nil, err
	}
	sequence, picture := parameterSets()
	p.track = &gortmplib.Track{Codec: &codecs.H264{SPS: sequence, PPS: picture}}
	p.writer = &gortmplib.Writer{Conn: p.client, Tracks: []*gortmplib.Track{p.track}}
	return p, p.writer.Initialize()
}

func (p *pusher) close() {
	if p.socket != nil {
		p.socket.Close()
	}
}

func (p *pusher) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *pusher) picture(ms, offset int, units ...[]byte) error {
	dts := time.Duration(ms) * time.Millisecond
	return p.writer.WriteH264(p.track, dts+time.Duration(offset)*time.Millisecond, dts, units)
}

// soundConfig says that there is AAC-LC of 48 kHz and two channels.
func (p *pusher) soundConfig() error {
	m := &message.Audio{ChunkStreamID: message.AudioChunkStreamID, MessageStreamID: 0x1000000, Codec: message.CodecMPEG4Audio, AACType: message.AudioAACTypeConfig}
	m.AACConfig = newOf(m.AACConfig)
	if err := m.AACConfig.Unmarshal([]byte{0x11, 0x90}); err != nil {
		return err
	}
	return p.client.Write(m)
}

func newOf[T any](*T) *T { return new(T) }

func (p *pusher) sound(ms int, data ...byte) error {
	return p.client.Write(&message.Audio{ChunkStreamID: message.AudioChunkStreamID, MessageStreamID: 0x1000000, Codec: message.CodecMPEG4Audio,
		AACType: message.AudioAACTypeAU, DTS: time.Duration(ms) * time.Millisecond, AU: data})
}

// goodbye reads until the server says its last word, and returns that.
func (p *pusher) goodbye() string {
	p.socket.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		m, err := p.client.Read()
		if err != nil {
			return err.Error()
		}
		if command, ok := m.(*message.CommandAMF0); ok && command.Name == "onStatus" {
			return fmt.Sprint(command.Arguments...)
		}
	}
}

// reader reads the hub's stream of a session, when there is one.
func (c *cloud) reader(t *testing.T, stream string) *hub.Reader {
	t.Helper()
	var l *session
	testkit.Until(t, time.Minute, "somebody sends", func() bool { l = c.current(stream); return l != nil })
	return l.source.Read()
}

func next(t *testing.T, r *hub.Reader) hub.Item {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	item, err := r.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// await waits until the API shows a state.
func (c *cloud) await(t *testing.T, stream string, want Status) Stream {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s, _ := c.call(t, writer, 200, "GET", "/v1/streams/"+stream, "")
		if s.Status == want {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("the stream is %s, want %s", s.Status, want)
		}
	}
}

// What comes in by RTMP comes out as units: no parameter sets, one time for all.
func TestPush(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.serve(t)
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	p, err := c.push(t, made.Ingest.RTMP.Key)
	if err != nil {
		t.Fatal(err)
	}
	sequence, parameters := parameterSets()
	r := c.reader(t, made.ID)
	p.must(p.soundConfig())
	p.must(p.picture(960, 0, []byte{0x41, 1})) // before the first key frame
	p.must(p.picture(1000, 80, []byte{9, 0xf0}, sequence, parameters, []byte{6, 5, 0}, []byte{0x65, 0x88, 1}))
	p.must(p.sound(1005, 1, 2, 3))
	p.must(p.picture(1040, 0, []byte{0x41, 0x9a, 2}))
	tracks := next(t, r).Tracks
	if len(tracks) != 2 || tracks[0].Width != 1920 || tracks[0].Height != 1080 || tracks[1].Clock != 48000 || tracks[1].Channels != 2 {
		t.Fatalf("tracks %+v", tracks)
	}
	key, sound, other := next(t, r).Unit, next(t, r).Unit, next(t, r).Unit
	if !key.Key || key.PTS-key.DTS != 80*90 || !bytes.Equal(key.Data, []byte{0, 0, 0, 3, 6, 5, 0, 0, 0, 0, 3, 0x65, 0x88, 1}) {
		t.Errorf("the first picture is %+v", key)
	}
	if sound.Track != 1 || !bytes.Equal(sound.Data, []byte{1, 2, 3}) || sound.DTS-key.DTS*48/90 > 5*48+1 {
		t.Errorf("the sound is %+v after a picture at %d", sound, key.DTS)
	}
	if other.Key || other.DTS-key.DTS != 40*90 || other.PTS != other.DTS {
		t.Errorf("the second picture is %+v", other)
	}
	s := c.await(t, made.ID, Live)
	if s.LiveSince == nil {
		t.Error("nobody knows since when it is live")
	}

	// It comes back with other timestamps: the same period goes on.
	p.close()
	c.await(t, made.ID, Reconnecting)
	p, err = c.push(t, made.Ingest.RTMP.Key)
	if err != nil {
		t.Fatal(err)
	}
	p.must(p.soundConfig())
	p.must(p.picture(7, 0, []byte{0x65, 0x88, 3}))
	if item := next(t, r); item.Tracks != nil || item.Unit.DTS <= other.DTS || item.Unit.DTS > other.DTS+300*90 {
		t.Errorf("after a reconnect comes %+v, after %d", item, other.DTS)
	}
	c.await(t, made.ID, Live)

	// Keys change, and it stays on air; then it is deleted, and told so.
	c.call(t, writer, 200, "POST", "/v1/streams/"+made.ID+"/keys", "")
	p.must(p.picture(47, 0, []byte{0x41, 0x9a, 4}))
	next(t, r)
	c.call(t, writer, 204, "DELETE", "/v1/streams/"+made.ID, "")
	if why := p.goodbye(); !strings.Contains(why, "deleted") {
		t.Errorf("the encoder was told %q", why)
	}
}

// A stream that another node deletes is off the air here soon, and what it left goes.
func TestDeletedElsewhere(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.serve(t)
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	p, err := c.push(t, made.Ingest.RTMP.Key)
	if err != nil {
		t.Fatal(err)
	}
	sequence, parameters := parameterSets()
	p.must(p.picture(0, 0, sequence, parameters, []byte{0x65, 0x88, 1}))
	c.await(t, made.ID, Live)
	folder := filepath.Join(c.Folder, made.ID)
	if _, err := os.Stat(folder); err != nil {
		t.Fatal(err)
	}
	if err := c.DB.Write(t.Context(), func(tx *store.Tx) error { return deleteStream(tx, made.ID) }); err != nil {
		t.Fatal(err)
	}
	if why := p.goodbye(); !strings.Contains(why, "deleted") {
		t.Errorf("the encoder was told %q", why)
	}
	testkit.Until(t, time.Minute, "the window is gone", func() bool {
		_, err := os.Stat(folder)
		return errors.Is(err, os.ErrNotExist)
	})
}

func TestPushRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	log := c.serve(t)
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	wrong := "lys_abcdefghijklmnopqrstuvwxyz"
	p, err := c.push(t, wrong)
	if err == nil {
		if why := p.goodbye(); !strings.Contains(why, "no stream has this key") {
			t.Errorf("a wrong key is told %q", why)
		}
	}
	if text := log.String(); !strings.Contains(text, "refused") || strings.Contains(text, wrong) || !strings.Contains(text, "lys_ab…") {
		t.Errorf("the log says %s", text)
	}
	first, err := c.push(t, made.Ingest.RTMP.Key)
	if err != nil {
		t.Fatal(err)
	}
	first.must(first.picture(0, 0, []byte{0x65, 0x88, 1}))
	c.reader(t, made.ID)
	second, err := c.push(t, made.Ingest.RTMP.Key)
	if err == nil {
		if why := second.goodbye(); !strings.Contains(why, "another encoder") {
			t.Errorf("a second encoder is told %q", why)
		}
	}
	first.must(first.picture(40, 0, []byte{0x41, 0x9a, 1}))
	c.await(t, made.ID, Live)
}

// Bytes that are no RTMP, or too many of them, end soon.
func TestPushNonsense(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.serve(t)
	for _, nonsense := range [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n"), append([]byte{3}, make([]byte, 1<<20)...), bytes.Repeat([]byte{0xff}, 1<<16)} {
		socket, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(c.rtmpURL(), "rtmp://"), "/live"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = socket.Write(nonsense) // it may be closed meanwhile
		socket.SetReadDeadline(time.Now().Add(30 * time.Second))
		var timeout net.Error
		for buffer := make([]byte, 4096); err == nil; {
			_, err = socket.Read(buffer)
		}
		if asNet(err, &timeout) && timeout.Timeout() {
			t.Errorf("%.20q is listened to for ever", nonsense)
		}
		socket.Close()
	}
}

func asNet(err error, into *net.Error) bool {
	e, ok := err.(net.Error)
	*into = e
	return ok
}

// RTMP with TLS has the server's certificate; without one it is not listened for.
func TestRTMPS(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	on := Listeners{RTMPS: Listener{Address: "127.0.0.1:0"}}
	if err := c.Run(t.Context(), on, func() {}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("without a certificate: %v", err)
	}
	certificates := httptest.NewTLSServer(nil)
	t.Cleanup(certificates.Close)
	c.TLS = &tls.Config{Certificates: certificates.TLS.Certificates}
	c.serveOn(t, on)
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	if !strings.HasPrefix(made.Ingest.RTMPS.URL, "rtmps://127.0.0.1:") || made.Ingest.RTMP.URL != "" {
		t.Errorf("encoders are told %+v", made.Ingest)
	}
	u, err := url.Parse(made.Ingest.RTMPS.URL + "/" + made.Ingest.RTMP.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificates.Certificate())
	client := &gortmplib.Client{URL: u, Publish: true, TLSConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"}}
	if err := client.Initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c.await(t, made.ID, Connecting)
}
