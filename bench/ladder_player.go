package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// bandwidth is a network over time: bits a second in each second. It begins again
// when it is over.
type bandwidth struct {
	name string
	rate []float64
}

// networks are the bandwidths that a ladder is played over: from a poor mobile
// network to a good line, at even steps of the logarithm of their mean. Each is a
// stationary log-normal process whose neighbouring seconds are correlated (a
// Gauss–Markov process), the form in which models of measured networks are usually
// given; mobile ones swing much, lines little. They are not measured themselves.
func networks() []bandwidth {
	const seconds = 180
	kinds := []struct {
		name   string
		mean   float64 // bits a second
		spread float64 // standard deviation over mean
		memory float64 // seconds until half of a deviation is forgotten
	}{
		{"mobile 0.4M", 0.4e6, 0.45, 8}, {"mobile 0.7M", 0.7e6, 0.45, 8}, {"mobile 1.1M", 1.1e6, 0.5, 8}, {"mobile 1.8M", 1.8e6, 0.5, 8},
		{"line 2M", 2e6, 0.1, 20}, {"mobile 3M", 3e6, 0.55, 6}, {"line 4M", 4e6, 0.12, 20}, {"mobile 5M", 5e6, 0.55, 6},
		{"mobile 8M", 8e6, 0.6, 6}, {"line 8M", 8e6, 0.12, 20}, {"mobile 13M", 13e6, 0.6, 6}, {"line 16M", 16e6, 0.15, 20},
		{"mobile 25M", 25e6, 0.6, 6}, {"line 50M", 50e6, 0.15, 20},
	}
	list := make([]bandwidth, len(kinds))
	for i, k := range kinds {
		draw := rand.New(rand.NewPCG(2026, uint64(i)))
		sigma := math.Sqrt(math.Log(1 + k.spread*k.spread))
		keep := math.Pow(0.5, 1/k.memory)
		deviation := draw.NormFloat64()
		b := bandwidth{name: k.name}
		for range seconds {
			rate := k.mean * math.Exp(sigma*deviation-sigma*sigma/2)
			b.rate = append(b.rate, math.Round(rate/1e3)*1e3)
			deviation = keep*deviation + math.Sqrt(1-keep*keep)*draw.NormFloat64()
		}
		list[i] = b
	}
	return list
}

// readNetworks reads a table of bandwidths: a row each, its name and then kbit/s a
// second.
func readNetworks(r io.Reader) ([]bandwidth, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	var list []bandwidth
	for _, row := range rows {
		b := bandwidth{name: row[0]}
		for _, text := range row[1:] {
			kilobits, err := strconv.ParseFloat(text, 64)
			if err != nil || !(kilobits > 0) {
				return nil, fmt.Errorf("bandwidth %s: %q is not kbit/s", b.name, text)
			}
			b.rate = append(b.rate, kilobits*1e3)
		}
		list = append(list, b)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no bandwidths")
	}
	return list, nil
}

// take is how long so many bits take from a moment on, seconds.
func (b bandwidth) take(bits, from float64) float64 {
	at := from
	for {
		second := math.Floor(at)
		left := second + 1 - at
		rate := b.rate[int(second)%len(b.rate)]
		if bits <= rate*left {
			return at + bits/rate - from
		}
		bits -= rate * left
		at = second + 1
	}
}

// ladder is what a player chooses from.
type ladder struct {
	lengths []float64 // of segments, seconds
	rungs   []rung    // mean rises
}

// rung is one rendition as a player meets it.
type rung struct {
	name    string
	mean    float64   // bits a second, as the playlist declares it
	quality float64   // counted: no more than enough
	bits    []float64 // of each segment
}

// The player. It downloads a segment after the other, begins with the lowest rung, and
// takes the highest whose declared mean is within its share of the throughput that
// it saw: the harmonic mean over the last five segments, waiting for the answer
// included. It holds thirty seconds at most, and stalls when it has nothing.
const (
	playerShare  = 0.8
	playerMemory = 5
	playerHolds  = 30.0 // seconds
	answerTime   = 0.08 // seconds from asking to the first byte
)

// session is what came of one title on one network.
type session struct {
	bits, seconds float64
	stalled       float64
	qualities     []float64 // a segment
	lengths       []float64
}

// play plays the title over and over for as long as the bandwidth lasts.
func (l ladder) play(b bandwidth) session {
	var s session
	var now, buffer float64
	var seen []float64 // seconds a bit
	for n := 0; s.seconds < float64(len(b.rate)); n++ {
		i := n % len(l.lengths)
		if wait := buffer + l.lengths[i] - playerHolds; wait > 0 {
			now, buffer = now+wait, buffer-wait
		}
		r := l.rungs[l.choose(seen)]
		spent := answerTime + b.take(r.bits[i], now+answerTime)
		now += spent
		if n > 0 {
			s.stalled += max(0, spent-buffer)
		}
		buffer = max(0, buffer-spent) + l.lengths[i]
		seen = append(seen, spent/r.bits[i])
		if len(seen) > playerMemory {
			seen = seen[1:]
		}
		s.bits += r.bits[i]
		s.seconds += l.lengths[i]
		s.qualities, s.lengths = append(s.qualities, r.quality), append(s.lengths, l.lengths[i])
	}
	return s
}

// choose is the rung for the next segment.
func (l ladder) choose(seen []float64) int {
	if len(seen) == 0 {
		return 0
	}
	sum := 0.0
	for _, s := range seen {
		sum += s
	}
	throughput := float64(len(seen)) / sum
	chosen := 0
	for i, r := range l.rungs {
		if r.mean <= playerShare*throughput {
			chosen = i
		}
	}
	return chosen
}

// delivered is what viewers on all networks get.
type delivered struct {
	rate    float64 // bits a second of title
	mean    float64 // quality
	low     float64 // quality that 95 % of the time is reached or exceeded
	stalled float64 // seconds of a hundred
}

// deliver plays the title on every network; each counts alike.
func (l ladder) deliver(networks []bandwidth) delivered {
	var d delivered
	type moment struct{ quality, length float64 }
	var moments []moment
	var length float64
	for _, b := range networks {
		s := l.play(b)
		d.rate += s.bits / s.seconds / float64(len(networks))
		d.stalled += 100 * s.stalled / (s.seconds + s.stalled) / float64(len(networks))
		for i, q := range s.qualities {
			weight := s.lengths[i] / s.seconds
			moments = append(moments, moment{q, weight})
			d.mean += q * weight / float64(len(networks))
			length += weight
		}
	}
	slices.SortFunc(moments, func(a, b moment) int {
		if a.quality < b.quality {
			return -1
		}
		return 1
	})
	below := 0.0
	for _, m := range moments {
		if below += m.length; below >= 0.05*length {
			d.low = m.quality
			break
		}
	}
	return d
}
