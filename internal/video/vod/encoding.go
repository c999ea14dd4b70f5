package vod

import (
	"context"
	"encoding/json"
	"io"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
)

// Encoding is how the bits of an asset are spread over its shots.
type Encoding struct {
	Shots      []EncodedShot      `json:"shots" nullable:"false"`
	Renditions []EncodedRendition `json:"renditions" nullable:"false"`
}

// EncodedShot is a stretch between two cuts.
type EncodedShot struct {
	Start float64 `json:"start" doc:"Seconds."`
	End   float64 `json:"end" doc:"Seconds."`
}

// EncodedRendition is what the shots of one rendition were given.
type EncodedRendition struct {
	ID    string  `json:"id"`
	Bytes []int64 `json:"shot_bytes" nullable:"false" doc:"One a shot."`
}

type encodingOutput struct{ Body Encoding }

// largestReport bounds the report of a result: a day of shots in thirty renditions
// has less.
const largestReport = 64 << 20

func (s *Service) apiEncoding(ctx context.Context, in *AssetPath) (*encodingOutput, error) {
	who, _ := guard.From(ctx)
	var result *encode.Result
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := findAsset(tx, who.Tenant, in.ID)
		if err != nil {
			return err
		}
		if a.Status != Ready || a.Result == nil {
			return fault.New(fault.Conflict, "the asset is %s; how it was encoded is known when it is ready", a.Status)
		}
		result = a.Result
		return nil
	})
	if err != nil {
		return nil, err
	}
	report, err := s.readReport(ctx, result.Prefix)
	if err != nil {
		return nil, err
	}
	return &encodingOutput{encodingOf(report, result.Duration)}, nil
}

// readReport reads what an encoder said of a result; recordings have no report.
func (s *Service) readReport(ctx context.Context, prefix string) (*encode.Report, error) {
	object, err := s.Blob.Open(ctx, prefix+encode.ReportName)
	if fault.CodeOf(err) == fault.NotFound {
		return &encode.Report{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer object.Close()
	var r encode.Report
	if err := json.NewDecoder(io.LimitReader(object, largestReport)).Decode(&r); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the report of this asset cannot be read")
	}
	return &r, nil
}

// encodingOf leaves out what does not fit together.
func encodingOf(r *encode.Report, duration float64) Encoding {
	e := Encoding{Shots: []EncodedShot{}, Renditions: []EncodedRendition{}}
	starts := r.Plan.ShotStarts
	for i, start := range starts {
		end := max(start, duration)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		e.Shots = append(e.Shots, EncodedShot{start, end})
	}
	for _, one := range r.Renditions {
		if len(one.ShotBytes) == len(starts) && len(starts) > 0 {
			e.Renditions = append(e.Renditions, EncodedRendition{one.ID, one.ShotBytes})
		}
	}
	return e
}
