package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"liuyun/client"
)

// spentText is what work took, for people. What is not known is said to be unknown.
func spentText(s client.Spent, currency string) string {
	return strings.Join([]string{
		figureText(&s.CPUSeconds) + " CPU s",
		withUnit(s.Cost, currency, "cost"), withUnit(s.Energy, "Wh", "energy"), withUnit(s.Carbon, "g CO2e", "CO2e"),
	}, ", ")
}

// withUnit is a figure with its unit, or says that what it is of is unknown.
func withUnit(v *float64, unit, what string) string {
	if v == nil {
		return what + " unknown"
	}
	return figureText(v) + " " + unit
}

// figureText is a figure with three digits that count, without an exponent; "?" while
// it is not known.
func figureText(v *float64) string {
	switch {
	case v == nil:
		return "?"
	case *v == 0:
		return "0"
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(*v))))
	return strconv.FormatFloat(*v, 'f', min(max(decimals, 0), 9), 64)
}

// assetSpentText is what the making of an asset took, below its other facts.
func assetSpentText(s *client.AssetSpent) string {
	if s == nil {
		return ""
	}
	text := "\n  took         " + spentText(s.Spent, s.Currency)
	if s.PerMinute != nil {
		text += "\n  a minute     " + spentText(*s.PerMinute, s.Currency)
	}
	return text
}

// workerCells are a machine as a worker in a table: architecture, speed, watts, price
// and grid.
func workerCells(n client.Node) []string {
	w := n.Worker
	if w == nil {
		return []string{"-", "-", "-", "-", "-"}
	}
	price := "?"
	if w.PricePerHour != nil {
		price = figureText(w.PricePerHour) + " " + n.Currency
	}
	return []string{w.Architecture, figureText(w.Speed), fmt.Sprintf("%.0f", w.Watts), price, figureText(w.CarbonIntensity)}
}

// nodeText is a machine for people, with what it is worth as a worker.
func nodeText(n client.Node) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s: %s", n.ID, printable(n.Name), n.State)
	if n.Reason != "" {
		text.WriteString(": " + printable(n.Reason))
	}
	w := n.Worker
	if w == nil {
		return text.String()
	}
	fmt.Fprintf(&text, "\n  processor    %s, %s, %d cores", printable(w.CPU), w.Architecture, w.Cores)
	line := func(name string, v *float64, unit string) {
		value := "unknown"
		if v != nil {
			value = figureText(v) + " " + unit
		}
		fmt.Fprintf(&text, "\n  %-12s %s", name, value)
	}
	line("speed", w.Speed, "frames of the standard encode in a second of one core")
	how := map[string]string{"setting": "as configured", "rapl": "measured", "model": "by a published figure for its kind"}[w.WattsFrom]
	line("power", &w.Watts, "W at full load, "+how)
	line("price", w.PricePerHour, n.Currency+" an hour")
	line("grid", w.CarbonIntensity, "g CO2e a kWh")
	for _, e := range w.Hardware {
		state := "works, and is not used (worker.hardware)"
		switch {
		case e.Used:
			state = "is used for what asks for hardware"
		case !e.Works:
			state = printable(e.Why)
		}
		fmt.Fprintf(&text, "\n  %-12s %s", printable(e.Name), state)
	}
	return text.String()
}
