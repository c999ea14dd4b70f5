package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGoTests(t *testing.T) {
	tests := []struct {
		name   string
		events []string
		failed bool
		want   tally
		shows  []string
	}{
		{
			name: "leaves are counted, parents are not",
			events: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"pass","Package":"p","Test":"TestA/one","Elapsed":3}`,
				`{"Action":"output","Package":"p","Test":"TestA/two","Output":"    a_test.go:5: shared clip x.mp4 is absent\n"}`,
				`{"Action":"skip","Package":"p","Test":"TestA/two"}`,
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
				`{"Action":"pass","Package":"p","Test":"TestB"}`,
				`{"Action":"pass","Package":"p","Elapsed":1.5}`,
			},
			want:  tally{2, 0, 1},
			shows: []string{"ok       1.5s  p\n", "skip  shared clip x.mp4 is absent: TestA/two\n", "slow     3.0s  p TestA/one\n"},
		},
		{
			name: "a failure shows what the test wrote",
			events: []string{
				`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:5: got 1, want 2\n"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			failed: true,
			want:   tally{0, 1, 0},
			shows:  []string{"--- TestA\n    a_test.go:5: got 1, want 2\n"},
		},
		{
			name: "a parent that fails by itself counts",
			events: []string{
				`{"Action":"pass","Package":"p","Test":"TestA/one"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			failed: true,
			want:   tally{1, 1, 0},
		},
		{
			name: "a test that never ended has failed",
			events: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Output":"panic: test timed out\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			failed: true,
			want:   tally{0, 1, 0},
			shows:  []string{"the test did not end", "panic: test timed out"},
		},
		{
			name: "a package that does not build has failed",
			events: []string{
				`{"Action":"build-output","ImportPath":"p","Output":"p.go:1: syntax error\n"}`,
				`{"Action":"build-fail","ImportPath":"p"}`,
				`{"Action":"fail","Package":"p","FailedBuild":"p"}`,
				`{"Action":"pass","Package":"q","Test":"TestB"}`,
				`{"Action":"pass","Package":"q"}`,
			},
			failed: true,
			want:   tally{1, 1, 0},
			shows:  []string{"p.go:1: syntax error"},
		},
		{name: "no tests have failed", want: tally{0, 1, 0}},
		{
			name:   "go fails after all tests passed",
			events: []string{`{"Action":"pass","Package":"p","Test":"TestA"}`, `not JSON`},
			failed: true,
			want:   tally{1, 1, 0},
			shows:  []string{"not JSON\n"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			g := newGoTests(&out)
			if err := g.follow(strings.NewReader(strings.Join(test.events, "\n") + "\n")); err != nil {
				t.Fatal(err)
			}
			if got := g.finish(test.failed); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			for _, want := range test.shows {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in:\n%s", want, out.String())
				}
			}
		})
	}
}

// A few tests that failed have a second try, which counts; what is wrong each time, or
// with a package, stays so.
func TestAgain(t *testing.T) {
	first := []string{
		`{"Action":"pass","Package":"p","Test":"TestA/one"}`,
		`{"Action":"output","Package":"p","Test":"TestA/two","Output":"    a_test.go:3: late\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestA/two"}`,
		`{"Action":"fail","Package":"p","Test":"TestA"}`,
		`{"Action":"fail","Package":"p","Test":"TestB"}`,
		`{"Action":"fail","Package":"p"}`,
	}
	pass := func(pkg, name string) []string {
		return []string{`{"Action":"pass","Package":"` + pkg + `","Test":"` + name + `"}`, `{"Action":"pass","Package":"` + pkg + `"}`}
	}
	tests := []struct {
		name   string
		most   int
		second map[string][]string // by pattern
		want   tally
		tries  int
	}{
		{"all pass", 2, map[string][]string{"^TestA$/^two$": pass("p", "TestA/two"), "^TestB$": pass("p", "TestB")}, tally{3, 0, 0}, 2},
		{"one fails again", 2, map[string][]string{
			"^TestA$/^two$": pass("p", "TestA/two"),
			"^TestB$":       {`{"Action":"fail","Package":"p","Test":"TestB"}`, `{"Action":"fail","Package":"p"}`},
		}, tally{2, 1, 0}, 2},
		{"it ran no test", 2, map[string][]string{"^TestA$/^two$": pass("p", "TestA/two"), "^TestB$": {`{"Action":"pass","Package":"p"}`}}, tally{2, 1, 0}, 2},
		{"too many", 1, nil, tally{1, 2, 0}, 0},
		{"no second tries", 0, nil, tally{1, 2, 0}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			g := newGoTests(&out)
			read := func(g *goTests, events []string) {
				if err := g.follow(strings.NewReader(strings.Join(events, "\n") + "\n")); err != nil {
					t.Fatal(err)
				}
			}
			read(g, first)
			tries := 0
			if err := g.again(test.most, func(pkg, pattern string) (*goTests, error) {
				tries++
				second := newGoTests(&out)
				read(second, test.second[pattern])
				return second, nil
			}); err != nil {
				t.Fatal(err)
			}
			if got := g.finish(g.failing()); got != test.want || tries != test.tries {
				t.Errorf("got %s after %d tries, want %s after %d", got, tries, test.want, test.tries)
			}
			if !strings.Contains(out.String(), "a_test.go:3: late") {
				t.Errorf("why it failed first is not shown:\n%s", out.String())
			}
		})
	}
}

func TestWithoutPackages(t *testing.T) {
	got := withoutPackages([]string{"go", "test", "-json", "-timeout=20m", "./a", "./b/..."})
	if want := "go test -json -timeout=20m"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStepsAndTotal(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	if _, err := run("total", []string{"-results", results}, io.Discard); err == nil {
		t.Error("a total of nothing is no error")
	}
	for _, command := range []string{"true", "false"} {
		if _, err := run("step", []string{"-results", results, "-name", command, "--", command}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	got, err := run("total", []string{"-results", results}, &out)
	if err != nil || got.ok() {
		t.Errorf("got %v, %v, want a failure", got, err)
	}
	if got, want := out.String(), "1 passed, 1 failed, 0 skipped\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := run("step", []string{"-results", results, "-name", "x", "--", filepath.Join(results, "absent")}, io.Discard); err == nil {
		t.Error("a command that cannot start is no error")
	}
}

func TestVitest(t *testing.T) {
	folder := t.TempDir()
	// A stand-in for vitest that writes its report where the last option says.
	script := filepath.Join(folder, "vitest")
	text := "#!/bin/sh\nfor last; do :; done\necho \"$REPORT\" > \"${last#--outputFile.json=}\"\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		report string
		want   tally
	}{
		{`{"numPassedTests":3,"numFailedTests":0,"numPendingTests":1,"success":true}`, tally{3, 0, 1}},
		{`{"numPassedTests":3,"numFailedTests":2,"success":false}`, tally{3, 2, 0}},
		{`{"numPassedTests":3,"numFailedTests":0,"success":false}`, tally{3, 1, 0}},
		{`{"numPassedTests":0,"success":true}`, tally{0, 1, 0}},
	}
	for _, test := range tests {
		t.Setenv("REPORT", test.report)
		got, err := runVitest([]string{script}, io.Discard)
		if err != nil || got != test.want {
			t.Errorf("%s: got %s, %v, want %s", test.report, got, err, test.want)
		}
	}
}

func TestNode(t *testing.T) {
	text := "ok 1 - a\n# Subtest: b\n    # pass x\n1..3\n# tests 6\n# suites 0\n# pass 2\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 1\n# duration_ms 5.1\n"
	if got, want := tapTally([]byte(text)), (tally{2, 2, 2}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
