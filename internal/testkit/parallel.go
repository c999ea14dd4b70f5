package testkit

import (
	"flag"
	"strconv"
)

// AtOnce lets n parallel tests of a package run at a time. Its TestMain calls it, first of
// all, where they wait most of the time: by themselves as many run as there are cores.
func AtOnce(n int) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err)
	}
}
