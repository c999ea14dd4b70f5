package program

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Children are the live child processes of a process, by /proc.
func Children(pid int) []int {
	var children []int
	for _, other := range processes() {
		if parent, state := stat(other); parent == pid && state != 'Z' {
			children = append(children, other)
		}
	}
	return children
}

// Inside are the live processes that work in a folder below root, whoever their
// parent is: a child that lost liuyun is among them.
func Inside(root string) []int {
	var found []int
	for _, pid := range processes() {
		folder, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if err != nil || !strings.HasPrefix(folder, root+string(filepath.Separator)) {
			continue
		}
		if _, state := stat(pid); state != 'Z' {
			found = append(found, pid)
		}
	}
	return found
}

// Eventually polls until check is true, for at most limit, and says whether it
// came to be.
func Eventually(limit time.Duration, check func() bool) bool {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(limit); ; <-ticker.C {
		if check() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// NoOrphans fails the test when processes still work below root after two
// seconds.
func NoOrphans(t testing.TB, root string) {
	t.Helper()
	if !Eventually(2*time.Second, func() bool { return len(Inside(root)) == 0 }) {
		t.Errorf("processes %v still work in %s two seconds after liuyun's end", Inside(root), root)
	}
}

func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// peakMemory is the most bytes that a process ever had resident, 0 when it is
// gone.
func peakMemory(pid int) int64 { return statusBytes(pid, "VmHWM:") }

// statusBytes reads a size from a process's status; 0 when it is gone.
func statusBytes(pid int, name string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if text, found := strings.CutPrefix(line, name); found {
			kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// stat reads a process's parent and state; parent 0 when it is gone.
func stat(pid int) (parent int, state byte) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// The name, in parentheses, may hold anything: fields begin after the last one.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 2 {
		return 0, 0
	}
	parent, err = strconv.Atoi(fields[1])
	if err != nil {
		return 0, 0
	}
	return parent, fields[0][0]
}
