package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// report is what is used of the report of liuyun encode, as scripts read it.
type report struct {
	Class  string `json:"class"`
	Source struct {
		Duration float64 `json:"duration_s"`
	} `json:"source"`
	Plan struct {
		FrameRate frameRate `json:"frame_rate"`
		Frames    int       `json:"frames"`
		Units     int       `json:"units"`
		Segments  int       `json:"segments"`
	} `json:"plan"`
	Renditions []rendition `json:"renditions"`
	Run        struct {
		Wall     float64 `json:"wall_s"`
		CPU      float64 `json:"cpu_s"`
		UnitsCPU float64 `json:"units_cpu_s"`
		Measured float64 `json:"measure_cpu_s"` // of those, to measure quality
		Units    int     `json:"units"`
		Reused   int     `json:"reused_units"`
		Retried  int     `json:"retries"`
	} `json:"run"`
}

// rendition is one rung as it was made.
type rendition struct {
	ID       string  `json:"id"`
	Width    int     `json:"width"`
	Height   int     `json:"height"`
	Quality  float64 `json:"crf"`
	Cap      int64   `json:"cap"` // bits a second
	Recoded  int     `json:"recoded_units"`
	Playlist string  `json:"playlist"`
	Search   *struct {
		Encodes float64 `json:"encodes"`
		Shots   []struct {
			First    int     `json:"first"`
			Rest     bool    `json:"rest"`
			Pictures int     `json:"pictures"`
			Quality  float64 `json:"quality"`
			Expected *struct {
				Quality float64 `json:"quality"`
			} `json:"expected"`
		} `json:"shots"`
	} `json:"search"`
}

// bufferSeconds is the rate buffer that our encoders get, at the cap.
const bufferSeconds = 1.5

func (r rendition) buffer() int64 { return int64(bufferSeconds * float64(r.Cap)) }

// frameRate is frames a second as a fraction.
type frameRate struct {
	Num int64 `json:"num"`
	Den int64 `json:"den"`
}

func (r frameRate) float() float64 { return float64(r.Num) / float64(r.Den) }

// encode is one run of liuyun encode.
type encode struct {
	clip   clip
	preset string
	jobs   int // units at a time; 0 is one a core
	cpus   []int
	sample func(pid int)
	more   []string // options
}

// encoded is what came of it. The caller removes folder.
type encoded struct {
	usage
	folder string
	report report
	phases []phase
}

// phase is one part of the work and how long it took on the clock.
type phase struct {
	name string
	wall float64 // seconds
}

// encode runs liuyun encode into a new folder.
func (b *bench) encode(ctx context.Context, e encode) (encoded, error) {
	folder, err := b.folder()
	if err != nil {
		return encoded{}, err
	}
	var reader outputReader
	run := command{
		args: append([]string{b.liuyun, "encode", e.clip.path, "-o", folder, "--json",
			"--preset", e.preset, "--ladder", e.clip.ladder, "--jobs", strconv.Itoa(e.jobs)}, e.more...),
		cpus:   e.cpus,
		line:   func(line []byte) { reader.add(line, time.Now()) },
		sample: e.sample,
	}
	used, err := run.run(ctx)
	if err == nil {
		err = reader.err
	}
	if err == nil && !reader.done {
		err = errors.New("liuyun encode ended without a report")
	}
	if err == nil && reader.report.Run.Reused > 0 {
		err = fmt.Errorf("liuyun encode took %d units from an earlier run", reader.report.Run.Reused)
	}
	if err != nil {
		os.RemoveAll(folder)
		return encoded{}, err
	}
	return encoded{usage: used, folder: folder, report: reader.report, phases: reader.phases}, nil
}

// outputReader reads the JSON lines of liuyun encode as they come.
type outputReader struct {
	report report
	phases []phase
	done   bool
	err    error
	began  time.Time // of the running phase
}

func (r *outputReader) add(line []byte, now time.Time) {
	if r.err != nil || len(bytes.TrimSpace(line)) == 0 {
		return
	}
	var head struct {
		Type  string `json:"type"`
		Phase string `json:"phase"`
	}
	if r.err = json.Unmarshal(line, &head); r.err != nil {
		return
	}
	switch head.Type {
	case "progress":
		last := len(r.phases) - 1
		if last >= 0 && r.phases[last].name == head.Phase {
			return
		}
		r.endPhase(now)
		r.phases = append(r.phases, phase{name: head.Phase})
		r.began = now
	case "report":
		r.endPhase(now)
		r.done = true
		r.err = json.Unmarshal(line, &r.report)
	}
}

func (r *outputReader) endPhase(now time.Time) {
	if last := len(r.phases) - 1; last >= 0 {
		r.phases[last].wall = now.Sub(r.began).Seconds()
	}
}

// phase is how long the named phase took, seconds.
func (e encoded) phase(name string) (float64, error) {
	for _, p := range e.phases {
		if p.name == name && p.wall > 0 {
			return p.wall, nil
		}
	}
	return 0, fmt.Errorf("liuyun encode told of no phase %q", name)
}
