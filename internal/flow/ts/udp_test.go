package ts

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"liuyun/internal/av/ts"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest/ingesttest"
)

func TestParseUDP(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"udp://0.0.0.0:5000", "udp://239.1.1.1:5000", "udp://[::]:5000", "udp://127.0.0.1:1"} {
		if _, err := ParseUDP(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "udp://5000", "udp://host:5000", "udp://0.0.0.0", "udp://0.0.0.0:0", "udp://0.0.0.0:70000", "tcp://0.0.0.0:5000", "udp://239.1.1.1:5000?interface=no-such"} {
		if got, err := ParseUDP(bad); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %+v, %v", bad, got, err)
		}
	}
}

// Datagrams come to an address of this machine and to a group, plain and in RTP.
func TestUDP(t *testing.T) {
	t.Parallel()
	stream := avc(t)
	want, _ := feed(t, stream, 1316)
	for name, tt := range map[string]struct {
		host string
		rtp  bool
	}{"unicast": {"127.0.0.1", false}, "rtp": {"127.0.0.1", true}, "multicast": {"239.255.77.1", false}} {
		t.Run(name, func(t *testing.T) {
			probe, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			u := UDP{Address: &net.UDPAddr{IP: net.ParseIP(tt.host), Port: probe.LocalAddr().(*net.UDPAddr).Port}}
			if tt.host != "127.0.0.1" {
				if u.Interface, err = net.InterfaceByName("lo"); err != nil || u.Interface.Flags&net.FlagMulticast == 0 {
					probe.Close()
					t.Skip("this machine's loopback knows no multicast")
				}
			}
			probe.Close()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			in := &ingesttest.Input{}
			done := make(chan error, 1)
			go func() { done <- u.Receive(ctx, in, quiet()) }()
			out, err := net.DialUDP("udp", nil, u.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			end := time.Now().Add(time.Minute)
			for sequence := uint16(0); len(in.Now().Pictures) < len(want.Pictures)/2 && time.Now().Before(end); {
				for part := range slices.Chunk(stream, Chunk) {
					if tt.rtp {
						part = append(binary.BigEndian.AppendUint16([]byte{0x80, 33}, sequence), append(make([]byte, 8), part...)...)
						sequence++
					}
					_, _ = out.Write(part) // nobody may listen yet
				}
				time.Sleep(10 * time.Millisecond)
			}
			if n := len(in.Now().Pictures); n < len(want.Pictures)/2 {
				t.Errorf("%d pictures", n)
			}
			stop()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	u := UDP{Address: other.LocalAddr().(*net.UDPAddr)}
	if err := u.Receive(t.Context(), &ingesttest.Input{}, quiet()); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
}

func FuzzWithoutRTP(f *testing.F) {
	f.Add([]byte{0x80, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x47})
	f.Add([]byte{0x91, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 1, 5, 6, 7, 8, 0x47})
	f.Fuzz(func(t *testing.T, b []byte) {
		rest := withoutRTP(b)
		if !bytes.HasSuffix(b, rest) || (len(b) > 0 && b[0] == 0x47 && len(rest) != len(b)) {
			t.Errorf("%x: %x", b, rest)
		}
		if len(b) >= ts.PacketSize && b[0]>>6 != 2 && len(rest) != len(b) {
			t.Error("a packet was cut")
		}
	})
}
