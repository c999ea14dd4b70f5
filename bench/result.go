package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one figure: a ratio against a named peer in one run. It is a line
// of bench/results/NAME.jsonl.
type result struct {
	When    time.Time `json:"when"`
	Name    string    `json:"name"`
	Peer    string    `json:"peer"`
	Machine machine   `json:"machine"`
	Clip    string    `json:"clip"`
	Preset  string    `json:"preset,omitempty"`
	Unit    string    `json:"unit"` // of ours and theirs
	Ours    float64   `json:"ours"`
	Theirs  float64   `json:"theirs"`
	Ratio   float64   `json:"ratio"`         // ours / theirs
	Bar     float64   `json:"bar,omitempty"` // 0: a figure to look at, without a bar
	Bound   bound     `json:"bound,omitempty"`
	OK      bool      `json:"ok"`
	Parts   []part    `json:"parts,omitempty"`
	Notes   string    `json:"notes,omitempty"`

	// Disturbed says that others used so much of the machine that the figure
	// means little: it is shown and not recorded.
	Disturbed bool `json:"-"`
}

// bound says on which side of the bar a ratio has to be.
type bound string

const (
	atMost  bound = "at most"
	atLeast bound = "at least"
)

// machine is what a figure depends on.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	FFmpeg string `json:"ffmpeg"`
}

// part is one share of ours.
type part struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// judge completes a figure: the ratio, and whether it keeps to the bar.
func (r *result) judge(m machine) {
	r.When, r.Machine = time.Now().UTC().Truncate(time.Second), m
	if r.Theirs != 0 {
		r.Ratio = round(r.Ours/r.Theirs, 4)
	}
	r.Ours, r.Theirs = round(r.Ours, 3), round(r.Theirs, 3)
	for i := range r.Parts {
		r.Parts[i].Value = round(r.Parts[i].Value, 3)
	}
	switch {
	case r.Bar == 0:
		r.Bound, r.OK = "", true
	case r.Bound == atLeast:
		r.OK = r.Ratio >= r.Bar
	default:
		r.Bound, r.OK = atMost, r.Ratio <= r.Bar
	}
}

// appendResult adds r to its file in folder as one line.
func appendResult(folder string, r result) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(folder, r.Name+".jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// writeTable prints figures for people.
func writeTable(w io.Writer, figures []result) {
	if len(figures) == 0 {
		return
	}
	out := bufio.NewWriter(w)
	defer out.Flush()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "figure\tclip\tpreset\tours\ttheirs\tunit\tratio\tbar\t\tpeer")
	for _, r := range figures {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%.3f\t%s\t%s\t%s\n",
			r.Name, r.Clip, r.Preset, number(r.Ours), number(r.Theirs), r.Unit, r.Ratio, r.barText(), r.verdict(), r.Peer)
	}
	table.Flush()
	for _, r := range figures {
		if r.Notes != "" {
			fmt.Fprintf(out, "%s %s %s: %s\n", r.Name, r.Clip, r.Preset, r.Notes)
		}
		for _, p := range r.Parts {
			fmt.Fprintf(out, "  %-46s %9s %s  %5.1f %%\n", p.Name, number(p.Value), r.Unit, 100*p.Value/r.Ours)
		}
	}
}

func (r result) barText() string {
	switch r.Bound {
	case atMost:
		return fmt.Sprintf("≤ %.2f", r.Bar)
	case atLeast:
		return fmt.Sprintf("≥ %.2f", r.Bar)
	}
	return ""
}

func (r result) verdict() string {
	switch {
	case r.Disturbed:
		return "disturbed"
	case r.Bar == 0:
		return ""
	case r.OK:
		return "ok"
	}
	return "MISSED"
}

// number is a value with about four digits.
func number(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// cpuModel reads the name of the processor.
func cpuModel(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value), nil
		}
	}
	return "unknown", nil
}
