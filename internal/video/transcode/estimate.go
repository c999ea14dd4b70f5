package transcode

import (
	"encoding/json"
	"io"
	"math"
	"os"

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

// estimate is about what VMAF v0.6.1 NEG says, from the features that it is made
// of, for those who have no model: linear, so that it can be followed, and rising
// in each feature. Least squares over real clips at CRF 20 to 40; for a clip that
// it was not fitted to it is off by 0.35 in the mean over a shot, by 0.8 at most,
// and its slope over CRF by a tenth, see docs/internals/encoding.md.
func estimate(f quality.Features) float64 {
	value := -269.4 + 209.2*f.ADM2 + 4.23*f.VIF[0] + 151.8*f.VIF[3] + 3.26*math.Log1p(max(f.Motion, 0))
	return min(max(value, 0), 100)
}
