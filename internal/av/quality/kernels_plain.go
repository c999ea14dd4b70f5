//go:build !cgo

package quality

func native() kernels { return plain() }
