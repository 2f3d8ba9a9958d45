//go:build crio

package main

import (
	"github.com/cri-o/cri-o/internal/config/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	common "go.podman.io/common/pkg/seccomp"
)

// Its package is internal; lines/cri-o-1.36.mod calls this module a part of CRI-O, so that Go lets it in.
const module = "github.com/cri-o/cri-o"

// No rule of CRI-O asks for the kernel.
func setKernel(uint64, uint64) error { return nil }

// profileHere does what CRI-O does with RuntimeDefault (Config.Setup).
func profileHere(spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	return common.LoadProfileFromConfig(seccomp.DefaultProfile(), spec)
}
