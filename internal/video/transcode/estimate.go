package transcode

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"slices"

	"liuyun/internal/av/quality"
	"liuyun/internal/base/fault"
)

// ReadModel reads a VMAF model and refuses what is none.
func ReadModel(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the VMAF model %s cannot be read", path)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, mostModel+1))
	if err == nil && len(data) > mostModel {
		return nil, fault.New(fault.Invalid, "%s is no VMAF model: it has more than %d KiB", path, mostModel>>10)
	}
	if err == nil {
		_, err = quality.ParseModel(data)
	}
	if err == nil {
		data, err = json.Marshal(json.RawMessage(data)) // as it is in a job, and so in a unit's name
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "%s is no VMAF model that can be used: %v", path, err)
	}
	return data, nil
}

// scoreOf is what a model says of a picture; without one it is estimated. It is
// between 0 and 100.
func scoreOf(s quality.Scores, model *quality.Model) (float64, error) {
	value := estimate(s.Features[0])
	if model != nil {
		value = s.VMAF[0]
	}
	if math.IsNaN(value) {
		return 0, errors.New("the VMAF model gives no number")
	}
	return min(max(value, 0), 100), nil
}

// estimate is about what VMAF v0.6.1 NEG says, from the features that it is made
// of, for those who have no model: a sum of them, rising in each, brought to VMAF's
// scale by onScale. See docs/internals/encoding.md for how near it is.
func estimate(f quality.Features) float64 {
	return onScale(-269.4 + 209.2*f.ADM2 + 4.23*f.VIF[0] + 151.8*f.VIF[3] + 3.26*math.Log1p(max(f.Motion, 0)))
}

// onScale lies on lines between a few sums and what VMAF NEG says there.
func onScale(sum float64) float64 {
	points := [...][2]float64{{-20, 20}, {10, 34}, {36, 43.5}, {55, 60.5}, {100, 101}}
	below, above := points[0], points[len(points)-1]
	for _, p := range points {
		if p[0] <= sum {
			below = p
		}
	}
	for _, p := range slices.Backward(points[:]) {
		if p[0] > sum {
			above = p
		}
	}
	if above[0] <= below[0] || sum < below[0] {
		return below[1]
	}
	return below[1] + (above[1]-below[1])*(sum-below[0])/(above[0]-below[0])
}
