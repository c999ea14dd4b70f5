package edge

import (
	"net/http"
	"os/exec"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
)

// Who watches a stream by edges is counted there, each once, and by the control node only
// who asks it. A shield counts nobody.
func TestViewers(t *testing.T) {
	t.Parallel()
	ffmpeg := testkit.FFmpeg(t)
	c := startCloud(t, "control,live", "--set", "live.rtmp_listen=127.0.0.1:"+freePort(t))
	shield, e := c.shielded(t, nil)
	stream, err := c.Streams.Create(t.Context(), client.NewStream{Ladder: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	encoder := exec.CommandContext(t.Context(), ffmpeg, "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10", "-c:v", "libx264",
		"-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10", "-f", "flv", stream.Ingest.RTMP.URL+"/"+stream.Ingest.RTMP.Key)
	if err := encoder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = encoder.Wait() }() // it is killed
	defer func() { _ = encoder.Process.Kill() }()
	path := "/play/" + stream.ID + "/master.m3u8"
	eventually(t, patience, "the stream is on air", func() bool { return e.get(t, cloudHost, path).status == http.StatusOK })
	counted := func(want int, watch func()) {
		t.Helper()
		got := -1
		eventually(t, patience, "viewers are counted", func() bool {
			watch()
			now, err := c.Streams.Get(t.Context(), stream.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got != now.Viewers {
				t.Logf("%d viewers", now.Viewers)
			}
			got = now.Viewers
			return got == want
		})
	}
	counted(5, func() {
		for _, agent := range []string{"one", "two", "three"} {
			e.get(t, cloudHost, path, "User-Agent", agent)
		}
		shield.get(t, cloudHost, path, "User-Agent", "one")
		in, _ := ask(t, http.DefaultClient, c.URL+path)
		if in.StatusCode != http.StatusOK {
			t.Errorf("the control node answers with status %d", in.StatusCode)
		}
	})
	counted(0, func() {})
}
