package main

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"
)

// percentile is the smallest value that at least so many percent of all do not
// exceed (nearest rank); 0 of none.
func percentile(values []float64, percent float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(percent / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// openLoop calls do at a fixed rate a second, count times, whether the calls
// before have ended or not, and returns how many milliseconds after its moment
// each ended. A caller who comes late, or waits for a connection, counts too: that
// is what somebody who asked at that moment would have waited.
func openLoop(ctx context.Context, rate float64, count int, do func(n int) error) ([]float64, error) {
	took, errs := make([]float64, count), make([]error, count)
	began := time.Now()
	var running sync.WaitGroup
	for n := range count {
		moment := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		time.Sleep(time.Until(moment))
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			errs[n] = do(n)
			took[n] = milliseconds(time.Since(moment))
		})
	}
	running.Wait()
	return took, errors.Join(ctx.Err(), errors.Join(errs...))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// callers is an HTTP client that keeps as many connections as calls run at once.
func callers(most int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxConnsPerHost: most, MaxIdleConnsPerHost: most, DisableCompression: true, WriteBufferSize: 256 << 10,
	}}
}

// largestBody bounds what is read of an answer.
const largestBody = 64 << 20

// fetch makes a call and returns the whole answer.
func fetch(c *http.Client, r *http.Request) (status int, body []byte, err error) {
	response, err := c.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, largestBody))
	return response.StatusCode, body, err
}

// timed makes a call and says how many milliseconds it took until the whole
// answer was here.
func timed(c *http.Client, r *http.Request) (status int, body []byte, ms float64, err error) {
	began := time.Now()
	status, body, err = fetch(c, r)
	return status, body, milliseconds(time.Since(began)), err
}
