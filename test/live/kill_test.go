package live

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/av/hls"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// A server that is killed within a segment loses no more of it than the part that was
// open: who comes after finds the others in the window and in the recording.
func TestKilledWithinASegment(t *testing.T) {
	t.Parallel() // it waits most of the time
	testkit.FFprobe(t)
	data := filepath.Join(t.TempDir(), "data")
	c := start(t, data)
	s, err := c.Streams.Create(t.Context(), client.NewStream{Name: "Cut off", Record: true})
	if err != nil {
		t.Fatal(err)
	}
	encoder := push(t, ingest(s, s.Ingest.RTMP.Key))
	asset := c.awaitStored(t, s.ID, 4)
	path := "/play/" + s.ID + "/video/"
	video := poll(t, c.URL+path+"media.m3u8")
	var before hls.LivePlaylist
	if !program.Eventually(patience, func() bool {
		before, _ = video.playlist()
		return len(before.Open.Parts) >= 4
	}) {
		t.Fatalf("no segment has four parts: %v", video.problems)
	}
	first := fetch(t, c.URL+path+before.Open.Parts[0].URI)
	c.Kill()
	encoder.kill()
	video.end()
	before, _ = video.playlist() // the newest that anybody saw
	number := next(before)

	c = start(t, data)
	_, _, text, err := get(t.Context(), c.URL+path+"media.m3u8")
	if err != nil {
		t.Fatal(err)
	}
	after, problems := hls.Check(text, nil)
	for _, problem := range problems {
		t.Errorf("%s\n%s", problem, text)
	}
	segment := after.Playlist.Segments[number-after.Playlist.MediaSequence]
	var told time.Duration // that was told of and is not the last, which might not have been whole
	for _, part := range before.Open.Parts[:max(len(before.Open.Parts)-1, 0)] {
		told += part.Duration
	}
	if segment.Gap || segment.Duration < told-time.Millisecond {
		t.Errorf("of segment %d %v are left, gap %v; players were told of %v in %d parts", number, segment.Duration, segment.Gap, told, len(before.Open.Parts))
	}
	if told > 0 && strings.HasPrefix(before.Open.Parts[0].URI, strings.TrimSuffix(segment.URI, "m4s")) {
		if got := fetch(t, c.URL+path+segment.URI); !bytes.HasPrefix(got, first) {
			t.Error("the segment does not begin as its first part did")
		}
	}

	// Nobody sends any more: the stream is idle after a while, and the recording ready.
	a := c.awaitAsset(t, asset)
	recorded := c.whole(t, a, s.ID)
	found := false
	for _, r := range recorded.Segments {
		found = found || r.URI == segment.URI && r.Duration == segment.Duration
	}
	if !found {
		t.Errorf("%s is not in the recording: %+v", segment.URI, recorded.Segments)
	}
}
