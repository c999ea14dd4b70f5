package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// runNode runs `node --test ...` with a second report, in TAP, to count.
func runNode(command []string, out io.Writer) (tally, error) {
	folder, err := os.MkdirTemp("", "testsum-")
	if err != nil {
		return tally{}, err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "report.tap")
	reporters := []string{
		"--test-reporter=spec", "--test-reporter-destination=stdout",
		"--test-reporter=tap", "--test-reporter-destination=" + file,
	}
	step, err := runStep(append([]string{command[0]}, append(reporters, command[1:]...)...), out)
	if err != nil {
		return tally{}, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return tally{}, fmt.Errorf("node left no report: %w", err)
	}
	t := tapTally(text)
	if t.Failed == 0 && (step.Failed > 0 || t.Passed == 0) {
		t.Failed = 1
	}
	return t, nil
}

// tapTally reads the counts at the end of node's TAP.
func tapTally(text []byte) (t tally) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[0] != "#" {
			continue
		}
		n, err := strconv.Atoi(fields[2])
		if err != nil {
			continue
		}
		switch fields[1] {
		case "pass":
			t.Passed = n
		case "fail", "cancelled":
			t.Failed += n
		case "skipped", "todo":
			t.Skipped += n
		}
	}
	return t
}
