package caption

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// decode gives data as UTF-8 without a byte order mark. It never fails: what is
// wrong within an encoding becomes U+FFFD, and Windows-1252 takes anything.
func decode(data []byte) string {
	if order, ok := utf16Order(data); ok {
		text, err := unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(data)
		if err == nil {
			return strings.TrimPrefix(string(text), "\uFEFF")
		}
	}
	if rest, ok := bytes.CutPrefix(data, []byte("\xEF\xBB\xBF")); ok {
		return strings.ToValidUTF8(string(rest), "\uFFFD")
	}
	if utf8.Valid(data) {
		return string(data)
	}
	if likelyChinese(data) {
		if text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(data); err == nil {
			return string(text)
		}
	}
	text, err := charmap.Windows1252.NewDecoder().Bytes(data)
	if err != nil {
		return strings.ToValidUTF8(string(data), "\uFFFD")
	}
	return string(text)
}

// utf16Order tells UTF-16 by its mark, or by every other one of the first bytes
// being zero: both formats begin with ASCII.
func utf16Order(data []byte) (unicode.Endianness, bool) {
	switch {
	case len(data) < 4:
		return unicode.BigEndian, false
	case data[0] == 0xFE && data[1] == 0xFF, data[0] == 0 && data[1] != 0 && data[2] == 0 && data[3] != 0:
		return unicode.BigEndian, true
	case data[0] == 0xFF && data[1] == 0xFE, data[0] != 0 && data[1] == 0 && data[2] != 0 && data[3] == 0:
		return unicode.LittleEndian, true
	}
	return unicode.BigEndian, false
}

// likelyChinese says whether data reads as GB 18030 throughout and most of its
// pairs are of the everyday set (GB 2312, whose second byte is high). Western
// text has lone high bytes before spaces and letters.
func likelyChinese(data []byte) bool {
	pairs, everyday := 0, 0
	for i := 0; i < len(data); {
		switch n := gbLength(data[i:]); n {
		case 0:
			return false
		case 2:
			pairs++
			if data[i+1] >= 0xA1 {
				everyday++
			}
			i += n
		default:
			i += n
		}
	}
	return pairs > 0 && 4*everyday >= 3*pairs
}

// gbLength is the length of the GB 18030 character that b begins with, or 0.
func gbLength(b []byte) int {
	switch {
	case b[0] < 0x80:
		return 1
	case b[0] == 0x80 || b[0] == 0xFF || len(b) < 2:
		return 0
	case b[1] >= 0x40 && b[1] != 0x7F && b[1] != 0xFF:
		return 2
	case len(b) >= 4 && digit(b[1]) && b[2] >= 0x81 && b[2] != 0xFF && digit(b[3]):
		return 4
	}
	return 0
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
