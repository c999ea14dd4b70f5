package hostile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"liuyun/internal/testkit"
)

// file is a broken file and what has to come of it.
type file struct {
	name   string
	data   []byte
	says   string // a regular expression that the reason matches; "" when it may be encoded
	frames int    // at least so many pictures are encoded
	warns  bool   // the report has a warning
}

// made makes the files. address is where nothing may connect to.
func made(t *testing.T, address string) []file {
	t.Helper()
	whole := map[string][]byte{}
	for _, name := range []string{"clip.mp4", "clip.mkv", "clip.ts"} {
		clip := testkit.Pattern(320, 180, "25", 6)
		clip.Name = name
		clip.Args = append(clip.Args, "-g", "25")
		whole[name] = []byte(content(t, testkit.Generate(t, clip)))
	}
	files := []file{
		{name: "empty.mp4", says: "empty"},
		{name: "one-byte.mp4", data: []byte{0}, says: "not a media file|ends before|damaged|incomplete"},
		{name: "text.mp4", data: []byte(strings.Repeat("Not a film at all.\n", 500)), says: "not a media file|damaged"},
		{name: "zeros.mp4", data: make([]byte, 1<<20), says: "not a media file|damaged"},
		{name: "random.mp4", data: noise(1<<20, 1), says: "."},
		{name: "random.ts", data: noise(1<<20, 2), says: "."},
		{name: "random-after-head.mkv", data: overwritten(whole["clip.mkv"], 4096, noise(1<<20, 3)), says: ""},
		{name: "damaged.mp4", data: damaged(whole["clip.mp4"], 40), warns: true},
		{name: "damaged.ts", data: damaged(whole["clip.ts"], 40), frames: 50, warns: true},
		{name: "damaged.mkv", data: damaged(whole["clip.mkv"], 40), warns: true},
		{name: "encrypted.mp4", data: replaced(t, whole["clip.mp4"], "avc1", "encv"), says: "encrypted"},
		{name: "unknown-codec.mp4", data: replaced(t, whole["clip.mp4"], "avc1", "zzzz"), says: "cannot decode|codec"},
		{name: "huge-box.mp4", data: box("ftyp", 0xfffffff0, []byte("isom")), says: "."},
		{name: "huge-long-box.mp4", data: append(box("ftyp", 16, []byte("isom\x00\x00\x00\x00")), 0, 0, 0, 1, 'm', 'o', 'o', 'v', 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), says: "."},
		{name: "deep-boxes.mp4", data: deep(20000), says: "."},
		{name: "many-boxes.mp4", data: bytes.Repeat(box("free", 8, nil), 200_000), says: "."},
		{name: "many-tracks.mp4", data: manyTracks(t, whole["clip.mp4"], 100)},
		{name: "huge-table.mp4", data: hugeTable(t, whole["clip.mp4"])},
		{name: "huge-picture.mp4", data: hugePicture(t), says: "pictures? of|impossible|damaged|limit"},
		{name: "playlist.m3u8", data: playlist(address), says: "playlist|other files|not a media file"},
		{name: "playlist.mp4", data: playlist(address), says: "playlist|other files|not a media file"},
		{name: "concat.txt", data: fmt.Appendf(nil, "ffconcat version 1.0\nfile /etc/passwd\nfile http://%s/a.mp4\n", address), says: "other files|not a media file|not supported"},
		{name: "session.sdp", data: session(address), says: "network|not a media file|other"},
		{name: "manifest.mpd", data: manifest(address), says: "playlist|other files|not a media file"},
		{name: "reference.mov", data: reference(t, whole["clip.mp4"]), says: ""},
	}
	for name, data := range whole {
		for _, percent := range []int{10, 50, 90} {
			f := file{name: fmt.Sprintf("cut-at-%d-%s", percent, name), data: data[:len(data)*percent/100]}
			switch {
			case name == "clip.mp4":
				f.says = "incomplete.*moov|moov.*missing"
			default:
				// Where a stream breaks off between two packets, nothing shows it in TS.
				f.frames, f.warns = 150*percent/100*8/10, name == "clip.mkv"
			}
			files = append(files, f)
		}
	}
	return append(files, oddTimes(t)...)
}

// oddTimes are clips whose timestamps no camera makes.
func oddTimes(t *testing.T) []file {
	t.Helper()
	pattern := func(name string, more ...string) testkit.Clip {
		clip := testkit.Pattern(320, 180, "25", 3)
		clip.Name = name
		clip.Args = append(clip.Args, more...)
		return clip
	}
	read := func(clip testkit.Clip) []byte { return []byte(content(t, testkit.Generate(t, clip))) }
	start := read(pattern("start.ts"))
	later := read(pattern("later.ts", "-output_ts_offset", "18000"))
	return []file{
		{name: "jump-of-hours.ts", data: append(bytes.Clone(start), later...), warns: true},
		{name: "jump-back.ts", data: append(bytes.Clone(later), start...), warns: true},
		{name: "twice.ts", data: append(bytes.Clone(start), start...), warns: true},
		{name: "late-start.ts", data: later, frames: 75},
		{name: "clusters-of-1ms.mkv", data: read(pattern("clusters.mkv", "-cluster_time_limit", "1")), frames: 75},
	}
}

func noise(size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// overwritten is data with other bytes from an offset on.
func overwritten(data []byte, offset int, with []byte) []byte {
	data = bytes.Clone(data)
	copy(data[offset:], with)
	return data
}

// damaged is data with count short runs of random bytes, none of them in the
// head.
func damaged(data []byte, count int) []byte {
	data = bytes.Clone(data)
	r := rand.New(rand.NewPCG(4, 0))
	for range count {
		at := len(data)/10 + r.IntN(len(data)*7/10)
		copy(data[at:at+20], noise(20, r.Uint64()))
	}
	return data
}

// replaced is data with the last occurrence of a box type replaced by another.
func replaced(t *testing.T, data []byte, old, new string) []byte {
	t.Helper()
	at := bytes.LastIndex(data, []byte(old))
	if at < 0 {
		t.Fatalf("no %s in the clip", old)
	}
	return overwritten(data, at, []byte(new))
}

func box(kind string, size uint32, body []byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, size), kind...), body...)
}

// deep is a film index of boxes, each inside the one before.
func deep(depth int) []byte {
	var data []byte
	for i := range depth {
		kind := "trak"
		if i == 0 {
			kind = "moov"
		}
		data = append(data, box(kind, uint32(8*(depth-i)), nil)...)
	}
	return append(box("ftyp", 16, []byte("isom\x00\x00\x00\x00")), data...)
}

// index finds a box of the film's index: where it begins and its size.
func index(t *testing.T, data []byte, kind string) (at, size int) {
	t.Helper()
	at = bytes.LastIndex(data, []byte(kind)) - 4
	if at < 0 {
		t.Fatalf("no %s in the clip", kind)
	}
	return at, int(binary.BigEndian.Uint32(data[at:]))
}

// manyTracks repeats the last track of a film.
func manyTracks(t *testing.T, data []byte, count int) []byte {
	t.Helper()
	moov, moovSize := index(t, data, "moov")
	trak, trakSize := index(t, data, "trak")
	more := bytes.Repeat(data[trak:trak+trakSize], count)
	out := append(append(bytes.Clone(data[:trak]), more...), data[trak:]...)
	binary.BigEndian.PutUint32(out[moov:], uint32(moovSize+len(more)))
	return out
}

// hugeTable claims four thousand million samples of sizes that are not there.
func hugeTable(t *testing.T, data []byte) []byte {
	t.Helper()
	at, _ := index(t, data, "stsz")
	data = bytes.Clone(data)
	binary.BigEndian.PutUint32(data[at+16:], 0xffffffff)
	return data
}

// hugePicture is a film whose every header says 65535×65535: MJPEG, where the
// size stands in plain bytes.
func hugePicture(t *testing.T) []byte {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "jpeg.mov")
	out, err := exec.CommandContext(t.Context(), testkit.FFmpeg(t), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=1",
		"-c:v", "mjpeg", "-pix_fmt", "yuvj420p", path).CombinedOutput()
	if err != nil {
		t.Fatalf("make jpeg.mov: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.ReplaceAll(data, []byte{0, 48, 0, 64}, []byte{255, 255, 255, 255}) // JPEG: height, width
	return bytes.ReplaceAll(data, []byte{0, 64, 0, 48}, []byte{255, 255, 255, 255}) // MP4: width, height
}

func playlist(address string) []byte {
	return fmt.Appendf(nil, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n"+
		"#EXTINF:4,\nfile:///etc/passwd\n#EXTINF:4,\nhttp://%s/a.ts\n#EXT-X-ENDLIST\n", address)
}

func session(address string) []byte {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Appendf(nil, "v=0\r\no=- 0 0 IN IP4 %s\r\ns=x\r\nc=IN IP4 %s\r\nt=0 0\r\nm=video %s RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n", host, host, port)
}

func manifest(address string) []byte {
	return fmt.Appendf(nil, `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT4S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>http://%s/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>`, address)
}

// reference is a film whose media is said to lie in another file.
func reference(t *testing.T, data []byte) []byte {
	t.Helper()
	at := bytes.LastIndex(data, []byte("url \x00\x00\x00\x01"))
	if at < 0 {
		t.Fatal("no data reference in the clip")
	}
	return overwritten(data, at, []byte("alis\x00\x00\x00\x00"))
}

// trap is a server that nothing may connect to.
type trap struct{ listener net.Listener }

func newTrap(t *testing.T) trap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			t.Errorf("%s connected to an address that a file names", connection.RemoteAddr())
			connection.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return trap{listener}
}

func (s trap) address() string { return s.listener.Addr().String() }
