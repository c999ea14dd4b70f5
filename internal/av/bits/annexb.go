package bits

import "bytes"

// AppendAnnexB appends to dst the units of a byte stream that stand between start
// codes: Annex B of H.264 and H.265. Zeros around them are left out, and so is what
// stands before the first start code. The units alias data.
func AppendAnnexB(dst [][]byte, data []byte) [][]byte {
	at := bytes.Index(data, startCode)
	for at >= 0 {
		data = data[at+len(startCode):]
		at = bytes.Index(data, startCode)
		unit := data
		if at >= 0 {
			unit = data[:at]
		}
		if unit = bytes.TrimRight(unit, "\x00"); len(unit) > 0 {
			dst = append(dst, unit)
		}
	}
	return dst
}

var startCode = []byte{0, 0, 1}
