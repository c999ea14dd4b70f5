// Package secret holds texts that must not be seen: passwords, keys, tokens. A
// Text prints as [secret] in logs, JSON and messages; only Reveal gives it away.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// hidden is what stands in a Text's place.
const hidden = "[secret]"

// Text is a secret. The zero value is empty. It is a setting of kit/conf as it is:
// it reads itself from text and never writes itself to any.
type Text struct{ value string }

// New returns value as a secret.
func New(value string) Text { return Text{value} }

// Reveal returns the secret itself. Its only callers are those that hand it to the
// other side.
func (t Text) Reveal() string { return t.value }

// Empty reports whether there is no secret.
func (t Text) Empty() bool { return t.value == "" }

// String returns "[secret]", or nothing when the text is empty.
func (t Text) String() string {
	if t.Empty() {
		return ""
	}
	return hidden
}

// Format writes String whatever the verb: %d would look inside.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue is String, for log/slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText is String: configuration that is shown does not show it.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText sets the secret.
func (t *Text) UnmarshalText(text []byte) error {
	t.value = string(text)
	return nil
}
