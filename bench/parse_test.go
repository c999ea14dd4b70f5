package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOutputReader(t *testing.T) {
	t.Parallel()
	var r outputReader
	began := time.Unix(1000, 0)
	for i, line := range []string{
		`{"type":"progress","phase":"analyse","fraction":0}`,
		`{"type":"progress","phase":"analyse","fraction":0.5}`,
		`{"type":"progress","phase":"encode","fraction":0}`,
		``,
		`{"type":"progress","phase":"encode","fraction":1}`,
		`{"type":"progress","phase":"package","fraction":0}`,
		`{"type":"report","plan":{"frame_rate":{"num":25,"den":1},"frames":375,"units":2},` +
			`"renditions":[{"id":"h264-720p","width":1280,"height":720,"crf":23,"cap":3000000}],"run":{"cpu_s":12.5,"reused_units":1}}`,
	} {
		r.add([]byte(line), began.Add(time.Duration(i)*time.Second))
	}
	if r.err != nil || !r.done {
		t.Fatalf("got error %v, done %t", r.err, r.done)
	}
	want := []phase{{"analyse", 2}, {"encode", 3}, {"package", 1}}
	if diff := cmp.Diff(want, r.phases, cmp.AllowUnexported(phase{})); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if r.report.Plan.Units != 2 || r.report.Run.CPU != 12.5 || r.report.Run.Reused != 1 || r.report.Renditions[0].buffer() != 4_500_000 {
		t.Errorf("report: got %+v", r.report)
	}
	run := encoded{phases: r.phases}
	if got, err := run.phase("encode"); got != 3 || err != nil {
		t.Errorf("encode phase: got %v, %v, want 3", got, err)
	}
	if _, err := run.phase("upload"); err == nil {
		t.Error("a phase that never was: want an error")
	}
}

func TestOutputReaderRefusesOtherText(t *testing.T) {
	t.Parallel()
	var r outputReader
	r.add([]byte("encoding ..."), time.Unix(0, 0))
	if r.err == nil {
		t.Error("want an error")
	}
}

func TestParseSegmentStarts(t *testing.T) {
	t.Parallel()
	rate := frameRate{30000, 1001}
	playlist := "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:5.005000,\n00001.m4s\n#EXTINF:2.002000,\n00002.m4s\n#EXTINF:4.637967,\n00003.m4s\n#EXT-X-ENDLIST\n"
	got, err := parseSegmentStarts(strings.NewReader(playlist), rate)
	if err != nil {
		t.Fatal(err)
	}
	want := []int{0, 150, 210}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("starts (-want +got):\n%s", diff)
	}
	if got, want := keyTimes(got, rate), "0.000000,5.005000,7.007000"; got != want {
		t.Errorf("times: got %s, want %s", got, want)
	}
	for _, bad := range []string{"", "#EXTINF:long,\n"} {
		if _, err := parseSegmentStarts(strings.NewReader(bad), rate); err == nil {
			t.Errorf("%q: want an error", bad)
		}
	}
}

func TestParseSSIM(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line string
		rung int
		want float64
		ok   bool
	}{
		{"[ssim@rung2 @ 0x5581] SSIM Y:0.981 (17.3) U:0.99 (20.0) V:0.99 (20.0) All:0.984230 (18.02)", 2, 0.98423, true},
		{"[Parsed_ssim_0 @ 0x5581] SSIM Y:0.981 (17.3) All:0.984230 (18.02)", 0, 0, false},
		{"[ssim@rung1 @ 0x5581] something else", 1, 0, false},
		{"frame=  375 fps= 50", 0, 0, false},
	}
	for _, test := range tests {
		rung, value, ok := parseSSIM(test.line)
		if ok != test.ok || ok && (rung != test.rung || value != test.want) {
			t.Errorf("%q: got %d, %v, %t, want %d, %v, %t", test.line, rung, value, ok, test.rung, test.want, test.ok)
		}
	}
}

func TestParseProcessCPU(t *testing.T) {
	t.Parallel()
	stat := "42 (a ) b) S 1 42 42 0 -1 4194304 100 200 0 0 250 50 900 900 20 0 4 0 100 0 0"
	if got, ok := parseProcessCPU(stat); got != 3 || !ok {
		t.Errorf("got %v, %t, want 3 s", got, ok)
	}
	for _, bad := range []string{"", "42 (x) S 1", "no parenthesis"} {
		if _, ok := parseProcessCPU(bad); ok {
			t.Errorf("%q: want no answer", bad)
		}
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	tests := []struct{ args, want string }{
		{"/usr/bin/ffmpeg -i x -map [o0] -c:v libx264 a.mp4", kindUnit},
		{"/usr/bin/ffmpeg -i x -c:v rawvideo -f rawvideo pipe:4 -c:v rawvideo -f framecrc pipe:5", kindAnalysis},
		{"/usr/bin/ffmpeg -i x -vf scale -c:v rawvideo -f rawvideo pipe:4", kindCheck},
		{"/usr/bin/ffmpeg -i x -c:a aac a.mp4", kindSound},
		{"/usr/bin/ffprobe -show_entries packet=pts x", kindProbe},
		{"/usr/bin/ffmpeg -i x -frames:v 1 poster.jpg", kindOther},
		{"", kindOther},
	}
	for _, test := range tests {
		if got := kindOf(strings.Split(test.args, " ")); got != test.want {
			t.Errorf("%s: got %q, want %q", test.args, got, test.want)
		}
	}
}

func TestOthersShare(t *testing.T) {
	t.Parallel()
	before, err := parseBusy(strings.NewReader("cpu  100 0 100 1000 100 0 0 0 0 0\ncpu0 1 2 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseBusy(strings.NewReader("cpu  900 0 300 2000 100 0 0 0 0 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := othersShare(before, after, 8); got != 0.1 { // 10 s busy of 20 s, 8 s ours
		t.Errorf("got %v, want 0.1", got)
	}
	if got := othersShare(before, after, 11); got != 0 {
		t.Errorf("more of ours than was busy: got %v, want 0", got)
	}
	if _, err := parseBusy(strings.NewReader("intr 1 2 3\n")); err == nil {
		t.Error("want an error")
	}
}

func TestParseCPUList(t *testing.T) {
	t.Parallel()
	got, err := parseCPUList("0-2,8")
	if diff := cmp.Diff([]int{0, 1, 2, 8}, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if got, want := cpuList(got), "0,1,2,8"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := parseCPUList("all"); err == nil {
		t.Error("want an error")
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	all := benchmarks()
	got, err := choose(all, "bits, memory")
	if err != nil || len(got) != 2 || got[0].name != "bits" || got[1].name != "memory" {
		t.Errorf("got %d benchmarks, %v", len(got), err)
	}
	if got, err := choose(all, ""); err != nil || len(got) != len(all) {
		t.Errorf("all: got %d, %v", len(got), err)
	}
	if _, err := choose(all, "speed"); err == nil {
		t.Error("an unknown name: want an error")
	}
}

func TestSplitScale(t *testing.T) {
	t.Parallel()
	rungs := []rendition{{Width: 1280, Height: 720}, {Width: 854, Height: 480}, {Width: 640, Height: 360}}
	if got, want := splitScale(rungs), "[0:v:0]split=3[s0][s1][s2]"+
		";[s0]scale=w=1280:h=720:flags=bicubic[v0]"+
		";[s1]scale=w=854:h=480:flags=bicubic[v1]"+
		";[s2]scale=w=640:h=360:flags=bicubic[v2]"; got != want {
		t.Errorf("split:\ngot  %s\nwant %s", got, want)
	}
}

// The plain command has our settings, or the ratio would mean nothing.
func TestPlainArgs(t *testing.T) {
	t.Parallel()
	rungs := []rendition{{Width: 1280, Height: 720, Quality: 23, Cap: 3_000_000}, {Width: 640, Height: 360, Quality: 23, Cap: 1_000_000}}
	got := strings.Join(plainArgs("in.mp4", "veryfast", rungs, "out"), " ")
	for _, want := range []string{
		"-crf:v:0 23 -maxrate:v:0 3000000 -bufsize:v:0 4500000", "-maxrate:v:1 1000000 -bufsize:v:1 1500000",
		"-preset:v:1 veryfast", "expr:gte(t,n_forced*4)", "-c:a aac", "-var_stream_map v:0,agroup:sound v:1,agroup:sound a:0,agroup:sound",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "-threads") {
		t.Errorf("the plain command chooses its threads itself: %s", got)
	}
}

func TestRunMeasures(t *testing.T) {
	t.Parallel()
	var lines []string
	looked := false
	used, err := command{
		args:   []string{"/bin/sh", "-c", "echo one; printf two; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo"},
		line:   func(line []byte) { lines = append(lines, string(line)) },
		sample: func(int) { looked = true },
	}.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "two"}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if used.Wall <= 0 || used.Largest <= 0 || !looked {
		t.Errorf("got %+v, looked %t", used, looked)
	}
	_, err = command{args: []string{"/bin/sh", "-c", "echo it broke >&2; exit 3"}}.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "it broke") {
		t.Errorf("got %v, want the program's own words", err)
	}
}
