package rate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// LiveNames are the renditions that can be asked for of a live stream, the largest
// first.
func LiveNames() []string { return []string{"1080p", "720p", "480p", "360p"} }

// Auto, as the only name of a ladder, asks for what suits the source.
const Auto = "auto"

// CheckLive says what is wrong with a ladder of a live stream: Auto alone, or some
// of LiveNames. None is a ladder too.
func CheckLive(names []string) error {
	if slices.Equal(names, []string{Auto}) {
		return nil
	}
	for i, name := range names {
		if !slices.Contains(LiveNames(), name) {
			return fmt.Errorf("ladder: %q is not one of %s, or %q alone", name, strings.Join(LiveNames(), ", "), Auto)
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("ladder: %s is named twice", name)
		}
	}
	return nil
}

// Live returns the rungs of those names for src, the largest first, and none that is
// larger than it. Auto gives those that are clearly smaller than the source. Where
// whole is true there is a rung of the source's own size too, of 1080p at the most:
// the source is not what all viewers can be given. Every picture of the source is in
// every rung, so that rungs have the same times.
func Live(src Source, names []string, whole bool) []Rung {
	side := min(src.Width, src.Height)
	var sides []int
	add := func(s int) {
		if s >= leastSide && !slices.Contains(sides, s) {
			sides = append(sides, s)
		}
	}
	if whole && len(names) > 0 {
		add(min(side, smallSide))
	}
	for _, name := range LiveNames() {
		s, _ := strconv.Atoi(strings.TrimSuffix(name, "p"))
		clearly := float64(s) <= nearTop*float64(side)
		if slices.Contains(names, name) && s <= side || slices.Contains(names, Auto) && clearly {
			add(s)
		}
	}
	slices.Sort(sides)
	slices.Reverse(sides)
	rungs := make([]Rung, 0, len(sides))
	for _, s := range sides {
		r := src.rung(s)
		r.Step, r.Cap = 1, CapFor(r.Width*r.Height, src.FrameRate)
		rungs = append(rungs, r)
	}
	return rungs
}
