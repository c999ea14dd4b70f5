package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
}

// testRun is one test of one package.
type testRun struct {
	pkg, name string
	result    string // pass, fail, skip; empty while it runs
	elapsed   time.Duration
	output    []string
}

// goTests follows a run of `go test -json`.
type goTests struct {
	out      io.Writer
	tests    map[string]*testRun // by package and name
	order    []*testRun
	failures int                 // packages that failed without a test that did
	loose    map[string][]string // output of packages outside tests
}

// runGo runs go test. Up to most tests that failed have a second try.
func runGo(command []string, most int, out io.Writer) (tally, error) {
	g, failed, err := follow(command, out)
	if err != nil {
		return tally{}, err
	}
	if g.failing() {
		err := g.again(most, func(pkg, pattern string) (*goTests, error) {
			second, _, err := follow(append(withoutPackages(command), "-count=1", "-run="+pattern, pkg), out)
			return second, err
		})
		if err != nil {
			return tally{}, err
		}
		failed = g.failing()
	}
	return g.finish(failed), nil
}

func newGoTests(out io.Writer) *goTests {
	return &goTests{out: out, tests: make(map[string]*testRun), loose: make(map[string][]string)}
}

// follow reads events to the end. A line that is none is passed on.
func (g *goTests) follow(r io.Reader) error {
	reader := bufio.NewReader(r)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				g.event(e)
			} else {
				fmt.Fprintf(g.out, "%s", line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (g *goTests) event(e event) {
	switch {
	case e.Action == "build-output":
		fmt.Fprint(g.out, e.Output)
	case e.Test != "":
		g.testEvent(e)
	case e.Action == "output":
		g.loose[e.Package] = append(g.loose[e.Package], e.Output)
	case e.Action == "pass", e.Action == "fail", e.Action == "skip":
		g.packageEnd(e)
	}
}

func (g *goTests) testEvent(e event) {
	key := e.Package + " " + e.Test
	run := g.tests[key]
	if run == nil {
		run = &testRun{pkg: e.Package, name: e.Test}
		g.tests[key] = run
		g.order = append(g.order, run)
	}
	switch e.Action {
	case "output":
		run.output = append(run.output, e.Output)
	case "pass", "fail", "skip":
		run.result = e.Action
		run.elapsed = time.Duration(e.Elapsed * float64(time.Second))
		if e.Action == "pass" {
			run.output = nil
		}
	}
}

// packageEnd shows a package's line, and all that its failed tests wrote.
func (g *goTests) packageEnd(e event) {
	if e.Action != "fail" {
		if e.Action == "pass" {
			fmt.Fprintf(g.out, "ok    %6.1fs  %s\n", e.Elapsed, e.Package)
		}
		return
	}
	fmt.Fprintf(g.out, "FAIL  %6.1fs  %s\n", e.Elapsed, e.Package)
	explained := false
	for _, run := range g.order {
		if run.pkg != e.Package {
			continue
		}
		if run.result == "" { // a crash, a time-out or os.Exit came between
			run.result = "fail"
			run.output = append(run.output, "    the test did not end\n")
		}
		if run.result == "fail" {
			explained = true
			fmt.Fprintf(g.out, "--- %s\n%s", run.name, said(run.output))
		}
	}
	fmt.Fprint(g.out, said(g.loose[e.Package]))
	if !explained {
		g.failures++
	}
}

// said is output without the lines that only say what go test is doing.
func said(output []string) string {
	var kept strings.Builder
	for _, line := range output {
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "FAIL") && !strings.HasPrefix(line, "exit status") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// finish shows what is worth knowing and returns the count. failed says that go
// itself was not content.
func (g *goTests) finish(failed bool) tally {
	t := tally{Failed: g.failures}
	leaves := g.leaves()
	for _, run := range leaves {
		switch run.result {
		case "pass":
			t.Passed++
		case "skip":
			t.Skipped++
		default:
			t.Failed++
		}
	}
	if t.Failed == 0 && (failed || t.Passed == 0) {
		t.Failed = 1
		fmt.Fprintln(g.out, "no test failed, but go test did not pass any or did not end well")
	}
	g.showSkips(leaves)
	g.showSlowest(leaves)
	return t
}

// leaves are the tests without subtests. A test that failed although its subtests
// did not counts too.
func (g *goTests) leaves() (leaves []*testRun) {
	parents, failedParents := make(map[string]bool), make(map[string]bool)
	for _, run := range g.order {
		for name := run.name; strings.Contains(name, "/"); {
			name = name[:strings.LastIndex(name, "/")]
			parents[run.pkg+" "+name] = true
			if run.result == "fail" {
				failedParents[run.pkg+" "+name] = true
			}
		}
	}
	for _, run := range g.order {
		key := run.pkg + " " + run.name
		if !parents[key] || run.result == "fail" && !failedParents[key] {
			leaves = append(leaves, run)
		}
	}
	return leaves
}

// reason is what a skipped test said.
func (run *testRun) reason() string {
	said := regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)`)
	reason := "no reason given"
	for _, line := range run.output {
		if found := said.FindStringSubmatch(line); found != nil {
			reason = found[1]
		}
	}
	return reason
}

func (g *goTests) showSkips(leaves []*testRun) {
	const most = 4 // tests named for one reason
	byReason := make(map[string][]string)
	for _, run := range leaves {
		if run.result == "skip" {
			byReason[run.reason()] = append(byReason[run.reason()], run.name)
		}
	}
	reasons := make([]string, 0, len(byReason))
	for reason := range byReason {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		names := byReason[reason]
		more := ""
		if len(names) > most {
			more = fmt.Sprintf(" and %d more", len(names)-most)
		}
		fmt.Fprintf(g.out, "skip  %s: %s%s\n", reason, strings.Join(names[:min(most, len(names))], ", "), more)
	}
}

func (g *goTests) showSlowest(leaves []*testRun) {
	const most, worthSaying = 8, 2 * time.Second
	slowest := slices.Clone(leaves)
	slices.SortStableFunc(slowest, func(a, b *testRun) int { return int(b.elapsed - a.elapsed) })
	for _, run := range slowest[:min(most, len(slowest))] {
		if run.elapsed >= worthSaying {
			fmt.Fprintf(g.out, "slow  %6.1fs  %s %s\n", run.elapsed.Seconds(), run.pkg, run.name)
		}
	}
}
