package h264

import (
	"encoding/binary"

	"github.com/Eyevinn/mp4ff/avc"

	"liuyun/internal/av/bits"
)

// ParameterSets returns the parameter sets of config, the payload of an avcC box, as
// NAL units. They are read-only.
func ParameterSets(config []byte) (sequence, picture [][]byte, err error) {
	var s Sets
	if _, err := s.PutConfig(config); err != nil {
		return nil, nil, err
	}
	return s.sequence.Units(), s.picture.Units(), nil
}

// WithParameterSets returns a sample, whose units have four bytes of length, with the
// parameter sets of config, the payload of an avcC box, before its pictures (ITU-T H.264
// 7.4.1.2.3). It returns the sample itself where either cannot be read.
func WithParameterSets(sample, config []byte) []byte {
	sequence, picture, err := ParameterSets(config)
	if err != nil {
		return sample
	}
	out := make([]byte, 0, len(sample)+len(config)+32)
	put := func(unit []byte) {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(unit))), unit...)
	}
	told := false
	for unit, err := range bits.NALUnits(sample, 4) {
		if err != nil {
			return sample
		}
		if kind := avc.GetNaluType(unit[0]); kind != avc.NALU_AUD && !told {
			for _, set := range append(sequence, picture...) {
				put(set)
			}
			told = true
		}
		put(unit)
	}
	return out
}
