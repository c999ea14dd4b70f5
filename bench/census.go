package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// census adds up the CPU seconds of a program and of its children by what they
// do, by looking at them every sampleInterval. What a child uses between the
// last look and its end is missed; the usage of the whole tree tells how much.
type census struct {
	seen map[int]*member
}

type member struct {
	kind string
	cpu  float64
}

func newCensus() *census { return &census{seen: make(map[int]*member)} }

// look counts the program and its children once.
func (c *census) look(pid int) {
	c.count(pid, kindItself)
	for _, child := range children(pid) {
		c.count(child, "")
	}
}

// children are the processes that a process has started and that still run.
func children(pid int) []int {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, thread := range threads {
		list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		if err != nil {
			continue
		}
		for text := range strings.FieldsSeq(string(list)) {
			if child, err := strconv.Atoi(text); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

func (c *census) count(pid int, kind string) {
	cpu, ok := processCPU(pid)
	if !ok {
		return
	}
	m := c.seen[pid]
	if m == nil {
		m = &member{kind: kind}
		c.seen[pid] = m
	}
	m.cpu = max(m.cpu, cpu)
	if m.kind == "" {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		m.kind = kindOf(strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00"))
	}
}

// each is the CPU seconds of the processes of a kind, the largest first.
func (c *census) each(kind string) []float64 {
	var list []float64
	for _, m := range c.seen {
		if m.kind == kind {
			list = append(list, m.cpu)
		}
	}
	slices.Sort(list)
	slices.Reverse(list)
	return list
}

// kind is the CPU seconds of all processes of a kind.
func (c *census) kind(kind string) float64 {
	sum := 0.0
	for _, cpu := range c.each(kind) {
		sum += cpu
	}
	return sum
}

// What processes do.
const (
	kindItself   = "liuyun itself"
	kindAnalysis = "analysis"
	kindUnit     = "encode units"
	kindCheck    = "checks"
	kindSound    = "sound"
	kindProbe    = "probing and indexing"
	kindOther    = "other"
)

// kindOf tells from its arguments what a child of liuyun does.
func kindOf(args []string) string {
	has := func(words ...string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !slices.Contains(args, word) })
	}
	program := args[0][strings.LastIndexByte(args[0], '/')+1:]
	switch {
	case has("libx264"), has("libx265"), has("libsvtav1"):
		return kindUnit
	case has("framecrc"):
		return kindAnalysis
	case has("aac"):
		return kindSound
	case has("rawvideo"):
		return kindCheck
	case program == "ffprobe":
		return kindProbe
	}
	return kindOther
}

// processCPU is user and system seconds of a process without its children, from
// fields 14 and 15 of /proc/PID/stat (proc(5)).
func processCPU(pid int) (float64, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	return parseProcessCPU(string(data))
}

func parseProcessCPU(stat string) (float64, bool) {
	end := strings.LastIndexByte(stat, ')') // of the name, which may hold anything
	fields := strings.Fields(stat[end+1:])
	const user, system = 14 - 3, 15 - 3 // the state, field 3, comes first here
	if end < 0 || len(fields) <= system {
		return 0, false
	}
	u, err := strconv.ParseFloat(fields[user], 64)
	s, err2 := strconv.ParseFloat(fields[system], 64)
	return (u + s) / ticksPerSecond, err == nil && err2 == nil
}
