package cloud

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/client"
	"liuyun/test/program"
)

// cluster is a control node that encodes nothing, and lets workers join.
type cluster struct {
	node
	arguments []string // of the control node, to start it anew
}

// startCluster starts a control node that others reach on host.
func startCluster(t *testing.T, host string, arguments ...string) cluster {
	t.Helper()
	arguments = append([]string{
		"--roles", "control", "--set", "node.listen=" + freeAddress(t, host), "--set", "bus.listen=" + freeAddress(t, host),
	}, arguments...)
	return cluster{start(t, arguments...), arguments}
}

// freeAddress is an address of host on which nobody listens now.
func freeAddress(t *testing.T, host string) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// worker is a machine that joined.
type worker struct {
	*program.Server
	program   program.Program
	arguments []string
}

// join adds a worker with a data folder of its own.
func (c cluster) join(t *testing.T, arguments ...string) worker {
	t.Helper()
	return c.joinWithin(t, filepath.Join(t.TempDir(), "worker"), nil, arguments...)
}

// joinWithin adds a worker with its data in a folder, which is started by the
// words, as in "ip", "netns", "exec", NAME; usually none.
func (c cluster) joinWithin(t *testing.T, data string, words []string, arguments ...string) worker {
	t.Helper()
	token, err := c.Nodes.CreateJoinToken(t.Context(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	within := liuyun(t)
	within.Within = words
	arguments = append([]string{"--roles", "worker", "--name", filepath.Base(data)}, arguments...)
	joined := within.Serve(t, data, append([]string{"--join", token.Token}, arguments...)...)
	return worker{joined, within, arguments}
}

// again starts a worker that was killed. It needs no token: it is known.
func (w worker) again(t *testing.T) worker {
	t.Helper()
	return worker{w.program.Serve(t, w.Data, w.arguments...), w.program, w.arguments}
}

// jobs lists the jobs of an asset, of one kind or, with "", of all.
func (n node) jobs(t *testing.T, asset, kind string) []client.Job {
	t.Helper()
	var jobs []client.Job
	for job, err := range n.Jobs.List(t.Context(), client.JobFilter{Asset: asset, Kind: kind}) {
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job)
	}
	return jobs
}

// running waits until each of the nodes is at a unit of the asset.
func (n node) running(t *testing.T, asset string, nodes ...string) {
	t.Helper()
	n.eventually(t, "units run on "+strings.Join(nodes, " and "), func() bool {
		at := make(map[string]bool)
		for _, job := range n.jobs(t, asset, "unit") {
			if job.State == "running" {
				at[job.Node] = true
			}
		}
		for _, node := range nodes {
			if !at[node] {
				return false
			}
		}
		return true
	})
}

// again is how many units of an asset were begun more than once, and how many
// there are.
func (n node) again(t *testing.T, asset string) (again, all int) {
	t.Helper()
	for _, job := range n.jobs(t, asset, "unit") {
		all++
		if job.Attempt > 1 {
			again++
		}
	}
	return again, all
}

// state waits until a node is in a state for a reason that says so.
func (n node) state(t *testing.T, id, state, reason string) {
	t.Helper()
	last := client.Node{}
	n.eventually(t, "node is "+state, func() bool {
		node, err := n.Nodes.Get(t.Context(), id)
		if err == nil && node.State+node.Reason != last.State+last.Reason {
			t.Logf("node %s is %s: %s", node.Name, node.State, node.Reason)
			last = node
		}
		return err == nil && node.State == state && strings.Contains(node.Reason, reason)
	})
}

// eventually waits until check is true.
func (n node) eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !check() {
		if time.Now().After(deadline) {
			t.Fatalf("not after %s: %s", patience, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
