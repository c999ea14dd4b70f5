package front

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/bus"
)

const (
	reportEvery = 5 * time.Second
	// reportGap is between two reports at least that were wanted before their time.
	reportGap = 250 * time.Millisecond
	// A report has the counts of so many sites at most; those of others are in the next.
	reportedSites = 1000
	// It has so many bytes of paths and of states of origins, about, so that it fits into a
	// message. What is above is left out: paths of sites that come later, origins that are
	// up.
	reportedPaths   = 256 << 10
	reportedOrigins = 256 << 10
	// perPath and perOrigin are what is beside the text of one.
	perPath   = 16
	perOrigin = 64
	// reportedTenants are those whose part of the cache is told.
	reportedTenants = 1000
	// longestReason is what is told of one.
	longestReason = 512
)

// reporter tells how it goes. It is of one goroutine.
type reporter struct {
	*Front
	last  time.Time             // of what was told
	told  map[*siteTally]totals // what was
	after string                // the last site that was in a report which was full
}

// tellReports tells every few seconds how it goes, and at once when something that
// control nodes have told is applied.
func (f *Front) tellReports(ctx context.Context) {
	r := &reporter{Front: f, last: time.Now(), told: make(map[*siteTally]totals)}
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.tell()
		case <-f.report:
			// Not after one that was due: of twenty edges one has always just told, and who
			// has purged waits for the last.
			r.tellApplied()
			if !pause(ctx, reportGap) {
				return
			}
		}
	}
}

// tellApplied publishes what is applied, without counts: over so short a time they say
// nothing of how many there are a second.
func (r *reporter) tellApplied() {
	if err := r.deps.Bus.Publish(bus.From(edge.SubjectReport, r.deps.Node), r.report(time.Now())); err != nil {
		r.deps.Log.Debug("report not sent", "error", err)
	}
}

// report is one without counts.
func (r *reporter) report(now time.Time) edge.Report {
	return edge.Report{
		Node: r.deps.Node, Revision: r.State().Revision, At: now.UTC(), Place: r.deps.Place,
		Load: r.deps.Load(), Stored: r.deps.Stored(), Waiting: r.deps.Waiting(), Origins: r.origins(),
		Tenants: most(r.deps.Owned(), reportedTenants), Viewers: r.crowds.count(now),
	}
}

// most are the n largest.
func most(all map[string]int64, n int) map[string]int64 {
	if len(all) <= n {
		return all
	}
	names := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return cmp.Or(cmp.Compare(all[b], all[a]), cmp.Compare(a, b)) })
	for _, name := range names[n:] {
		delete(all, name)
	}
	return all
}

// tell publishes a report with counts. Those that cannot be sent are in the next one.
func (r *reporter) tell() {
	now := time.Now()
	report := r.report(now)
	report.Seconds = now.Sub(r.last).Seconds()
	after := r.after
	var sums map[*siteTally]totals
	report.Sites, sums = r.counts()
	if err := r.deps.Bus.Publish(bus.From(edge.SubjectReport, r.deps.Node), report); err != nil {
		r.after = after
		r.deps.Log.Debug("report not sent", "error", err)
		return
	}
	maps.Copy(r.told, sums)
	r.last = now
}

// counts returns what each site has done, and the sums that this is up to.
func (r *reporter) counts() (map[string]edge.Counts, map[*siteTally]totals) {
	sites := *r.tally.sites.Load()
	if len(r.told) > 2*len(sites) {
		present := make(map[*siteTally]bool, len(sites))
		for _, s := range sites {
			present[s] = true
		}
		maps.DeleteFunc(r.told, func(s *siteTally, _ totals) bool { return !present[s] })
	}
	sums := make(map[*siteTally]totals)
	var active []string
	for id, s := range sites {
		if sum := s.sum(); sum.requests != r.told[s].requests {
			sums[s] = sum
			active = append(active, id)
		} else {
			r.tally.takePaths(s) // nobody asks any more
		}
	}
	slices.Sort(active)
	if len(active) > reportedSites {
		at, _ := slices.BinarySearch(active, r.after+"\x00")
		active = slices.Concat(active[at:], active[:at])
		for _, id := range active[reportedSites:] {
			delete(sums, sites[id])
		}
		active = active[:reportedSites]
		r.after = active[reportedSites-1]
	}
	counts := make(map[string]edge.Counts, len(active))
	room := reportedPaths
	for _, id := range active {
		s := sites[id]
		c := sums[s].since(r.told[s])
		paths := r.tally.takePaths(s)
		for path := range paths {
			room -= perPath + written(path)
		}
		if room > 0 {
			c.Paths = paths
		}
		counts[id] = c
	}
	return counts, sums
}

// origins returns the states of origins, and why sites cannot be served: those that fail
// first.
func (r *reporter) origins() map[string][]edge.OriginState {
	all := maps.Clone(r.deps.Origins())
	if all == nil {
		all = make(map[string][]edge.OriginState)
	}
	for site, why := range r.table.problems() {
		all[site] = append(slices.Clip(all[site]), edge.OriginState{State: "down", Reason: why})
	}
	told := make(map[string][]edge.OriginState)
	room := reportedOrigins
	for _, up := range []bool{false, true} {
		for _, site := range slices.Sorted(maps.Keys(all)) {
			for _, o := range all[site] {
				if o.State == "up" != up {
					continue
				}
				o.Reason = o.Reason[:min(len(o.Reason), longestReason)]
				if room -= perOrigin + len(site) + written(o.URL) + written(o.Reason); room > 0 {
					told[site] = append(told[site], o)
				}
			}
		}
	}
	return told
}

// written is how long a text is in JSON at most, without its quotes. Clients choose paths,
// and some characters take six bytes there.
func written(text string) int {
	n := 0
	for _, c := range []byte(text) {
		switch {
		case c < ' ' || c >= 0x7f || strings.IndexByte(`"\\<>&`, c) >= 0:
			n += len(`\u0000`)
		default:
			n++
		}
	}
	return n
}
