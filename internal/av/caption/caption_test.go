package caption

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"

	"liuyun/internal/testkit"
)

const ms = time.Millisecond

func TestParse(t *testing.T) {
	t.Parallel()
	cue := func(start, end time.Duration, settings, text string) Cue {
		return Cue{Start: start * ms, End: end * ms, Settings: settings, Text: text}
	}
	for _, c := range []struct {
		name, in string
		want     Track
	}{
		{"no cues", "WEBVTT", Track{}},
		{"hours are optional", "WEBVTT\n\n00:01.000 --> 100:00:02.500\nhi\n", Track{Cues: []Cue{cue(1000, 360_002_500, "", "hi")}}},
		{"no blank line after the header", "WEBVTT title\n00:01.000 --> 00:02.000\nhi", Track{Cues: []Cue{cue(1000, 2000, "", "hi")}}},
		{"line ends", "WEBVTT\r\rid\r\n00:01.000 --> 00:02.000\r\na\rb\n\rc", Track{Cues: []Cue{{"id", 1000 * ms, 2000 * ms, "", "a\nb"}}}},
		{"settings that WebVTT has", "WEBVTT\n\n00:01.000-->00:02.000 position:10%,line-left\tx:1 line: align:end region:r\nhi",
			Track{Cues: []Cue{cue(1000, 2000, "position:10%,line-left align:end region:r", "hi")}}},
		{"markup stays", "WEBVTT\n\n00:01.000 --> 00:02.000\n<v.loud Mary>a</v> <v Bob>b</v>\n- <ruby>漢<rt>kan</rt></ruby> &lt;&nbsp;",
			Track{Cues: []Cue{cue(1000, 2000, "", "<v.loud Mary>a</v> <v Bob>b</v>\n- <ruby>漢<rt>kan</rt></ruby> &lt;&nbsp;")}}},
		{"blocks", "WEBVTT\n\nREGION\nid:r\n\nSTYLE\n::cue{}\n\nNOTE x\ny\n\n00:01.000 --> 00:02.000\nhi\n\nSTYLE\ntoo late",
			Track{Blocks: []string{"REGION\nid:r", "STYLE\n::cue{}"}, Cues: []Cue{cue(1000, 2000, "", "hi")}}},
		{"an arrow starts a cue", "WEBVTT\n\n00:01.000 --> 00:02.000\na\n00:02.000 --> 00:03.000\nb",
			Track{Cues: []Cue{cue(1000, 2000, "", "a"), cue(2000, 3000, "", "b")}}},
		{"sorted", "WEBVTT\n\n00:05.000 --> 00:06.000\nb\n\n00:01.000 --> 00:09.000\na",
			Track{Cues: []Cue{cue(1000, 9000, "", "a"), cue(5000, 6000, "", "b")}}},
		{"skipped", "WEBVTT\n\n00:01.000 --> 00:01.000\na\n\nx --> y\nb\n\n00:61.000 --> 02:00.000\nc\n\n00:01.000 --> 99999:00:00.000\nd\n\n00:01.000 --> 00:02.000\n" +
			strings.Repeat("e", maxCueBytes+1) + "\n\n00:01.000 --> 00:02.000\nf", Track{Cues: []Cue{cue(1000, 2000, "", "f")}, Skipped: 5}},
		{"SubRip", "1\n00:00:01,000 --> 00:00:02,500\nfirst\nsecond\n\n2\n00:00:03,5 --> 0:0:04.000 X1:1 X2:2\nthird\n",
			Track{Cues: []Cue{cue(1000, 2500, "", "first\nsecond"), cue(3500, 4000, "", "third")}}},
		{"SubRip with blank lines and without numbers", "\n00:00:01,000 --> 00:00:02,000\n\na\n\nb\n00:00:03,000 --> 00:00:04,000\n42\n\n7\n00:00:05,000 --> 00:00:06,000\nc",
			Track{Cues: []Cue{cue(1000, 2000, "", "a\nb"), cue(3000, 4000, "", "42"), cue(5000, 6000, "", "c")}}},
		{"SubRip markup", "1\n00:00:01,000 --> 00:00:02,000\n{\\an8\\b1}<I>a</I> <font color=\"#fff\">b</font> <laughs> x<3 & y &amp; {z}\n",
			Track{Cues: []Cue{cue(1000, 2000, "line:0", "<i>a</i> b &lt;laughs&gt; x&lt;3 &amp; y &amp; {z}")}}},
		{"SubRip places", "1\n00:00:01,000 --> 00:00:02,000\n{\\an1}a\n\n2\n00:00:02,000 --> 00:00:03,000\n{\\an6}b\n\n3\n00:00:03,000 --> 00:00:04,000\n{\\an0}c\n",
			Track{Cues: []Cue{cue(1000, 2000, "align:left", "a"), cue(2000, 3000, "line:50% align:right", "b"), cue(3000, 4000, "", "c")}}},
		{"SubRip timing that is none", "1\n00:00:01,000 --> 00:00:02,000\na\n\n2\nlater --> 00:00:03,000\nb\n",
			Track{Cues: []Cue{cue(1000, 2000, "", "a")}, Skipped: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Errorf("Parse() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "WEBVTTX\n", "hello", "\x00\x00\x00\x00", "1\n2\n3"} {
		if _, err := Parse([]byte(in)); !errors.Is(err, ErrFormat) {
			t.Errorf("Parse(%q): got error %v, want %v", in, err, ErrFormat)
		}
	}
	if _, err := Parse([]byte("WEBVTT\n\nx --> y\nz")); err == nil || !strings.Contains(err.Error(), "can be used") {
		t.Errorf("got error %v, want one about cues", err)
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	text := func(line string) string { return "1\n00:00:01,000 --> 00:00:02,000\n" + line + "\n" }
	const chinese, french = "天地玄黄,宇宙洪荒。 OK", "Où est-il? C’est là, à côté du café."
	utf16Bytes := func(s string, big bool) []byte {
		var out []byte
		for _, u := range utf16.Encode([]rune(s)) {
			if big {
				out = append(out, byte(u>>8), byte(u))
			} else {
				out = append(out, byte(u), byte(u>>8))
			}
		}
		return out
	}
	gb, err := simplifiedchinese.GB18030.NewEncoder().String(text(chinese))
	if err != nil {
		t.Fatal(err)
	}
	western, err := charmap.Windows1252.NewEncoder().String(text(french))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"UTF-8":                     {[]byte(text(chinese)), chinese},
		"UTF-8 with a mark":         {[]byte("\uFEFF" + text(chinese)), chinese},
		"UTF-8 with a mark, broken": {[]byte("\uFEFF" + text("a\xffb")), "a\uFFFDb"},
		"UTF-16 with a mark":        {utf16Bytes("\uFEFF"+text(chinese), false), chinese},
		"UTF-16 BE with a mark":     {utf16Bytes("\uFEFF"+text(chinese), true), chinese},
		"UTF-16":                    {utf16Bytes(text(chinese), false), chinese},
		"UTF-16 BE":                 {utf16Bytes(text(chinese), true), chinese},
		"GB 18030":                  {[]byte(gb), chinese},
		"Windows-1252":              {[]byte(western), french},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if got.Cues[0].Text != c.want {
				t.Errorf("got text %q, want %q", got.Cues[0].Text, c.want)
			}
		})
	}
}

func TestShift(t *testing.T) {
	t.Parallel()
	in := &Track{Blocks: []string{"STYLE\n::cue{}"}, Cues: []Cue{
		{"a", 0, 1000 * ms, "", "gone"},
		{"b", 500 * ms, 3000 * ms, "line:0", "x <00:02.000><b>y</b> <00:00:00.100> <"},
	}}
	want := &Track{Blocks: in.Blocks, Cues: []Cue{
		{"b", 0, 2000 * ms, "line:0", "x <00:00:01.000><b>y</b> <00:00:00.000> <"},
	}}
	if diff := cmp.Diff(want, in.Shift(-1000*ms-100*time.Microsecond)); diff != "" {
		t.Errorf("Shift() (-want +got):\n%s", diff)
	}
	if got := in.Shift(250 * ms).Cues[1].Start; got != 750*ms {
		t.Errorf("got start %v, want 750ms", got)
	}
}

func TestSegment(t *testing.T) {
	t.Parallel()
	track := &Track{Blocks: []string{"STYLE\n::cue{}"}}
	for _, c := range []struct {
		id         string
		start, end time.Duration
	}{{"before", 0, 2}, {"spans all", 1, 20}, {"first", 3, 4}, {"both", 4, 7}, {"to the edge", 5, 6}, {"from the edge", 6, 7}, {"after", 12, 15}} {
		track.Cues = append(track.Cues, Cue{ID: c.id, Start: c.start * time.Second, End: c.end * time.Second, Text: "x"})
	}
	segments, err := track.Segment([]time.Duration{2 * time.Second, 6 * time.Second, 9 * time.Second, 12 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"spans all", "first", "both", "to the edge"}, {"spans all", "both", "from the edge"}, {"spans all"}}
	for i, s := range segments {
		var got []string
		for _, c := range s.Cues {
			got = append(got, c.ID)
		}
		if diff := cmp.Diff(want[i], got); diff != "" {
			t.Errorf("segment %d (-want +got):\n%s", i, diff)
		}
		if len(s.Blocks) != 1 {
			t.Errorf("segment %d has lost its style", i)
		}
	}
}

func TestSegmentErrors(t *testing.T) {
	t.Parallel()
	flood := &Track{Cues: make([]Cue, maxCarried+1)}
	for i := range flood.Cues {
		flood.Cues[i] = Cue{End: time.Hour, Text: "x"}
	}
	if _, err := flood.Segment([]time.Duration{0, time.Minute}); err == nil || !strings.Contains(err.Error(), "at once") {
		t.Errorf("got error %v, want one about cues at once", err)
	}
	for _, boundaries := range [][]time.Duration{nil, {0}, {1, 0}} {
		if _, err := (&Track{}).Segment(boundaries); err == nil {
			t.Errorf("Segment(%v): got no error", boundaries)
		}
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	in, err := Parse([]byte("WEBVTT\n\nSTYLE\n::cue(b) {\n color: red;\n}\n\nintro\n00:01.000 --> 00:07.250 line:0 align:start\n<v Mary>Hello,\nworld</v>\n\n00:08.000 --> 00:09.000\nBye &amp; thanks"))
	if err != nil {
		t.Fatal(err)
	}
	segments, err := in.Segment([]time.Duration{0, 6 * time.Second, 12 * time.Second, 18 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	board := Storyboard{
		Sheets:  []string{"storyboard/sprite-00001.jpg", "storyboard/sprite-00002.jpg"},
		Columns: 2, Rows: 2, Width: 160, Height: 90, Interval: 2 * time.Second, Duration: 9500 * ms,
	}
	boardText, err := board.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{
		"whole.vtt":      in.AppendFile(nil),
		"segment-1.vtt":  segments[0].AppendSegment(nil),
		"segment-2.vtt":  segments[1].AppendSegment(nil),
		"segment-3.vtt":  segments[2].AppendSegment(nil),
		"storyboard.vtt": boardText,
	} {
		testkit.Golden(t, filepath.Join("testdata", name), got)
	}
}

func TestStoryboardErrors(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Storyboard){
		"is not positive":                           func(s *Storyboard) { s.Rows = 0 },
		"shorter than a millisecond":                func(s *Storyboard) { s.Interval = 0 },
		"5 pictures need 2 sheets, there are 1":     func(s *Storyboard) { s.Sheets = s.Sheets[:1] },
		`sheet URL "a\nb" is not usable`:            func(s *Storyboard) { s.Sheets[1] = "a\nb" },
		"duration 0s is shorter than a millisecond": func(s *Storyboard) { s.Duration = 0 },
	} {
		s := Storyboard{Sheets: []string{"a", "b"}, Columns: 2, Rows: 2, Width: 160, Height: 90, Interval: time.Second, Duration: 5 * time.Second}
		change(&s)
		got, err := s.AppendTo([]byte("kept"))
		if err == nil || !strings.Contains(err.Error(), want) || string(got) != "kept" {
			t.Errorf("got %q, error %v, want an error with %q", got, err, want)
		}
	}
}

// TestShared reads the WebVTT cases of another project, and writes them so that
// they read back the same.
func TestShared(t *testing.T) {
	t.Parallel()
	paths := testkit.MediaAll(t, "conformance/manifests_captions/androidx/webvtt")
	want := map[string]int{
		"empty": -1, "typical_with_comments": 2, "with_bom": 2, "with_css_styles": 4,
		"with_overlapping_timestamps": 4, "with_tags": 4, "with_x-timestamp-map_header": 2,
	}
	for _, path := range paths {
		name := filepath.Base(path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		track, err := Parse(data)
		if want[name] == -1 {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("%s: got error %v, want %v", name, err, ErrFormat)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := len(track.Cues); got != want[name] {
			t.Errorf("%s: got %d cues, want %d", name, got, want[name])
		}
		if name == "with_css_styles" && len(track.Blocks) != 4 {
			t.Errorf("%s: got %d style blocks, want 4", name, len(track.Blocks))
		}
		again, err := Parse(track.AppendFile(nil))
		if err != nil {
			t.Errorf("%s: read back: %v", name, err)
		}
		if diff := cmp.Diff(track, again); diff != "" {
			t.Errorf("%s: read back (-want +got):\n%s", name, diff)
		}
	}
}

// FuzzParse proves that nothing crashes or hangs, that cues keep their promises,
// and that what is written reads back the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"WEBVTT\n\nSTYLE\n::cue{}\n\nid\n00:01.000 --> 00:02.000 line:0\n<v Bob>a\nb\n",
		"1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<i>a</i> < & >\n\n2\n00:00:03,000 --> 00:00:04,000\n<font>b\n",
		"\xff\xfeW\x00E\x00B\x00V\x00T\x00T\x00", "\uFEFFWEBVTT\n\n00:00.000 --> 00:00.001\n\x00", "-->\n-->",
		"WEBVTT\r\n\r\n00:00.000 --> 10000:00:00.000\r\n<00:00:00.500>", "1\n00:00:01,000 --> 00:00:02,000\n\xcc\xec\xb5\xd8\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		track, err := Parse(data)
		if err != nil {
			return
		}
		for i, c := range track.Cues {
			if c.Start < 0 || c.End <= c.Start || c.Text == "" || strings.Contains(c.Text, "\n\n") || strings.Contains(c.Text, arrow) {
				t.Fatalf("cue %d breaks its promises: %+v", i, c)
			}
		}
		again, err := Parse(track.AppendFile(nil))
		if err != nil {
			t.Fatal(err)
		}
		again.Skipped = track.Skipped
		if diff := cmp.Diff(track, again); diff != "" {
			t.Fatalf("read back (-want +got):\n%s", diff)
		}
		segments, err := track.Shift(-time.Millisecond).Segment([]time.Duration{0, time.Second, 2 * time.Second})
		if err != nil {
			return
		}
		for _, s := range segments {
			if _, err := Parse(s.AppendSegment(nil)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
