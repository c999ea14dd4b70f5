package testkit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Clip says how ffmpeg makes a test clip. The constructors give the usual ones;
// change a field to get another.
type Clip struct {
	// Name is the file's name; its extension chooses the container.
	Name string
	// Args are ffmpeg's arguments before the name of the output.
	Args []string
	// Turn asks players of an MP4 to turn the picture clockwise by 90°.
	Turn bool
}

// lossless is a quick H.264 encode from which pictures come out as they went in.
func lossless(more ...string) []string {
	return append([]string{"-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-pix_fmt", "yuv420p"}, more...)
}

func lavfi(graph string) []string { return []string{"-f", "lavfi", "-i", graph} }

func join(parts ...[]string) (all []string) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// Pattern is moving test pictures with a 440 Hz tone, at a constant frame rate.
// rate is as ffmpeg reads it ("25", "30000/1001").
func Pattern(width, height int, rate string, seconds float64) Clip {
	return Clip{
		Name: "pattern.mp4",
		Args: join(
			lavfi(fmt.Sprintf("testsrc2=size=%dx%d:rate=%s:duration=%g", width, height, rate, seconds)),
			lavfi(fmt.Sprintf("sine=frequency=440:sample_rate=48000:duration=%g", seconds)),
			[]string{"-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p", "-c:a", "aac"},
		),
	}
}

// Variable is Pattern's pictures at a variable frame rate without sound: of each
// twelve frames at 30 a second, five are missing, in runs of two and three.
func Variable(seconds float64) Clip {
	return Clip{
		Name: "variable.mp4",
		Args: join(
			lavfi(fmt.Sprintf("testsrc2=size=320x180:rate=30:duration=%g,select='not(between(mod(n,12),3,4)+between(mod(n,12),8,10))'", seconds)),
			[]string{"-fps_mode", "vfr"}, lossless(),
		),
	}
}

// FlashBeep is black and silent but for one white frame and a 1 kHz tone of
// 40 ms that begin together at each whole second from 1 on. The sound is PCM, so
// that nothing in the file shifts it. rate is whole frames a second.
func FlashBeep(rate, seconds int) Clip {
	return Clip{
		Name: "flashbeep.mov",
		Args: join(
			lavfi(fmt.Sprintf("color=black:size=320x180:rate=%d:duration=%d,format=yuv420p,"+
				"drawbox=color=white:t=fill:enable='gt(n,0)*eq(mod(n,%d),0)'", rate, seconds, rate)),
			lavfi(fmt.Sprintf("aevalsrc='gte(t,1)*lt(mod(t,1),0.04)*0.8*sin(2*PI*1000*t)':sample_rate=48000:duration=%d", seconds)),
			lossless("-bf", "0", "-c:a", "pcm_s16le"),
		),
	}
}

// Interlaced is top field first at 25 frames, 50 fields, a second.
func Interlaced(seconds float64) Clip {
	return Clip{
		Name: "interlaced.mp4",
		Args: join(
			lavfi(fmt.Sprintf("testsrc2=size=720x576:rate=50:duration=%g,interlace=scan=tff", seconds)),
			[]string{"-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p",
				"-flags", "+ildct+ilme", "-x264-params", "tff=1"},
		),
	}
}

// Rotated is coded 320×180 with a display matrix that makes it upright 180×320.
func Rotated(seconds float64) Clip {
	return Clip{
		Name: "rotated.mp4",
		Args: join(
			lavfi(fmt.Sprintf("testsrc2=size=320x180:rate=25:duration=%g", seconds)),
			lossless(),
		),
		Turn: true,
	}
}

// Numbered is pictures that carry their frame number as FrameNumber reads it,
// without sound. A new shot begins at each frame in cuts.
func Numbered(rate string, frames int, cuts ...int) Clip {
	return Clip{
		Name: "numbered.mp4",
		Args: join(lavfi(numberedGraph(fmt.Sprintf("%s,trim=end_frame=%d", rate, frames), cuts...)), []string{"-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p"}),
	}
}

// NumberedGraph is what ffmpeg's lavfi reads for pictures as those of Numbered,
// without an end.
func NumberedGraph(rate string) string { return numberedGraph(rate) }

func numberedGraph(rate string, cuts ...int) string {
	var graph strings.Builder
	fmt.Fprintf(&graph, "testsrc2=size=640x360:rate=%s,format=yuv420p", rate)
	for i, cut := range cuts {
		fmt.Fprintf(&graph, ",hue=h=%d:enable='gte(n,%d)',negate=enable='gte(n,%d)'", 70*(i+1), cut, cut)
	}
	const cell = 640 / numberBits
	graph.WriteString(",drawbox=x=0:y=0:w=iw:h=80:color=black:t=fill")
	for bit := range numberBits {
		fmt.Fprintf(&graph, ",drawbox=x=%d:y=0:w=%d:h=80:color=white:t=fill:enable='gt(bitand(n,%d),0)'", bit*cell, cell, 1<<bit)
	}
	return graph.String()
}

// numberBits is how many bits a picture of Numbered has room for.
const numberBits = 16

// turn writes the display matrix into the first track header (ISO/IEC 14496-12
// §8.3.2, version 0). The option for it differs between versions of ffmpeg.
func turn(path string) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const beforeMatrix = 4 + 40 // the type, then the fields from version to volume
	at := bytes.Index(file, []byte("tkhd")) + beforeMatrix
	if at < beforeMatrix || at+36 > len(file) {
		return errors.New("no track header")
	}
	for i, v := range [9]uint32{0, 1 << 16, 0, 0xffff0000, 0, 0, 0, 0, 1 << 30} {
		binary.BigEndian.PutUint32(file[at+4*i:], v)
	}
	return os.WriteFile(path, file, 0o600)
}

// FrameNumber reads the number from the luma plane of a picture of Numbered at
// any size.
func FrameNumber(luma []byte, stride, width, height int) int {
	number := 0
	for bit := range numberBits {
		x := (2*bit + 1) * width / (2 * numberBits)
		if y := height / 9; luma[y*stride+x] > 127 {
			number |= 1 << bit
		}
	}
	return number
}

// Generate makes the clip and returns its path. What was once made is kept in
// the temporary folder for later runs; the file is read-only.
func Generate(t testing.TB, clip Clip) string {
	t.Helper()
	ffmpeg := FFmpeg(t)
	program, err := os.Stat(ffmpeg)
	if err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%s %d %q %q %t", program.ModTime(), program.Size(), clip.Name, clip.Args, clip.Turn))
	folder := filepath.Join(os.TempDir(), fmt.Sprintf("liuyun-testkit-%d", os.Getuid()), fmt.Sprintf("%x", key[:8]))
	path := filepath.Join(folder, clip.Name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	// Made apart and renamed, so that other tests see nothing or all of it.
	scratch, err := os.MkdirTemp(folder, "making-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(scratch)
	made := filepath.Join(scratch, clip.Name)
	args := join([]string{"-hide_banner", "-loglevel", "error", "-nostdin"}, clip.Args, []string{made})
	if out, err := exec.CommandContext(t.Context(), ffmpeg, args...).CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s\n%q", clip.Name, err, out, args)
	}
	if clip.Turn {
		if err := turn(made); err != nil {
			t.Fatalf("turn %s: %v", clip.Name, err)
		}
	}
	if err := os.Rename(made, path); err != nil {
		t.Fatal(err)
	}
	return path
}
