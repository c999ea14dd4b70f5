package live

import (
	"bytes"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"liuyun/internal/testkit"
)

// encoder is an ffmpeg that pushes.
type encoder struct {
	command *exec.Cmd
	ended   chan struct{}
}

// send starts an ffmpeg that sends a film to where its last arguments say, until the
// test ends.
func send(t *testing.T, film []string, output ...string) *encoder {
	t.Helper()
	e := &encoder{command: exec.Command(testkit.FFmpeg(t), slices.Concat([]string{"-nostdin", "-v", "warning"}, film, output)...), ended: make(chan struct{})}
	var said bytes.Buffer
	e.command.Stderr = &said
	if err := e.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = e.command.Wait(); close(e.ended) }() // it is killed
	t.Cleanup(func() {
		e.kill()
		if t.Failed() && said.Len() > 0 {
			t.Logf("an encoder said: %s", said.String())
		}
	})
	return e
}

func (e *encoder) kill() {
	_ = e.command.Process.Kill() // it may be gone
	<-e.ended
}

// film is a moving picture of that size, with pictures that refer to later ones, and a
// tone, at the pace that options of an input say.
func film(size string, pace ...string) []string {
	return slices.Concat(inputs(size, pace...), []string{"-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-g", "50", "-bf", "2",
		"-pix_fmt", "yuv420p", "-b:v", "300k", "-c:a", "aac", "-b:a", "64k", "-ac", "2"})
}

// large is one of 854×480 with a key frame each so many pictures, and sound that is not
// encoded yet.
func large(group int) []string {
	return slices.Concat(inputs("854x480", "-re"), []string{"-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-g", strconv.Itoa(group), "-bf", "2",
		"-sc_threshold", "0", "-pix_fmt", "yuv420p", "-b:v", "1M", "-ac", "2"})
}

func inputs(size string, pace ...string) []string {
	return slices.Concat(pace, []string{"-f", "lavfi", "-i", "testsrc2=size=" + size + ":rate=25"},
		pace, []string{"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"})
}

// push sends by RTMP.
func push(t *testing.T, address string) *encoder {
	t.Helper()
	return pushSize(t, address, "320x180")
}

// pushSize is push of pictures of another size.
func pushSize(t *testing.T, address, size string) *encoder {
	t.Helper()
	return send(t, film(size, "-re"), "-f", "flv", address)
}

// pushRTSP is push by RTSP.
func pushRTSP(t *testing.T, transport, address string) *encoder {
	t.Helper()
	return send(t, film("320x180", "-re"), "-f", "rtsp", "-rtsp_transport", transport, address)
}

// pushSRT is push by SRT.
func pushSRT(t *testing.T, address string) *encoder {
	t.Helper()
	return send(t, film("320x180", "-re"), "-f", "mpegts", address)
}
