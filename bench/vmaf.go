package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"liuyun/internal/av/quality"
)

const (
	vmafFrames = 12
	vmafLimit  = 10   // frames a CPU second
	vmafError  = 0.01 // points, of any frame
)

// meterJob is a pair of raw files of planar 4:2:0, and the models to score with.
type meterJob struct {
	Ref, Dis      string
	Width, Height int
	Models        []string
}

// meterAnswer is what scoring them took on one core, and came to.
type meterAnswer struct {
	CPU     float64     `json:"cpu_s"`
	Kernels string      `json:"kernels"`
	Scores  [][]float64 `json:"scores"` // a model, then a frame
}

// fps is frames a CPU second.
func (a meterAnswer) fps() float64 { return float64(len(a.Scores[0])) / a.CPU }

// meterMain scores what the JSON file job says, and writes the answer. It is run
// as a process of its own, so that one measures the kernels of another build.
func meterMain(job string, out io.Writer) error {
	var j meterJob
	data, err := os.ReadFile(job)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	answer, err := j.measure()
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(answer)
}

func (j meterJob) measure() (meterAnswer, error) {
	answer := meterAnswer{Kernels: quality.Kernels(), Scores: make([][]float64, len(j.Models))}
	var models []*quality.Model
	for _, path := range j.Models {
		data, err := os.ReadFile(path)
		if err != nil {
			return answer, err
		}
		m, err := quality.ParseModel(data)
		if err != nil {
			return answer, err
		}
		models = append(models, m)
	}
	ref, err := os.ReadFile(j.Ref)
	if err != nil {
		return answer, err
	}
	dis, err := os.ReadFile(j.Dis)
	if err != nil {
		return answer, err
	}
	meter, err := quality.NewMeter(j.Width, j.Height, 8, models...)
	if err != nil {
		return answer, err
	}
	size := j.Width * j.Height * 3 / 2
	luma := func(of []byte, n int) quality.Plane {
		return quality.Plane{Width: j.Width, Height: j.Height, Stride: j.Width, Depth: 8, Pix: of[n*size : n*size+j.Width*j.Height]}
	}
	runtime.LockOSThread()
	began, err := threadCPU()
	if err != nil {
		return answer, err
	}
	scores := make([]quality.Scores, len(ref)/size)
	for n := range scores {
		var prev *quality.Plane
		if n > 0 {
			p := luma(ref, n-1)
			prev = &p
		}
		if scores[n], err = meter.Frame(luma(ref, n), luma(dis, n), prev); err != nil {
			return answer, err
		}
		if n > 1 {
			scores[n-1].Settle(scores[n].Motion())
		}
	}
	ended, err := threadCPU()
	answer.CPU = (ended - began).Seconds()
	for i := range models {
		for n := range scores {
			answer.Scores[i] = append(answer.Scores[i], scores[n].VMAF[i])
		}
	}
	return answer, err
}

// threadCPU is the processor time that this thread has used.
func threadCPU() (time.Duration, error) {
	const thread = 1 // RUSAGE_THREAD
	var used syscall.Rusage
	err := syscall.Getrusage(thread, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), err
}

// measureVMAF scores half a second of 1080p, coarsely encoded, by ours in C, by ours in
// Go, and by libvmaf where there is its program.
func measureVMAF(ctx context.Context, b *bench) ([]result, error) {
	job, err := b.vmafJob(ctx)
	if err != nil {
		return nil, err
	}
	core, err := b.cores(1)
	if err != nil {
		return nil, err
	}
	one, both := job, job
	one.Models = job.Models[:1]
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	single, err := b.meter(ctx, one, core, program)
	if err != nil {
		return nil, err
	}
	double, err := b.meter(ctx, both, core, program)
	if err != nil {
		return nil, err
	}
	const unit = "frames a CPU second"
	results := []result{{
		Peer: "the bar of 10", Clip: "1080p", Unit: unit, Ours: single.fps(), Theirs: vmafLimit, Bar: 1, Bound: atLeast,
		Notes: fmt.Sprintf("kernels in %s, v0.6.1; with its NEG form besides %.1f", single.Kernels, double.fps()),
	}}
	plain := filepath.Join(b.scratch, "bench-plain")
	build := exec.CommandContext(ctx, "go", "build", "-o", plain, "./bench")
	build.Dir, build.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return results, fmt.Errorf("build without C: %w\n%s", err, text)
	}
	goes, err := b.meter(ctx, one, core, plain)
	if err != nil {
		return results, err
	}
	results = append(results, result{
		Peer: "our kernels in " + goes.Kernels, Clip: "1080p", Unit: unit, Ours: single.fps(), Theirs: goes.fps(),
		Notes: fmt.Sprintf("largest difference of a score: %g", largestError(single.Scores, goes.Scores)),
	})
	theirs, version, err := b.libvmaf(ctx, both, core)
	if err != nil {
		return results, err
	}
	return append(results,
		result{
			Peer: "libvmaf " + version + ", one thread, both models", Clip: "1080p", Unit: unit, Ours: double.fps(), Theirs: theirs.fps(),
		},
		result{
			Peer: "the allowed error", Clip: "1080p", Unit: "points off libvmaf " + version + ", worst frame of both models",
			Ours: largestError(double.Scores, theirs.Scores), Theirs: vmafError, Bar: 1, Bound: atMost,
		}), nil
}

// largestError is the largest difference of any score.
func largestError(a, b [][]float64) float64 {
	worst := 0.0
	for i := range a {
		for n := range a[i] {
			worst = max(worst, math.Abs(a[i][n]-b[i][n]))
		}
	}
	return worst
}

// vmafJob makes the raw pictures.
func (b *bench) vmafJob(ctx context.Context) (meterJob, error) {
	j := meterJob{Width: 1920, Height: 1080, Ref: filepath.Join(b.scratch, "ref.yuv"), Dis: filepath.Join(b.scratch, "dis.yuv")}
	for _, name := range []string{"vmaf/vmaf_v0.6.1.json", "vmaf/vmaf_v0.6.1neg.json"} {
		path, err := b.shared(name)
		if err != nil {
			return j, err
		}
		j.Models = append(j.Models, path)
	}
	source, err := b.media(pictureParts[0])
	if err != nil {
		return j, err
	}
	coded := filepath.Join(b.scratch, "dis.mp4")
	raw := []string{"-frames:v", strconv.Itoa(vmafFrames), "-an", "-pix_fmt", "yuv420p", "-f", "rawvideo"}
	for _, args := range [][]string{
		append(append([]string{"-i", source, "-vf", "scale=1920:1080"}, raw...), j.Ref),
		{"-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "1920x1080", "-r", "25", "-i", j.Ref, "-c:v", "libx264", "-preset", "veryfast", "-crf", "32", coded},
		append(append([]string{"-i", coded}, raw...), j.Dis),
	} {
		if _, err := (command{args: append(b.quietFFmpeg(), args...)}).run(ctx); err != nil {
			return j, err
		}
	}
	return j, nil
}

// meter runs program on a job, on the given processors.
func (b *bench) meter(ctx context.Context, j meterJob, cpus []int, program string) (meterAnswer, error) {
	file := filepath.Join(b.scratch, "meter.json")
	data, err := json.Marshal(j)
	if err != nil {
		return meterAnswer{}, err
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return meterAnswer{}, err
	}
	var answer meterAnswer
	var text bytes.Buffer
	run := command{args: []string{program, "-meter", file}, cpus: cpus, line: func(line []byte) { text.Write(line) }}
	if _, err := run.run(ctx); err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(text.Bytes(), &answer)
}

// libvmaf runs its program, from PATH, on a job.
func (b *bench) libvmaf(ctx context.Context, j meterJob, cpus []int) (answer meterAnswer, version string, err error) {
	program, err := exec.LookPath("vmaf")
	if err != nil {
		return answer, "", &absentError{"the vmaf program of libvmaf, the peer"}
	}
	log := filepath.Join(b.scratch, "vmaf.json")
	args := []string{program, "-r", j.Ref, "-d", j.Dis, "-w", strconv.Itoa(j.Width), "-h", strconv.Itoa(j.Height), "-p", "420", "-b", "8",
		"--threads", "1", "--quiet", "--json", "--output", log}
	for i, model := range j.Models {
		args = append(args, "--model", fmt.Sprintf("path=%s:name=m%d", model, i))
	}
	used, err := command{args: args, cpus: cpus}.run(ctx)
	if err != nil {
		return answer, "", err
	}
	var said struct {
		Version string `json:"version"`
		Frames  []struct {
			Metrics map[string]float64 `json:"metrics"`
		} `json:"frames"`
	}
	data, err := os.ReadFile(log)
	if err == nil {
		err = json.Unmarshal(data, &said)
	}
	answer = meterAnswer{CPU: used.CPU, Scores: make([][]float64, len(j.Models))}
	for _, f := range said.Frames {
		for i := range j.Models {
			answer.Scores[i] = append(answer.Scores[i], f.Metrics["m"+strconv.Itoa(i)])
		}
	}
	return answer, said.Version, err
}
