package quality

import "liuyun/internal/base/fault"

// Config says with which models quality is told. They are Netflix's, are not part
// of the program, and are read when they are used.
type Config struct {
	Model    string `conf:"model" help:"A VMAF model as Netflix publishes it, vmaf_v0.6.1.json or vmaf_4k_v0.6.1.json; empty tells quality as XPSNR."`
	NEGModel string `conf:"neg_model" help:"Its form that counts no sharpening as quality, vmaf_v0.6.1neg.json; told beside model."`
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if c.Model == "" && c.NEGModel != "" {
		return fault.New(fault.Invalid, "neg_model is set and model is not: set both, or model alone")
	}
	return nil
}

// Models are those that are configured, for Options.
func (c Config) Models() []Model {
	var models []Model
	if c.Model != "" {
		models = append(models, Model{"vmaf", c.Model})
	}
	if c.NEGModel != "" {
		models = append(models, Model{"vmaf_neg", c.NEGModel})
	}
	return models
}

// Check reads the models and says what is wrong with one; the comparer c can use
// all others.
func (c *Comparer) Check(models []Model) error {
	read, err := readModels(models)
	if err != nil {
		return err
	}
	for i, m := range read {
		if m.err != nil {
			return fault.Wrap(m.err, fault.Invalid, "%s is not a VMAF model that can be used here", models[i].Path)
		}
	}
	return nil
}
