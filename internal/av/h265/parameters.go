package h265

// ParameterSets returns the parameter sets of config, the payload of an hvcC box, as
// NAL units. They are read-only.
func ParameterSets(config []byte) (video, sequence, picture [][]byte, err error) {
	var s Sets
	if _, err := s.PutConfig(config); err != nil {
		return nil, nil, nil, err
	}
	return s.video.Units(), s.sequence.Units(), s.picture.Units(), nil
}
