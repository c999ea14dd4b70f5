package meter

import (
	"context"
	"net/http"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// maxDays bounds one answer.
const maxDays = 400

// Routes adds /v1/usage.
func (s *Service) Routes(api *web.API) {
	web.Add(api, web.Op{
		ID: "get-usage", Method: http.MethodGet, Path: "/v1/usage", Tag: "Usage", Scope: guard.UsageRead,
		Summary: "What the tenant used, by day (UTC)", Description: "Days without use are left out. What was served shows after ten seconds.",
	}, s.usage)
}

type usageInput struct {
	From string `query:"from" format:"date" doc:"First day; 29 days before the last one when it is left out."`
	To   string `query:"to" format:"date" doc:"Last day; today when it is left out."`
}

// UsageAmounts are what was used in some time.
type UsageAmounts struct {
	MinutesEncoded float64 `json:"minutes_encoded"`
	CPUSeconds     float64 `json:"cpu_seconds"`
	BytesServed    int64   `json:"bytes_served"`
	BytesStored    int64   `json:"bytes_stored" doc:"The most that was stored on the day; in the total, of its last day."`
	Uploads        int64   `json:"uploads"`
}

// UsageDay is what was used on one day.
type UsageDay struct {
	Day string `json:"day" format:"date"`
	UsageAmounts
}

// UsageReport is what a tenant used.
type UsageReport struct {
	From  string       `json:"from" format:"date"`
	To    string       `json:"to" format:"date"`
	Total UsageAmounts `json:"total"`
	Days  []UsageDay   `json:"days" nullable:"false"`
}

type usageOutput struct{ Body UsageReport }

func (s *Service) usage(ctx context.Context, in *usageInput) (*usageOutput, error) {
	from, to, err := s.span(in)
	if err != nil {
		return nil, err
	}
	principal, _ := guard.From(ctx)
	out := &usageOutput{}
	err = s.deps.DB.Read(ctx, func(tx *store.Tx) error {
		out.Body.From, out.Body.To, out.Body.Days, out.Body.Total = from, to, []UsageDay{}, UsageAmounts{}
		rows, err := tx.Query(`SELECT day, encoded_seconds, cpu_seconds, bytes_served, bytes_stored, uploads
FROM used WHERE tenant = ? AND day >= ? AND day <= ? ORDER BY day`, principal.Tenant, from, to)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d UsageDay
			if err := rows.Scan(&d.Day, &d.MinutesEncoded, &d.CPUSeconds, &d.BytesServed, &d.BytesStored, &d.Uploads); err != nil {
				return err
			}
			d.MinutesEncoded /= 60
			out.Body.Days = append(out.Body.Days, d)
		}
		return rows.Err()
	})
	if err == nil && to == s.now().UTC().Format(time.DateOnly) {
		err = s.storedNow(ctx, principal.Tenant, &out.Body)
	}
	for _, d := range out.Body.Days {
		out.Body.Total.add(d.UsageAmounts)
	}
	return out, err
}

// storedNow brings the last day of a report up to what is stored now, which is
// written down only once in a while.
func (s *Service) storedNow(ctx context.Context, tenant string, report *UsageReport) error {
	if s.deps.Stored == nil {
		return nil
	}
	var stored map[string]int64
	err := s.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		stored, err = s.deps.Stored(tx, tenant)
		return err
	})
	if err != nil {
		return err
	}
	if n := len(report.Days); n == 0 || report.Days[n-1].Day != report.To {
		if stored[tenant] == 0 {
			return nil
		}
		report.Days = append(report.Days, UsageDay{Day: report.To})
	}
	last := &report.Days[len(report.Days)-1]
	last.BytesStored = max(last.BytesStored, stored[tenant])
	return nil
}

func (a *UsageAmounts) add(b UsageAmounts) {
	a.MinutesEncoded += b.MinutesEncoded
	a.CPUSeconds += b.CPUSeconds
	a.BytesServed += b.BytesServed
	a.Uploads += b.Uploads
	a.BytesStored = b.BytesStored
}

// span is the days that are asked for.
func (s *Service) span(in *usageInput) (from, to string, err error) {
	last := s.now().UTC()
	if in.To != "" {
		if last, err = time.Parse(time.DateOnly, in.To); err != nil {
			return "", "", fault.New(fault.Invalid, "to is no day: write it as 2026-11-30")
		}
	}
	first := last.AddDate(0, 0, -29)
	if in.From != "" {
		if first, err = time.Parse(time.DateOnly, in.From); err != nil {
			return "", "", fault.New(fault.Invalid, "from is no day: write it as 2026-11-01")
		}
	}
	if first.After(last) || last.Sub(first) > maxDays*24*time.Hour {
		return "", "", fault.New(fault.Invalid, "from must not be later than to, nor more than %d days before it", maxDays)
	}
	return first.Format(time.DateOnly), last.Format(time.DateOnly), nil
}
