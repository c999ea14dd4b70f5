package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/internal/testkit"
	process "liuyun/test/program"
)

// sends has an encoder send numbered pictures of a size until so many seconds more of a
// stream are recorded, and then go.
func sends(t *testing.T, c *client.Client, stream client.Stream, key, size string, seconds float64) {
	t.Helper()
	command := exec.CommandContext(t.Context(), testkit.FFmpeg(t), "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", testkit.NumberedGraph("25")+",scale="+size,
		"-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-bf", "2", "-g", "50",
		"-pix_fmt", "yuv420p", "-b:v", "400k", "-c:a", "aac", "-ac", "2", "-f", "flv", stream.Ingest.RTMP.URL+"/"+key)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Wait()
	defer command.Process.Kill()
	want := -1.0
	if !process.Eventually(2*time.Minute, func() bool {
		s, err := c.Streams.Get(t.Context(), stream.ID)
		if err != nil || s.Recording == nil {
			return false
		}
		if want < 0 {
			want = s.Recording.Duration + seconds
		}
		return s.Recording.Duration >= want
	}) {
		t.Fatal("the stream is not recorded")
	}
}

// A stream whose encoder went and came back with another size is recorded, and plays
// from its beginning to its end in each player, by HLS and by DASH.
func TestRecordingPlays(t *testing.T) {
	chromium := testkit.Program(t, "chromium")
	lab := httptest.NewServer(http.FileServer(http.Dir(".")))
	defer lab.Close()
	server := process.Build(t, testkit.Root(t)).Serve(t, filepath.Join(t.TempDir(), "data"), "--roles", "control,live", "--set", "live.rtmp_listen=127.0.0.1:0")
	c, err := client.New(server.URL, server.Key, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Streams.Create(t.Context(), client.NewStream{Name: "Two sizes", Record: true})
	if err != nil {
		t.Fatal(err)
	}
	sends(t, c, s, s.Ingest.RTMP.Key, "320:180", 4)
	sends(t, c, s, s.Ingest.RTMP.Key, "480:270", 4)
	off := false
	now, err := c.Streams.Update(t.Context(), s.ID, client.StreamChange{Record: &off})
	if err != nil || now.Recording == nil {
		t.Fatalf("%+v, %v", now, err)
	}
	var a client.Asset
	if !process.Eventually(2*time.Minute, func() bool {
		a, err = c.Assets.Get(t.Context(), now.Recording.Asset)
		return err == nil && a.Status == client.Ready
	}) {
		t.Fatalf("the asset is %+v, %v", a, err)
	}
	var checks []check
	for player, address := range map[string]string{"hls.js": a.Playback.HLS, "shaka-hls": a.Playback.HLS, "dash.js": a.Playback.DASH, "shaka-dash": a.Playback.DASH} {
		checks = append(checks, check{Name: player, Kind: "recording", Player: player, URL: c.Resolve(address)})
	}
	job, err := json.Marshal(map[string]any{"chromium": chromium, "lab": lab.URL + "/lab/", "lanes": 2, "checks": checks})
	if err != nil {
		t.Fatal(err)
	}
	out, err := node(t, job, "browser.mjs")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		var f finding
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		t.Run(f.Name, func(t *testing.T) { judgeRecording(t, f, a.Duration) })
	}
}

func judgeRecording(t *testing.T, f finding, duration float64) {
	for _, problem := range f.Problems {
		t.Error(problem)
	}
	if t.Failed() {
		return
	}
	p := f.Played
	widths := map[int]int{}
	for _, picture := range p.Pictures {
		widths[picture.Width]++
	}
	// Players of HLS may leave the time that is missing in between, as its dates say.
	if p.Duration < duration-0.3 || p.Duration > duration+5 || p.End.At < p.Duration-0.5 {
		t.Errorf("it plays to %.3f of %.3f s, and the asset has %.3f s", p.End.At, p.Duration, duration)
	}
	if widths[320] < 25 || widths[480] < 25 {
		t.Errorf("pictures of each width: %v", widths)
	}
	t.Logf("%.2f of %.2f s, %d pictures on show, stalls %v", p.End.At, p.Duration, len(p.Pictures), p.Stalls)
}
