package search

import (
	"cmp"
	"math"
	"slices"
)

// Shot is a range of pictures that has one CRF: a shot, or a part of one.
type Shot struct {
	Pictures int
	Motion   float64 // mean of VMAF's motion, known with the first encode
	Texture  float64 // see analyse.Shot; 0 is unknown
	Lean     float64 // CRF that it should have more than its like, before it was encoded
}

// Goal is what the whole has to reach: a mean quality, or a sum of bits. The zero
// Goal is the quality that every shot at the base CRF has together.
type Goal struct {
	Quality float64
	Bits    float64
}

// Effort is how much may be encoded, in units of one encode of everything.
type Effort float64

// The efforts with a name. Measuring comes on top, a fifth to a quarter of it.
const (
	Quick    Effort = 1.5
	Thorough Effort = 2.5
)

// Settings of a Search.
type Settings struct {
	Base   float64 // the CRF to begin with
	Goal   Goal
	Effort Effort
}

// Limits and steps of CRF.
const (
	leastCRF = 8
	mostCRF  = 45
	step     = 0.5
	// reach is how far a shot's CRF may be from the one that would reach the goal in
	// all: it gets half or twice the bits at most.
	reach = 6
	// stride is how far an encode may be from the nearest one that its shot has, unless
	// the middle is further: so far a curve foretells quality to three points even
	// where it is another than usual.
	stride = 3
)

// Encode asks for a unit with these CRFs, one a shot. Expected is what each shot is
// thought to come to; it is empty where nothing is known of the unit.
type Encode struct {
	Unit     int
	CRF      []float64
	Expected []Probe
}

// Made is what an Encode came to, one Probe a shot, and how much moves in them.
type Made struct {
	Shots  []Probe
	Motion []float64
}

// unit is what is known of one.
type unit struct {
	shots []Shot
	made  []Made
	want  []float64 // the CRFs that were last thought best
	best  int       // of made
}

func (u *unit) pictures() int {
	n := 0
	for _, s := range u.shots {
		n += s.Pictures
	}
	return n
}

// curves are the shots' curves, best around want.
func (u *unit) curves() []curve {
	list := make([]curve, len(u.shots))
	probes := make([]Probe, len(u.made))
	for i, s := range u.shots {
		for k, m := range u.made {
			probes[k] = m.Shots[i]
		}
		list[i] = fit(s, probes, u.want[i])
	}
	return list
}

// Search finds the CRFs of one rendition's shots. Ask Next for encodes, Add what
// they came to, in any order, and ask again until there are none. Its answers
// follow from these calls' arguments alone.
type Search struct {
	settings  Settings
	units     []*unit
	pictures  int
	texture   float64 // geometric mean over the pictures
	spent     int     // pictures encoded
	target    float64 // mean quality
	corrected bool    // more was encoded than the effort allows, to reach the goal
	center    float64 // the CRF that, in every shot, would reach the goal
	price     float64 // bits for a point of quality of one picture
}

// New begins a search. Each unit has its shots, each of them at least one picture.
func New(units [][]Shot, settings Settings) *Search {
	s := &Search{settings: settings, center: settings.Base}
	var log, known float64
	for _, shots := range units {
		u := &unit{shots: slices.Clone(shots), want: repeated(settings.Base, len(shots))}
		s.units = append(s.units, u)
		s.pictures += u.pictures()
		for _, shot := range shots {
			if shot.Texture > 0 {
				log += math.Log(shot.Texture) * float64(shot.Pictures)
				known += float64(shot.Pictures)
			}
		}
	}
	if known > 0 {
		s.texture = math.Exp(log / known)
	}
	return s
}

func repeated(v float64, n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = v
	}
	return list
}

// Before a goal of one's own is known to be near, one unit in sampleUnits is
// encoded, and leastSample at least: a single one may be like no other.
const (
	sampleUnits = 4
	leastSample = 3
)

// How far from its goal a search may end that has no effort left: mean quality, and
// share of the bits. Where it is further off, all is encoded once more.
const (
	qualityOff = 0.5
	bitsOff    = 0.03
)

// worthwhile is the least gain, as a share of a unit's bits, for which it is
// encoded again.
const worthwhile = 0.0005

// Next returns the encodes to make now; none when the search is over. All that it
// asked for before has been added.
func (s *Search) Next() []Encode {
	if missing := s.missing(); len(missing) > 0 {
		return s.first(missing)
	}
	if s.own() {
		s.center = s.findCenter()
	}
	s.solve(s.units)
	return s.again()
}

// own reports whether the goal is another than that of the base.
func (s *Search) own() bool { return s.settings.Goal != Goal{} }

// missing are the units that have not been encoded yet.
func (s *Search) missing() []int {
	var list []int
	for i, u := range s.units {
		if len(u.made) == 0 {
			list = append(list, i)
		}
	}
	return list
}

// first asks for units that have not been encoded. With a goal of one's own some
// units, from all over, tell about where it lies before the others are encoded there.
func (s *Search) first(missing []int) []Encode {
	sample := len(missing)
	if s.own() {
		if len(missing) == len(s.units) {
			sample = max(leastSample, len(missing)/sampleUnits)
		} else {
			s.center = s.findCenter()
		}
	}
	var list []Encode
	for n, i := range missing {
		if sample < len(missing) && (n+1)*sample/len(missing) == n*sample/len(missing) {
			continue
		}
		u := s.units[i]
		for k, shot := range u.shots {
			u.want[k] = rounded(min(max(s.center+s.lean(shot), leastCRF), mostCRF))
		}
		list = append(list, Encode{Unit: i, CRF: slices.Clone(u.want)})
	}
	return list
}

// How far from the middle a shot begins that has more or less texture than the
// others. A point of quality costs more where there is more of it, by its power of
// 0.66, and a quarter less with each CRF; so what is known before any encode is
// worth half of what a search gains, see docs/internals/encoding.md.
const (
	leanByTexture = 2.5 // CRF for each factor e of texture
	mostLean      = 4
)

// lean is how far from the middle a shot that was not encoded yet should be. With both
// it may be half a CRF more than reach.
func (s *Search) lean(shot Shot) float64 {
	lean := 0.0
	if shot.Texture > 0 && s.texture > 0 {
		lean = min(max(leanByTexture*math.Log(shot.Texture/s.texture), -mostLean), mostLean)
	}
	return lean + shot.Lean
}

// Add tells what an encode came to.
func (s *Search) Add(e Encode, m Made) {
	u := s.units[e.Unit]
	for i := range u.shots {
		if len(u.made) == 0 && i < len(m.Motion) {
			u.shots[i].Motion = m.Motion[i]
		}
	}
	u.made = append(u.made, m)
	s.spent += u.pictures()
}

// findCenter is the CRF at which what has been encoded would reach the goal, the
// rest being alike.
func (s *Search) findCenter() float64 {
	var curves []curve
	var pictures float64
	for _, u := range s.units {
		if len(u.made) > 0 {
			curves = append(curves, u.curves()...)
			pictures += float64(u.pictures())
		}
	}
	share := pictures / float64(s.pictures)
	low, high := float64(leastCRF), float64(mostCRF)
	for range 40 {
		middle := (low + high) / 2
		var bits, quality float64
		for _, c := range curves {
			p := c.at(middle)
			bits += p.Bits
			quality += p.Quality * c.pictures
		}
		if s.enough(bits/share, quality/pictures) {
			low = middle
		} else {
			high = middle
		}
	}
	return rounded((low + high) / 2)
}

// enough reports whether a result is as good as the goal, or needs more bits than
// it: a higher CRF would do.
func (s *Search) enough(bits, quality float64) bool {
	switch {
	case s.settings.Goal.Bits > 0:
		return bits > s.settings.Goal.Bits
	case s.settings.Goal.Quality > 0:
		return quality > s.settings.Goal.Quality
	}
	return quality > s.target
}

func rounded(crf float64) float64 { return math.Round(crf/step) * step }

// solve finds the price at which the goal is reached when the units in free take
// the CRFs that are best at that price, and the others what they have that is.
// Equal prices everywhere are what makes the sum of bits least for the sum of
// quality (Shoham and Gersho, "Efficient bit allocation for an arbitrary set of
// quantizers", 1988).
func (s *Search) solve(free []*unit) {
	if s.target == 0 {
		s.target = s.usualQuality()
	}
	curves := make([][]curve, len(free))
	for i, u := range free {
		curves[i] = u.curves()
	}
	low, high := -12.0, 24.0 // ln price: low makes CRFs high
	taken := make(map[*unit]bool, len(free))
	for _, u := range free {
		taken[u] = true
	}
	for range 45 {
		s.price = math.Exp((low + high) / 2)
		var bits, quality float64
		for i, u := range free {
			for k, c := range curves[i] {
				u.want[k] = s.choose(c)
				p := c.at(u.want[k])
				bits += p.Bits
				quality += p.Quality * c.pictures
			}
		}
		for _, u := range s.units {
			if !taken[u] {
				b, q := total(u, u.made[s.cheapest(u)])
				bits, quality = bits+b, quality+q
			}
		}
		if s.enough(bits, quality/float64(s.pictures)) {
			high = math.Log(s.price)
		} else {
			low = math.Log(s.price)
		}
	}
	for _, u := range free {
		for k := range u.want {
			u.want[k] = rounded(u.want[k])
		}
	}
	for _, u := range s.units {
		u.best = s.cheapest(u)
	}
}

// Best returns which encode of each unit, in the order of Add, is the rendition's:
// of all that were made, those with the least cost at the price at which they
// reach the goal.
func (s *Search) Best() []int {
	low, high := -12.0, 24.0
	pick := func(log float64) (bits, quality float64) {
		s.price = math.Exp(log)
		for _, u := range s.units {
			u.best = s.cheapest(u)
			b, q := total(u, u.made[u.best])
			bits, quality = bits+b, quality+q
		}
		return bits, quality / float64(s.pictures)
	}
	for range 45 {
		middle := (low + high) / 2
		if s.enough(pick(middle)) {
			high = middle
		} else {
			low = middle
		}
	}
	last := high // just enough quality
	if s.settings.Goal.Bits > 0 {
		last = low // just not too many bits
	}
	pick(last)
	list := make([]int, len(s.units))
	for i, u := range s.units {
		list[i] = u.best
	}
	return list
}

// choose is the CRF of a shot at the price.
func (s *Search) choose(c curve) float64 {
	least := max(leastCRF, s.center-reach, min(c.crf-stride, s.center))
	most := min(mostCRF, s.center+reach, max(c.crf+stride, s.center))
	return c.crfAt(s.price, least, most)
}

// total is the bits and the summed quality of an encode.
func total(u *unit, m Made) (bits, quality float64) {
	for i, p := range m.Shots {
		bits += p.Bits
		quality += p.Quality * float64(u.shots[i].Pictures)
	}
	return bits, quality
}

// usualQuality is the mean quality that all shots at the base have together.
func (s *Search) usualQuality() float64 {
	sum := 0.0
	for _, u := range s.units {
		for _, c := range u.curves() {
			sum += c.at(s.settings.Base).Quality * c.pictures
		}
	}
	return sum / float64(s.pictures)
}

// cost is bits less what the quality is worth: what has to be least.
func (s *Search) cost(u *unit, m Made) float64 {
	bits, quality := total(u, m)
	return bits - s.price*quality
}

// cheapest is the encode of a unit with the least cost.
func (s *Search) cheapest(u *unit) int {
	best := 0
	for k := range u.made {
		if s.cost(u, u.made[k]) < s.cost(u, u.made[best]) {
			best = k
		}
	}
	return best
}

// expected is what a unit would come to with the CRFs that it wants.
func expected(u *unit) Made {
	m := Made{Shots: make([]Probe, len(u.shots))}
	for i, c := range u.curves() {
		m.Shots[i] = c.at(u.want[i])
	}
	return m
}

// again asks for units that would gain most by another encode, as many as the
// effort allows.
func (s *Search) again() []Encode {
	left := int(float64(s.settings.Effort)*float64(s.pictures)) - s.spent
	if s.own() && left < s.pictures && !s.corrected && s.off() {
		s.corrected, left = true, s.pictures
	}
	type candidate struct {
		index int
		gain  float64
	}
	var list []candidate
	for i, u := range s.units {
		had := u.made[u.best]
		bits, _ := total(u, had)
		gain := s.cost(u, had) - s.cost(u, expected(u))
		if gain > worthwhile*bits && !u.has(u.want) {
			list = append(list, candidate{i, gain})
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		return cmp.Compare(b.gain/float64(s.units[b.index].pictures()), a.gain/float64(s.units[a.index].pictures()))
	})
	var free []*unit
	var chosen []int
	for _, c := range list {
		if n := s.units[c.index].pictures(); n <= left {
			left -= n
			free = append(free, s.units[c.index])
			chosen = append(chosen, c.index)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	if len(chosen) < len(list) {
		s.solve(free) // these have to reach the goal for all
	}
	slices.Sort(chosen)
	var asked []Encode
	for _, i := range chosen {
		if u := s.units[i]; !u.has(u.want) {
			asked = append(asked, Encode{Unit: i, CRF: slices.Clone(u.want), Expected: expected(u).Shots})
		}
	}
	return asked
}

// off reports whether the best of what there is is far from the goal.
func (s *Search) off() bool {
	var bits, quality float64
	for _, u := range s.units {
		b, q := total(u, u.made[u.best])
		bits, quality = bits+b, quality+q
	}
	if goal := s.settings.Goal; goal.Bits > 0 {
		return math.Abs(bits/goal.Bits-1) > bitsOff
	}
	return math.Abs(quality/float64(s.pictures)-s.settings.Goal.Quality) > qualityOff
}

// has reports whether the unit was encoded with these CRFs.
func (u *unit) has(crfs []float64) bool {
	return slices.ContainsFunc(u.made, func(m Made) bool {
		for i, p := range m.Shots {
			if p.CRF != crfs[i] {
				return false
			}
		}
		return true
	})
}
