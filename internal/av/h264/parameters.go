package h264

// ParameterSets returns the parameter sets of config, the payload of an avcC box, as
// NAL units. They are read-only.
func ParameterSets(config []byte) (sequence, picture [][]byte, err error) {
	var s Sets
	if _, err := s.PutConfig(config); err != nil {
		return nil, nil, err
	}
	return s.sequence.Units(), s.picture.Units(), nil
}
