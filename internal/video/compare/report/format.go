package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// px is a place in a drawing.
type px float64

// String has a tenth of a pixel, which is as fine as anybody sees.
func (p px) String() string {
	text := strconv.FormatFloat(float64(p), 'f', 1, 64)
	return strings.TrimSuffix(strings.Replace(text, "-0.0", "0.0", 1), ".0")
}

// rateText is bits a second for people.
func rateText(bits float64) string {
	switch {
	case bits >= 99.95e6:
		return fmt.Sprintf("%.0f Mb/s", bits/1e6)
	case bits >= 0.9995e6:
		return fmt.Sprintf("%.2f Mb/s", bits/1e6)
	}
	return fmt.Sprintf("%.0f kb/s", bits/1e3)
}

// sizeText is a number of bytes for people, in powers of ten.
func sizeText(bytes float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for bytes >= 999.5 && i+1 < len(units) {
		bytes /= 1000
		i++
	}
	digits := 0
	if bytes < 99.95 && i > 0 {
		digits = 1
	}
	return strconv.FormatFloat(bytes, 'f', digits, 64) + " " + units[i]
}

// timeText is a moment to a tenth of a second: 1:02.5.
func timeText(seconds float64) string {
	tenths := int(math.Round(max(0, seconds) * 10))
	text := fmt.Sprintf("%02d.%d", tenths/10%60, tenths%10)
	if tenths < 36000 {
		return fmt.Sprintf("%d:%s", tenths/600, text)
	}
	return fmt.Sprintf("%d:%02d:%s", tenths/36000, tenths/600%60, text)
}

// clockText is a moment to a second: 1:02.
func clockText(seconds float64) string {
	n := int(math.Round(max(0, seconds)))
	if n < 3600 {
		return fmt.Sprintf("%d:%02d", n/60, n%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
}

// secondsText is an amount of processor time.
func secondsText(seconds float64) string {
	switch {
	case seconds < 99.95:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 5400:
		return fmt.Sprintf("%.0f s", seconds)
	}
	return fmt.Sprintf("%.1f h", seconds/3600)
}

// text is a score for people; "–" where there is none.
func (m Metric) text(score float64) string {
	if math.IsNaN(score) {
		return "–"
	}
	text := strconv.FormatFloat(score, 'f', m.Digits, 64)
	if m.Unit != "" {
		text += " " + m.Unit
	}
	return text
}

// percentText has a true minus.
func percentText(percent float64) string {
	text := strconv.FormatFloat(math.Abs(percent), 'f', 1, 64) + " %"
	switch {
	case strings.HasPrefix(text, "0.0 "):
		return text
	case percent < 0:
		return "−" + text
	}
	return "+" + text
}

// shareText is a share of a whole.
func shareText(share float64) string {
	switch {
	case share >= 0.0995:
		return fmt.Sprintf("%.0f %%", 100*share)
	case share >= 0.00995:
		return fmt.Sprintf("%.1f %%", 100*share)
	}
	return fmt.Sprintf("%.2f %%", 100*share)
}
