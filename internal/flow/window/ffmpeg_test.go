package window

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"liuyun/internal/av/mp4"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
	"liuyun/internal/testkit"
)

// demux turns the one track of an MP4 file into units.
func demux(t *testing.T, clip, stream string, index int) (hub.Track, []hub.Unit) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "track.mp4")
	output(t, testkit.FFmpeg(t), "-v", "error", "-nostdin", "-i", clip, "-map", stream, "-c", "copy", path)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	source, err := mp4.ReadTrack(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	track := hub.Track{Codec: hub.H264, Clock: 90000, Config: source.Config, Width: source.Width, Height: source.Height, Rate: timebase.R(25, 1)}
	if source.Codec == mp4.AAC {
		track = hub.Track{Codec: hub.AAC, Clock: int64(source.SampleRate), Config: source.Config, Channels: source.Channels}
	}
	scale := func(ticks int64) int64 { return timebase.MulDiv(ticks, track.Clock, int64(source.Timescale)) }
	var units []hub.Unit
	at := int64(0)
	for _, sample := range source.Samples {
		u := hub.Unit{
			Track: index, DTS: scale(at), PTS: scale(at + int64(sample.CompositionOffset)), Key: sample.Sync || track.Codec == hub.AAC,
			Data: file[sample.Offset : sample.Offset+int64(sample.Size)],
		}
		u.Wall = noon().Add(duration(u.DTS, track.Clock))
		units = append(units, u)
		at += int64(sample.Duration)
	}
	return track, units
}

func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var problems bytes.Buffer
	command := exec.CommandContext(ctx, program, args...)
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil || problems.Len() > 0 {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(program), args, err, problems.Bytes())
	}
	return string(out)
}

// serve is the least handler of a group.
func serve(g *Group) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		folder, name, below := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		var answer Answer
		var err error
		switch {
		case !below:
			answer, err = g.Master()
		case name == "media.m3u8":
			answer, err = g.Playlist(r.Context(), folder, Query{MSN: -1, Part: -1})
		default:
			f, err := g.Open(r.Context(), folder, name)
			if err != nil {
				http.Error(w, fault.Message(err), http.StatusNotFound)
				return
			}
			defer f.Close()
			w.Header().Set("Content-Type", f.Type)
			http.ServeContent(w, r, "", time.Time{}, f.Content)
			return
		}
		if err != nil {
			http.Error(w, fault.Message(err), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
		_, _ = w.Write(answer.Text)
	})
}

// ffmpeg's demuxer reads what is served, and every frame of the source is decoded
// with its time and its pixels.
func TestFFmpegPlaysIt(t *testing.T) {
	t.Parallel()
	clip := testkit.Pattern(320, 180, "25", 21)
	clip.Name = "live.mp4"
	clip.Args = append(slices.Clone(clip.Args), "-g", "50", "-bf", "2", "-preset", "veryfast")
	path := testkit.Generate(t, clip)
	video, pictures := demux(t, path, "0:v", 0)
	audio, frames := demux(t, path, "0:a", 1)
	b := newBench(t, Options{})
	b.begin([]hub.Track{video, audio})
	for len(pictures) > 0 || len(frames) > 0 {
		from := &pictures
		if len(pictures) == 0 || len(frames) > 0 && duration(frames[0].DTS, audio.Clock) < duration(pictures[0].DTS, video.Clock) {
			from = &frames
		}
		b.write((*from)[0])
		*from = (*from)[1:]
	}
	b.finish()
	wholeFiles(t, b)
	server := httptest.NewServer(serve(b.g))
	defer server.Close()
	sums := func(from, stream string) []string {
		var lines []string
		for line := range strings.Lines(output(t, testkit.FFmpeg(t), "-v", "error", "-nostdin", "-i", from, "-map", stream, "-f", "framemd5", "-")) {
			if !strings.HasPrefix(line, "#") {
				fields := strings.Split(strings.TrimSpace(line), ",")
				lines = append(lines, strings.TrimSpace(fields[len(fields)-1]))
			}
		}
		return lines
	}
	url := server.URL + "/master.m3u8"
	if got, want := sums(url, "0:v"), sums(path, "0:v"); !slices.Equal(got, want) {
		t.Errorf("%d pictures, want the %d of the source", len(got), len(want))
	}
	// The priming of the encoder, which the file's edit list leaves out, is heard here.
	got, want := sums(url, "0:a"), sums(path, "0:a")
	if len(got) < len(want) || len(got) > len(want)+2 {
		t.Errorf("%d frames of sound, want the %d of the source", len(got), len(want))
	}
	probed := output(t, testkit.FFprobe(t), "-v", "error", "-show_entries", "packet=codec_type,dts_time", "-of", "csv=p=0", url)
	last := map[string]string{}
	for line := range strings.Lines(probed) {
		kind, at, _ := strings.Cut(strings.TrimSpace(line), ",")
		last[kind] = at
	}
	if !strings.HasPrefix(last["video"], "20.9") && !strings.HasPrefix(last["video"], "21.0") || !strings.HasPrefix(last["audio"], "2") {
		t.Errorf("the last packets are at %v", last)
	}
}
