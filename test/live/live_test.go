// Package live pushes to the built program as encoders do, by ffmpeg, and watches
// as players do: every version of every playlist is held to rfc8216bis, what they
// name is fetched and decoded, while encoders and servers are killed.
package live

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/av/hls"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// patience bounds what is waited for. It judges nothing: machines are slow.
const patience = 2 * time.Minute

// cloud is a server and a client of it.
type cloud struct {
	*program.Server
	*client.Client
}

// liuyun is the program, built once for all tests.
func liuyun(t *testing.T) program.Program {
	t.Helper()
	return program.Build(t, testkit.Root(t))
}

// start starts a server with its data in that folder.
func start(t *testing.T, data string, more ...string) *cloud {
	t.Helper()
	s := liuyun(t).Serve(t, data, append([]string{"--roles", "control,live"}, more...)...)
	c, err := client.New(s.URL, s.Key, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &cloud{s, c}
}

// ingest is where a stream's key sends to.
func ingest(s client.Stream, key string) string { return s.Ingest.RTMP.URL + "/" + key }

// await waits until a stream is in a state.
func (c *cloud) await(t *testing.T, id string, want client.StreamStatus) client.Stream {
	t.Helper()
	var s client.Stream
	ok := program.Eventually(patience, func() bool {
		var err error
		s, err = c.Streams.Get(t.Context(), id)
		return err == nil && s.Status == want
	})
	if !ok {
		t.Fatalf("the stream is %s, want %s", s.Status, want)
	}
	return s
}

// get fetches something of viewers.
func get(ctx context.Context, address string) (status int, header http.Header, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header, body, err
}

// poller reads a playlist as a player of low latency does: it asks for what comes
// next, and for the difference alone every other time.
type poller struct {
	address string
	stop    context.CancelFunc
	done    chan struct{}

	mu       sync.Mutex
	last     *hls.Checked
	versions int
	problems []string
}

func poll(t *testing.T, address string) *poller {
	ctx, stop := context.WithCancel(t.Context())
	p := &poller{address: address, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for ctx.Err() == nil {
			p.once(ctx)
		}
	}()
	t.Cleanup(p.end)
	return p
}

// rendition polls one rendition of the stream of that multivariant playlist.
func rendition(t *testing.T, master, name string) *poller {
	return poll(t, strings.TrimSuffix(master, "master.m3u8")+name+"/media.m3u8")
}

func (p *poller) end() {
	p.stop()
	<-p.done
}

// once asks for the next version.
func (p *poller) once(ctx context.Context) {
	query := url.Values{}
	if p.last != nil {
		l := &p.last.Playlist
		query.Set("_HLS_msn", strconv.FormatInt(l.MediaSequence+int64(len(l.Segments)), 10))
		query.Set("_HLS_part", strconv.Itoa(len(l.Open.Parts)))
		if p.versions%2 == 1 {
			query.Set("_HLS_skip", "YES")
		}
	}
	address := p.address + "?" + query.Encode()
	status, header, text, err := get(ctx, address)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		p.note("%s: %v", address, err)
		p.stop()
		return
	case status == http.StatusServiceUnavailable && header.Get("Retry-After") != "":
		return // nothing came for as long as a request may wait
	case status != http.StatusOK:
		p.note("%s: %d %s", address, status, text)
		p.stop()
		return
	}
	checked, problems := hls.Check(text, p.last)
	for _, problem := range problems {
		p.note("%s: %s\n%s", address, problem, text)
	}
	if kept := header.Get("Cache-Control"); !strings.HasPrefix(kept, "public, max-age=") {
		p.note("%s may be kept %q", address, kept)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = checked
	p.versions++
}

func (p *poller) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.problems) < 5 {
		p.problems = append(p.problems, fmt.Sprintf(format, args...))
	}
}

// playlist is the newest version.
func (p *poller) playlist() (l hls.LivePlaylist, versions int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil {
		l = p.last.Playlist
	}
	return l, p.versions
}

// awaitSegments waits until a segment of that number or a later one is whole, and no
// gap.
func (p *poller) awaitSegments(t *testing.T, number int64) hls.LivePlaylist {
	t.Helper()
	var l hls.LivePlaylist
	if !program.Eventually(patience, func() bool {
		l, _ = p.playlist()
		return next(l) > number && !l.Segments[len(l.Segments)-1].Gap
	}) {
		t.Fatalf("segment %d does not come: there are %d from %d on; problems: %v", number, len(l.Segments), l.MediaSequence, p.problems)
	}
	return l
}

// next is the number of the segment that is open.
func next(l hls.LivePlaylist) int64 { return l.MediaSequence + int64(len(l.Segments)) }

// verdict ends polling and tells what was wrong.
func (p *poller) verdict(t *testing.T) hls.LivePlaylist {
	t.Helper()
	p.end()
	for _, problem := range p.problems {
		t.Error(problem)
	}
	l, versions := p.playlist()
	t.Logf("%s: %d versions, %d segments from %d on", path.Base(path.Dir(p.address)), versions, len(l.Segments), l.MediaSequence)
	return l
}

// decodedTrack is what ffprobe decodes of a track.
type decodedTrack struct {
	codec  string
	frames int
}

// decoded has ffprobe decode a presentation, and holds it to have nothing to complain of.
func decoded(t *testing.T, address string, options ...string) (tracks []decodedTrack) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	arguments := append([]string{"-v", "error", "-count_frames", "-show_entries", "stream=codec_name,nb_read_frames", "-of", "json"}, options...)
	command := exec.CommandContext(ctx, testkit.FFprobe(t), append(arguments, address)...)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil || complaints.Len() > 0 {
		t.Errorf("ffprobe of %s: %v: %s", address, err, complaints.String())
	}
	var probed struct {
		Streams []struct {
			Codec  string `json:"codec_name"`
			Frames string `json:"nb_read_frames"`
		}
	}
	if err := json.Unmarshal(out, &probed); err != nil {
		t.Fatal(err)
	}
	for _, s := range probed.Streams {
		frames, _ := strconv.Atoi(s.Frames) // absent: none
		tracks = append(tracks, decodedTrack{s.Codec, frames})
	}
	return tracks
}

// threeSeconds are read from the oldest segment: players begin near the newest, where
// after a lost server for a while there is nothing, and ffmpeg's does not know so.
func threeSeconds() []string { return []string{"-live_start_index", "0", "-read_intervals", "%+3"} }

// watch has ffmpeg's player read a few seconds and decode them.
func watch(t *testing.T, address string) {
	t.Helper()
	frames := map[string]int{}
	for _, track := range decoded(t, address, threeSeconds()...) {
		frames[track.codec] = track.frames
	}
	if frames["h264"] < 50 || frames["aac"] < 90 {
		t.Errorf("ffprobe decodes %v of three seconds", frames)
	}
}

// A stream from its first picture over a lost encoder, a lost server and its
// return, watched all the time.
func TestLive(t *testing.T) {
	t.Parallel() // it waits most of the time
	testkit.FFprobe(t)
	data := filepath.Join(t.TempDir(), "data")
	c := start(t, data)
	s := c.newStream(t)
	first := push(t, ingest(s, s.Ingest.RTMP.Key))
	c.await(t, s.ID, client.StreamLive)
	master := c.Resolve(s.Playback.HLS)
	c.playable(t, master)
	video := rendition(t, master, "video")
	audio := rendition(t, master, "audio")
	watch(t, master)
	c.healthy(t, s.ID)
	c.counts(t, s.ID, "http", func(s client.StreamStatistics) client.StreamWay { return s.Ways.HTTP })

	// A wrong key is refused, another one given: who is on air stays there.
	wrong := push(t, ingest(s, "lys_wrongwrongwrongwrongwrong"))
	select {
	case <-wrong.ended:
	case <-time.After(patience):
		t.Error("a wrong key is let in")
	}
	if log := c.Log(); !strings.Contains(log, "no stream has this key") || strings.Contains(log, "lys_wrongwrong") {
		t.Error("the log does not say that an encoder was refused, or shows its key")
	}
	rotated, err := c.Streams.RotateKey(t.Context(), s.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := video.playlist()
	video.awaitSegments(t, next(l))
	c.await(t, s.ID, client.StreamLive)

	// The encoder is killed and comes back with the new key: the same window goes on.
	first.kill()
	c.await(t, s.ID, client.StreamReconnecting)
	second := push(t, ingest(s, rotated.Ingest.RTMP.Key))
	c.await(t, s.ID, client.StreamLive)
	l, _ = video.playlist()
	video.awaitSegments(t, next(l)+1)
	l = video.verdict(t)
	audio.verdict(t)
	for _, segment := range l.Segments {
		if segment.Discontinuity {
			t.Errorf("%s is a discontinuity, though the encoder came back as it was", segment.URI)
		}
	}
	oldest := strings.TrimSuffix(video.address, "media.m3u8") + l.Segments[0].URI
	before := fetch(t, oldest)

	// The server is killed: what was there is there again, and the encoder goes on.
	c.Kill()
	second.kill()
	c = start(t, data)
	c.await(t, s.ID, client.StreamReconnecting)
	rebase := func(address string) string { return c.URL + address[strings.Index(address, "/play/"):] }
	if after := fetch(t, rebase(oldest)); !bytes.Equal(before, after) {
		t.Error("a segment is another one after the server was killed")
	}
	s, err = c.Streams.Get(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	push(t, ingest(s, rotated.Ingest.RTMP.Key))
	c.await(t, s.ID, client.StreamLive)
	again := poll(t, rebase(video.address))
	if got := again.awaitSegments(t, next(l)+1); got.MediaSequence > l.MediaSequence || got.Segments[0].URI != l.Segments[0].URI {
		t.Errorf("the window begins with %s, and began with %s", got.Segments[0].URI, l.Segments[0].URI)
	}
	watch(t, rebase(master))
	again.verdict(t)
	if status := c.Stop(); status != 0 {
		t.Errorf("the server ended with status %d", status)
	}
}

// newStream makes a stream.
func (c *cloud) newStream(t *testing.T) client.Stream {
	t.Helper()
	s, err := c.Streams.Create(t.Context(), client.NewStream{Name: "Town hall"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// playable waits until there is something to play.
func (c *cloud) playable(t *testing.T, master string) {
	t.Helper()
	if !program.Eventually(patience, func() bool {
		status, _, _, err := get(t.Context(), master)
		return err == nil && status == http.StatusOK
	}) {
		t.Fatal("it cannot be played")
	}
}

// healthy waits until the API shows how the stream goes, and looks whether that is
// true.
func (c *cloud) healthy(t *testing.T, id string) {
	t.Helper()
	var h *client.StreamHealth
	if !program.Eventually(patience, func() bool {
		s, err := c.Streams.Get(t.Context(), id)
		h = s.Health
		return err == nil && h != nil && h.KeyInterval > 0 && h.FPS > 20 && h.FPS < 30
	}) {
		t.Fatalf("health is %+v", h)
	}
	if h.Width != 320 || h.Height != 180 || !strings.HasPrefix(h.VideoCodec, "avc1.") || h.AudioCodec != "mp4a.40.2" || h.Channels != 2 ||
		h.KeyInterval != 2 || h.Bitrate < 50_000 || h.Bitrate > 2_000_000 || h.Drops > 0 || len(h.Problems) > 0 {
		t.Errorf("health is %+v", h)
	}
}

// counts waits until the statistics of a stream that is on air have what its
// encoder sent and what viewers got by one way, and looks whether metrics have it too.
func (c *cloud) counts(t *testing.T, id, way string, of func(client.StreamStatistics) client.StreamWay) {
	t.Helper()
	var s client.StreamStatistics
	if !program.Eventually(patience, func() bool {
		var err error
		s, err = c.Streams.Statistics(t.Context(), id)
		got := of(s)
		return err == nil && s.BytesIn > 50_000 && got.BytesOut > 50_000 && got.Viewers > 0 && s.Most >= got.Viewers && len(s.Series) > 0 && s.Series[0].BitsIn > 0
	}) {
		t.Fatalf("statistics are %+v", s)
	}
	if s.Since == nil || s.Until != nil || s.MostAt == nil || s.MostAt.Before(*s.Since) || s.BytesOut < of(s).BytesOut {
		t.Errorf("statistics are %+v", s)
	}
	status, _, metrics, err := get(t.Context(), c.URL+"/metrics")
	if err != nil || status != http.StatusOK {
		t.Fatalf("metrics: %d, %v", status, err)
	}
	for _, line := range []string{
		`liuyun_live_streams_count [1-9].*`, `liuyun_live_inputs_count\{protocol="[a-z]+"\} [1-9].*`, `liuyun_live_received_bytes_total\{protocol="[a-z]+"\} [1-9].*`,
		`liuyun_live_viewers_count\{way="` + way + `"\} [1-9].*`, `liuyun_live_sent_bytes_total\{way="` + way + `"\} [1-9].*`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).Match(metrics) {
			t.Errorf("no line %s in the metrics", line)
		}
	}
}

func fetch(t *testing.T, address string) []byte {
	t.Helper()
	status, header, body, err := get(t.Context(), address)
	if err != nil || status != http.StatusOK || len(body) == 0 {
		t.Fatalf("%s: %d, %v", address, status, err)
	}
	if kept := header.Get("Cache-Control"); !strings.Contains(kept, "immutable") {
		t.Errorf("%s may be kept %q", address, kept)
	}
	return body
}
