//go:build containerd_2_4

package main

import (
	_ "unsafe" // For go:linkname.

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/kernelversion"
	"github.com/opencontainers/runtime-spec/specs-go"
)

const module = "github.com/containerd/containerd/v2"

// Whom the library asks for the kernel. What it makes of the answer is its own.
//
//go:linkname getKernelVersion github.com/containerd/containerd/v2/pkg/kernelversion.getKernelVersion
var getKernelVersion func() (*kernelversion.KernelVersion, error)

func setKernel(major, minor uint64) error {
	getKernelVersion = func() (*kernelversion.KernelVersion, error) {
		return &kernelversion.KernelVersion{Kernel: major, Major: minor}, nil
	}
	return checkKernel(major, minor, func(major, minor uint64) (bool, error) {
		return kernelversion.GreaterEqualThan(kernelversion.KernelVersion{Kernel: major, Major: minor})
	})
}

func profileHere(spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	return seccomp.DefaultProfile(spec), nil
}
