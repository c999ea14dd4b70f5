package analyse

import "math"

// A rise divides a run of pictures into a calm part and one in which far more
// changes: a page that begins to scroll, a dissolve at the end of a still scene.
const (
	risePart  = 12   // pictures of each part, at least
	riseLeast = 3.3  // times as much change in the second part, at least
	riseFloor = 0.15 // levels of change that are as good as none
	riseSoft  = 0.3  // levels; what is below is much alike when places are compared
	riseHeld  = 4    // pictures that change more than those before, at least: a flash or a broken picture is two
)

// Rise finds the picture from which on far more changes than before, and by what
// factor; 0 and 1 where there is none. changes is Frame.Residual of each picture;
// that of the first, which has nothing before it, is not looked at.
//
// The place is the one that explains most of the variance of the logarithm: of the
// levels themselves a single flash would be the most. What rises there has to be more
// than a flash, a picture that is broken, or a cut close to the end.
func Rise(changes []float32) (at int, factor float64) {
	n := len(changes)
	if n < 2*risePart {
		return 0, 1
	}
	sum, all := 0.0, 0.0
	logs := make([]float64, n)
	for i, v := range changes[1:] {
		logs[i+1] = math.Log(float64(v) + riseSoft)
		sum, all = sum+logs[i+1], all+float64(v)
	}
	before, calm, best := 0.0, 0.0, 0.0 // sums of the logarithms and of the levels before a place
	level := 0.0                        // the mean of the levels before the best place
	factor = 1
	for i := 1; i <= n-risePart; i++ {
		if k := float64(i - 1); i >= risePart {
			left := float64(n - i)
			apart := (sum-before)/left - before/k
			if explained := k * left * apart * apart; explained > best {
				best, at, level = explained, i, calm/k
				factor = ((all-calm)/left + riseFloor) / (level + riseFloor)
			}
		}
		before, calm = before+logs[i], calm+float64(changes[i])
	}
	held := 0
	for _, v := range changes[at:] {
		if float64(v) > level+riseSoft {
			held++
		}
	}
	if factor < riseLeast || held < riseHeld {
		return 0, 1
	}
	return at, factor
}
