package conf

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// kind names a setting's type for people. It is empty for a type that cannot be
// a setting.
func (f *field) kind() string {
	switch p := f.value.Addr().Interface().(type) {
	case *time.Duration:
		return "duration"
	case *Bytes:
		return "size"
	case encoding.TextUnmarshaler:
		if _, ok := p.(encoding.TextMarshaler); ok {
			return "text"
		}
		return ""
	}
	switch f.value.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "whole number"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice:
		if f.value.Type().Elem().Kind() == reflect.String {
			return "list"
		}
	}
	return ""
}

func (f *field) isList() bool { return f.kind() == "list" }

// setText sets the value from one text; a list is separated by commas.
func (f *field) setText(text string) error {
	if f.isList() {
		if text == "" {
			return f.setList(nil)
		}
		items := strings.Split(text, ",")
		for i := range items {
			items[i] = strings.TrimSpace(items[i])
		}
		return f.setList(items)
	}
	switch p := f.value.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 500ms, 30s or 1h30m", text)
		}
		*p = d
		return nil
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	}
	return f.setScalar(text)
}

func (f *field) setScalar(text string) error {
	v := f.value
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		switch text {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return fmt.Errorf("%q is not true or false", text)
		}
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return numberError(text, "a whole number", err)
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return numberError(text, "a whole number from 0", err)
		}
		v.SetUint(n)
	case v.CanFloat():
		x, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil {
			return numberError(text, "a number", err)
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%q is not a finite number", text)
		}
		v.SetFloat(x)
	}
	return nil
}

// setList replaces the list: lists of two sources are not joined. An empty list
// is nil, as in defaults.
func (f *field) setList(items []string) error {
	if len(items) == 0 {
		f.value.SetZero()
		return nil
	}
	list := reflect.MakeSlice(f.value.Type(), len(items), len(items))
	for i, item := range items {
		list.Index(i).SetString(item)
	}
	f.value.Set(list)
	return nil
}

func numberError(text, want string, err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%q is out of range", text)
	}
	return fmt.Errorf("%q is not %s", text, want)
}

// text is the value as setText reads it.
func (f *field) text() (string, error) {
	switch p := f.value.Addr().Interface().(type) {
	case *time.Duration:
		return durationText(*p), nil
	case encoding.TextMarshaler:
		text, err := p.MarshalText()
		return string(text), err
	}
	if f.isList() {
		return strings.Join(f.list(), ","), nil
	}
	return fmt.Sprint(f.value.Interface()), nil
}

func (f *field) list() []string {
	items := make([]string, f.value.Len())
	for i := range items {
		items[i] = f.value.Index(i).String()
	}
	return items
}

// durationText is d without the zero tail of Duration.String: 1h, not 1h0m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
