package cloud

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"liuyun/client"
)

// network is a network namespace with one wire to this one.
type network struct {
	name string
	wire string // its end here
	host string // the address of that end
}

// newNetwork makes a network namespace, and skips the test where that is not
// permitted.
func newNetwork(t *testing.T) network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may make a network namespace")
	}
	if _, err := exec.LookPath("ip"); errors.Is(err, exec.ErrNotFound) {
		t.Skip("there is no ip command (iproute2)")
	}
	n := rand.IntN(1 << 14)
	// A net of two machines in 198.18.0.0/16, which is for tests (RFC 2544).
	address := func(machine int) string { return fmt.Sprintf("198.18.%d.%d", n>>6, n&63<<2+machine) }
	w := network{name: fmt.Sprintf("liuyun%d", n), wire: fmt.Sprintf("ly%da", n), host: address(1)}
	if out, err := exec.Command("ip", "netns", "add", w.name).CombinedOutput(); err != nil {
		t.Skipf("network namespaces are not permitted here: %v %s", err, out)
	}
	t.Cleanup(func() { ip(t, "netns", "delete", w.name) })
	far := fmt.Sprintf("ly%db", n)
	ip(t, "link", "add", w.wire, "type", "veth", "peer", "name", far, "netns", w.name)
	ip(t, "address", "add", w.host+"/30", "dev", w.wire)
	ip(t, "link", "set", w.wire, "up")
	ip(t, "-n", w.name, "address", "add", address(2)+"/30", "dev", far)
	ip(t, "-n", w.name, "link", "set", far, "up")
	ip(t, "-n", w.name, "link", "set", "lo", "up")
	return w
}

// cut takes what goes through the wire until heal; nobody is told.
func (n network) cut(t *testing.T)  { ip(t, "link", "set", n.wire, "down") }
func (n network) heal(t *testing.T) { ip(t, "link", "set", n.wire, "up") }

func ip(t *testing.T, arguments ...string) {
	t.Helper()
	if out, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v %s", strings.Join(arguments, " "), err, out)
	}
}

// The network between a worker and the control node breaks for longer than a
// lease. What the worker was at is made by another, and when the network is back
// the worker goes on with what there is.
func cutWorkerOff(t *testing.T, l lost) {
	wire := newNetwork(t)
	c := startCluster(t, wire.host)
	far := c.joinWithin(t, filepath.Join(t.TempDir(), "far"), []string{"ip", "netns", "exec", wire.name})
	near := c.join(t)
	a := l.begin(t, c, far, near)

	wire.cut(t)
	c.state(t, far.Node, "gone", "nothing was heard")
	l.finish(t, c, a.ID, 1)
	wire.heal(t)
	c.state(t, far.Node, "ready", "")

	near.Kill()
	b := c.upload(t, film(t), client.UploadOptions{Options: quick()})
	c.ready(t, b.ID)
}
