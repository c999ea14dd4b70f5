package site

import (
	"maps"
	"slices"
	"time"

	"liuyun/internal/contract/edge"
)

const (
	trafficStep = 10 * time.Second
	trafficFor  = time.Hour
	mostTraffic = 2000 // sites whose traffic is known
	mostPaths   = 500  // of one of them
	shownPaths  = 20
)

// traffic is what edges did for a site in the last hour.
type traffic struct {
	points []TrafficPoint // the oldest first
	status map[string]int64
	paths  map[string]int64
	since  time.Time // of status and paths
}

// TrafficPoint is what edges did for a site in ten seconds.
type TrafficPoint struct {
	At       time.Time `json:"at" doc:"The end of the ten seconds."`
	Requests int64     `json:"requests"`
	Hits     int64     `json:"hits" doc:"Requests that were answered from what is stored."`
	Bytes    int64     `json:"bytes" doc:"Sent to viewers."`
	Fetched  int64     `json:"fetched" doc:"Bytes that came from origins."`
}

// count adds to what was done for a site. The caller holds mu.
func (s *Service) count(of string, now time.Time, c edge.Counts) {
	t := s.traffic[of]
	if t == nil {
		if len(s.traffic) >= mostTraffic {
			return
		}
		t = &traffic{}
		s.traffic[of] = t
	}
	t.add(now, c)
}

func (t *traffic) add(now time.Time, c edge.Counts) {
	end := now.Truncate(trafficStep).Add(trafficStep).UTC()
	if n := len(t.points); n == 0 || t.points[n-1].At.Before(end) {
		t.points = append(t.points, TrafficPoint{At: end})
	}
	p := &t.points[len(t.points)-1]
	p.Requests += c.Requests
	p.Hits += c.Hits
	p.Bytes += c.Bytes
	p.Fetched += c.Fetched
	old := now.Add(-trafficFor)
	t.points = slices.DeleteFunc(t.points, func(p TrafficPoint) bool { return p.At.Before(old) })
	if now.Sub(t.since) > trafficFor || t.status == nil {
		t.since, t.status, t.paths = now, make(map[string]int64), make(map[string]int64)
	}
	for class, n := range c.Status {
		switch class {
		case "2xx", "3xx", "4xx", "5xx":
			t.status[class] += n
		}
	}
	for path, n := range c.Paths {
		if _, known := t.paths[path]; known || len(t.paths) < mostPaths {
			t.paths[path] += n
		}
	}
}

func (t *traffic) last() time.Time {
	if len(t.points) == 0 {
		return time.Time{}
	}
	return t.points[len(t.points)-1].At
}

// top are the paths that were asked for most.
func (t *traffic) top() []PathCount {
	list := make([]PathCount, 0, len(t.paths))
	for _, path := range slices.Sorted(maps.Keys(t.paths)) {
		list = append(list, PathCount{path, t.paths[path]})
	}
	slices.SortStableFunc(list, func(a, b PathCount) int { return int(b.Requests - a.Requests) })
	return list[:min(len(list), shownPaths)]
}
