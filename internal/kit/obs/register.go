package obs

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
)

// Latency returns upper bounds in seconds that suit answers of a server: from one
// millisecond to ten seconds.
func Latency() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}
}

// register registers the collector, or returns the one that is there already.
func register[C prometheus.Collector](r *Registry, name string, collector C) C {
	checkName(name)
	err := r.prometheus.Register(collector)
	var present prometheus.AlreadyRegisteredError
	if errors.As(err, &present) {
		if same, ok := present.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil {
		panic(fmt.Sprintf("obs: metric %s: %v", name, err))
	}
	return collector
}

// wellFormed is liuyun_<domain>_<what>_<unit>.
var wellFormed = regexp.MustCompile(`^liuyun_[a-z0-9]+(_[a-z0-9]+){2,}$`)

func checkName(name string) {
	if !wellFormed.MatchString(name) {
		panic("obs: metric " + name + " is not named liuyun_<domain>_<what>_<unit>")
	}
}
