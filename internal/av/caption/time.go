package caption

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// arrow stands between the two timestamps of a cue.
const arrow = "-->"

// parseTime reads "[[h]h:]m:s.fff" of WebVTT, and with a comma of SubRip. It
// takes fewer digits than the standards ask for, as players do.
func parseTime(s string) (time.Duration, bool) {
	whole, fraction, hasFraction := strings.Cut(strings.Replace(s, ",", ".", 1), ".")
	fields := strings.Split(whole, ":")
	if len(fields) < 2 || len(fields) > 3 {
		return 0, false
	}
	var seconds int64
	for i, field := range fields {
		v, ok := parseDigits(field, 6)
		if !ok || i > 0 && v > 59 {
			return 0, false
		}
		seconds = seconds*60 + v
	}
	var ms int64
	if hasFraction {
		v, ok := parseDigits(fraction, 3)
		if !ok {
			return 0, false
		}
		for range 3 - len(fraction) {
			v *= 10
		}
		ms = v
	}
	if seconds > maxTime {
		return 0, false
	}
	return time.Duration(seconds)*time.Second + time.Duration(ms)*time.Millisecond, true
}

// parseDigits reads a number of at most so many decimal digits and nothing else.
func parseDigits(s string, most int) (int64, bool) {
	if s == "" || len(s) > most || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	v, err := strconv.ParseInt(s, 10, 64)
	return v, err == nil
}

// parseTiming reads "start --> end rest".
func parseTiming(line string) (start, end time.Duration, rest string, ok bool) {
	left, right, found := strings.Cut(line, arrow)
	if !found {
		return 0, 0, "", false
	}
	right = strings.TrimLeft(right, " \t")
	endText := right
	if i := strings.IndexAny(right, " \t"); i >= 0 {
		endText, rest = right[:i], right[i:]
	}
	start, startOK := parseTime(strings.Trim(left, " \t"))
	end, endOK := parseTime(endText)
	return start, end, rest, startOK && endOK
}

// formatTime writes "hh:mm:ss.fff" (WebVTT 3.3).
func formatTime(d time.Duration) string {
	ms := int64(d / time.Millisecond)
	return fmt.Sprintf("%02d:%02d:%02d.%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}
