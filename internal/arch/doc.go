// Package arch holds the tests of how this project is built: who may import
// whom, which package wraps which engine, who may touch the process. Each rule
// says why it is there. The package has no code of its own.
package arch
