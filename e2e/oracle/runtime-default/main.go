// The oracle answers which rules a container gets by a runtime's RuntimeDefault, in the runtime's order.
//
// Each line of input is a container in JSON; it is answered by one line of JSON on stdout, at once:
// {"module", "version", "profile": an OCI seccomp configuration} or {"error": text}.
//
// The code is the runtime's own, at the version that lines/NAME.mod pins; there is one program for each
// of these files, because a program can have a module in one version only.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A question is a container on a node.
type question struct {
	// As GOARCH; of this machine where there is none, and then the library is what it was.
	Architecture string
	// Major and minor version of the node's kernel.
	Kernel [2]uint64
	// The bounding set, each with CAP_.
	Capabilities []string
}

type answer struct {
	Module  string              `json:"module"`
	Version string              `json:"version"`
	Profile *specs.LinuxSeccomp `json:"profile,omitempty"`
	Error   string              `json:"error,omitempty"`
}

// profileElsewhere is the profile on another architecture than this machine's, where the program was
// built with it.
var profileElsewhere func(architecture string, spec *specs.Spec) *specs.LinuxSeccomp

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run() error {
	version, err := versionOf(module)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	questions := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<16))
	for questions.More() {
		var q question
		if err := questions.Decode(&q); err != nil {
			return err
		}
		reply := answer{Module: module, Version: version}
		reply.Profile, err = q.profile()
		if err != nil {
			reply.Error = err.Error()
		}
		if err := out.Encode(reply); err != nil {
			return err
		}
	}
	return nil
}

func (q question) profile() (*specs.LinuxSeccomp, error) {
	if err := setKernel(q.Kernel[0], q.Kernel[1]); err != nil {
		return nil, err
	}
	spec := &specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: q.Capabilities}},
	}
	if q.Architecture == "" {
		return profileHere(spec)
	}
	if profileElsewhere == nil {
		return nil, fmt.Errorf("this program does not know other architectures")
	}
	return profileElsewhere(q.Architecture, spec), nil
}

// checkKernel says whether the library takes this for the kernel's version. A variable of another name
// than the library's would be linked as well, and change nothing.
func checkKernel(major, minor uint64, isAtLeast func(major, minor uint64) (bool, error)) error {
	exact, err := isAtLeast(major, minor)
	if err != nil {
		return err
	}
	newer, err := isAtLeast(major, minor+1)
	if err != nil {
		return err
	}
	if !exact || newer {
		return fmt.Errorf("%s does not take %d.%d for the kernel's version", module, major, minor)
	}
	return nil
}

// versionOf is the version of a module that this program was built with, so that nobody can take it for
// another one.
func versionOf(module string) (string, error) {
	info, exists := debug.ReadBuildInfo()
	if !exists {
		return "", fmt.Errorf("the program does not say what it was built from")
	}
	for _, dependency := range info.Deps {
		if dependency.Path == module && dependency.Replace == nil {
			return dependency.Version, nil
		}
	}
	return "", fmt.Errorf("the program was built without %s", module)
}
