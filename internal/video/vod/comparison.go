package vod

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

// comparison is what is known of how near the renditions of an asset come to its
// source. What it came to lies below Prefix, and is not in backups: it can be made
// again.
type comparison struct {
	Number  int64            `json:"number"` // counts those of the asset
	Job     string           `json:"job"`
	Status  ComparisonStatus `json:"status"`
	Error   *job.Failure     `json:"error,omitempty"`
	Prefix  string           `json:"prefix"`
	Stored  int64            `json:"stored,omitempty"` // bytes below Prefix
	LeftOut []encode.LeftOut `json:"left_out,omitempty"`
	Created time.Time        `json:"created"`
	Ended   time.Time        `json:"ended,omitzero"`
}

// ComparisonStatus is how far a comparison is.
type ComparisonStatus string

// The states of a comparison.
const (
	ComparisonQueued  ComparisonStatus = "queued"
	ComparisonRunning ComparisonStatus = "running"
	ComparisonReady   ComparisonStatus = "ready"
	ComparisonFailed  ComparisonStatus = "failed"

	// comparisonRemoved is what nobody is told of: only its number counts, which must
	// not be used again.
	comparisonRemoved ComparisonStatus = "removed"
)

// inFlight reports whether a worker has it, or will.
func (c *comparison) inFlight() bool {
	return c != nil && (c.Status == ComparisonQueued || c.Status == ComparisonRunning)
}

// AssetComparison is what the API shows of it besides its numbers.
type AssetComparison struct {
	Status     ComparisonStatus `json:"status" enum:"queued,running,ready,failed"`
	WaitingFor *string          `json:"waiting_for" doc:"What holds it up: storage while a disk is full, else null."`
	Progress   float64          `json:"progress" minimum:"0" maximum:"1"`
	Error      *job.Failure     `json:"error"`
	// Report is an address because a frame that shows it can send no key.
	Report    string           `json:"report" doc:"Address of a page with all of it, which holds until expires; empty until it is ready."`
	Expires   *time.Time       `json:"expires"`
	LeftOut   []encode.LeftOut `json:"left_out" nullable:"false" doc:"Renditions that cannot be laid over the source, and why."`
	CreatedAt time.Time        `json:"created_at"`
	EndedAt   *time.Time       `json:"ended_at"`
}

// comparison is what the API shows of a's.
func (s *Service) comparison(tx *store.Tx, a *asset) (*AssetComparison, error) {
	c := a.Comparison
	if c == nil || c.Status == comparisonRemoved {
		return nil, nil
	}
	d := &AssetComparison{Status: c.Status, Error: c.Error, LeftOut: append([]encode.LeftOut{}, c.LeftOut...), CreatedAt: c.Created}
	if !c.Ended.IsZero() {
		d.EndedAt = &c.Ended
	}
	switch c.Status {
	case ComparisonReady:
		expires := time.Now().Add(s.Viewer.SignedFor).Truncate(time.Second).UTC()
		d.Progress, d.Expires = 1, &expires
		d.Report = ReportsPath + s.Signer.Sign(reportOf(a.ID), expires) + "/" + a.ID
	case ComparisonQueued, ComparisonRunning: // one that found a disk full is given back, and waits
		if entry, ok := s.progress.get(c.Job); ok {
			d.Progress = entry.fraction
		}
		hold, err := s.hold(tx, a)
		d.WaitingFor = hold
		return d, err
	}
	return d, nil
}

// reportOf is what an address of an asset's report is signed for: one that plays the
// asset does not show the report, nor the other way round.
func reportOf(asset string) string { return "report " + asset }

// NewComparison says how to compare.
type NewComparison struct {
	Every  int  `json:"every,omitempty" minimum:"0" maximum:"1000" doc:"Compare one frame in so many; left out, as many as makes some thousands."`
	Frames *int `json:"frames,omitempty" minimum:"0" maximum:"12" doc:"How many of the worst frames the page shows; 6 unless said."`
}

// comparisonFolders is what the prefixes of an asset's comparisons begin with.
func comparisonFolders(asset string) string { return assetFolder(asset) + "comparison-" }

// framesShown is how many of the worst frames a page shows unless it is said.
const framesShown = 6

type compareInput struct {
	AssetPath
	Body *NewComparison `required:"false"`
}

func (s *Service) apiCompare(ctx context.Context, in *compareInput) (*assetOutput, error) {
	who, _ := guard.From(ctx)
	ask := encode.CompareRequest{Frames: framesShown}
	if in.Body != nil {
		ask.Every = in.Body.Every
		if in.Body.Frames != nil {
			ask.Frames = *in.Body.Frames
		}
	}
	a, err := s.change(ctx, who.Tenant, in.ID, event.AssetUpdated, func(tx *store.Tx, a *asset) error { return s.compare(tx, a, ask) })
	return s.answer(ctx, a, err)
}

// compare asks for the comparison of an asset; what an earlier one came to goes. While
// one is being made there is no other.
func (s *Service) compare(tx *store.Tx, a *asset, ask encode.CompareRequest) error {
	switch {
	case a.Status != Ready || a.Result == nil:
		return fault.New(fault.Conflict, "the asset is %s; it can be compared with its source when it is ready", a.Status)
	case len(a.Result.Renditions) == 0:
		return fault.New(fault.Conflict, "the asset has no picture to compare")
	}
	if err := a.noSource("there is nothing to compare it with"); err != nil {
		return err
	}
	if c := a.Comparison; c.inFlight() {
		// Who heard of its end may have been of a version that knows nothing of comparisons.
		if works, err := s.works(tx, c.Job); works || err != nil {
			return err
		}
	}
	if works, err := s.works(tx, a.Job); err != nil {
		return err
	} else if works {
		return fault.New(fault.Conflict, "the asset is being changed; compare it when that is done")
	}
	next := &comparison{Number: 1, Status: ComparisonQueued, Created: time.Now().UTC()}
	if last := a.Comparison; last != nil {
		next.Number = last.Number + 1
		a.Garbage = append(a.Garbage, last.Prefix)
	}
	next.Prefix = fmt.Sprintf("%s%d/", comparisonFolders(a.ID), next.Number)
	ask.Name, ask.Source, ask.Result, ask.Prefix = a.Name, a.Source, a.Result.Prefix, next.Prefix
	ids, err := s.Jobs.Add(tx, job.Spec{
		Kind: encode.Compare, Tenant: a.Tenant, Group: a.ID, Name: fmt.Sprint(next.Number), Prefer: job.Prefer(a.Options.Prefer), Payload: ask,
	})
	if err != nil {
		return err
	}
	next.Job = ids[0]
	a.Comparison = next
	return nil
}

// works reports whether a job has not ended.
func (s *Service) works(tx *store.Tx, id string) (bool, error) {
	j, err := s.Jobs.Get(tx, id)
	if fault.CodeOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil && !j.State.Ended(), err
}

// comparisonOf returns the asset whose comparison is made by job j, or nil.
func (s *Service) comparisonOf(tx *store.Tx, j job.Job) (*asset, error) {
	a, err := findAsset(tx, j.Tenant, j.Group)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil || !a.Comparison.inFlight() || a.Comparison.Job != j.ID {
		return nil, err
	}
	return a, nil
}

// comparisonStarted notes that a worker has it.
func (s *Service) comparisonStarted(tx *store.Tx, j job.Job) error {
	a, err := s.comparisonOf(tx, j)
	if a == nil || err != nil || a.Comparison.Status == ComparisonRunning {
		return err
	}
	a.Comparison.Status = ComparisonRunning
	return s.save(tx, a, event.AssetUpdated)
}

// comparisonEnded takes what came of it. Who cancels one has settled it already.
func (s *Service) comparisonEnded(tx *store.Tx, j job.Job) error {
	if j.State == job.Canceled {
		return nil
	}
	a, err := s.comparisonOf(tx, j)
	if a == nil || err != nil {
		return err
	}
	c := a.Comparison
	switch j.State {
	case job.Done:
		var result encode.CompareResult
		if err := json.Unmarshal(j.Result, &result); err != nil {
			return fmt.Errorf("result of job %s: %w", j.ID, err)
		}
		c.Status, c.Stored, c.LeftOut, c.Ended = ComparisonReady, result.Stored, result.LeftOut, time.Now().UTC()
	default:
		s.stopComparison(a, j.Error)
	}
	tx.AfterCommit(func() { s.progress.forget(j.ID) })
	return s.save(tx, a, event.AssetUpdated)
}

// stopComparison notes that nothing comes of a's comparison.
func (s *Service) stopComparison(a *asset, why *job.Failure) {
	c := a.Comparison
	c.Status, c.Error, c.Ended = ComparisonFailed, why, time.Now().UTC()
	a.Garbage = append(a.Garbage, c.Prefix)
}

// interruptComparison ends a comparison because the asset is made anew.
func (s *Service) interruptComparison(tx *store.Tx, a *asset) error {
	if !a.Comparison.inFlight() {
		return nil
	}
	s.stopComparison(a, &job.Failure{Code: fault.Canceled, Message: "the asset was changed meanwhile; compare it again"})
	return s.Jobs.Cancel(tx, a.Comparison.Job)
}

func (s *Service) apiDropComparison(ctx context.Context, in *AssetPath) (*assetOutput, error) {
	who, _ := guard.From(ctx)
	a, err := s.change(ctx, who.Tenant, in.ID, event.AssetUpdated, func(tx *store.Tx, a *asset) error {
		c := a.Comparison
		switch {
		case c == nil || c.Status == comparisonRemoved:
			return noComparison()
		case c.inFlight():
			if err := s.Jobs.Cancel(tx, c.Job); err != nil {
				return err
			}
		}
		a.Comparison = &comparison{Number: c.Number, Status: comparisonRemoved, Prefix: c.Prefix}
		a.Garbage = append(a.Garbage, c.Prefix)
		return nil
	})
	return s.answer(ctx, a, err)
}

func noComparison() error {
	return fault.New(fault.NotFound, "the asset was not compared with its source; ask for that first")
}

type comparisonOutput struct{ Body encode.Comparison }

func (s *Service) apiComparison(ctx context.Context, in *AssetPath) (*comparisonOutput, error) {
	who, _ := guard.From(ctx)
	var c *comparison
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := findAsset(tx, who.Tenant, in.ID)
		if err != nil {
			return err
		}
		c = a.Comparison
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case c == nil || c.Status == comparisonRemoved:
		return nil, noComparison()
	case c.Status != ComparisonReady:
		return nil, fault.New(fault.Conflict, "the comparison is %s; its numbers are there when it is ready", c.Status)
	}
	object, err := s.Blob.Open(ctx, c.Prefix+encode.ComparisonNumbers)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, lostComparison(err)
	}
	if err != nil {
		return nil, err
	}
	defer object.Close()
	out := &comparisonOutput{}
	if err := json.NewDecoder(io.LimitReader(object, largestReport)).Decode(&out.Body); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the comparison of this asset cannot be read; compare it again")
	}
	return out, nil
}

// lostComparison is what is said where the records know of one that is not there, as
// after a backup was brought back.
func lostComparison(err error) error {
	return fault.Wrap(err, fault.NotFound, "what the comparison came to is not here any more; compare it again")
}

// ReportsPath is where the pages of comparisons are: below it come a token and the
// asset.
const ReportsPath = "/reports/"

// reportPolicy has the page of a comparison live by itself: it was written by a worker,
// so it gets no origin, and with that neither the console's cookie nor its API.
const reportPolicy = "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'self'"

// Reports serves the pages of comparisons, below [ReportsPath].
func (s *Service) Reports() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", reportPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // the address is a secret
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are answered here", http.StatusMethodNotAllowed)
			return
		}
		token, asset, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, ReportsPath), "/")
		t := target{asset: asset, file: encode.ComparisonPage}
		if !id.Valid("ast", asset) {
			refuse(w, http.StatusNotFound, "no such report")
			return
		}
		if err := s.Signer.Verify(token, reportOf(asset), time.Now()); err != nil {
			s.explain(w, t, err)
			return
		}
		if err := s.serveReport(w, r, asset); err != nil {
			s.explain(w, t, err)
		}
	})
}

func (s *Service) serveReport(w http.ResponseWriter, r *http.Request, asset string) error {
	var prefix string
	err := s.DB.Read(r.Context(), func(tx *store.Tx) error {
		a, err := findAsset(tx, "", asset)
		if err != nil {
			return err
		}
		if a.Comparison == nil || a.Comparison.Status != ComparisonReady {
			return noComparison()
		}
		prefix = a.Comparison.Prefix
		return nil
	})
	if err != nil {
		return err
	}
	object, err := s.Blob.Open(r.Context(), prefix+encode.ComparisonPage)
	if err != nil {
		return err
	}
	defer object.Close()
	info := object.Info()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", `"`+info.ETag+`"`)
	http.ServeContent(w, withinRangeLimit(r), "", info.Modified, object)
	return nil
}
