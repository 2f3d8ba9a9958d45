//go:build containerd_2

package main

import (
	_ "unsafe" // For go:linkname.

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/kernelversion"
	"github.com/opencontainers/runtime-spec/specs-go"
)

const module = "github.com/containerd/containerd/v2"

// What the library remembers of the kernel, after it has asked once. What it makes of that is its own.
//
//go:linkname currentKernelVersion github.com/containerd/containerd/v2/pkg/kernelversion.currentKernelVersion
var currentKernelVersion *kernelversion.KernelVersion

func setKernel(major, minor uint64) error {
	// The first question makes it ask; the answer is nothing to us.
	if _, err := kernelversion.GreaterEqualThan(kernelversion.KernelVersion{}); err != nil {
		return err
	}
	currentKernelVersion = &kernelversion.KernelVersion{Kernel: major, Major: minor}
	return checkKernel(major, minor, func(major, minor uint64) (bool, error) {
		return kernelversion.GreaterEqualThan(kernelversion.KernelVersion{Kernel: major, Major: minor})
	})
}

func profileHere(spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	return seccomp.DefaultProfile(spec), nil
}
