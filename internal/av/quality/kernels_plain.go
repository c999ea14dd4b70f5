package quality

func native() kernels { return plain() }
