package main

import (
	"math"
	"math/rand/v2"
	"sort"
)

// traceModel says what is asked for. Popularity is Zipf-like, and independent of the size
// (Breslau et al., Web caching and Zipf-like distributions, INFOCOM 1999). It drifts: new
// objects take the places of others at any rank. Many are asked for only once, as real
// caches see it (Yang et al., FIFO queues are all you need for cache eviction, SOSP 2023).
type traceModel struct {
	seed     uint64
	requests int
	ranks    int     // objects that have a popularity at any time
	alpha    float64 // of Zipf
	renewed  float64 // share of requests before which a rank gets a new object
	once     float64 // share of requests for what nobody asks for again
	scale    float64 // of the sizes
}

// newTraceModel is the one of edge-trace.
func newTraceModel(requests int) traceModel {
	return traceModel{seed: 1, requests: requests, ranks: 200_000, alpha: 0.9, renewed: 0.04, once: 0.05, scale: 0.5}
}

// Sizes before they are scaled: pages, scripts and pictures, and among them segments of
// video, both log-normal.
const (
	webMedian   = 16 << 10
	webSigma    = 1.2
	videoShare  = 0.08
	videoMedian = 256 << 10
	videoSigma  = 0.7
	leastSize   = 256
	mostSize    = 2 << 20
)

// trace is what is asked for, in its order, and how large each object is.
type trace struct {
	requests []uint32 // numbers of objects
	sizes    []int32  // by number
}

// make makes the trace, the same each time.
func (m traceModel) make() trace {
	random := rand.New(rand.NewPCG(m.seed, 0))
	var t trace
	newObject := func() uint32 {
		t.sizes = append(t.sizes, m.size(random))
		return uint32(len(t.sizes) - 1)
	}
	object := make([]uint32, m.ranks) // by rank
	sums := make([]float64, m.ranks)  // of the weights up to a rank
	sum := 0.0
	for rank := range m.ranks {
		object[rank] = newObject()
		sum += math.Pow(float64(rank+1), -m.alpha)
		sums[rank] = sum
	}
	t.requests = make([]uint32, m.requests)
	for n := range t.requests {
		if random.Float64() < m.renewed {
			object[random.IntN(m.ranks)] = newObject()
		}
		if random.Float64() < m.once {
			t.requests[n] = newObject()
			continue
		}
		t.requests[n] = object[sort.SearchFloat64s(sums, random.Float64()*sum)]
	}
	return t
}

func (m traceModel) size(random *rand.Rand) int32 {
	median, sigma := float64(webMedian), webSigma
	if random.Float64() < videoShare {
		median, sigma = videoMedian, videoSigma
	}
	size := median * math.Exp(sigma*random.NormFloat64())
	return int32(m.scale * min(max(size, leastSize), mostSize))
}

// traceFacts describe a trace.
type traceFacts struct {
	objects     int
	objectBytes int64
	bytes       int64 // that are asked for
	once        int   // objects that are asked for once
	small       int64 // bytes of objects of up to 64 KiB
}

func (t trace) facts() (f traceFacts) {
	asked := make([]int, len(t.sizes))
	for _, n := range t.requests {
		asked[n]++
		f.bytes += int64(t.sizes[n])
	}
	for n, count := range asked {
		if count == 0 {
			continue
		}
		f.objects++
		f.objectBytes += int64(t.sizes[n])
		if t.sizes[n] <= 64<<10 {
			f.small += int64(t.sizes[n])
		}
		if count == 1 {
			f.once++
		}
	}
	return f
}
