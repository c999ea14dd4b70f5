package transcode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/worker"
	queue "liuyun/internal/kit/job"
	"liuyun/internal/testkit"
)

// What the queue makes, on two machines, is what one makes without it, byte for
// byte.
func TestQueueGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		clip    testkit.Clip
		options func(*encode.Options)
	}{
		"several units":  {film(), func(*encode.Options) {}},
		"sound and more": {testkit.Pattern(320, 180, "30000/1001", 7), func(o *encode.Options) { o.MP4, o.KeepOriginal, o.Loudness = true, true, "-23" }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			source := testkit.Generate(t, test.clip)
			ask := c.request(source)
			test.options(&ask.Options)
			priced := c.handlers("a")
			priced.figures = func() *worker.Figures { return &worker.Figures{Cores: 2, Watts: 72, Price: new(7.2)} }
			result := c.mustRun(ask, priced, c.handlers("remote b"))
			if own := result.OwnSpent; own.Cost == nil || math.Abs(*own.Cost-result.OwnCPUSeconds/1000) > 1e-9 || math.Abs(*own.Energy-result.OwnCPUSeconds/100) > 1e-9 || own.Carbon != nil {
				t.Errorf("own work of %g CPU seconds took %+v", result.OwnCPUSeconds, own)
			}
			sameFiles(t, c.files(result.Prefix), c.encodeHere(source, ask.Options))
			if result.Reused != 0 || result.Units != c.encoded || result.CPUSeconds <= result.OwnCPUSeconds || result.OwnCPUSeconds <= 0 {
				t.Errorf("got %d units, %d reused, %d encoded, %g and %g CPU seconds", result.Units, result.Reused, c.encoded, result.CPUSeconds, result.OwnCPUSeconds)
			}
			if result.Files.HLS != masterName || len(result.Renditions) != 2 || len(result.Tracks) == 0 || result.Duration < 6 || result.Stored < 10000 {
				t.Errorf("got %+v", result)
			}
			c.empty()
			again := c.mustRun(ask, c.handlers("c"))
			if again.Prefix != result.Prefix || again.Stored != result.Stored || c.encoded != result.Units {
				t.Errorf("asked again: got %+v, want %+v", again, result)
			}
		})
	}
}

// A coordinator that is stopped leaves nothing in its scratch folder; the next,
// on another machine, makes no unit again that was kept.
func TestQueueGoesOn(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	source := testkit.Generate(t, film())
	ask := c.request(source)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c.onUnit = func(made int) {
		if made == 1 {
			stop()
		}
	}
	if _, err := c.run(ctx, ask, c.handlers("a")); !errors.Is(err, context.Canceled) && fault.CodeOf(err) != fault.Canceled {
		t.Fatalf("stopped: got %v", err)
	}
	c.empty()
	kept := c.encoded
	c.onUnit, c.encoded = nil, 0
	result := c.mustRun(ask, c.handlers("remote b"))
	if kept < 1 || result.Reused != kept || c.encoded != result.Units-kept {
		t.Errorf("%d units were kept; of %d, %d were reused and %d encoded", kept, result.Units, result.Reused, c.encoded)
	}
	sameFiles(t, c.files(result.Prefix), c.encodeHere(source, ask.Options))
	c.empty()
}

// A unit that two workers make at the same time is one.
func TestUnitTwice(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ask := c.request(testkit.Generate(t, film()))
	c.mustRun(ask, c.handlers("a"))
	var one *unitJob
	for _, u := range c.jobs {
		one = u
	}
	var first encode.UnitResult
	if err := json.Unmarshal(one.Result, &first); err != nil {
		t.Fatal(err)
	}
	prefix := encode.UnitsPrefix(testAsset) + first.Hash + "/"
	want := c.files(prefix)
	if len(want) != 2 {
		t.Fatalf("a unit of %d files", len(want))
	}
	if err := c.objects.DeleteAll(t.Context(), prefix); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for _, name := range []string{"b", "c"} {
		group.Go(func() {
			if _, err := c.handlers(name).unit(t.Context(), one.Job, &lineup{cloud: c}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	sameFiles(t, c.files(prefix), want)
	c.empty()
}

// Units that were cleared away, though their jobs are done, are made again.
func TestUnitsCleared(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ask := c.request(testkit.Generate(t, film()))
	first := c.mustRun(ask, c.handlers("a"))
	for _, prefix := range []string{encode.UnitsPrefix(testAsset), first.Prefix} {
		if err := c.objects.DeleteAll(t.Context(), prefix); err != nil {
			t.Fatal(err)
		}
	}
	c.encoded = 0
	second := c.mustRun(ask, c.handlers("a"))
	if c.encoded != first.Units || second.Prefix != first.Prefix {
		t.Errorf("got %d of %d units encoded, %s", c.encoded, first.Units, second.Prefix)
	}
}

// A full disk is told as such, and nothing is left of the attempt.
func TestQueueDiskFull(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	h := c.handlers("a")
	full := fault.New(fault.StorageFull, "no room")
	h.room = func(int64) error { return full }
	_, err := c.run(t.Context(), c.request(testkit.Generate(t, film())), h)
	if fault.CodeOf(err) != fault.StorageFull || strings.Contains(fault.Message(err), c.folder) {
		t.Errorf("got %v", err)
	}
	c.empty()
}

// A source with damage, and one whose clock jumps, take the same way.
func TestQueueOddSources(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		source func(*testing.T) string
		said   []string // codes
	}{
		"damaged":       {damagedFilm, []string{"damaged"}},
		"jumping clock": {jumpingFilm, []string{"clock"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			source := test.source(t)
			ask := c.request(source)
			result := c.mustRun(ask, c.handlers("remote a"), c.handlers("b"))
			for _, code := range test.said {
				if !slices.ContainsFunc(result.Warnings, func(w encode.Warning) bool { return w.Code == code }) {
					t.Errorf("got %v, want %s", result.Warnings, code)
				}
			}
			sameFiles(t, c.files(result.Prefix), c.encodeHere(source, ask.Options))
			c.empty()
		})
	}
}

// A unit that never looks like the source fails; where the source is damaged it
// is taken with a word about it, which is said again when the unit is used again.
func TestUnitUnlikeTheSource(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.mustRun(c.request(testkit.Generate(t, film())), c.handlers("a"))
	var task unitTask
	var one queue.Job
	for _, u := range c.jobs {
		task = unitTask{}
		if err := json.Unmarshal(u.Payload, &task); err != nil {
			t.Fatal(err)
		}
		if one = u.Job; task.Unit != nil && len(task.Unit.Shows) > 100 {
			break
		}
	}
	for i := range task.Unit.Shows {
		task.Unit.Shows[i] = int32(task.Unit.Compare.From) + int32(i*37%100)
	}
	run := func(damaged bool, first int64) (*encode.UnitResult, error) {
		task.Unit.Damaged = damaged
		task.Unit.Encode.Outputs[0].MaxRate += first // another unit
		var err error
		if one.Payload, err = json.Marshal(task); err != nil {
			t.Fatal(err)
		}
		return c.handlers("b").unit(t.Context(), one, &lineup{cloud: c})
	}
	if _, err := run(false, 1); fault.CodeOf(err) != fault.Internal || !strings.Contains(err.Error(), "match the source") {
		t.Errorf("a sound source: got %v", err)
	}
	for round, reused := range []bool{false, true} {
		result, err := run(true, int64(1-round))
		if err != nil || result.Reused != reused || len(result.Warnings) != 1 || result.Warnings[0].Code != "damaged_pictures" {
			t.Errorf("a damaged one, round %d: got %+v, %v", round, result, err)
		}
	}
	c.empty()
}

// The analysis of a longer source is shared among workers, and what they find not
// to fit together is decoded as one.
func TestQueueAnalyses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file, x264 string
	}{
		"closed groups":              {"closed.mkv", "keyint=20"},
		"random access that is none": {"refresh.mkv", "keyint=20:intra-refresh=1:bframes=0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			source := testkit.Generate(t, testkit.Clip{Name: "stretches-" + test.file, Args: []string{
				"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=10:duration=64",
				"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-x264-params", test.x264,
			}})
			ask := c.request(source)
			ask.Options.Ladder = "90:20M"
			result := c.mustRun(ask, c.handlers("a"), c.handlers("remote b"))
			stretches := 0
			for _, u := range c.jobs {
				if strings.Contains(string(u.Payload), `"stretch":`) {
					stretches++
				}
			}
			if stretches != 2 {
				t.Errorf("%d stretches were given to workers, want 2", stretches)
			}
			sameFiles(t, c.files(result.Prefix), c.encodeHere(source, ask.Options))
			c.empty()
		})
	}
}

// damagedFilm has noise in the middle.
func damagedFilm(t *testing.T) string {
	data := []byte(read(t, testkit.Generate(t, testkit.Numbered("25", 500, 250))))
	for i := len(data) / 2; i < len(data)/2+3000; i++ {
		data[i] ^= byte(i * 7)
	}
	path := filepath.Join(t.TempDir(), "damaged.mp4")
	put(t, path, string(data))
	return path
}

// jumpingFilm is a broadcast stream that was joined from two.
func jumpingFilm(t *testing.T) string {
	clip := testkit.Pattern(320, 180, "25", 8)
	clip.Name = "part.ts"
	first := read(t, testkit.Generate(t, clip))
	clip.Args = append(slices.Clone(clip.Args), "-output_ts_offset", "5000")
	path := filepath.Join(t.TempDir(), "jumping.ts")
	put(t, path, first+read(t, testkit.Generate(t, clip)))
	return path
}

const srt = "1\n00:00:01,000 --> 00:00:03,000\nFlowing cloud\n\n2\n00:00:09,000 --> 00:00:08,000\nnever\n"

// Subtitles come and go without a look at the source or a unit, and the result is
// what encoding with them gives.
func TestSubtitlesAdded(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ask := c.request(testkit.Generate(t, film()))
	plain := c.mustRun(ask, c.handlers("a"))
	text := filepath.Join(t.TempDir(), "en.srt")
	put(t, text, srt)
	c.put("assets/"+testAsset+"/subtitles/en", text)
	with := ask
	with.Subtitles = []encode.Subtitle{{Language: "en", Object: "assets/" + testAsset + "/subtitles/en"}, {Language: "de", Name: "Deutsch", Object: "assets/" + testAsset + "/subtitles/en"}}
	encoded := c.mustRun(with, c.handlers("a"))
	want := c.files(encoded.Prefix)
	if err := c.objects.DeleteAll(t.Context(), encoded.Prefix); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{encode.UnitsPrefix(testAsset), "assets/" + testAsset + "/source/"} {
		if err := c.objects.DeleteAll(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.objects.Delete(t.Context(), ask.Source); err != nil {
		t.Fatal(err)
	}
	c.encoded = 0
	before := c.files(plain.Prefix)

	with.Previous = plain.Prefix
	added := c.mustRun(with, c.handlers("remote b"))
	if added.Prefix != encoded.Prefix || c.encoded != 0 || len(added.Subtitles) != 2 || added.Subtitles[1].Name != "Deutsch" {
		t.Errorf("got %+v with %d units encoded, want %s", added, c.encoded, encoded.Prefix)
	}
	sameFiles(t, c.files(added.Prefix), want)
	if !slices.ContainsFunc(added.Warnings, func(w encode.Warning) bool { return w.Code == "subtitle_cues" }) {
		t.Errorf("nothing is said about a cue that ends before it begins: %v", added.Warnings)
	}

	without := ask
	without.Previous = added.Prefix
	if removed := c.mustRun(without, c.handlers("b")); removed.Prefix != plain.Prefix {
		t.Errorf("without them: got %s, want %s", removed.Prefix, plain.Prefix)
	}
	// Another request of the same is no result that may just be being removed.
	again := without
	again.Version = 3
	if copied := c.mustRun(again, c.handlers("b")); copied.Prefix == plain.Prefix || c.encoded != 0 {
		t.Errorf("got %s with %d units encoded, want a copy", copied.Prefix, c.encoded)
	} else {
		sameFiles(t, c.files(copied.Prefix), before)
	}
	if err := c.objects.DeleteAll(t.Context(), plain.Prefix); err != nil {
		t.Fatal(err)
	}
	removed := c.mustRun(without, c.handlers("b"))
	if c.encoded != 0 || removed.Prefix != plain.Prefix {
		t.Errorf("got %s with %d units encoded", removed.Prefix, c.encoded)
	}
	sameFiles(t, c.files(removed.Prefix), before)
	c.empty()

	// Other options are other work.
	without.Options.Preset = "superfast"
	if _, err := c.run(t.Context(), without, c.handlers("b")); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("other options: got %v, want that the source is missed", err)
	}
}

// What a request names cannot lead elsewhere, and an option that there is not is
// refused.
func TestReadRequest(t *testing.T) {
	t.Parallel()
	good := encode.Request{Asset: testAsset, Name: "../../a/film.mp4", Source: "assets/a/source"}
	tests := map[string]struct {
		change func(*encode.Request)
		code   fault.Code
	}{
		"good":      {func(*encode.Request) {}, ""},
		"asset":     {func(r *encode.Request) { r.Asset = "../x" }, fault.Invalid},
		"source":    {func(r *encode.Request) { r.Source = "assets/../../etc/passwd" }, fault.Invalid},
		"codec":     {func(r *encode.Request) { r.Options.Codecs = []string{"vp9"} }, fault.Invalid},
		"ladder":    {func(r *encode.Request) { r.Options.Ladder = "wide" }, fault.Invalid},
		"preset":    {func(r *encode.Request) { r.Options.Preset = "-i" }, fault.Invalid},
		"segment":   {func(r *encode.Request) { r.Options.Segment = "60s" }, fault.Invalid},
		"loudness":  {func(r *encode.Request) { r.Options.Loudness = "loud" }, fault.Invalid},
		"subtitles": {func(r *encode.Request) { r.Subtitles = make([]encode.Subtitle, 100) }, fault.Invalid},
	}
	for name, test := range tests {
		ask := good
		test.change(&ask)
		payload, err := json.Marshal(ask)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readRequest(payload)
		if err == nil {
			_, err = ParseOptions(got.Options)
		}
		if fault.CodeOf(err) != test.code {
			t.Errorf("%s: got %v, want %q", name, err, test.code)
		}
		if err == nil && (got.Options.Ladder != "auto" || cleanName(got.Name) != "film.mp4") {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	for name, want := range map[string]string{"": "source", ".": "source", "/": "source", "a\nb": "source", "影片.mov": "影片.mov", strings.Repeat("x", 300): "source"} {
		if got := cleanName(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// However much is odd about a source, the answer fits into a row.
func TestResultIsBounded(t *testing.T) {
	t.Parallel()
	var r Report
	for n := range 10_000 {
		r.Warnings = append(r.Warnings, Warning{"damaged_pictures", fmt.Sprintf("pictures %d to %d are damaged", n, n+1)})
	}
	data, err := json.Marshal(resultOf(&r, "assets/a/b/", 1))
	if err != nil || len(data) > queue.MaxPayload/4 || !strings.Contains(string(data), "and 9900 warnings more") {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
}

// What an owner of an asset reads of a worker's trouble has no paths in it.
func TestForTheQueue(t *testing.T) {
	t.Parallel()
	known := fault.New(fault.Invalid, "film.mp4 is damaged")
	tests := []struct {
		err  error
		code fault.Code
	}{
		{nil, ""},
		{fmt.Errorf("audio 1: %w", known), fault.Invalid},
		{explainWrite(&fs.PathError{Op: "write", Path: "/data/x", Err: syscall.ENOSPC}, "/data"), fault.StorageFull},
		{explainWrite(&fs.PathError{Op: "open", Path: "/data/x", Err: syscall.EACCES}, "/data"), fault.Unavailable},
		{explainWrite(errors.New("/data/x broke"), "/data"), fault.Internal},
	}
	for _, test := range tests {
		err := forTheQueue(t.Context(), test.err)
		if fault.CodeOf(err) != test.code || strings.Contains(fault.Message(err), "/data") {
			t.Errorf("%v: got %s, %q", test.err, fault.CodeOf(err), fault.Message(err))
		}
	}
}
