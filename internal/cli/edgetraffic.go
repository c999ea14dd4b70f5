package cli

import (
	"fmt"
	"strings"
	"time"

	"liuyun/client"
)

// trafficText is an hour of a site for people. On a terminal, which has columns, a line
// shows how it went.
func trafficText(t client.Traffic, columns int, now time.Time) string {
	var sum client.TrafficPoint
	for _, p := range t.Points {
		sum.Requests += p.Requests
		sum.Hits += p.Hits
		sum.Bytes += p.Bytes
		sum.Fetched += p.Fetched
	}
	if sum.Requests == 0 && len(t.Origins) == 0 {
		return "Nothing was asked for in the last hour."
	}
	lines := []string{fmt.Sprintf("Requests: %d in the last hour", sum.Requests)}
	if sum.Requests > 0 {
		lines[0] += ", " + shareText(float64(sum.Hits)/float64(sum.Requests)) + " from what is stored"
	}
	if columns > 0 {
		lines = append(lines, sparkline(t.Points, now))
	}
	lines = append(lines, fmt.Sprintf("Bytes: %s to viewers, %s from origins", sizeText(sum.Bytes), sizeText(sum.Fetched)))
	classes := []string{}
	for _, class := range []string{"2xx", "3xx", "4xx", "5xx"} {
		if n := t.Status[class]; n > 0 {
			classes = append(classes, fmt.Sprintf("%s %d", class, n))
		}
	}
	if len(classes) > 0 {
		lines = append(lines, "Status: "+strings.Join(classes, ", "))
	}
	for _, p := range t.Paths {
		lines = append(lines, fmt.Sprintf("%8d  %s", p.Requests, printable(p.Path)))
	}
	for _, o := range t.Origins {
		line := fmt.Sprintf("Origin: %s is %s for %s", o.URL, o.State, o.Edge)
		if o.Reason != "" {
			line += ": " + o.Reason
		}
		lines = append(lines, printable(line))
	}
	return strings.Join(lines, "\n")
}

// sparkline is a column for each of the last 60 minutes, as high as its requests. A
// minute with any is seen. The clock of the cloud may be ahead of now.
func sparkline(points []client.TrafficPoint, now time.Time) string {
	const minutes = 60
	heights := []rune("▁▂▃▄▅▆▇█")
	for _, p := range points {
		if p.At.After(now) {
			now = p.At
		}
	}
	var counts [minutes]int64
	most := int64(1)
	for _, p := range points {
		if ago := int(now.Sub(p.At) / time.Minute); ago < minutes {
			n := minutes - 1 - ago
			counts[n] += p.Requests
			most = max(most, counts[n])
		}
	}
	line := make([]rune, minutes)
	for n, count := range counts {
		line[n] = ' '
		if count > 0 {
			line[n] = heights[(count*int64(len(heights))-1)/most]
		}
	}
	return string(line)
}
