package analyse

import (
	"cmp"
	"slices"
)

// TimedLook is a Look and the number of the picture that it was made of.
type TimedLook struct {
	Frame int
	Look
}

// Span is the regions from a picture on, until the next Span.
type Span struct {
	Frame   int
	Regions []Region
}

// How the looks of a shot become spans: one whose map differs from the mean so far
// by more than apart (half the sum of absolute differences, 0 … 1) begins another,
// if it lasts.
const (
	apart        = 0.22
	shortestSpan = 8 // pictures
)

// Spans lays out regions for pictures [from, to) of a film: one map a shot, and
// several where what is looked at moves. cuts are the first pictures of shots;
// looks are in order. All regions together are at most most. The first Span begins
// at from; a part that nothing is known of has no regions.
func (s Strength) Spans(looks []TimedLook, cuts []int, from, to, most int) []Span {
	var maps []timedMap
	for _, shot := range shotsIn(cuts, from, to) {
		maps = append(maps, shotMaps(between(looks, shot[0], shot[1]), max(shot[0], from), min(shot[1], to))...)
	}
	for across := false; len(maps) > 1 && len(maps)*fewRegions > most; {
		fewer := thin(maps, across)
		across = len(fewer) == len(maps) // more shots than maps can be had
		maps = fewer
	}
	return s.layout(maps, most)
}

// fewRegions is how many a map needs to say something; rather than give each less,
// maps of one shot are joined, and where that is not enough those of shots beside each
// other.
const fewRegions = 60

// timedMap is a map from a picture on; none is known where weight is 0.
type timedMap struct {
	frame  int
	weight float32 // looks in it
	shot   int     // the first picture of its shot
	Map
}

// layout lays out each map with its part of the regions.
func (s Strength) layout(maps []timedMap, most int) (list []Span) {
	for i, m := range maps {
		span := Span{Frame: m.frame}
		if m.weight > 0 {
			offsets := s.Offsets(&m.Map)
			span.Regions = Layout(&offsets, most/(len(maps)-i))
		}
		most -= len(span.Regions)
		list = append(list, span)
	}
	return list
}

// thin joins the maps of each shot in pairs, or across shots.
func thin(maps []timedMap, across bool) (fewer []timedMap) {
	for i := 0; i < len(maps); i++ {
		m := maps[i]
		if i+1 < len(maps) && (across || maps[i+1].shot == m.shot) {
			i++
			m.join(&maps[i].Map, maps[i].weight)
		}
		fewer = append(fewer, m)
	}
	return fewer
}

// join makes the mean, by weight.
func (m *timedMap) join(o *Map, weight float32) {
	if m.weight+weight == 0 {
		return
	}
	for i := range m.Map {
		m.Map[i] = (m.Map[i]*m.weight + o[i]*weight) / (m.weight + weight)
	}
	m.weight += weight
}

// shotsIn are the shots, [first, end) in pictures, that have some of [from, to).
func shotsIn(cuts []int, from, to int) (list [][2]int) {
	first := 0
	for _, cut := range append(slices.Clone(cuts), 1<<60) {
		if cut > from && first < to {
			list = append(list, [2]int{first, cut})
		}
		first = cut
	}
	return list
}

// between are the looks of pictures [from, to).
func between(looks []TimedLook, from, to int) []TimedLook {
	find := func(frame int) int {
		i, _ := slices.BinarySearchFunc(looks, frame, func(l TimedLook, frame int) int { return cmp.Compare(l.Frame, frame) })
		return i
	}
	return looks[find(from):find(to)]
}

// shotMaps are the maps of one shot, of which pictures [from, to) are needed. A map
// holds from half-way between the looks.
func shotMaps(looks []TimedLook, from, to int) []timedMap {
	shot := from
	if len(looks) == 0 {
		return []timedMap{{frame: from, shot: shot}}
	}
	list := []timedMap{{frame: from, shot: shot}}
	for i := range looks {
		m := smoothed(looks, i)
		last := &list[len(list)-1]
		begin := from
		if i > 0 {
			begin = (looks[i-1].Frame + looks[i].Frame + 1) / 2
		}
		if begin >= to {
			break
		}
		if last.weight > 0 && begin-last.frame >= shortestSpan && to-begin >= shortestSpan && distance(&last.Map, &m) > apart {
			list = append(list, timedMap{frame: begin, shot: shot})
			last = &list[len(list)-1]
		}
		if begin <= from { // what comes before the first picture counts less and less
			last.weight = min(last.weight, 1)
		}
		last.join(&m, 1)
	}
	return list
}

// smoothed is the map of a look with those beside it, each for a half.
func smoothed(looks []TimedLook, i int) Map {
	m := timedMap{Map: looks[i].Map, weight: 1}
	if i > 0 {
		m.join(&looks[i-1].Map, 0.5)
	}
	if i+1 < len(looks) {
		m.join(&looks[i+1].Map, 0.5)
	}
	return m.Map
}

// distance is half the sum of absolute differences of two densities, 0 … 1.
func distance(a, b *Map) float64 {
	sum := 0.0
	for i, v := range a {
		d := float64(v) - float64(b[i])
		sum += max(d, -d)
	}
	return sum / 2
}
