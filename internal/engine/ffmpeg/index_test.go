package ffmpeg

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/testkit"
)

func TestIndex(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	in := open(t, testkit.Generate(t, testkit.Pattern(320, 180, "25", 2)))
	var packets []Packet
	err := tools.Index(t.Context(), in, 0, func(p Packet) error {
		packets = append(packets, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packets) != 50 || !packets[0].Key || !packets[0].HasPTS || !packets[0].HasDTS {
		t.Fatalf("got %d packets, first %+v, want 50 and a key frame", len(packets), packets[:min(1, len(packets))])
	}
	for i, p := range packets {
		if p.Size <= 0 || p.Duration <= 0 || p.Discard || i > 0 && p.DTS <= packets[i-1].DTS {
			t.Errorf("packet %d: got %+v", i, p)
		}
	}

	enough := errors.New("enough")
	if err := tools.Index(t.Context(), in, 0, func(Packet) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
	if err := tools.Index(t.Context(), open(t, write(t, "a.mp4", "text")), 0, func(Packet) error { return nil }); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("got %v, want %q", err, fault.Invalid)
	}
}

// Raw streams have no times; transport streams have side data in each packet.
func TestIndexOddContainers(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	tests := []struct {
		file    string
		packets int
		times   bool
	}{
		{"screen/pdf_scroll_1024x768.264", 50, false},
		{"conformance/scte35_360p_10s.ts", 250, true},
	}
	for _, tt := range tests {
		n := 0
		in := open(t, testkit.Media(t, tt.file))
		m, err := tools.Probe(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		err = tools.Index(t.Context(), in, m.Video[0].Index, func(p Packet) error {
			n++
			if p.HasPTS != tt.times {
				t.Errorf("%s: packet %d: got PTS %v, want %v", tt.file, n, p.HasPTS, tt.times)
			}
			return nil
		})
		if err != nil || n < tt.packets-10 || n > tt.packets+10 {
			t.Errorf("%s: got %d packets, %v, want about %d", tt.file, n, err, tt.packets)
		}
	}
}

func TestParsePacket(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line string
		want Packet
		ok   bool
	}{
		{"0,0,4649,114225,K_", Packet{HasPTS: true, HasDTS: true, Duration: 4649, Size: 114225, Key: true}, true},
		{"-1001,-2002,1001,7,_D_", Packet{PTS: -1001, HasPTS: true, DTS: -2002, HasDTS: true, Duration: 1001, Size: 7, Discard: true}, true},
		{"N/A,N/A,N/A,143,__", Packet{Size: 143}, true},
		{"438840,438840,N/A,50,K_,", Packet{PTS: 438840, HasPTS: true, DTS: 438840, HasDTS: true, Size: 50, Key: true}, true},
		{"9223372036854775807,N/A,-5,0,", Packet{PTS: 1<<63 - 1, HasPTS: true}, true},
		{"9223372036854775808,0,0,0,__", Packet{}, false},
		{"0,0,0,N/A,__", Packet{HasPTS: true, HasDTS: true}, true},
		{"0,0,0,99999999999,__", Packet{}, false},
		{"0,0,0,0", Packet{}, false},
		{"--1,0,0,0,K", Packet{}, false},
		{",0,0,0,K", Packet{}, false},
		{"", Packet{}, false},
	}
	for _, tt := range tests {
		got, err := parsePacket([]byte(tt.line))
		if (err == nil) != tt.ok {
			t.Errorf("%q: got %v, want ok %v", tt.line, err, tt.ok)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" && tt.ok {
			t.Errorf("%q (-want +got):\n%s", tt.line, diff)
		}
	}
}

func FuzzParsePacket(f *testing.F) {
	f.Add([]byte("0,0,4649,114225,K_"))
	f.Add([]byte("N/A,-12,N/A,143,_D_,side_data,"))
	f.Fuzz(func(t *testing.T, line []byte) {
		p, err := parsePacket(line)
		if err == nil && (p.Size < 0 || p.Duration < 0 || !p.HasPTS && p.PTS != 0 || !p.HasDTS && p.DTS != 0) {
			t.Errorf("%q: got %+v", line, p)
		}
	})
}

func BenchmarkParsePacket(b *testing.B) {
	line := []byte("900900,897897,3003,27437,__")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parsePacket(line); err != nil {
			b.Fatal(err)
		}
	}
}
