package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"liuyun/internal/av/h264"
	"liuyun/internal/av/mp4"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/kit/proc"
	"liuyun/internal/testkit"
)

// liveClip is the one track of a clip as a stream carries it, from time zero on.
func liveClip(t *testing.T, clip testkit.Clip) (LiveSource, []LiveUnit) {
	t.Helper()
	file, err := os.ReadFile(testkit.Generate(t, clip))
	if err != nil {
		t.Fatal(err)
	}
	track, err := mp4.ReadTrack(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	src := LiveSource{
		Codec: string(track.Codec), Config: track.Config, Clock: int64(track.Timescale), Width: track.Width, Height: track.Height,
		SampleRate: track.SampleRate, Channels: track.Channels,
	}
	var units []LiveUnit
	var dts int64
	for _, s := range track.Samples {
		pts := dts + int64(s.CompositionOffset) - track.MediaStart
		units = append(units, LiveUnit{PTS: pts, Key: s.Sync, Data: file[s.Offset:][:s.Size:s.Size]})
		dts += int64(s.Duration)
	}
	return src, units
}

// moving is pictures for so many seconds with a key frame each so many pictures, and
// two B pictures between others.
func moving(rate, seconds, group string, more ...string) testkit.Clip {
	return testkit.Clip{Name: "moving.mp4", Args: append([]string{
		"-f", "lavfi", "-i", "testsrc2=size=640x360:rate=" + rate + ":duration=" + seconds,
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", group, "-sc_threshold", "0", "-pix_fmt", "yuv420p",
		"-video_track_timescale", "90000", "-threads", "1"}, more...)}
}

// taken is an output that keeps what it takes.
type taken struct {
	mu     sync.Mutex
	config []byte
	units  []LiveUnit
	at     []time.Time
	fail   error
}

func (k *taken) Begin(config []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.config = config
	return nil
}

func (k *taken) Take(u LiveUnit) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.units, k.at = append(k.units, u), append(k.at, time.Now())
	return k.fail
}

func (k *taken) times() (all, keys []int64) {
	for _, u := range k.units {
		all = append(all, u.PTS)
		if u.Key {
			keys = append(keys, u.PTS)
		}
	}
	return all, keys
}

// liveLimits are those of a test.
var liveLimits = proc.Limits{CPU: 2 * time.Minute, Memory: 2 << 30, Wall: 2 * time.Minute}

// all feeds units at once.
func all(units []LiveUnit) func(context.Context, func(LiveUnit) error) error {
	return func(_ context.Context, write func(LiveUnit) error) error {
		for _, u := range units {
			if err := write(u); err != nil {
				return err
			}
		}
		return nil
	}
}

// shown are the times of units as they are shown, and those of key frames.
func shown(units []LiveUnit, shift int64) (times, keys []int64) {
	for _, u := range units {
		times = append(times, u.PTS+shift)
		if u.Key {
			keys = append(keys, u.PTS+shift)
		}
	}
	slices.Sort(times)
	return times, keys
}

// Each rendition has the pictures of the source at their times, and its key frames
// where the source has them, long after time zero too.
func TestLivePictures(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for name, clip := range map[string]struct {
		clip       testkit.Clip
		rate       timebase.Rational
		interlaced bool
	}{
		"25":    {moving("25", "4", "40"), timebase.R(25, 1), false},
		"29.97": {moving("30000/1001", "4", "45"), timebase.R(30000, 1001), false},
		"50i": {testkit.Clip{Name: "fields.mp4", Args: []string{
			"-f", "lavfi", "-i", "testsrc2=size=720x576:rate=50:duration=4,interlace=scan=tff", "-c:v", "libx264", "-preset", "ultrafast",
			"-g", "30", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-flags", "+ildct+ilme", "-x264-params", "tff=1", "-video_track_timescale", "90000",
		}}, timebase.R(25, 1), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, units := liveClip(t, clip.clip)
			src.Rate, src.Interlaced = clip.rate, clip.interlaced
			const shift = 1 << 41 // 282 days
			for i := range units {
				units[i].PTS += shift
			}
			wantTimes, wantKeys := shown(units, 0)
			var outs [3]taken
			l := Live{Source: src, Limits: liveLimits}
			for i, height := range []int{360, 240, 120} {
				l.Pictures = append(l.Pictures, LivePictures{Width: height * 16 / 9 &^ 1, Height: height, Rate: 1_000_000, After: Beginning, Output: &outs[i]})
			}
			if usage, err := tools.RunLive(t.Context(), l, all(units)); err != nil {
				t.Fatal(err, usage.Messages)
			}
			for i := range outs {
				times, keys := outs[i].times()
				if !slices.Equal(times, wantTimes) {
					t.Errorf("rendition %d: %d pictures at %v, want %d at %v", i, len(times), times, len(wantTimes), wantTimes)
				}
				if !slices.Equal(keys, wantKeys) {
					t.Errorf("rendition %d: key frames at %v, want %v", i, keys, wantKeys)
				}
				if _, err := mp4.CodecString(mp4.H264, outs[i].config); err != nil {
					t.Errorf("rendition %d: %v", i, err)
				}
			}
		})
	}
}

// A child that goes on for another begins behind what that made, with a key frame.
func TestLiveGoesOn(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	src, units := liveClip(t, moving("25", "3", "50"))
	src.Rate = timebase.R(25, 1)
	times, keys := shown(units, 0)
	var early, late, slow taken
	usage, err := tools.RunLive(t.Context(), Live{Source: src, Limits: liveLimits, Pictures: []LivePictures{
		{Width: 320, Height: 180, Rate: 500_000, After: times[9], Output: &early},
		{Width: 160, Height: 90, Rate: 500_000, After: times[59], Output: &late},
	}}, all(units))
	if err != nil {
		t.Fatal(err, usage.Messages)
	}
	for _, test := range []struct {
		out   *taken
		first int
	}{{&early, 10}, {&late, 60}} {
		got, gotKeys := test.out.times()
		want := append([]int64{times[test.first]}, keys...)
		want = slices.DeleteFunc(want, func(at int64) bool { return at < times[test.first] })
		if !slices.Equal(got, times[test.first:]) || !slices.Equal(gotKeys, want) {
			t.Errorf("after picture %d: %d pictures from %v, key frames %v, want %v", test.first-1, len(got), got[:1], gotKeys, want)
		}
	}
	// Key frames of its own are where a clock has them, from wherever it began.
	_, err = tools.RunLive(t.Context(), Live{Source: src, Limits: liveLimits, Keys: time.Second, Pictures: []LivePictures{
		{Width: 160, Height: 90, Rate: 500_000, After: times[9], Output: &slow},
	}}, all(units))
	if err != nil {
		t.Fatal(err)
	}
	if _, got := slow.times(); !slices.Equal(got, []int64{times[10], times[25], times[50]}) {
		t.Errorf("key frames at %v, want %v", got, []int64{times[10], times[25], times[50]})
	}
}

// A picture of another shape gets bars; a codec that is not H.264 is read too.
func TestLiveShapesAndCodecs(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for _, encoder := range []string{"libx265", "libsvtav1"} {
		if !tools.HasEncoder(encoder) {
			t.Logf("%s is not in this ffmpeg", encoder)
			continue
		}
		clip := moving("25", "1", "50")
		at := slices.Index(clip.Args, "libx264")
		clip.Args[at] = encoder
		clip.Args = slices.Delete(clip.Args, at+1, at+5) // preset, B pictures
		clip.Args = append(clip.Args, "-preset", map[string]string{"libx265": "ultrafast", "libsvtav1": "12"}[encoder])
		src, units := liveClip(t, clip)
		src.Rate = timebase.R(25, 1)
		var out taken
		_, err := tools.RunLive(t.Context(), Live{Source: src, Limits: liveLimits, Pictures: []LivePictures{
			{Width: 240, Height: 180, Fit: true, Rate: 500_000, After: Beginning, Output: &out},
		}}, all(units))
		if err != nil {
			t.Fatal(encoder, err)
		}
		want, _ := shown(units, 0)
		if got, _ := out.times(); !slices.Equal(got, want) {
			t.Errorf("%s: pictures at %v, want %v", encoder, got, want)
		}
		if format, err := h264.FormatOf(out.config); err != nil || format.Width != 240 || format.Height != 180 {
			t.Errorf("%s: made %+v, %v, want 240×180", encoder, format, err)
		}
	}
}

// Sound comes back in the other codec, sample by sample where it was.
func TestLiveSound(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	src, units := liveClip(t, testkit.Clip{Name: "tone.mp4", Args: []string{
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=3", "-ac", "2", "-c:a", "aac",
	}})
	const shift = 1 << 40
	for i := range units {
		units[i].PTS += shift
	}
	last := units[len(units)-1].PTS
	var opus taken
	sound := LiveSound{Codec: "opus", SampleRate: 48000, Channels: 2, Rate: 96_000, Output: &opus}
	if _, err := tools.RunLive(t.Context(), Live{Source: src, Sound: &sound, Limits: liveLimits}, all(units)); err != nil {
		t.Fatal(err)
	}
	checkSound(t, &opus, 960, timebase.MulDiv(units[0].PTS, 48000, 44100), timebase.MulDiv(last, 48000, 44100))

	var back taken
	source := LiveSource{Codec: "opus", Config: opus.config, Clock: 48000, SampleRate: 48000, Channels: 2}
	sound = LiveSound{Codec: "aac", SampleRate: 48000, Channels: 2, Rate: 128_000, Output: &back}
	if _, err := tools.RunLive(t.Context(), Live{Source: source, Sound: &sound, Limits: liveLimits}, all(opus.units)); err != nil {
		t.Fatal(err)
	}
	checkSound(t, &back, 1024, opus.units[0].PTS, opus.units[len(opus.units)-1].PTS)
}

// checkSound looks whether frames follow each other without a hole, and begin and end
// near those times.
func checkSound(t *testing.T, k *taken, frame, first, last int64) {
	t.Helper()
	times, _ := k.times()
	if len(times) < 2 {
		t.Fatalf("%d frames", len(times))
	}
	for i := 1; i < len(times); i++ {
		if times[i]-times[i-1] != frame {
			t.Errorf("frame %d is %d samples after the one before, want %d", i, times[i]-times[i-1], frame)
		}
	}
	const slack = 2500 // priming, and what is left over at the end
	if d := times[0] - first; d > slack || -d > slack {
		t.Errorf("the first frame is at %d, want about %d", times[0], first)
	}
	if d := times[len(times)-1] - last; d > slack || -d > slack {
		t.Errorf("the last frame is at %d, want about %d", times[len(times)-1], last)
	}
}

// Missing sound stays missing: what comes after a hole is where it was.
func TestLiveSoundWithAHole(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	src, units := liveClip(t, testkit.Clip{Name: "tone.mp4", Args: []string{
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=3", "-ac", "1", "-c:a", "aac",
	}})
	last := units[len(units)-1].PTS
	units = slices.Delete(units, 40, 80)
	var opus taken
	sound := LiveSound{Codec: "opus", SampleRate: 48000, Channels: 1, Rate: 96_000, Output: &opus}
	if _, err := tools.RunLive(t.Context(), Live{Source: src, Sound: &sound, Limits: liveLimits}, all(units)); err != nil {
		t.Fatal(err)
	}
	checkSound(t, &opus, 960, units[0].PTS, last)
}

// Who takes the output, who feeds, and who waits: each can end it, and is told why.
func TestLiveEnds(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	src, units := liveClip(t, moving("25", "3", "50"))
	src.Rate = timebase.R(25, 1)
	full, dry := errors.New("full"), errors.New("dry")
	live := func(out *taken) Live {
		return Live{Source: src, Limits: liveLimits, Pictures: []LivePictures{{Width: 64, Height: 36, Rate: 100_000, After: Beginning, Output: out}}}
	}
	endless := func(ctx context.Context, write func(LiveUnit) error) error {
		if err := all(units)(ctx, write); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	if _, err := tools.RunLive(t.Context(), live(&taken{fail: full}), endless); !errors.Is(err, full) {
		t.Errorf("an output that fails: got %v, want %v", err, full)
	}
	if _, err := tools.RunLive(t.Context(), live(&taken{}), func(context.Context, func(LiveUnit) error) error { return dry }); !errors.Is(err, dry) {
		t.Errorf("a feed that fails: got %v, want %v", err, dry)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stop := &stopper{cancel: cancel}
	l := live(nil)
	l.Pictures[0].Output = stop
	if _, err := tools.RunLive(ctx, l, endless); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("one that is stopped: got %v, want it canceled", err)
	}
	src.Codec = "vp9"
	if _, err := tools.RunLive(t.Context(), live(&taken{}), all(units)); err == nil || !strings.Contains(err.Error(), "vp9") {
		t.Errorf("a codec that is none: got %v", err)
	}
	src.Codec = "h264"
	noise := []LiveUnit{{PTS: 0, Key: true, Data: []byte("no picture")}}
	if _, err := tools.RunLive(t.Context(), live(&taken{}), all(noise)); err == nil {
		t.Error("a source without a picture: got no error")
	}
}

// stopper stops the run at the first picture.
type stopper struct{ cancel func() }

func (s *stopper) Begin([]byte) error { return nil }

func (s *stopper) Take(LiveUnit) error {
	s.cancel()
	return nil
}
