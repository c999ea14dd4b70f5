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
	partStep    = 10 * time.Minute
	mostTraffic = 2000 // sites whose traffic is known
	mostPaths   = 70   // of one of them in ten minutes
	shownPaths  = 20
)

// traffic is what edges did for a site in the last hour.
type traffic struct {
	points []TrafficPoint // the oldest first
	parts  []trafficPart  // likewise
}

// trafficPart is what was asked for in ten minutes: of the last hour those leave one by one.
type trafficPart struct {
	from   time.Time
	status map[string]int64
	paths  map[string]int64
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
	part := t.part(now)
	for class, n := range c.Status {
		switch class {
		case "2xx", "3xx", "4xx", "5xx":
			part.status[class] += n
		}
	}
	for path, n := range c.Paths {
		if _, known := part.paths[path]; known || len(part.paths) < mostPaths {
			part.paths[path] += n
		}
	}
}

// part is that of now; those that are older than an hour are dropped.
func (t *traffic) part(now time.Time) *trafficPart {
	from := now.Truncate(partStep)
	if n := len(t.parts); n == 0 || t.parts[n-1].from.Before(from) {
		t.parts = append(t.parts, trafficPart{from, make(map[string]int64), make(map[string]int64)})
	}
	t.parts = slices.DeleteFunc(t.parts, func(p trafficPart) bool { return now.Sub(p.from) >= trafficFor+partStep })
	return &t.parts[len(t.parts)-1]
}

// status is how often each class was answered.
func (t *traffic) status() map[string]int64 {
	sum := make(map[string]int64)
	for _, p := range t.parts {
		for class, n := range p.status {
			sum[class] += n
		}
	}
	return sum
}

func (t *traffic) last() time.Time {
	if len(t.points) == 0 {
		return time.Time{}
	}
	return t.points[len(t.points)-1].At
}

// top are the paths that were asked for most.
func (t *traffic) top() []PathCount {
	sum := make(map[string]int64)
	for _, p := range t.parts {
		for path, n := range p.paths {
			sum[path] += n
		}
	}
	list := make([]PathCount, 0, len(sum))
	for _, path := range slices.Sorted(maps.Keys(sum)) {
		list = append(list, PathCount{path, sum[path]})
	}
	slices.SortStableFunc(list, func(a, b PathCount) int { return int(b.Requests - a.Requests) })
	return list[:min(len(list), shownPaths)]
}
