package quality

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A model is some tens of kilobytes; what is larger is something else.
const (
	maxModelBytes   = 4 << 20
	maxVectors      = 20000
	maxModelEntries = 16 // features
)

// ErrModel says that bytes are no model that this package can apply.
var ErrModel = errors.New("not a usable VMAF model")

// Model turns the features of a frame into a score: a support vector regression
// with a radial kernel (Schölkopf and others, "New Support Vector Algorithms",
// 2000) between two linear maps, as Netflix publishes it in JSON. A Model does
// not change and may be shared.
type Model struct {
	inputs []modelInput
	// slope and intercept turn the regression's answer into a score.
	slope, intercept float64
	gamma, rho       float64
	// vectors has len(inputs) values for each of coefficients.
	vectors      []float64
	coefficients []float64

	transform     *scoreTransform
	clip          bool
	least, most   float64
	admLimit      float64 // of the gain that counts as fidelity, for ADM
	vifLimit      float64 // the same for VIF
	hasVIF, hasAD bool
}

type modelInput struct {
	feature          feature
	slope, intercept float64
}

// feature names what a model can ask for.
type feature int

const (
	featureADM2 feature = iota
	featureMotion
	featureMotion2
	featureVIF0
	featureADM0 = featureVIF0 + 4
)

func featureNames() map[string]feature {
	names := map[string]feature{
		"VMAF_integer_feature_adm2_score":    featureADM2,
		"VMAF_integer_feature_motion_score":  featureMotion,
		"VMAF_integer_feature_motion2_score": featureMotion2,
	}
	for i := range 4 {
		names[fmt.Sprintf("VMAF_integer_feature_vif_scale%d_score", i)] = featureVIF0 + feature(i)
		names[fmt.Sprintf("integer_adm_scale%d", i)] = featureADM0 + feature(i)
	}
	return names
}

// scoreTransform is what a model may do to its score before clipping it: a
// polynomial, then a curve of straight pieces, then never below or above what
// went in.
type scoreTransform struct {
	polynomial       bool
	p                [3]float64
	knots            [][2]float64
	neverLower       bool
	neverHigher      bool
	slopes, atOrigin []float64 // of the pieces between knots
}

// modelFile is the JSON as it is published.
type modelFile struct {
	Model struct {
		ModelType  string               `json:"model_type"`
		NormType   string               `json:"norm_type"`
		Features   []string             `json:"feature_names"`
		Options    []map[string]float64 `json:"feature_opts_dicts"`
		Slopes     []float64            `json:"slopes"`
		Intercepts []float64            `json:"intercepts"`
		Clip       []float64            `json:"score_clip"`
		Transform  *struct {
			Enabled  bool         `json:"enabled"`
			P0       *float64     `json:"p0"`
			P1       *float64     `json:"p1"`
			P2       *float64     `json:"p2"`
			Knots    [][2]float64 `json:"knots"`
			OutLTEIn string       `json:"out_lte_in"`
			OutGTEIn string       `json:"out_gte_in"`
		} `json:"score_transform"`
		Vectors string `json:"model"`
	} `json:"model_dict"`
}

// ParseModel reads a model as Netflix publishes them: VMAF v0.6.1, its NEG and
// its 4K form, and others that use the same features. The error, which wraps
// ErrModel, says what the model asks for that is not here. A score transform
// counts only where the model enables it, which v0.6.1 does for phones alone.
func ParseModel(data []byte) (*Model, error) {
	if len(data) > maxModelBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrModel, len(data), maxModelBytes)
	}
	var file modelFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	d := &file.Model
	if d.ModelType != "LIBSVMNUSVR" || d.NormType != "linear_rescale" {
		return nil, fmt.Errorf("%w: type %q with %q, only LIBSVMNUSVR with linear_rescale is known", ErrModel, d.ModelType, d.NormType)
	}
	n := len(d.Features)
	if n < 1 || n > maxModelEntries || len(d.Slopes) != n+1 || len(d.Intercepts) != n+1 || (d.Options != nil && len(d.Options) != n) {
		return nil, fmt.Errorf("%w: %d features, %d slopes, %d intercepts, %d options", ErrModel, n, len(d.Slopes), len(d.Intercepts), len(d.Options))
	}
	m := &Model{slope: d.Slopes[0], intercept: d.Intercepts[0], admLimit: defaultGainLimit, vifLimit: defaultGainLimit}
	if m.slope == 0 {
		return nil, fmt.Errorf("%w: the score's slope is 0", ErrModel)
	}
	names := featureNames()
	for i, name := range d.Features {
		f, ok := names[name]
		if !ok {
			return nil, fmt.Errorf("%w: it needs the feature %q", ErrModel, name)
		}
		m.inputs = append(m.inputs, modelInput{f, d.Slopes[i+1], d.Intercepts[i+1]})
		if d.Options != nil {
			if err := m.option(f, d.Options[i]); err != nil {
				return nil, err
			}
		}
	}
	switch len(d.Clip) {
	case 0:
	case 2:
		m.clip, m.least, m.most = true, d.Clip[0], d.Clip[1]
	default:
		return nil, fmt.Errorf("%w: score_clip has %d numbers", ErrModel, len(d.Clip))
	}
	if t := d.Transform; t != nil && t.Enabled {
		m.transform = &scoreTransform{knots: t.Knots, neverLower: t.OutGTEIn == "true", neverHigher: t.OutLTEIn == "true"}
		for i, p := range []*float64{t.P0, t.P1, t.P2} {
			if p != nil {
				m.transform.polynomial, m.transform.p[i] = true, *p
			}
		}
		if err := m.transform.prepare(); err != nil {
			return nil, err
		}
	}
	return m, m.parseVectors(d.Vectors)
}

// option takes what a model asks of a feature: only the gain limit, which must
// be one for all of VIF's scales and one for all of ADM's.
func (m *Model) option(f feature, options map[string]float64) error {
	for name, value := range options {
		limit, seen := &m.vifLimit, &m.hasVIF
		switch {
		case name == "vif_enhn_gain_limit" && f >= featureVIF0 && f < featureVIF0+4:
		case name == "adm_enhn_gain_limit" && (f == featureADM2 || f >= featureADM0):
			limit, seen = &m.admLimit, &m.hasAD
		default:
			return fmt.Errorf("%w: it needs the option %q", ErrModel, name)
		}
		if value < 1 || value > defaultGainLimit || (*seen && *limit != value) {
			return fmt.Errorf("%w: %s is %g, it must be from 1 to %g and the same everywhere", ErrModel, name, value, defaultGainLimit)
		}
		*limit, *seen = value, true
	}
	return nil
}

// parseVectors reads LIBSVM's text form: a header of names and values, "SV",
// then one line a vector: its coefficient and its values with their numbers,
// from 1; what is left out is 0.
func (m *Model) parseVectors(text string) error {
	header, body, ok := strings.Cut(text, "\nSV\n")
	if !ok {
		return fmt.Errorf("%w: no support vectors", ErrModel)
	}
	total := 0
	for line := range strings.Lines(header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch name {
		case "svm_type":
			ok = value == "nu_svr"
		case "kernel_type":
			ok = value == "rbf"
		case "gamma":
			m.gamma, err = finite(value)
		case "rho":
			m.rho, err = finite(value)
		case "total_sv":
			total, err = strconv.Atoi(value)
		}
		if err != nil || !ok {
			return fmt.Errorf("%w: %q", ErrModel, strings.TrimSpace(line))
		}
	}
	if m.gamma <= 0 || total < 1 || total > maxVectors {
		return fmt.Errorf("%w: gamma %g, %d vectors", ErrModel, m.gamma, total)
	}
	n := len(m.inputs)
	for line := range strings.Lines(body) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(m.coefficients) == total {
			return fmt.Errorf("%w: more vectors than the %d it says", ErrModel, total)
		}
		coefficient, err := finite(fields[0])
		if err != nil {
			return fmt.Errorf("%w: coefficient %q", ErrModel, fields[0])
		}
		m.coefficients = append(m.coefficients, coefficient)
		m.vectors = append(m.vectors, make([]float64, n)...)
		vector := m.vectors[len(m.vectors)-n:]
		for _, field := range fields[1:] {
			number, value, _ := strings.Cut(field, ":")
			at, err := strconv.Atoi(number)
			v, err2 := finite(value)
			if err != nil || err2 != nil || at < 1 || at > n {
				return fmt.Errorf("%w: entry %q of vector %d", ErrModel, field, len(m.coefficients))
			}
			vector[at-1] = v
		}
	}
	if len(m.coefficients) != total {
		return fmt.Errorf("%w: %d vectors of the %d it says", ErrModel, len(m.coefficients), total)
	}
	return nil
}

func finite(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = strconv.ErrRange
	}
	return v, err
}

// NEG reports whether the model counts no enhancement (sharpening, contrast) as
// fidelity: "no enhancement gain".
func (m *Model) NEG() bool { return m.admLimit == 1 && m.vifLimit == 1 }

// Score applies the model. f must have been measured with the model's own gain
// limits, which a Meter that was given the model does.
func (m *Model) Score(f Features) float64 {
	var x [maxModelEntries]float64
	for i, input := range m.inputs {
		x[i] = float64(input.slope*f.get(input.feature)) + input.intercept
	}
	n := len(m.inputs)
	sum := -m.rho
	for i, coefficient := range m.coefficients {
		distance := 0.0
		for j, v := range m.vectors[i*n : i*n+n] {
			d := x[j] - v
			distance += float64(d * d)
		}
		sum += float64(coefficient * math.Exp(-m.gamma*distance))
	}
	score := (sum - m.intercept) / m.slope
	if m.transform != nil {
		score = m.transform.apply(score)
	}
	if m.clip {
		score = min(max(score, m.least), m.most)
	}
	return score
}

func (t *scoreTransform) prepare() error {
	for i := 1; i < len(t.knots); i++ {
		a, b := t.knots[i-1], t.knots[i]
		if a[0] >= b[0] || a[1] > b[1] {
			return fmt.Errorf("%w: knots of the score transform do not rise", ErrModel)
		}
		slope := (b[1] - a[1]) / (b[0] - a[0])
		t.slopes = append(t.slopes, slope)
		t.atOrigin = append(t.atOrigin, a[1]-float64(slope*a[0]))
	}
	if len(t.knots) == 1 {
		return fmt.Errorf("%w: one knot makes no score transform", ErrModel)
	}
	return nil
}

func (t *scoreTransform) apply(in float64) float64 {
	out := in
	if t.polynomial {
		out = t.p[0] + float64(t.p[1]*in) + float64(t.p[2]*in*in)
	}
	if pieces := len(t.slopes); pieces > 0 {
		i := 0 // the first and the last piece go on outside
		for i < pieces-1 && out > t.knots[i+1][0] {
			i++
		}
		out = float64(t.slopes[i]*out) + t.atOrigin[i]
	}
	if t.neverHigher {
		out = min(out, in)
	}
	if t.neverLower {
		out = max(out, in)
	}
	return out
}
