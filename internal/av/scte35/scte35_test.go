package scte35

import (
	"encoding/base64"
	"encoding/binary"
	"testing"
	"time"

	"liuyun/internal/av/bits"
)

// Sections of ANSI/SCTE 35 2023r2, clause 14: what others read in them.
func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		section string
		want    Info
	}{
		"14.1 time_signal, placement opportunity start": {
			"/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfg==",
			Info{Kind: Out, Event: 0x4800008e, Time: 0x72bd0050, HasTime: true, Duration: 307 * time.Second},
		},
		"14.2 splice_insert": {
			"/DAvAAAAAAAA///wFAVIAACPf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo=",
			Info{Kind: Out, Event: 0x4800008f, Time: 0x7369c02e, HasTime: true, Duration: 60293566666},
		},
		"14.3 time_signal, placement opportunity end": {
			"/DAvAAAAAAAA///wBQb+dGKQoAAZAhdDVUVJSAAAjn+fCAgAAAAALKChijUCAKnMZ1g=",
			Info{Kind: In, Event: 0x4800008e, Time: 0x746290a0, HasTime: true},
		},
	}
	for name, test := range tests {
		section, err := base64.StdEncoding.DecodeString(test.section)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(section)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if off := got.Duration - test.want.Duration; off.Abs() < time.Second {
			got.Duration = test.want.Duration
		}
		if got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
		section[len(section)-1] ^= 1
		if _, err := Parse(section); err == nil {
			t.Errorf("%s: a wrong sum passes", name)
		}
	}
}

// What a section adjusts counts, and of one that is encrypted nothing is known.
func TestParseHeader(t *testing.T) {
	t.Parallel()
	change := func(at int, to byte) []byte {
		section := Insert(Info{Kind: Out, Event: 7, Time: 1<<33 - 1, HasTime: true})
		section[at] = to
		return binary.BigEndian.AppendUint32(section[:len(section)-4], bits.SectionSum(section[:len(section)-4]))
	}
	if got, err := Parse(change(8, 3)); err != nil || got.Time != 2 || !got.HasTime {
		t.Errorf("adjusted: %+v, %v", got, err)
	}
	if got, err := Parse(change(4, 0x80)); err != nil || got != (Info{}) {
		t.Errorf("encrypted: %+v, %v", got, err)
	}
	for name, section := range map[string][]byte{"cut short": change(8, 0)[:16], "another table": change(0, 2)} {
		if got, err := Parse(section); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestInsert(t *testing.T) {
	t.Parallel()
	for _, info := range []Info{
		{Kind: Out, Event: 7, Duration: 30 * time.Second},
		{Kind: In, Event: 7},
		{Kind: Out, Event: 1<<32 - 1, Time: 1<<33 - 1, HasTime: true, Duration: 26 * time.Hour},
		{Event: 9, Canceled: true},
	} {
		got, err := Parse(Insert(info))
		if err != nil || got != info {
			t.Errorf("got %+v, %v, want %+v", got, err, info)
		}
	}
}

// Whatever comes, parsing ends.
func FuzzParse(f *testing.F) {
	f.Add(Insert(Info{Kind: Out, Event: 7, Time: 90000, HasTime: true, Duration: time.Second}))
	section, _ := base64.StdEncoding.DecodeString("/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfg==")
	f.Add(section)
	f.Fuzz(func(t *testing.T, section []byte) {
		if len(section) > 20 && len(section) < MaxSection { // with a sum and a length that are right
			section[0], section[1], section[2] = tableID, 0x30|byte((len(section)-3)>>8), byte(len(section)-3)
			sum := bits.SectionSum(section[:len(section)-4])
			section = append(section[:len(section)-4], byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
		}
		info, err := Parse(section)
		if err == nil && (info.Time < 0 || info.Time > timeMask || info.Duration < 0) {
			t.Errorf("%+v", info)
		}
	})
}
