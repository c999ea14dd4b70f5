package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// measure fills in what the machine is busy with. What cannot be read stays zero.
func (a *Agent) measure(b *Beat) {
	b.Cores = runtime.NumCPU()
	if a.Worker != nil {
		b.Running = a.Worker.Running()
	}
	var disk unix.Statfs_t
	if unix.Statfs(a.Folder, &disk) == nil {
		b.DiskFree, b.DiskSize = int64(disk.Bavail)*disk.Bsize, int64(disk.Blocks)*disk.Bsize
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		total, available := memory(text)
		b.Memory, b.MemoryUsed = total, total-available
	}
	if text, err := os.ReadFile("/proc/stat"); err == nil {
		now := readCPU(text)
		b.Load = now.loadSince(a.cpu)
		a.cpu = now
	}
}

// memory reads the bytes of memory, all and available, from /proc/meminfo.
func memory(text []byte) (total, available int64) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = kilobytes << 10
		case "MemAvailable:":
			available = kilobytes << 10
		}
	}
	return total, available
}

// cpuTimes are ticks of all cores since the machine began.
type cpuTimes struct{ idle, all uint64 }

// readCPU reads the first line of /proc/stat: user, nice, system, idle, iowait,
// irq, softirq, steal; what follows is in user already.
func readCPU(text []byte) (t cpuTimes) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 6 || fields[0] != "cpu" {
		return t
	}
	for i, field := range fields[1:min(len(fields), 9)] {
		ticks, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return cpuTimes{}
		}
		t.all += ticks
		if i == 3 || i == 4 {
			t.idle += ticks
		}
	}
	return t
}

// loadSince is the part of the time since before that the cores were busy.
func (t cpuTimes) loadSince(before cpuTimes) float64 {
	if before.all == 0 || t.all <= before.all || t.idle < before.idle {
		return 0
	}
	return max(0, 1-float64(t.idle-before.idle)/float64(t.all-before.all))
}

// probeTime is how long the disk may take to write a few bytes. A dead one may
// never answer.
const probeTime = 10 * time.Second

// probeDisk writes a few bytes durably and reads them back.
func probeDisk(folder string) error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- writeProbe(filepath.Join(folder, ".probe")) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it did not answer within %s", probeTime)
	}
}

func writeProbe(path string) error {
	want := []byte(strconv.FormatInt(time.Now().UnixNano(), 10))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(want)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	got, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("it gives back other bytes than were written")
	}
	return errors.Join(err, os.Remove(path))
}
