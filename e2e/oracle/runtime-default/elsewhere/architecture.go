// Package seccomp is containerd's, on another architecture than this machine's.
//
// Programs for that cannot be run here, so ../../build puts a copy of containerd's seccomp_default.go into
// this package without its import of "runtime". Its runtime.GOARCH is the variable below then; nothing
// else is changed.
package seccomp

var runtime struct{ GOARCH string }

// SetArchitecture says for what the profiles are made from now on.
func SetArchitecture(name string) { runtime.GOARCH = name }
