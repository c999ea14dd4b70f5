package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// vitestReport is the part we read of vitest's JSON report, which is Jest's.
type vitestReport struct {
	Passed  int  `json:"numPassedTests"`
	Failed  int  `json:"numFailedTests"`
	Pending int  `json:"numPendingTests"`
	Todo    int  `json:"numTodoTests"`
	Success bool `json:"success"`
}

func (r vitestReport) tally() tally {
	t := tally{Passed: r.Passed, Failed: r.Failed, Skipped: r.Pending + r.Todo}
	if t.Failed == 0 && (!r.Success || t.Passed == 0) {
		t.Failed = 1 // a file that could not be loaded, or no tests
	}
	return t
}

func runVitest(command []string, out io.Writer) (tally, error) {
	folder, err := os.MkdirTemp("", "testsum-")
	if err != nil {
		return tally{}, err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "report.json")
	command = append(command, "--reporter=default", "--reporter=json", "--outputFile.json="+file)
	step, err := runStep(command, out)
	if err != nil {
		return tally{}, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return tally{}, fmt.Errorf("vitest left no report: %w", err)
	}
	var report vitestReport
	if err := json.Unmarshal(text, &report); err != nil {
		return tally{}, fmt.Errorf("vitest's report: %w", err)
	}
	t := report.tally()
	if step.Failed > 0 && t.Failed == 0 {
		t.Failed = 1
	}
	return t, nil
}
