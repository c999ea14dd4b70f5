package route

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// order is the ranking as a list that stays.
func (s *Scheduler) order(client netip.Addr, content string) (nodes []Node) {
	var buf [most]ranked
	for _, r := range s.rank(&buf, client, content) {
		nodes = append(nodes, r.Node)
	}
	return nodes
}

// node is a ready one that was seen just now.
func node(id, region string, capacity int64) Node {
	return Node{ID: id, URL: &url.URL{Scheme: "https", Host: id + ".example"}, Region: region, Capacity: capacity, State: Ready, Seen: time.Now()}
}

func scheduler(t testing.TB, prefixes string, nodes ...Node) *Scheduler {
	t.Helper()
	p, err := ParsePrefixes([]byte(prefixes))
	if err != nil {
		t.Fatal(err)
	}
	var s Scheduler
	s.SetPrefixes(p)
	if err := s.SetNodes(nodes); err != nil {
		t.Fatal(err)
	}
	return &s
}

func ids(nodes []Node) string {
	var names []string
	for _, n := range nodes {
		names = append(names, n.ID)
	}
	return strings.Join(names, " ")
}

// sorted is ids where the order is rendezvous's.
func sorted(nodes []Node) string {
	names := strings.Fields(ids(nodes))
	slices.Sort(names)
	return strings.Join(names, " ")
}

const regions = "10.0.0.0/8 eu\n10.9.0.0/16 asia\n2001:db8::/32 asia\n"

func TestRankGroups(t *testing.T) {
	t.Parallel()
	european, asian, unknown := netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("10.9.1.1"), netip.MustParseAddr("192.0.2.1")
	with := func(n Node, change func(*Node)) Node { change(&n); return n }
	full := func(n *Node) { n.Egress = n.Capacity }
	loaded := func(n *Node) { n.Load = 0.99 }
	draining := func(n *Node) { n.State = Draining }
	old := func(n *Node) { n.Seen = time.Now().Add(-16 * time.Second) }
	tests := []struct {
		name   string
		client netip.Addr
		nodes  []Node
		want   []string // groups, each sorted
	}{
		{"own region first", european, []Node{node("a", "eu", 1), node("b", "asia", 1), node("c", "eu", 1)}, []string{"a c", "b"}},
		{"the longest prefix counts", asian, []Node{node("a", "eu", 1), node("b", "asia", 1)}, []string{"b", "a"}},
		{"an unknown client is at home everywhere", unknown, []Node{node("a", "eu", 1), node("b", "asia", 1)}, []string{"a b"}},
		{"no client", netip.Addr{}, []Node{node("a", "eu", 1), node("b", "asia", 1)}, []string{"a b"}},
		{"a full region spills over", european, []Node{with(node("a", "eu", 10), full), node("b", "asia", 1)}, []string{"b", "a"}},
		{"by load too", european, []Node{with(node("a", "eu", 0), loaded), node("b", "asia", 1)}, []string{"b", "a"}},
		{"draining ones last", european, []Node{with(node("a", "eu", 1), draining), with(node("b", "asia", 10), full)}, []string{"b", "a"}},
		{"unseen ones never", european, []Node{with(node("a", "eu", 1), old), with(node("b", "asia", 1), draining)}, []string{"b"}},
		{"but when all are", european, []Node{with(node("a", "eu", 1), old), with(node("b", "asia", 1), old)}, []string{"a", "b"}},
		{"gone ones never", european, []Node{with(node("a", "eu", 1), func(n *Node) { n.State = "gone" })}, nil},
		{"nobody", european, nil, nil},
	}
	for _, test := range tests {
		got := scheduler(t, regions, test.nodes...).order(test.client, "play/ast_1")
		for _, want := range test.want {
			n := len(strings.Fields(want))
			if len(got) < n || sorted(got[:n]) != want {
				t.Errorf("%s: got %q, want groups %q", test.name, ids(got), test.want)
				got = nil
				break
			}
			got = got[n:]
		}
		if len(got) > 0 {
			t.Errorf("%s: besides %q there are %q", test.name, test.want, ids(got))
		}
	}
}

func TestUnseenAfterFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scheduler(t, "", node("a", "", 1))
		time.Sleep(time.Second)
		late := node("b", "", 1)
		if err := s.SetNodes([]Node{s.order(netip.Addr{}, "x")[0], late}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(14 * time.Second)
		if got := sorted(s.order(netip.Addr{}, "x")); got != "a b" {
			t.Errorf("after 15 s: %q", got)
		}
		time.Sleep(time.Millisecond)
		if got := ids(s.order(netip.Addr{}, "x")); got != "b" {
			t.Errorf("after more: %q, want b", got)
		}
	})
}

// A node that comes or goes moves only contents that it has.
func TestMinimalMovement(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		capacities := rapid.SliceOfN(rapid.Int64Range(1, 1000), 2, 12).Draw(t, "capacities")
		var nodes []Node
		for i, c := range capacities {
			nodes = append(nodes, node(fmt.Sprintf("n%d", i), "", c))
		}
		gone := rapid.IntRange(0, len(nodes)-1).Draw(t, "gone")
		var before, after Scheduler
		before.SetNodes(nodes)
		after.SetNodes(slices.Delete(slices.Clone(nodes), gone, gone+1))
		for i := range 50 {
			content := fmt.Sprintf("play/ast_%d", i)
			first := before.order(netip.Addr{}, content)
			want := slices.DeleteFunc(first, func(n Node) bool { return n.ID == nodes[gone].ID })
			got := after.order(netip.Addr{}, content)
			// Of more than eight, one that was ninth comes in at the end.
			if n := min(len(got), len(want)); ids(got[:n]) != ids(want[:n]) {
				t.Fatalf("%s: %q, without %s %q", content, ids(want), nodes[gone].ID, ids(got))
			}
		}
	})
}

// Contents are spread in proportion to capacity; an unknown one counts as the mean.
func TestBalance(t *testing.T) {
	t.Parallel()
	capacities := []int64{1e9, 2e9, 5e9, 0}
	var nodes []Node
	for i, c := range capacities {
		nodes = append(nodes, node(fmt.Sprintf("nod_%d", i), "", c))
	}
	s := scheduler(t, "", nodes...)
	const contents = 20_000
	counts := make(map[string]int)
	for i := range contents {
		counts[s.order(netip.Addr{}, fmt.Sprintf("play/ast_%d", i))[0].ID]++
	}
	mean := 8e9 / 3
	for i, c := range capacities {
		weight := float64(c)
		if c == 0 {
			weight = mean
		}
		want := contents * weight / (8e9 + mean)
		if got := float64(counts[nodes[i].ID]); math.Abs(got-want) > 4*math.Sqrt(want) {
			t.Errorf("%s with %d: %v contents, want about %.0f", nodes[i].ID, c, got, want)
		}
	}
}

// As the node of a hot stream fills, a growing share of viewers goes to the next one, and
// no viewer goes to and fro.
func TestHotStreamSpreads(t *testing.T) {
	t.Parallel()
	const viewers, hot = 4000, "play/str_hot"
	base := []Node{node("a", "", 100), node("b", "", 100), node("c", "", 100)}
	first := scheduler(t, "", base...).order(netip.Addr{}, hot)[0].ID
	moved := make(map[int]bool)
	for _, step := range []struct {
		egress int64
		stay   float64
	}{{0, 1}, {70, 1}, {75, 0.8}, {80, 0.6}, {90, 0.2}, {95, 0}, {100, 0}} {
		nodes := slices.Clone(base)
		for i := range nodes {
			if nodes[i].ID == first {
				nodes[i].Egress = step.egress
			}
		}
		s := scheduler(t, "", nodes...)
		stayed := 0
		for v := range viewers {
			client := netip.AddrFrom4([4]byte{198, 51, byte(v >> 8), byte(v)})
			if s.order(client, hot)[0].ID != first {
				moved[v] = true
			} else if stayed++; moved[v] {
				t.Fatalf("at %d %% viewer %d comes back", step.egress, v)
			}
		}
		if got := float64(stayed) / viewers; math.Abs(got-step.stay) > 0.03 {
			t.Errorf("at %d %%: %.3f of the viewers stay, want %.2f", step.egress, got, step.stay)
		}
	}
}

// Whatever the nodes are like: a dead one never stands where a live one could, the same
// question has the same answer, and nobody is there twice.
func TestRankProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Now()
		var nodes []Node
		for i := range rapid.IntRange(0, 20).Draw(t, "nodes") {
			n := node(fmt.Sprintf("n%d", i), rapid.SampledFrom([]string{"", "eu", "asia"}).Draw(t, "region"), rapid.Int64Range(0, 100).Draw(t, "capacity"))
			n.Egress, n.Load = rapid.Int64Range(-5, 200).Draw(t, "egress"), rapid.Float64().Draw(t, "load")
			n.State = rapid.SampledFrom([]State{Ready, Draining, "aside", "gone"}).Draw(t, "state")
			n.Seen = now.Add(-time.Duration(rapid.SampledFrom([]int{0, 5, 60}).Draw(t, "seen")) * time.Second)
			nodes = append(nodes, n)
		}
		p, _ := ParsePrefixes([]byte(regions))
		var s Scheduler
		s.SetPrefixes(p)
		s.SetNodes(nodes)
		client := netip.AddrFrom4([4]byte{10, rapid.Byte().Draw(t, "b"), 1, 1})
		got := s.order(client, "x")
		if again := s.order(client, "x"); ids(again) != ids(got) {
			t.Fatalf("%q, then %q", ids(got), ids(again))
		}
		live := func(n Node) bool { return now.Sub(n.Seen) < unseenAfter }
		usable := func(n Node) bool { return n.State == Ready || n.State == Draining }
		alive, all := 0, 0
		for _, n := range nodes {
			if usable(n) {
				all++
				if live(n) {
					alive++
				}
			}
		}
		want := min(all, most)
		if alive > 0 {
			want = min(alive, most)
		}
		if len(got) != want {
			t.Fatalf("%d nodes, want %d", len(got), want)
		}
		seen := make(map[string]bool)
		for _, n := range got {
			if !usable(n) || alive > 0 && !live(n) || seen[n.ID] {
				t.Fatalf("%+v is among %q", n, ids(got))
			}
			seen[n.ID] = true
		}
	})
}

func TestSetNodesLeavesOutBadOnes(t *testing.T) {
	t.Parallel()
	address := func(s string) *url.URL { u, _ := url.Parse(s); return u }
	bad := node("x", "", 0)
	var nodes []Node
	for _, change := range []func(*Node){
		func(n *Node) { n.ID = "" }, func(n *Node) { n.ID = "." }, func(n *Node) { n.ID = "a b" }, func(n *Node) { n.URL = nil },
		func(n *Node) { n.URL = address("ftp://x") }, func(n *Node) { n.URL = address("http://x/?a=b") }, func(n *Node) { n.URL = address("http://:80") },
		func(n *Node) { n.URL = address("http://u:p@x/") }, func(n *Node) { n.ID = "good" },
	} {
		n := bad
		change(&n)
		nodes = append(nodes, n)
	}
	var s Scheduler
	err := s.SetNodes(append([]Node{node("good", "", 0)}, nodes...))
	if got := len(strings.Split(fmt.Sprint(err), "\n")); got != len(nodes) {
		t.Errorf("%d problems, want %d: %v", got, len(nodes), err)
	}
	if got := ids(s.order(netip.Addr{}, "x")); got != "good" {
		t.Errorf("ranked %q", got)
	}
}

func TestRedirectingAllocatesNothing(t *testing.T) {
	s := scheduler(t, regions, node("a", "eu", 1), node("b", "asia", 1))
	client := netip.MustParseAddr("10.9.1.1")
	var buf [most]ranked
	if n := testing.AllocsPerRun(100, func() { s.rank(&buf, client, "play/ast_1") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRank(b *testing.B) {
	var nodes []Node
	for i := range 100 {
		nodes = append(nodes, node(fmt.Sprintf("nod_%d", i), "eu", 1e9))
	}
	s := scheduler(b, regions, nodes...)
	client := netip.MustParseAddr("10.1.1.1")
	var buf [most]ranked
	b.ReportAllocs()
	for b.Loop() {
		s.rank(&buf, client, "play/ast_1")
	}
}
