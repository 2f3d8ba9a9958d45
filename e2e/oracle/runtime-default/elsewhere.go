//go:build elsewhere

package main

import (
	"github.com/opencontainers/runtime-spec/specs-go"

	"podfence.dev/oracle/runtime-default/elsewhere"
)

func init() {
	profileElsewhere = func(architecture string, spec *specs.Spec) *specs.LinuxSeccomp {
		seccomp.SetArchitecture(architecture)
		return seccomp.DefaultProfile(spec)
	}
}
