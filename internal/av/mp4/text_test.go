package mp4

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	ff "github.com/Eyevinn/mp4ff/mp4"
	"github.com/google/go-cmp/cmp"
)

// The header of text has the sample entry, the configuration and the language.
func TestTextInit(t *testing.T) {
	t.Parallel()
	data, err := AppendTextInit([]byte("kept"), TextTrack{Timescale: 90000, Language: "zh-hans"})
	if err != nil || !bytes.HasPrefix(data, []byte("kept")) {
		t.Fatal(err)
	}
	file, err := ff.DecodeFile(bytes.NewReader(data[4:]))
	if err != nil {
		t.Fatal(err)
	}
	if !file.IsFragmented() || !strings.Contains(fmt.Sprint(file.Init.Ftyp.CompatibleBrands()), "cwvt") {
		t.Errorf("got %v", file.Init.Ftyp)
	}
	media := file.Init.Moov.Trak.Mdia
	if entry := media.Minf.Stbl.Stsd.Wvtt; entry == nil || entry.VttC.Config != "WEBVTT" || entry.DataReferenceIndex != 1 {
		t.Errorf("got sample entry %+v", entry)
	}
	if media.Hdlr.HandlerType != "text" || media.Mdhd.Timescale != 90000 || media.Mdhd.GetLanguage() != "und" || media.Elng.Language != "zh-hans" || media.Minf.Children[0].Type() != "nmhd" {
		t.Errorf("got %q, %d ticks, %s, %+v, %s", media.Hdlr.HandlerType, media.Mdhd.Timescale, media.Mdhd.GetLanguage(), media.Elng, media.Minf.Children[0].Type())
	}
	if _, err := AppendTextInit(nil, TextTrack{}); err == nil {
		t.Error("a track without a timescale is written")
	}
}

// textSamples reads a fragment as players do: a line for each sample.
func textSamples(t *testing.T, data []byte) (lines []string) {
	t.Helper()
	file, err := ff.DecodeFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	samples, err := file.Segments[0].Fragments[0].GetFullSamples(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		line := fmt.Sprintf("%d-%d", s.PresentationTime(), s.PresentationTime()+int64(s.Dur))
		if !s.IsSync() {
			t.Errorf("the sample at %d depends on others", s.DecodeTime)
		}
		for at, r := uint64(0), bytes.NewReader(s.Data); r.Len() > 0; {
			box, err := ff.DecodeBox(at, r)
			if err != nil {
				t.Fatal(err)
			}
			at += box.Size()
			line += " " + box.Type()
			if cue, ok := box.(*ff.VttcBox); ok {
				line += fmt.Sprintf("(%s)", cue.Payl.CueText)
				if cue.Iden != nil {
					line += " " + cue.Iden.CueID
				}
				if cue.Sttg != nil {
					line += " " + cue.Sttg.Settings
				}
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// Samples are as long as what is shown stays the same, and fill the fragment.
func TestTextFragment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cues []TextCue
		want []string
	}{
		"nothing":       {nil, []string{"100-200 vtte"}},
		"all the time":  {[]TextCue{{Text: "a", Start: 0, End: 300}}, []string{"100-200 vttc(a)"}},
		"in the middle": {[]TextCue{{"1", "line:0", "a\n你好 &lt;b&gt;", 120, 150}}, []string{"100-120 vtte", "120-150 vttc(a\n你好 &lt;b&gt;) 1 line:0", "150-200 vtte"}},
		"at both ends": {
			[]TextCue{{ID: "1", Text: "a", Start: 50, End: 110}, {ID: "2", Text: "b", Start: 190, End: 250}},
			[]string{"100-110 vttc(a) 1", "110-190 vtte", "190-200 vttc(b) 2"},
		},
		"overlap": {
			[]TextCue{{Text: "a", Start: 100, End: 160}, {Text: "b", Start: 130, End: 200}, {Text: "c", Start: 130, End: 140}},
			[]string{"100-130 vttc(a)", "130-140 vttc(a) vttc(b) vttc(c)", "140-160 vttc(a) vttc(b)", "160-200 vttc(b)"},
		},
		"elsewhere": {[]TextCue{{Text: "a", Start: 0, End: 100}, {Text: "b", Start: 200, End: 300}}, []string{"100-200 vtte"}},
	} {
		data, err := AppendTextFragment([]byte("kept"), TextFragment{Sequence: 7, Begin: 100, End: 200, Cues: c.cues})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, textSamples(t, data[4:])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got, err := AppendTextFragment([]byte("kept"), TextFragment{Begin: 9, End: 9}); err == nil || string(got) != "kept" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A cue that is in several samples has one number in all of them, and another one has
// another.
func TestTextSources(t *testing.T) {
	t.Parallel()
	seen := map[string]map[uint32]bool{}
	for begin := int64(0); begin < 300; begin += 100 {
		data, err := AppendTextFragment(nil, TextFragment{Begin: begin, End: begin + 100, Cues: []TextCue{{ID: "1", Text: "a", End: 250}, {ID: "2", Text: "b", Start: 50, End: 250}}})
		if err != nil {
			t.Fatal(err)
		}
		file, err := ff.DecodeFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(file.Segments[0].Fragments[0].Mdat.Data)
		for at := uint64(0); r.Len() > 0; {
			box, err := ff.DecodeBox(at, r)
			if err != nil {
				t.Fatal(err)
			}
			at += box.Size()
			if cue, ok := box.(*ff.VttcBox); ok {
				if seen[cue.Iden.CueID] == nil {
					seen[cue.Iden.CueID] = map[uint32]bool{}
				}
				seen[cue.Iden.CueID][cue.Vsid.SourceID] = true
			}
		}
	}
	if len(seen["1"]) != 1 || len(seen["2"]) != 1 || cmp.Equal(seen["1"], seen["2"]) {
		t.Errorf("got %v", seen)
	}
}

// Cues that overlap are written again and again: a fragment has an end to that.
func TestTextIsBounded(t *testing.T) {
	t.Parallel()
	var cues []TextCue
	for n := range int64(10_000) {
		cues = append(cues, TextCue{Text: strings.Repeat("x", 20), Start: n, End: 20_000 + n})
	}
	data, err := AppendTextFragment(nil, TextFragment{End: 40_000, Cues: cues})
	if err != nil || len(data) > 2*maxTextFragment {
		t.Fatalf("%d bytes, %v", len(data), err)
	}
	lines := textSamples(t, data)
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, "-40000 vtte") || len(lines) < 100 {
		t.Errorf("%d samples, the last %q", len(lines), last)
	}
}
