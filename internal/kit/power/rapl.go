package power

import (
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// Meter reads the energy counters that the kernel shows of Intel's and AMD's
// processors (RAPL: Linux, Documentation/power/powercap). Root may read them; others
// need to be let.
type Meter struct {
	zones fs.FS
	began time.Time
	start map[string]uint64 // by zone, in microjoules
}

// errNoMeter says that the machine shows no counter that we may read.
var errNoMeter = errors.New("this machine shows no energy counter that may be read")

// StartMeter reads the counters below zones, which is /sys/class/powercap as a file
// system. It is an error where there is none that may be read, as in most virtual
// machines.
func StartMeter(zones fs.FS) (*Meter, error) {
	m := &Meter{zones: zones, start: make(map[string]uint64)}
	entries, err := fs.ReadDir(zones, ".")
	if err != nil {
		return nil, errNoMeter
	}
	for _, e := range entries {
		if !counted(zones, e.Name()) {
			continue
		}
		energy, err := number(zones, path.Join(e.Name(), "energy_uj"))
		if err != nil {
			return nil, errNoMeter // one that may not be read would be missing from the sum
		}
		m.start[e.Name()] = energy
	}
	if len(m.start) == 0 {
		return nil, errNoMeter
	}
	m.began = time.Now()
	return m, nil
}

// counted reports whether a zone is to be added up: the packages, and the memory,
// which lies beside its package's counter. Cores and graphics are in the package's.
// The same counters are shown again by intel-rapl-mmio.
func counted(zones fs.FS, zone string) bool {
	if !strings.HasPrefix(zone, "intel-rapl:") {
		return false
	}
	name, err := fs.ReadFile(zones, path.Join(zone, "name"))
	if err != nil {
		return false
	}
	kind := strings.TrimSpace(string(name))
	return strings.HasPrefix(kind, "package-") || kind == "dram"
}

func number(zones fs.FS, name string) (uint64, error) {
	text, err := fs.ReadFile(zones, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}

// Watts is the mean power since the meter was started. A counter that wrapped around
// once is taken into account: they do so after minutes at the least.
func (m *Meter) Watts() (float64, error) {
	took := time.Since(m.began).Seconds()
	if took <= 0 {
		return 0, errNoMeter
	}
	var joules float64
	for zone, before := range m.start {
		now, err := number(m.zones, path.Join(zone, "energy_uj"))
		if err != nil {
			return 0, err
		}
		if now < before {
			wrap, err := number(m.zones, path.Join(zone, "max_energy_range_uj"))
			if err != nil {
				return 0, err
			}
			now += wrap
		}
		if now < before {
			return 0, errNoMeter
		}
		joules += float64(now-before) / 1e6
	}
	return joules / took, nil
}
