package power

import (
	"math"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

const genoa = `processor	: 0
vendor_id	: AuthenticAMD
cpu family	: 25
model		: 17
model name	: AMD EPYC 9R14   96-Core  Processor
stepping	: 1

processor	: 1
vendor_id	: AuthenticAMD
cpu family	: 25
model		: 17
model name	: AMD EPYC 9R14   96-Core  Processor
stepping	: 1
`

const graviton = `processor	: 0
BogoMIPS	: 243.75
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x3
CPU part	: 0xd0c
CPU revision	: 1

processor	: 1
CPU implementer	: 0x41
CPU part	: 0xd0c
`

func xeon(model, stepping string) string {
	return "processor : 0\nvendor_id : GenuineIntel\ncpu family : 6\nmodel : " + model + "\nmodel name : Xeon\nstepping : " + stepping + "\n"
}

func TestReadCPU(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text, model, kind string
		threads                 int
		watts                   float64
	}{
		{"EPYC", genoa, "AMD EPYC 9R14 96-Core Processor", "EPYC 4th Gen", 2, 2.28},
		{"Graviton", graviton, "Neoverse-N1", "Arm server", 2, 1.69},
		{"another Arm", strings.ReplaceAll(graviton, "0xd0c", "0xd03"), "Arm implementer 0x41 part 0xd03", "", 2, usualWatts},
		{"another's core", strings.ReplaceAll(graviton, "0x41", "0xc0"), "Arm implementer 0xc0 part 0xd0c", "", 2, usualWatts},
		{"Skylake", xeon("85", "4"), "Xeon", "Skylake", 1, 4.10},
		{"Cascade Lake", xeon("85", "7"), "Xeon", "Cascade Lake", 1, 4.06},
		{"Ice Lake", xeon("106", "6"), "Xeon", "Ice Lake", 1, 3.76},
		{"a desktop", xeon("151", "2"), "Xeon", "", 1, usualWatts},
		{"nothing", "", "", "", 0, usualWatts},
		{"no numbers", "processor : x\nmodel : y\n", "", "", 1, usualWatts},
	}
	for _, test := range tests {
		c := ReadCPU([]byte(test.text))
		watts, kind := c.Watts()
		if c.Model != test.model || c.Threads != test.threads || watts != test.watts || kind != test.kind {
			t.Errorf("%s: got %q with %d threads at %g W, %q", test.name, c.Model, c.Threads, watts, kind)
		}
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if c := ReadCPU(text); c.Threads == 0 {
			t.Errorf("this machine: got %+v", c)
		}
	}
}

func FuzzReadCPU(f *testing.F) {
	f.Add([]byte(genoa))
	f.Add([]byte(graviton))
	f.Fuzz(func(t *testing.T, text []byte) {
		if watts, _ := ReadCPU(text).Watts(); watts <= 0 {
			t.Errorf("got %g W", watts)
		}
	})
}

func zones(energy map[string]string) fstest.MapFS {
	names := map[string]string{
		"intel-rapl": "", "intel-rapl:0": "package-0", "intel-rapl:1": "package-1", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram",
		"intel-rapl-mmio:0": "package-0",
	}
	files := fstest.MapFS{}
	for zone, name := range names {
		files[zone+"/name"] = &fstest.MapFile{Data: []byte(name + "\n")}
		files[zone+"/max_energy_range_uj"] = &fstest.MapFile{Data: []byte("262143328850\n")}
		if e, ok := energy[zone]; ok {
			files[zone+"/energy_uj"] = &fstest.MapFile{Data: []byte(e + "\n")}
		}
	}
	return files
}

// Packages and memory are added up, what is in them is not, and a counter may wrap.
func TestMeter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		files := zones(map[string]string{
			"intel-rapl:0": "1000000", "intel-rapl:1": "262143000000", "intel-rapl:0:0": "5", "intel-rapl:0:1": "0", "intel-rapl-mmio:0": "1000000",
		})
		m, err := StartMeter(files)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		for zone, energy := range map[string]string{
			"intel-rapl:0": "801000000", "intel-rapl:1": "399671150", "intel-rapl:0:0": "700000000", "intel-rapl:0:1": "50000000", "intel-rapl-mmio:0": "801000000",
		} {
			files[zone+"/energy_uj"].Data = []byte(energy)
		}
		if got, err := m.Watts(); err != nil || math.Abs(got-(80+40+5)) > 1e-6 {
			t.Errorf("got %g W, %v, want 125", got, err)
		}
		delete(files, "intel-rapl:0/energy_uj")
		if got, err := m.Watts(); err == nil {
			t.Errorf("a counter that is gone: got %g W", got)
		}
	})
}

func TestNoMeter(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]fstest.MapFS{
		"nothing":     {},
		"not for us":  zones(map[string]string{"intel-rapl:0": "1", "intel-rapl:0:1": "1"}),
		"no numbers":  zones(map[string]string{"intel-rapl:0": "x", "intel-rapl:1": "1", "intel-rapl:0:1": "1"}),
		"only copies": {"intel-rapl-mmio:0/name": {Data: []byte("package-0")}, "intel-rapl-mmio:0/energy_uj": {Data: []byte("1")}},
	} {
		if m, err := StartMeter(files); err == nil {
			t.Errorf("%s: got %+v", name, m)
		}
	}
	if _, err := StartMeter(os.DirFS("/no/such/folder")); err == nil {
		t.Error("a folder that is not there: got a meter")
	}
}
