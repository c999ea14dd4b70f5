package report

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"slices"
)

//go:embed page.html page.css dark.css page.js
var files embed.FS

// Write writes the page. Its error is w's, or says what of d does not fit
// together, which is a mistake of the caller.
func Write(w io.Writer, d *Data) error {
	if err := d.check(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	style, err := files.ReadFile("page.css")
	if err != nil {
		return err
	}
	dark, err := files.ReadFile("dark.css")
	if err != nil {
		return err
	}
	script, err := files.ReadFile("page.js")
	if err != nil {
		return err
	}
	page, err := template.New("page.html").Funcs(template.FuncMap{
		"say": say, "saySVG": saySVG, "rate": rateText, "size": sizeText, "time": timeText, "clock": clockText, "percent": percentText,
		"share": shareText, "seconds": secondsText, "bytes": func(n int64) string { return sizeText(float64(n)) },
	}).ParseFS(files, "page.html")
	if err != nil {
		return err
	}
	v := newView(d)
	v.Style, v.Dark, v.Script = template.CSS(style), template.CSS(dark), template.JS(script)
	v.Policy = "default-src 'none'; img-src data:; style-src '" + digest(style) + "' '" + digest(dark) + "'; script-src '" + digest(script) + "'"
	var out bytes.Buffer // so that a page is written whole or not at all
	if err := page.Execute(&out, v); err != nil {
		return err
	}
	_, err = w.Write(out.Bytes())
	return err
}

// digest names a script or style sheet in a content security policy.
func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// check says what does not fit together.
func (d *Data) check() error {
	if len(d.Metrics) == 0 || len(d.Encodes) == 0 {
		return errors.New("there is nothing to show")
	}
	for _, e := range d.Encodes {
		if len(e.Scores) != len(d.Metrics) {
			return fmt.Errorf("%s has %d scores for %d metrics", e.Name, len(e.Scores), len(d.Metrics))
		}
		if len(e.Shots) != len(d.Shots) {
			return fmt.Errorf("%s has %d shots, the reference %d", e.Name, len(e.Shots), len(d.Shots))
		}
	}
	for _, m := range d.Moments {
		if m.Encode < 0 || m.Encode >= len(d.Encodes) || len(m.Pictures) != len(d.Encodes)+1 || len(m.Scores) != len(d.Encodes) {
			return fmt.Errorf("the moment at %v s does not have a picture and a score for each encode", m.Time)
		}
		if s := m.Saliency; s != nil && (s.Width < 1 || s.Height < 1 || len(s.Values) != s.Width*s.Height) {
			return fmt.Errorf("the saliency at %v s is no picture", m.Time)
		}
	}
	return nil
}

// view is Data in the form in which the page reads it.
type view struct {
	*Data
	Policy    string
	Style     template.CSS
	Dark      template.CSS // where the page is dark
	Script    template.JS
	Rows      []row
	Legend    []key
	Grouped   bool // a colour is a group's, not an encode's
	Scatters  []*scatter
	Timelines []*timeline
	Skylines  []*skyline
	Moments   []momentView
}

// row is an encode in tables.
type row struct {
	Encode
	Colour int
	Rate   float64
	Share  float64 // of the reference's bytes; 0 is unknown
	Cells  []cell
	Least  bool // has the fewest bits
	Worst  Score
	// Moment is the number of the moment that shows the worst frame; 0 is none.
	Moment    int
	WorstText string
	PerHour   float64 // bytes
	Delivered float64 // bytes
}

// cell is a metric of an encode.
type cell struct {
	Mean, P5 string
	Best     bool
}

// key explains a colour.
type key struct {
	Colour int
	Name   string
}

// momentView is a moment with its pictures as addresses.
type momentView struct {
	Number        int
	Shot          int // from 1; 0 is unknown
	Time          float64
	Name          string
	Layers        []layer
	Saliency      template.URL
	Right         int // layer that is shown at the right at first
	Width, Height int
}

// layer is one picture of a moment.
type layer struct {
	Of     int // 0 is the reference
	Name   string
	Score  string
	Colour int
	URL    template.URL
}

func newView(d *Data) *view {
	colours, legend := colour(d)
	v := &view{Data: d, Legend: legend, Grouped: len(legend) < len(d.Encodes)}
	for i := range d.Encodes {
		v.Rows = append(v.Rows, newRow(d, i, colours[i]))
	}
	for _, wide := range []bool{true, false} {
		if s := newScatter(d, colours, wide); s != nil {
			v.Scatters = append(v.Scatters, s)
		}
		if t := newTimeline(d, colours, wide); t != nil {
			v.Timelines = append(v.Timelines, t)
		}
		if s := newSkyline(d, colours, wide); s != nil {
			v.Skylines = append(v.Skylines, s)
		}
	}
	for i, m := range d.Moments {
		v.Moments = append(v.Moments, newMoment(d, i, m, colours))
	}
	return v
}

// colourCount is how many colours the style sheet has; more encodes share them.
const colourCount = 6

// colour gives each encode one, those of a group the same.
func colour(d *Data) (colours []int, legend []key) {
	of := make(map[string]int)
	for i, e := range d.Encodes {
		name := e.Group
		if name == "" {
			name = "\x00" + fmt.Sprint(i) // its own
		}
		if _, known := of[name]; !known {
			of[name] = len(of) % colourCount
			shown := e.Group
			if shown == "" {
				shown = e.Name
			}
			legend = append(legend, key{of[name], shown})
		}
		colours = append(colours, of[name])
	}
	return colours, legend
}

func newRow(d *Data, i, colour int) row {
	e := d.Encodes[i]
	r := row{Encode: e, Colour: colour, Rate: e.rate(), Worst: e.Scores[0], Least: len(d.Encodes) > 1, PerHour: e.rate() / 8 * 3600}
	r.Delivered = 1000 * r.PerHour
	if d.Reference.Bytes > 0 {
		r.Share = float64(e.Bytes) / float64(d.Reference.Bytes)
	}
	if e.Duration > 0 {
	}
	for _, other := range d.Encodes {
		r.Least = r.Least && (other.rate() >= r.Rate || rateText(other.rate()) == rateText(r.Rate))
	}
	for k, m := range d.Metrics {
		most := e.Scores[k].Mean
		for _, other := range d.Encodes {
			most = max(most, other.Scores[k].Mean)
		}
		best := len(d.Encodes) > 1 && m.text(e.Scores[k].Mean) == m.text(most)
		r.Cells = append(r.Cells, cell{Mean: m.text(e.Scores[k].Mean), P5: m.text(e.Scores[k].P5), Best: best})
	}
	r.WorstText = d.Metrics[0].text(r.Worst.Worst)
	r.Moment = 1 + slices.IndexFunc(d.Moments, func(m Moment) bool { return m.Encode == i && math.Abs(m.Time-r.Worst.WorstAt) < 1e-6 })
	return r
}

func newMoment(d *Data, i int, m Moment, colours []int) momentView {
	v := momentView{Number: i + 1, Time: m.Time, Name: d.Encodes[m.Encode].Name, Right: m.Encode + 1, Width: 16, Height: 9}
	for n, s := range d.Shots {
		if m.Time >= s.Start && (m.Time < s.End || n+1 == len(d.Shots)) {
			v.Shot = n + 1
			break
		}
	}
	for of, jpeg := range m.Pictures {
		if jpeg == nil {
			continue
		}
		l := layer{Of: of, URL: dataURL("image/jpeg", jpeg), Colour: -1}
		if of > 0 {
			l.Name, l.Score, l.Colour = d.Encodes[of-1].Name, d.Metrics[0].text(m.Scores[of-1]), colours[of-1]
		}
		v.Layers = append(v.Layers, l)
	}
	if d.Reference.Width > 0 && d.Reference.Height > 0 {
		v.Width, v.Height = d.Reference.Width, d.Reference.Height
	}
	if m.Saliency != nil {
		v.Saliency = m.Saliency.url()
	}
	return v
}

// dataURL is a file as an address. What is in it cannot be more than a picture to a
// browser: it is only ever the source of an img.
func dataURL(kind string, data []byte) template.URL {
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(data))
}

// url is the map as a picture that is laid over another: nothing where nobody looks,
// amber where people do.
func (m *Map) url() template.URL {
	picture := image.NewNRGBA(image.Rect(0, 0, m.Width, m.Height))
	for i, v := range m.Values {
		warm := float64(v) / 255
		picture.SetNRGBA(i%m.Width, i/m.Width, color.NRGBA{R: 255, G: uint8(214 - 130*warm), B: 40, A: uint8(178 * warm)})
	}
	var out bytes.Buffer
	if err := png.Encode(&out, picture); err != nil {
		return "" // a buffer takes everything, and the size is checked
	}
	return dataURL("image/png", out.Bytes())
}
