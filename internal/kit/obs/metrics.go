package obs

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Registry holds the metrics of one process or test. Names are
// liuyun_<domain>_<what>_<unit>; a name may be asked for again and is then the
// same metric. A name that is not so formed, or that comes again with other labels
// or of another kind, is a mistake in the program and panics. Values of labels must be few and
// never come from outside. A nil Registry counts nothing.
type Registry struct {
	prometheus *prometheus.Registry
}

// NewRegistry returns a registry with the metrics of the Go runtime and of the
// process.
func NewRegistry() *Registry {
	r := &Registry{prometheus.NewRegistry()}
	r.prometheus.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler answers GET /metrics. Whoever mounts it decides who may see it.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.prometheus, promhttp.HandlerOpts{})
}

// Counter only grows. A nil Counter does nothing.
type Counter struct{ vec *prometheus.CounterVec }

// Gauge goes up and down. A nil Gauge does nothing.
type Gauge struct{ vec *prometheus.GaugeVec }

// Histogram sorts values into buckets. A nil Histogram does nothing.
type Histogram struct{ vec *prometheus.HistogramVec }

// Counter returns the counter of that name; it ends in _total.
func (r *Registry) Counter(name, help string, labels ...string) *Counter {
	if r == nil {
		return nil
	}
	return &Counter{register(r, name, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))}
}

// Gauge returns the gauge of that name.
func (r *Registry) Gauge(name, help string, labels ...string) *Gauge {
	if r == nil {
		return nil
	}
	return &Gauge{register(r, name, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))}
}

// Func is a gauge whose value is asked for at each scrape; value must be quick and
// safe to call from several goroutines. A name can be given once.
func (r *Registry) Func(name, help string, value func() float64) {
	if r == nil {
		return
	}
	checkName(name)
	r.prometheus.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// FuncBy is as Func, with a value for each value of one label; a name that ends in
// _total is a counter, whose values only grow.
func (r *Registry) FuncBy(name, help, label string, values func() map[string]float64) {
	if r == nil {
		return
	}
	checkName(name)
	kind := prometheus.GaugeValue
	if strings.HasSuffix(name, "_total") {
		kind = prometheus.CounterValue
	}
	r.prometheus.MustRegister(&asked{prometheus.NewDesc(name, help, []string{label}, nil), kind, values})
}

// asked is a metric whose values are asked for.
type asked struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	values func() map[string]float64
}

func (a *asked) Describe(to chan<- *prometheus.Desc) { to <- a.desc }

func (a *asked) Collect(to chan<- prometheus.Metric) {
	for label, value := range a.values() {
		to <- prometheus.MustNewConstMetric(a.desc, a.kind, value, label)
	}
}

// Histogram returns the histogram of that name with these upper bounds of
// buckets; see [Latency].
func (r *Registry) Histogram(name, help string, buckets []float64, labels ...string) *Histogram {
	if r == nil {
		return nil
	}
	return &Histogram{register(r, name, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels))}
}

// Add adds n ≥ 0. Labels are values in the order of the names.
func (c *Counter) Add(n float64, labels ...string) {
	if c != nil {
		c.vec.WithLabelValues(labels...).Add(n)
	}
}

// Set sets the value.
func (g *Gauge) Set(v float64, labels ...string) {
	if g != nil {
		g.vec.WithLabelValues(labels...).Set(v)
	}
}

// Add adds n, which may be negative.
func (g *Gauge) Add(n float64, labels ...string) {
	if g != nil {
		g.vec.WithLabelValues(labels...).Add(n)
	}
}

// Observe counts one value.
func (h *Histogram) Observe(v float64, labels ...string) {
	if h != nil {
		h.vec.WithLabelValues(labels...).Observe(v)
	}
}
