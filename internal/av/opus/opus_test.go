package opus

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, want := range []Config{
		Plain(2),
		{Channels: 1, PreSkip: 3840, Input: 16000, Gain: -256},
		{Channels: 6, Family: 1, Streams: 4, Paired: 2, Mapping: []byte{0, 4, 1, 2, 3, 5}},
	} {
		got, err := Parse(want.Record())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v: record (-want +got):\n%s", err, diff)
		}
		got, err = ParseHead(want.Head())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v: head (-want +got):\n%s", err, diff)
		}
	}
	plain := Plain(2)
	if want := append([]byte("OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00"), 0, 0, 0); !bytes.Equal(plain.Head(), want) {
		t.Errorf("a head is %q", plain.Head())
	}
	for _, bad := range [][]byte{nil, plain.Record()[:10], {0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 2, 0}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}} {
		if c, err := Parse(bad); err == nil {
			t.Errorf("%x is taken for %+v", bad, c)
		}
	}
	if _, err := ParseHead(plain.Record()); err == nil {
		t.Error("a record is taken for a head")
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		packet []byte
		want   int
	}{
		{nil, 0},
		{[]byte{0xf8, 0xff, 0xfe}, 960},      // CELT, 20 ms
		{[]byte{0x80}, 120},                  // 2.5 ms
		{[]byte{0x81, 0, 0}, 240},            // two of them
		{[]byte{0x18}, 2880},                 // SILK, 60 ms
		{[]byte{0x19}, 5760},                 // two
		{[]byte{0x68}, 960},                  // hybrid, 20 ms
		{[]byte{0xe3, 5}, 600},               // five of 2.5 ms
		{[]byte{0x83, 0x80 | 48}, 5760},      // as many as there can be
		{[]byte{0x1b, 3}, 0},                 // 180 ms
		{[]byte{0xff}, 0},                    // no count
		{[]byte{0xff, 0}, 0},                 // of none
		{Plain(2).Silence(), SilenceSamples}, // ours
	} {
		if got := Samples(test.packet); got != test.want {
			t.Errorf("%x has %d samples, want %d", test.packet, got, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Plain(2).Record())
	f.Add(Plain(1).Head())
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := Samples(data); n < 0 || n > LongestPacket {
			t.Fatalf("%d samples", n)
		}
		for _, parse := range []func([]byte) (Config, error){Parse, ParseHead} {
			c, err := parse(data)
			if err != nil {
				continue
			}
			if again, err := Parse(c.Record()); err != nil || !cmp.Equal(c, again) {
				t.Fatalf("%+v becomes %+v, %v", c, again, err)
			}
		}
	})
}
