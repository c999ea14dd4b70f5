package conf

import (
	"bytes"
	"fmt"
	"strings"
)

// Sample returns a YAML file that sets every setting of config to the value it
// has there, each with its help as a comment. With the defaults it is the sample
// file of the documentation.
func Sample[C any](config C) ([]byte, error) {
	s, err := schemaOf(&config)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("# Every setting with its default. Keep only what you change.\n")
	for _, sec := range s.sections {
		fmt.Fprintf(&out, "\n# %s\n%s:\n", sec.help, sec.name)
		for i := range sec.fields {
			f := &sec.fields[i]
			value, err := f.yaml()
			if err != nil {
				return nil, fmt.Errorf("conf: %s: %w", f.fullName(), err)
			}
			fmt.Fprintf(&out, "  # %s\n  %s: %s\n", f.help, f.name, value)
		}
	}
	return out.Bytes(), nil
}

// yaml is the value as it stands in a file.
func (f *field) yaml() (string, error) {
	switch f.kind() {
	case "list":
		return yamlText(f.list())
	case "text":
		text, err := f.text()
		if err != nil {
			return "", err
		}
		return yamlText(text)
	}
	return f.text()
}

// Reference returns the reference page of the configuration in Markdown; config
// holds the defaults.
func Reference[C any](config C) ([]byte, error) {
	s, err := schemaOf(&config)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString(referenceIntro)
	for _, sec := range s.sections {
		fmt.Fprintf(&out, "\n## %s\n\n%s\n\n", sec.name, sec.help)
		out.WriteString("| setting | variable | type | default | |\n|---|---|---|---|---|\n")
		for i := range sec.fields {
			f := &sec.fields[i]
			value, err := f.text()
			if err != nil {
				return nil, fmt.Errorf("conf: %s: %w", f.fullName(), err)
			}
			fmt.Fprintf(&out, "| `%s` | `%s` | %s | %s | %s |\n",
				f.fullName(), f.envName(), f.kind(), cell(value), strings.ReplaceAll(f.help, "|", `\|`))
		}
	}
	return out.Bytes(), nil
}

const referenceIntro = `# Configuration

This page is generated from the code; a test keeps it true.

A setting has a default, which a YAML file (` + "`--config FILE`" + `) may replace, then a
variable of the environment, then ` + "`--set section.field=value`" + `. A name that does not
exist is an error. A duration is written as ` + "`500ms`, `30s` or `1h30m`" + `, a size as ` + "`512MiB` or `2GB`" + `;
a list is a YAML list, or text with commas in a variable and in ` + "`--set`" + `.
[liuyun.yaml](liuyun.yaml) has every setting with its default.
`

func cell(value string) string {
	if value == "" {
		return "empty"
	}
	return "`" + strings.ReplaceAll(value, "|", `\|`) + "`"
}
