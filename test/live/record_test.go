package live

import (
	"bytes"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/av/hls"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// awaitStored waits until so many seconds of a recording are stored, and returns which
// asset it is.
func (c *cloud) awaitStored(t *testing.T, stream string, seconds float64) string {
	t.Helper()
	var s client.Stream
	if !program.Eventually(patience, func() bool {
		var err error
		s, err = c.Streams.Get(t.Context(), stream)
		return err == nil && s.Recording != nil && s.Recording.Duration >= seconds
	}) {
		t.Fatalf("of the recording %+v, want %.1f s", s.Recording, seconds)
	}
	return s.Recording.Asset
}

// awaitAsset waits until an asset is ready.
func (c *cloud) awaitAsset(t *testing.T, id string) client.Asset {
	t.Helper()
	var a client.Asset
	if !program.Eventually(patience, func() bool {
		var err error
		a, err = c.Assets.Get(t.Context(), id)
		return err == nil && a.Status.Ended()
	}) || a.Status != client.Ready {
		t.Fatalf("the asset is %s: %+v", a.Status, a.Failure)
	}
	return a
}

// played is what ffprobe decodes of a presentation.
type played struct{ pictures, sounds int }

func play(t *testing.T, address string) (p played) {
	t.Helper()
	for _, track := range decoded(t, address) {
		switch track.codec {
		case "h264":
			p.pictures += track.frames
		case "aac":
			p.sounds += track.frames
		}
	}
	return p
}

// whole checks an asset that was recorded, and returns its playlist of pictures: it
// plays from its first segment to its last, and is described as others are.
func (c *cloud) whole(t *testing.T, a client.Asset, stream string) *hls.LivePlaylist {
	t.Helper()
	if len(a.Renditions) != 1 || a.Renditions[0].Width != 320 || a.Renditions[0].Codec != "h264" || len(a.Tracks) != 2 || a.Tracks[1].Codec != "aac" ||
		a.Duration <= 0 || a.Stored <= 0 || a.Recording == nil || a.Recording.Stream != stream || a.Recording.Start == nil || a.Playback.DASH == "" {
		t.Errorf("the asset is %+v", a)
	}
	master := c.Resolve(a.Playback.HLS)
	lists := map[string]*hls.LivePlaylist{}
	for _, rendition := range []string{"video", "audio"} {
		address := strings.TrimSuffix(master, "master.m3u8") + rendition + "/media.m3u8"
		status, _, text, err := get(t.Context(), address)
		if err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %v", address, status, err)
		}
		checked, problems := hls.Check(text, nil)
		for _, p := range problems {
			t.Errorf("%s: %s\n%s", rendition, p, text)
		}
		lists[rendition] = &checked.Playlist
	}
	video := lists["video"]
	if !video.Ended || len(video.Segments) != len(lists["audio"].Segments) {
		t.Errorf("ended: %v; %d segments of pictures, %d of sound", video.Ended, len(video.Segments), len(lists["audio"].Segments))
	}
	var lasts time.Duration
	for _, s := range video.Segments {
		lasts += s.Duration
	}
	if math.Abs(lasts.Seconds()-a.Duration) > 0.01 {
		t.Errorf("the playlist has %v, the asset %.3f s", lasts, a.Duration)
	}
	if got := a.Recording.Start.Sub(video.Segments[0].Time).Abs(); got > time.Millisecond {
		t.Errorf("it begins at %v, and says %v", video.Segments[0].Time, a.Recording.Start)
	}
	addresses := map[string]string{"HLS": master}
	_, _, manifest, err := get(t.Context(), c.Resolve(a.Playback.DASH))
	want := 1 // each with the same tracks from its beginning to its end
	for i, s := range video.Segments {
		if i > 0 && (s.Discontinuity || lists["audio"].Segments[i].Gap != lists["audio"].Segments[i-1].Gap) {
			want++
		}
	}
	if periods := bytes.Count(manifest, []byte("<Period ")); err != nil || periods != want {
		t.Errorf("the manifest of DASH has %d periods, want %d; %v", periods, want, err)
	} else if periods == 1 { // ffmpeg plays one of several
		addresses["DASH"] = c.Resolve(a.Playback.DASH)
	}
	for kind, address := range addresses {
		p := play(t, address)
		// ffmpeg's reader of DASH stops where the first track ends.
		if want := int(math.Round(lasts.Seconds() * 25)); p.pictures > want || p.pictures < want && (kind == "HLS" || p.pictures < want-25) {
			t.Errorf("%s: %d pictures of %d", kind, p.pictures, want)
		}
		if want := lasts.Seconds() * 48000 / 1024; math.Abs(float64(p.sounds)-want) > 30 {
			t.Errorf("%s: %d frames of sound, about %.0f would be all", kind, p.sounds, want)
		}
	}
	return video
}

func breaks(l *hls.LivePlaylist) (count int) {
	for _, s := range l.Segments {
		if s.Discontinuity {
			count++
		}
	}
	return count
}

// A stream is recorded over the kill of the server, and clips are made of it.
func TestRecording(t *testing.T) {
	t.Parallel() // it waits most of the time
	testkit.FFprobe(t)
	data := filepath.Join(t.TempDir(), "data")
	c := start(t, data)
	s, err := c.Streams.Create(t.Context(), client.NewStream{Name: "Council", Record: true})
	if err != nil {
		t.Fatal(err)
	}
	key := s.Ingest.RTMP.Key
	encoder := push(t, ingest(s, key))
	asset := c.awaitStored(t, s.ID, 8)

	// Killed, the server goes on with the same asset, and with what was not copied yet.
	before := time.Now()
	c.Kill()
	encoder.kill()
	c = start(t, data)
	c.await(t, s.ID, client.StreamReconnecting)
	if s, err = c.Streams.Get(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	push(t, ingest(s, key))
	c.await(t, s.ID, client.StreamLive)
	if again := c.awaitStored(t, s.ID, 16); again != asset {
		t.Errorf("after the kill it is recorded into %s, and was into %s", again, asset)
	}
	clip, err := c.Streams.Clip(t.Context(), s.ID, client.NewClip{Name: "The vote", Last: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	cut := c.awaitAsset(t, clip.Asset)
	c.whole(t, cut, s.ID)
	if cut.Name != "The vote" || cut.Duration < 5 || cut.Duration > 5+2*6 || cut.Recording.Start.Sub(clip.Start).Abs() > time.Millisecond {
		t.Errorf("the clip is %+v and said %+v", cut, clip)
	}

	off := false
	if _, err := c.Streams.Update(t.Context(), s.ID, client.StreamChange{Record: &off}); err != nil {
		t.Fatal(err)
	}
	a := c.awaitAsset(t, asset)
	video := c.whole(t, a, s.ID)
	var away time.Duration
	for i, segment := range video.Segments {
		if segment.Discontinuity {
			away = segment.Time.Sub(video.Segments[i-1].Time.Add(video.Segments[i-1].Duration))
		}
		if segment.Gap {
			t.Errorf("%s is a gap", segment.URI)
		}
	}
	if breaks(video) != 1 || away < after.Sub(before)-2*time.Second || len(a.Warnings) != 1 {
		t.Errorf("%d discontinuities; the last one stands for %v, the server was away for %v; %v", breaks(video), away, after.Sub(before), a.Warnings)
	}

	// The window of the stream is not the asset's: it plays on when that is gone.
	if err := c.Streams.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	c.whole(t, cut, s.ID)
	if status := c.Stop(); status != 0 {
		t.Errorf("the server ended with status %d", status)
	}
}
