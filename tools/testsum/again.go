package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// again gives the tests that failed a second try, each alone, if they are few: on a
// machine that runs everything else beside it a test may come too late for what it
// looks at. What it said the first time has been shown, and that it took two tries is
// said too. try runs what a pattern matches in a package.
func (g *goTests) again(most int, try func(pkg, pattern string) (*goTests, error)) error {
	var failed []*testRun
	for _, run := range g.leaves() {
		if run.result == "fail" {
			failed = append(failed, run)
		}
	}
	if g.failures > 0 || len(failed) > most {
		return nil
	}
	for _, run := range failed {
		fmt.Fprintf(g.out, "again %s %s\n", run.pkg, run.name)
		second, err := try(run.pkg, pattern(run.name))
		if err != nil {
			return err
		}
		if r := second.tests[run.pkg+" "+run.name]; second.failures == 0 && r != nil && r.result == "pass" {
			fmt.Fprintf(g.out, "      passed in the second try; why it failed in the first is shown above\n")
			run.result = "pass"
			g.forgive(run)
		}
	}
	return nil
}

// pattern matches one test, and subtest, for -run.
func pattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

// forgive lets the tests pass that a test is part of, where nothing else of theirs has
// failed.
func (g *goTests) forgive(run *testRun) {
	for name := run.name; strings.Contains(name, "/"); {
		name = name[:strings.LastIndex(name, "/")]
		for _, other := range g.order {
			if other.pkg == run.pkg && other.result == "fail" && strings.HasPrefix(other.name, name+"/") {
				return
			}
		}
		if parent := g.tests[run.pkg+" "+name]; parent != nil {
			parent.result = "pass"
		}
	}
}

// failing reports whether a test has failed.
func (g *goTests) failing() bool {
	for _, run := range g.order {
		if run.result == "fail" {
			return true
		}
	}
	return g.failures > 0
}

// follow runs a command of go test and takes what it says. failed says that go itself
// was not content.
func follow(command []string, out io.Writer) (g *goTests, failed bool, err error) {
	c := exec.Command(command[0], command[1:]...)
	c.Stderr = os.Stderr
	pipe, err := c.StdoutPipe()
	if err != nil {
		return nil, false, err
	}
	if err := c.Start(); err != nil {
		return nil, false, err
	}
	g = newGoTests(out)
	if err := g.follow(pipe); err != nil {
		return nil, false, err
	}
	err = c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, false, err
	}
	return g, err != nil, nil
}

// withoutPackages is a command of go test up to its packages, which come last. Options
// have their values behind =.
func withoutPackages(command []string) []string {
	end := len(command)
	for end > 0 && !strings.HasPrefix(command[end-1], "-") {
		end--
	}
	return command[:end:end]
}
