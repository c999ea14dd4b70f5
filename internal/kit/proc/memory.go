package proc

import (
	"bytes"
	"os"
	"strconv"
)

// Memory is what this process and its children may have in bytes: the machine's, or
// less where a control group says so. It is 0 where neither can be read.
func Memory() int64 {
	info, _ := os.ReadFile("/proc/meminfo")
	limit, _ := os.ReadFile("/sys/fs/cgroup/memory.max")
	return memoryOf(info, limit)
}

// ForChildren is the share of Memory that children may be given: four fifths, so that
// this process, the system and its cache have the rest.
func ForChildren() int64 { return Memory() / 5 * 4 }

// memoryOf reads /proc/meminfo and a control group's memory.max, which says "max"
// where there is no limit.
func memoryOf(meminfo, limit []byte) int64 {
	var total int64
	for line := range bytes.Lines(meminfo) {
		fields := bytes.Fields(line)
		if len(fields) >= 2 && string(fields[0]) == "MemTotal:" {
			kilobytes, err := strconv.ParseInt(string(fields[1]), 10, 64)
			if err == nil && kilobytes > 0 && kilobytes < 1<<40 {
				total = kilobytes << 10
			}
			break
		}
	}
	most, err := strconv.ParseInt(string(bytes.TrimSpace(limit)), 10, 64)
	if err == nil && most > 0 && (total == 0 || most < total) {
		return most
	}
	return total
}
