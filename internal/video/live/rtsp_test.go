package live

import (
	"os/exec"
	"strings"
	"testing"

	"liuyun/internal/testkit"
)

// What a program pushes by RTSP is on air, and is read there too.
func TestRTSP(t *testing.T) {
	t.Parallel()
	ffmpeg, ffprobe := testkit.FFmpeg(t), testkit.FFprobe(t)
	c := newCloud(t)
	c.serve(t)
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{"playback_policy":"signed"}`)
	address, found := strings.CutSuffix(made.Ingest.RTSP.URL, "/"+made.Ingest.RTMP.Key)
	if !found || !strings.HasPrefix(address, "rtsp://127.0.0.1:") {
		t.Fatalf("a camera is told %q", made.Ingest.RTSP.URL)
	}
	if s, _ := c.call(t, writer, 200, "GET", "/v1/streams/"+made.ID, ""); s.Ingest.RTSP.URL != address {
		t.Errorf("later it is %q, want %q", s.Ingest.RTSP.URL, address)
	}
	push := exec.CommandContext(t.Context(), ffmpeg, "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-threads", "1", "-f", "rtsp", "-rtsp_transport", "tcp", made.Ingest.RTSP.URL)
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = push.Process.Kill() // the context has ended it
		_ = push.Wait()
	})
	c.await(t, made.ID, Live)
	// The token of a signed address lets a reader in.
	signed := made.Playback.HLS
	_, token, _ := strings.Cut(signed, "~")
	token, _, _ = strings.Cut(token, "/")
	play := strings.TrimSuffix(address, "/live") + "/play/" + made.ID
	out, err := exec.CommandContext(t.Context(), ffprobe, "-v", "error", "-rtsp_transport", "tcp", "-show_entries", "stream=codec_name,width", "-of", "csv=p=0", play+"?token="+token).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "h264,320") {
		t.Errorf("a reader sees %s, %v", out, err)
	}
	if out, err := exec.CommandContext(t.Context(), ffprobe, "-v", "error", "-rtsp_transport", "tcp", play).CombinedOutput(); err == nil || !strings.Contains(string(out), "403") {
		t.Errorf("a reader without a token sees %s, %v", out, err)
	}
}
