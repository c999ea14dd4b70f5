// Command testsum runs checks and tests and keeps count of what came of them, so
// that the last line of a run is true: a suite without tests has failed, and so
// has a package that did not build or a test that never ended.
//
//	testsum step -name NAME -- COMMAND...      one check: it passes when it exits 0
//	testsum go -name NAME -- go test -json ... each test that has no subtests; with
//	                                           -again 2 two that failed have a second try
//	testsum vitest -name NAME -- COMMAND...    vitest; it adds --reporter=json
//	testsum node -name NAME -- node --test ... node's own test runner
//	testsum total                              N passed, N failed, N skipped
//
// Counts lie in the folder that -results names, one file a suite. The exit status
// is 1 when anything failed.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// tally is what came of one suite.
type tally struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

func (t tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.Passed, t.Failed, t.Skipped)
}

func (t tally) plus(other tally) tally {
	return tally{t.Passed + other.Passed, t.Failed + other.Failed, t.Skipped + other.Skipped}
}

// ok reports whether something passed and nothing failed.
func (t tally) ok() bool { return t.Failed == 0 && t.Passed > 0 }

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: testsum step|go|vitest|node|total ...")
		os.Exit(2)
	}
	t, err := run(os.Args[1], os.Args[2:], os.Stdout)
	if err != nil {
		fmt.Fprintf(os.Stderr, "testsum: %v\n", err)
		os.Exit(1)
	}
	if !t.ok() {
		os.Exit(1)
	}
}

func run(kind string, args []string, out io.Writer) (tally, error) {
	flags := flag.NewFlagSet(kind, flag.ContinueOnError)
	results := flags.String("results", "build/results", "the folder of counts")
	name := flags.String("name", "", "the suite's name")
	again := flags.Int("again", 0, "of go: so many tests that failed have a second try; if more did, none has")
	if err := flags.Parse(args); err != nil {
		return tally{}, err
	}
	if kind == "total" {
		t, err := total(*results)
		if err == nil {
			fmt.Fprintln(out, t)
		}
		return t, err
	}
	suites := map[string]func([]string, io.Writer) (tally, error){"step": runStep, "vitest": runVitest, "node": runNode}
	suites["go"] = func(command []string, out io.Writer) (tally, error) { return runGo(command, *again, out) }
	suite := suites[kind]
	if suite == nil || *name == "" || flags.NArg() == 0 {
		return tally{}, errors.New("usage: testsum step|go|vitest|node -name NAME -- COMMAND")
	}
	start := time.Now()
	fmt.Fprintf(out, "== %s\n", *name)
	t, err := suite(flags.Args(), out)
	if err != nil {
		return tally{}, err
	}
	fmt.Fprintf(out, "== %s: %s in %s\n", *name, t, time.Since(start).Round(100*time.Millisecond))
	return t, save(*results, *name, t)
}

// runStep runs one check.
func runStep(command []string, out io.Writer) (tally, error) {
	err := call(command, out)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return tally{Passed: 1}, nil
	case errors.As(err, &exit):
		return tally{Failed: 1}, nil
	}
	return tally{}, err
}

func call(command []string, out io.Writer) error {
	c := exec.Command(command[0], command[1:]...)
	c.Stdout, c.Stderr = out, os.Stderr
	return c.Run()
}

func save(folder, name string, t tally) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, strings.ReplaceAll(name, " ", "-")+".json"), text, 0o644)
}

// total sums the suites. No suites at all is an error.
func total(folder string) (sum tally, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return tally{}, err
	}
	if len(files) == 0 {
		return tally{}, fmt.Errorf("no results in %s", folder)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return tally{}, err
		}
		var t tally
		if err := json.Unmarshal(text, &t); err != nil {
			return tally{}, fmt.Errorf("%s: %w", file, err)
		}
		sum = sum.plus(t)
	}
	return sum, nil
}
