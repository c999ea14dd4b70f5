package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		given result
		ratio float64
		ok    bool
		text  string
	}{
		{"below", result{Ours: 109, Theirs: 100, Bar: 1.10, Bound: atMost}, 1.09, true, "ok"},
		{"above", result{Ours: 111, Theirs: 100, Bar: 1.10, Bound: atMost}, 1.11, false, "MISSED"},
		{"enough", result{Ours: 1.91, Theirs: 1, Bar: 1.9, Bound: atLeast}, 1.91, true, "ok"},
		{"too little", result{Ours: 1.89, Theirs: 1, Bar: 1.9, Bound: atLeast}, 1.89, false, "MISSED"},
		{"no bar", result{Ours: 3, Theirs: 2}, 1.5, true, ""},
		{"disturbed", result{Ours: 3, Theirs: 2, Bar: 1, Disturbed: true}, 1.5, false, "disturbed"},
		{"nothing to compare with", result{Ours: 3}, 0, true, ""},
	}
	for _, test := range tests {
		r := test.given
		r.judge(machine{CPU: "model", Cores: 2, FFmpeg: "5.1"})
		if r.Ratio != test.ratio || r.OK != test.ok || r.verdict() != test.text {
			t.Errorf("%s: got ratio %v, ok %t, %q, want %v, %t, %q", test.name, r.Ratio, r.OK, r.verdict(), test.ratio, test.ok, test.text)
		}
		if r.When.IsZero() || r.Machine.Cores != 2 {
			t.Errorf("%s: no time or machine: %+v", test.name, r)
		}
	}
}

// Each figure is one line with the fields that the README promises.
func TestAppendResult(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "results")
	for _, ours := range []float64{1, 2} {
		r := result{
			Name: "cpu-medium", Peer: "ffmpeg", Clip: "720p", Preset: "medium", Unit: "CPU s",
			Ours: ours, Theirs: 2, Bar: 1.1, Bound: atMost, Notes: "two\nlines",
		}
		r.judge(machine{CPU: "model", Cores: 2, FFmpeg: "5.1"})
		if err := appendResult(folder, r); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, "cpu-medium.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want 2:\n%s", len(lines), text)
	}
	for i, line := range lines {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		for _, name := range []string{"when", "name", "peer", "machine", "clip", "preset", "unit", "ours", "theirs", "ratio", "bar", "bound", "ok", "notes"} {
			if _, ok := fields[name]; !ok {
				t.Errorf("line %d has no %q", i, name)
			}
		}
	}
}

func TestWriteTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	writeTable(&out, []result{
		{Name: "a", Peer: "p", Clip: "c", Unit: "s", Ours: 2, Theirs: 1, Ratio: 2, Bar: 1, Bound: atMost, Notes: "why"},
		{Name: "b", Unit: "s", Ours: 4, Parts: []part{{"half", 2}}, OK: true},
	})
	for _, want := range []string{"≤ 1.00", "MISSED", "a c : why", "50.0 %"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
