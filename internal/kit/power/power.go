// Package power says which processor this machine has and what it takes at full
// load: measured by the processor's own meter (RAPL) where the machine shows it, or
// by a published figure for processors of its kind. Linux only; it knows nothing of
// the work.
package power

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// CPU is the processor as /proc/cpuinfo tells of it.
type CPU struct {
	Model   string // for people; "" when nothing is known
	Threads int    // logical processors

	vendor                  string
	family, model, stepping int
	implementer, part       int // of Arm
}

// The most that is read of cpuinfo: a line is about a kilobyte, a processor about two.
const mostLines = 1 << 16

// ReadCPU reads the text of /proc/cpuinfo, which describes every logical processor.
// What it does not understand it leaves out.
func ReadCPU(text []byte) CPU {
	var c CPU
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 0; n < mostLines && lines.Scan(); n++ {
		key, value, _ := strings.Cut(lines.Text(), ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if key == "processor" {
			c.Threads++
		}
		if c.Threads > 1 { // as the first, but for big.LITTLE, of which nobody publishes a figure
			continue
		}
		switch key {
		case "vendor_id":
			c.vendor = value
		case "model name":
			c.Model = strings.Join(strings.Fields(value), " ")
		case "cpu family":
			c.family = whole(value)
		case "model":
			c.model = whole(value)
		case "stepping":
			c.stepping = whole(value)
		case "CPU implementer":
			c.implementer = whole(value)
		case "CPU part":
			c.part = whole(value)
		}
	}
	if c.Model == "" && c.implementer > 0 {
		if c.Model = arms()[c.part]; c.Model == "" || c.implementer != arm {
			c.Model = fmt.Sprintf("Arm implementer %#x part %#x", c.implementer, c.part)
		}
	}
	return c
}

// whole reads a number, decimal or as 0x41; 0 for what is none.
func whole(text string) int {
	n, err := strconv.ParseInt(text, 0, 32)
	if err != nil {
		return 0
	}
	return int(n)
}

// arm is Arm's number as the implementer of a processor.
const arm = 0x41

// arms are Arm's server cores by their part number (Arm, technical reference manuals,
// register MIDR_EL1).
func arms() map[int]string {
	return map[int]string{0xd08: "Cortex-A72", 0xd0c: "Neoverse-N1", 0xd40: "Neoverse-V1", 0xd49: "Neoverse-N2", 0xd4f: "Neoverse-V2"}
}

// kind is a kind of processor with what one thread of it takes at full load.
type kind struct {
	name  string
	watts float64
	is    func(CPU) bool
}

func intel(from, to, stepFrom, stepTo int) func(CPU) bool {
	return func(c CPU) bool {
		return c.vendor == "GenuineIntel" && c.family == 6 && c.model >= from && c.model <= to && c.stepping >= stepFrom && c.stepping <= stepTo
	}
}

func amd(family, from, to int) func(CPU) bool {
	return func(c CPU) bool {
		return c.vendor == "AuthenticAMD" && c.family == family && c.model >= from && c.model <= to
	}
}

// anyStep is above all steppings.
const anyStep = 1 << 10

// kinds are watts at full load by logical processor: "Max Watts" of Cloud Carbon
// Footprint's coefficients (ccf-coefficients, output/coefficients-aws-use.csv of
// March 2026, from SPECpower_ssj2008), of the whole server but its disks and network.
// It takes Graviton for an EPYC of the second generation; we take all of Arm's
// server cores so. Its figure for the fifth generation of EPYC, four times that of
// the fourth, stands on too few results to be used.
func kinds() []kind {
	return []kind{
		{"Haswell", 5.60, intel(63, 63, 0, anyStep)},
		{"Broadwell", 3.69, intel(79, 79, 0, anyStep)},
		{"Broadwell", 3.69, intel(86, 86, 0, anyStep)},
		{"Skylake", 4.10, intel(85, 85, 0, 4)},
		{"Cascade Lake", 4.06, intel(85, 85, 5, 7)},
		{"Ice Lake", 3.76, intel(106, 108, 0, anyStep)},
		{"Sapphire Rapids", 4.16, intel(143, 143, 0, anyStep)},
		{"Emerald Rapids", 4.48, intel(207, 207, 0, anyStep)},
		{"Granite Rapids", 2.53, intel(173, 174, 0, anyStep)},
		{"EPYC 1st Gen", 2.60, amd(23, 0x00, 0x2f)},
		{"EPYC 2nd Gen", 1.69, amd(23, 0x30, 0x3f)},
		{"EPYC 3rd Gen", 1.96, amd(25, 0x00, 0x0f)},
		{"EPYC 4th Gen", 2.28, amd(25, 0x10, 0x1f)},
		{"EPYC 4th Gen", 2.28, amd(25, 0xa0, 0xaf)},
		{"Arm server", 1.69, func(c CPU) bool { return c.implementer == arm && arms()[c.part] != "" && c.part != 0xd08 }},
	}
}

// usualWatts stands for a processor of no kind in the list: the mean of Cloud Carbon
// Footprint's for AWS.
const usualWatts = 3.5

// Watts is what the published figures say one thread takes while all of them work,
// and for which kind of processor that is: "" where it is none of the list and the
// mean stands for it.
func (c CPU) Watts() (thread float64, kindOf string) {
	for _, k := range kinds() {
		if k.is(c) {
			return k.watts, k.name
		}
	}
	return usualWatts, ""
}
