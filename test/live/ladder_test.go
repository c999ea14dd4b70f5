package live

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/av/hls"
	"liuyun/internal/av/mp4"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// withLadder makes a stream of which renditions are made.
func (c *cloud) withLadder(t *testing.T, names ...string) client.Stream {
	t.Helper()
	s, err := c.Streams.Create(t.Context(), client.NewStream{Name: "Town hall", Ladder: names})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// children are the processes of the server whose arguments have that word.
func (c *cloud) children(word string) (pids []int) {
	for _, pid := range program.Children(c.Pid) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // gone meanwhile: without arguments
		if bytes.Contains(line, []byte(word)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// alike looks whether segments of a rendition are those of another: the same numbers
// last as long and are of the same time, but for the pictures whose order of decoding is
// another. It returns how many both have.
func alike(t *testing.T, name string, a, b hls.LivePlaylist) (both int) {
	t.Helper()
	const reordered = 121 * time.Millisecond // three pictures
	for i, s := range a.Segments {
		n := a.MediaSequence + int64(i) - b.MediaSequence
		if n < 0 || n >= int64(len(b.Segments)) || s.Gap || b.Segments[n].Gap {
			continue
		}
		other := b.Segments[n]
		if d := (s.Duration - other.Duration).Abs(); d > reordered || s.Time.Sub(other.Time).Abs() > reordered || s.Discontinuity != other.Discontinuity {
			t.Errorf("%s: segment %s of %v at %v, the source's is of %v at %v", name, s.URI, s.Duration, s.Time, other.Duration, other.Time)
		}
		both++
	}
	return both
}

// keyed looks whether each segment that is no gap begins with a key frame, but for the
// second one of the stream: the first ends soon, wherever that is.
func keyed(t *testing.T, p *poller, l hls.LivePlaylist) {
	t.Helper()
	for i, s := range l.Segments {
		if i == 1 || s.Gap {
			continue
		}
		data := fetch(t, strings.TrimSuffix(p.address, "media.m3u8")+s.URI)
		if parts := mp4.ReadFragments(bytes.NewReader(data), int64(len(data))); len(parts) == 0 || !parts[0].Key {
			t.Errorf("%s begins with no key frame", p.address+" "+s.URI)
		}
	}
}

// gaps counts the gaps behind the first segment that is none, and breaks.
func gaps(l hls.LivePlaylist) (count int) {
	begun := false
	for _, s := range l.Segments {
		if begun = begun || !s.Gap; begun && (s.Gap || s.Discontinuity) {
			count++
		}
	}
	return count
}

// Renditions have the segments of the source, through a child that is killed; they are
// in the playlist that players begin with, and can be changed while it goes on.
func TestLadder(t *testing.T) {
	testkit.FFprobe(t)
	c := start(t, t.TempDir())
	s := c.withLadder(t, "480p", "360p")
	send(t, large(50), "-c:a", "aac", "-f", "flv", ingest(s, s.Ingest.RTMP.Key))
	c.await(t, s.ID, client.StreamLive)
	master := c.Resolve(s.Playback.HLS)
	c.playable(t, master)
	video, large, small := rendition(t, master, "video"), rendition(t, master, "480p"), rendition(t, master, "360p")
	begun := video.awaitSegments(t, 0)
	large.awaitSegments(t, next(begun))
	watch(t, master)

	killed := c.children("matroska")
	if len(killed) != 1 {
		t.Fatalf("%d children make renditions, want 1", len(killed))
	}
	if err := syscall.Kill(killed[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	now, _ := video.playlist()
	small.awaitSegments(t, next(now)+1)
	if again := c.children("matroska"); len(again) != 1 || again[0] == killed[0] {
		t.Errorf("children after the kill: %v, before: %v", again, killed)
	}
	text := string(playlistText(t, master))
	for _, name := range []string{"video/media.m3u8", "480p/media.m3u8", "360p/media.m3u8"} {
		if !strings.Contains(text, name) {
			t.Errorf("%s is not in the multivariant playlist:\n%s", name, text)
		}
	}
	h := c.rungs(t, s.ID, 2)
	if h.Rungs[0].Name != "480p" || h.Rungs[0].State != "made" || h.Rungs[1].State != "made" || h.RungsLost > 0 {
		t.Errorf("health: %+v", h)
	}
	source := video.verdict(t)
	for name, p := range map[string]*poller{"480p": large, "360p": small} {
		l := p.verdict(t)
		if both := alike(t, name, l, source); both < 3 || gaps(l) > 0 {
			t.Errorf("%s: %d segments beside the source's, %d gaps", name, both, gaps(l))
		}
		keyed(t, p, l)
	}

	if _, err := c.Streams.Update(t.Context(), s.ID, client.StreamChange{Ladder: []string{}}); err != nil {
		t.Fatal(err)
	}
	c.rungs(t, s.ID, 0)
	if !program.Eventually(patience, func() bool { return len(c.children("matroska")) == 0 }) {
		t.Error("renditions are still made that nobody wants")
	}
}

// rungs waits until the health of a stream shows so many renditions.
func (c *cloud) rungs(t *testing.T, id string, count int) *client.StreamHealth {
	t.Helper()
	var h *client.StreamHealth
	if !program.Eventually(patience, func() bool {
		s, err := c.Streams.Get(t.Context(), id)
		h = s.Health
		return err == nil && h != nil && len(h.Rungs) == count
	}) {
		t.Fatalf("health is %+v, want %d renditions", h, count)
	}
	return h
}

// An encoder that sends no second key frame, and sound in Opus: viewers get renditions
// with key frames, and AAC.
func TestRepairs(t *testing.T) {
	testkit.FFprobe(t)
	c := start(t, t.TempDir())
	s := c.withLadder(t, "360p")
	send(t, large(200), "-c:a", "libopus", "-f", "rtsp", "-rtsp_transport", "tcp", s.Ingest.RTSP.URL)
	c.await(t, s.ID, client.StreamLive)
	master := c.Resolve(s.Playback.HLS)
	c.playable(t, master)
	c.troubled(t, s.ID, "transcoded", true)
	c.rungs(t, s.ID, 2)
	if !program.Eventually(patience, func() bool { return !strings.Contains(string(playlistText(t, master)), "video/media.m3u8") }) {
		t.Error("the source is still listed")
	}
	large, small, sound := rendition(t, master, "480p"), rendition(t, master, "360p"), rendition(t, master, "aac")
	l := small.awaitSegments(t, 0)
	large.awaitSegments(t, next(l)+5) // the first of them may be gaps
	small.awaitSegments(t, next(l)+5)
	sound.awaitSegments(t, next(l)+1)
	below, above := small.verdict(t), large.verdict(t)
	sound.verdict(t)
	if both := alike(t, "480p", above, below); both < 2 {
		t.Errorf("%d segments in both renditions", both)
	}
	keyed(t, large, above)
	h := c.rungs(t, s.ID, 2)
	t.Logf("health: %+v", h)
}
