package srt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"liuyun/internal/flow/ingest/ingesttest"
	"liuyun/internal/testkit"
)

// On a way of 300 ms there and back that loses 2 % of its packets each way, all
// pictures arrive where the latency is four times that.
const (
	oneWay  = 150 * time.Millisecond
	lostOf  = 0.02
	patient = 1200 * time.Millisecond
	seconds = 20
)

// arrives sends a film to the address and looks whether all of its first seconds come.
func arrives(t *testing.T, d *ingesttest.Desk, address string, inside ...string) {
	t.Helper()
	args := film(t, "60", "-f", "mpegts", fmt.Sprintf("srt://%s?streamid=publish:lys_key&latency=%d&connect_timeout=20000", address, patient.Microseconds()))
	args = append(inside, args...)
	run(t, args[0], args[1:]...)
	in := on(t, d)
	var worst float64
	var rtt time.Duration
	in.Await(t, "the film", func(now ingesttest.Noted) bool {
		q := in.From.Quality()
		worst, rtt = max(worst, q.Loss), max(rtt, q.RTT)
		return len(now.Pictures) >= seconds*25
	})
	now := in.Now()
	t.Logf("%d pictures, %d frames of sound; round trip %v, loss up to %.1f %%", len(now.Pictures), len(now.Sounds), rtt, 100*worst)
	if now.Closed || len(now.Sounds) < (seconds-1)*48000/1024 {
		t.Errorf("%d frames of sound have come, closed: %v", len(now.Sounds), now.Closed)
	}
	if worst == 0 || rtt < 2*oneWay-50*time.Millisecond {
		t.Errorf("the way is better than it should be: %v, %.2f", rtt, worst)
	}
	for i, p := range now.Pictures[1:] {
		if step := p.PTS - now.Pictures[i].PTS; step != 3600 {
			t.Errorf("picture %d is %d ticks after the one before it, want 3600", i+1, step)
		}
	}
}

// on is the first connection by which something comes: where the answer that lets a
// caller in is lost, they ask anew.
func on(t *testing.T, d *ingesttest.Desk) *ingesttest.Input {
	t.Helper()
	for n := 1; ; n++ {
		in := d.Await(t, n)
		in.Await(t, "a picture, or the end", func(now ingesttest.Noted) bool { return now.Closed || len(now.Pictures) > 0 })
		if !in.Now().Closed {
			return in
		}
	}
}

// By a relay of our own, which every machine has.
func TestLossyRelay(t *testing.T) {
	t.Parallel()
	d := newDesk()
	arrives(t, d, relay(t, "127.0.0.1", start(t, d, "", patient), oneWay, some))
}

// some loses as many packets as on a bad way.
func some(bool, []byte) bool { return rand.Float64() < lostOf }

// Whose way loses the answer that lets them in is let in all the same, within the three
// seconds that they ask.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	d := newDesk()
	var answers atomic.Int32
	address := relay(t, "127.0.0.1", start(t, d, "", patient), 10*time.Millisecond, func(back bool, packet []byte) bool {
		const handshake, conclusion = 0x8000, 0xffffffff // of the control packets, and of their kinds
		answer := back && len(packet) >= 40 && binary.BigEndian.Uint16(packet) == handshake && binary.BigEndian.Uint32(packet[36:]) == conclusion
		return answer && answers.Add(1) == 1
	})
	args := film(t, "60", "-f", "mpegts", fmt.Sprintf("srt://%s?streamid=publish:lys_key&connect_timeout=3000", address))
	caller := run(t, args[0], args[1:]...)
	testkit.Until(t, 2*time.Minute, "pictures, or the end of the caller", func() bool {
		select {
		case <-caller.done:
			return true
		default:
			pictures, _, _, _ := sent(d)
			return pictures > 25
		}
	})
	if pictures, _, _, _ := sent(d); pictures <= 25 || answers.Load() != 2 {
		t.Errorf("%d pictures have come, and the caller was answered %d times", pictures, answers.Load())
	}
}

// relay passes datagrams that come to an address of this machine on late, but for those
// that are lost; back are those that come from there.
func relay(t *testing.T, at, to string, oneWay time.Duration, lost func(back bool, packet []byte) bool) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", at+":0")
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	var caller struct {
		sync.Mutex
		address net.Addr
	}
	var running sync.WaitGroup
	pass := func(back bool, read func([]byte) (int, error), write func([]byte)) {
		type late struct {
			at   time.Time
			data []byte
		}
		way := make(chan late, 8192)
		running.Go(func() {
			defer close(way)
			for buffer := make([]byte, 2000); ; {
				n, err := read(buffer)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil && !lost(back, buffer[:n]) {
					way <- late{time.Now().Add(oneWay), append([]byte(nil), buffer[:n]...)}
				}
			}
		})
		running.Go(func() {
			for l := range way {
				time.Sleep(time.Until(l.at))
				write(l.data)
			}
		})
	}
	pass(false, func(b []byte) (int, error) {
		n, from, err := socket.ReadFrom(b)
		caller.Lock()
		defer caller.Unlock()
		caller.address = from
		return n, err
	}, func(b []byte) { _, _ = far.Write(b) })
	pass(true, far.Read, func(b []byte) {
		caller.Lock()
		defer caller.Unlock()
		if caller.address != nil {
			_, _ = socket.WriteTo(b, caller.address)
		}
	})
	t.Cleanup(func() {
		socket.Close()
		far.Close()
		running.Wait()
	})
	return socket.LocalAddr().String()
}

// The encoder is in a network namespace, where that is permitted. The way is made bad by
// the kernel's netem, or by our relay where the kernel has none.
func TestLossyNamespace(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may make a network namespace")
	}
	for _, name := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s command (iproute2)", name)
		}
	}
	n := rand.IntN(1 << 14)
	space, near, far := fmt.Sprintf("liuyun-srt%d", n), fmt.Sprintf("ly%dc", n), fmt.Sprintf("ly%dd", n)
	address := func(machine int) string { return fmt.Sprintf("198.19.%d.%d", n>>6, n&63<<2+machine) } // for tests: RFC 2544
	if out, err := exec.Command("ip", "netns", "add", space).CombinedOutput(); err != nil {
		t.Skipf("network namespaces are not permitted here: %v %s", err, out)
	}
	t.Cleanup(func() { command(t, "ip netns delete "+space) })
	command(t, "ip link add "+near+" type veth peer name "+far+" netns "+space)
	command(t, "ip address add "+address(1)+"/30 dev "+near)
	command(t, "ip link set "+near+" up")
	command(t, "ip -n "+space+" address add "+address(2)+"/30 dev "+far)
	command(t, "ip -n "+space+" link set "+far+" up")
	d := newDesk()
	to := startAt(t, d, address(1)+":0", "", patient)
	bad := fmt.Sprintf("root netem delay %dms loss %g%%", oneWay.Milliseconds(), 100*lostOf)
	if out, err := exec.Command("tc", strings.Fields("qdisc add dev "+near+" "+bad)...).CombinedOutput(); err != nil {
		t.Logf("this kernel has no netem, our relay stands in for it: %v %s", err, out)
		to = relay(t, address(1), to, oneWay, some)
	} else {
		command(t, "tc -n "+space+" qdisc add dev "+far+" "+bad)
	}
	arrives(t, d, to, "ip", "netns", "exec", space)
}

func command(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v %s", line, err, out)
	}
}
