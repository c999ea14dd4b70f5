package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// command is a program to measure.
type command struct {
	args   []string
	cpus   []int             // pinned to these; nil pins nothing
	line   func(line []byte) // told of each line of standard output
	sample func(pid int)     // called every sampleInterval while it runs
	log    func(line string) // told of each line of standard error
}

const sampleInterval = 20 * time.Millisecond

// usage is what a program and all its children used.
type usage struct {
	CPU  float64 // user and system seconds of the whole tree
	Wall float64 // seconds
	// Largest is the peak memory of the largest process of the tree, bytes.
	Largest int64
	// Others is the share of the machine's processor time that everything else
	// used meanwhile, 0…1.
	Others float64
}

// run runs the program to its end. The usage covers children that were waited
// for, as liuyun's and ffmpeg's all are.
func (c command) run(ctx context.Context) (usage, error) {
	args := c.args
	if c.cpus != nil {
		args = append([]string{"taskset", "-c", cpuList(c.cpus)}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// An interrupt lets the program end its children itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out := &lineWriter{each: c.line}
	problems := &lastLines{each: c.log}
	cmd.Stdout, cmd.Stderr = out, problems
	busy, err := readBusy()
	if err != nil {
		return usage{}, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	stop := c.watch(cmd.Process.Pid)
	err = cmd.Wait()
	wall := time.Since(began).Seconds()
	stop()
	if err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", strings.Join(c.args, " "), err, problems)
	}
	u := usage{CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), Wall: wall}
	if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.Largest = ru.Maxrss << 10
	}
	after, err := readBusy()
	if err != nil {
		return usage{}, err
	}
	u.Others = othersShare(busy, after, u.CPU)
	return u, nil
}

// watch calls sample until stop is called.
func (c command) watch(pid int) (stop func()) {
	if c.sample == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(sampleInterval)
		defer tick.Stop()
		for {
			c.sample(pid)
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(quit); <-done }
}

// lineWriter cuts what is written into lines.
type lineWriter struct {
	each func([]byte)
	rest []byte
}

// Write takes any piece of the text.
func (w *lineWriter) Write(data []byte) (int, error) {
	if w.each == nil {
		return len(data), nil
	}
	w.rest = append(w.rest, data...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte{'\n'})
		if !found {
			return len(data), nil
		}
		w.each(line)
		w.rest = rest
	}
}

// lastLines keeps the end of a log, for messages.
type lastLines struct {
	each func(line string)
	text []byte
	line lineWriter
}

// Write takes any piece of the text.
func (l *lastLines) Write(data []byte) (int, error) {
	const most = 4 << 10
	l.text = append(l.text, data...)
	if len(l.text) > most {
		l.text = append([]byte(nil), l.text[len(l.text)-most:]...)
	}
	if l.each == nil {
		return len(data), nil
	}
	l.line.each = func(line []byte) { l.each(string(line)) }
	return l.line.Write(data)
}

func (l *lastLines) String() string { return string(bytes.TrimSpace(l.text)) }

// busyTime is the processor time of the whole machine since it started, seconds.
type busyTime struct{ busy, all float64 }

// readBusy reads the first line of /proc/stat (proc(5)).
func readBusy() (busyTime, error) {
	file, err := os.Open("/proc/stat")
	if err != nil {
		return busyTime{}, err
	}
	defer file.Close()
	return parseBusy(file)
}

// ticksPerSecond is USER_HZ, 100 on every Linux that Go runs on.
const ticksPerSecond = 100

func parseBusy(r io.Reader) (busyTime, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return busyTime{}, fmt.Errorf("read processor times: %w", err)
	}
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return busyTime{}, fmt.Errorf("processor times %q make no sense", line)
	}
	var t busyTime
	for i, field := range fields[1:9] { // user nice system idle iowait irq softirq steal
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return busyTime{}, fmt.Errorf("processor times: %w", err)
		}
		t.all += ticks / ticksPerSecond
		if i != 3 && i != 4 {
			t.busy += ticks / ticksPerSecond
		}
	}
	return t, nil
}

// othersShare is what was used between two moments and not by us, of all there
// was.
func othersShare(before, after busyTime, ours float64) float64 {
	all := after.all - before.all
	if all <= 0 {
		return 0
	}
	return max(0, (after.busy-before.busy-ours)/all)
}

// allowedCPUs are the processors that this process may use.
func allowedCPUs() ([]int, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	list, found := statusField(data, "Cpus_allowed_list")
	if !found {
		return nil, fmt.Errorf("no list of processors in /proc/self/status")
	}
	return parseCPUList(list)
}

// statusField is a field of a /proc/PID/status file.
func statusField(status []byte, name string) (string, bool) {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// parseCPUList reads "0-3,8" (cpuset(7)).
func parseCPUList(text string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(text, ",") {
		lowText, highText, isRange := strings.Cut(part, "-")
		low, err := strconv.Atoi(lowText)
		if err != nil {
			return nil, fmt.Errorf("list of processors %q: %w", text, err)
		}
		high := low
		if isRange {
			if high, err = strconv.Atoi(highText); err != nil {
				return nil, fmt.Errorf("list of processors %q: %w", text, err)
			}
		}
		for n := low; n <= high; n++ {
			list = append(list, n)
		}
	}
	return list, nil
}

// cpuList is the list as taskset reads it.
func cpuList(cpus []int) string {
	texts := make([]string, len(cpus))
	for i, n := range cpus {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ",")
}
