package sched

import (
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/job"
)

// Config is how work is given to workers.
type Config struct {
	Prefer   string        `conf:"prefer" help:"Which workers make what nobody said it for: time (whichever is free), cost (the cheapest) or carbon (that with the least CO2e)."`
	Patience time.Duration `conf:"patience" help:"How long work that prefers cost or carbon waits for better workers that are busy; then all may do it."`
	Currency string        `conf:"currency" help:"Of all prices of workers, three letters of ISO 4217. Nothing is converted."`
}

// DefaultConfig lets whichever worker is free do the work.
func DefaultConfig() Config {
	return Config{Prefer: string(job.Time), Patience: 10 * time.Minute, Currency: "USD"}
}

// longestPatience is above what anybody waits for.
const longestPatience = 7 * 24 * time.Hour

// Validate says what is wrong with the section.
func (c Config) Validate() error {
	switch job.Prefer(c.Prefer) {
	case job.Time, job.Cost, job.Carbon:
	default:
		return fault.New(fault.Invalid, "prefer is %q; choose from time, cost, carbon", c.Prefer)
	}
	if c.Patience < 0 || c.Patience > longestPatience {
		return fault.New(fault.Invalid, "patience is %s; choose between 0s and 168h", c.Patience)
	}
	if len(c.Currency) != 3 {
		return fault.New(fault.Invalid, "currency is %q; write three letters such as EUR", c.Currency)
	}
	for _, letter := range c.Currency {
		if letter < 'A' || letter > 'Z' {
			return fault.New(fault.Invalid, "currency is %q; write three letters such as EUR", c.Currency)
		}
	}
	return nil
}
