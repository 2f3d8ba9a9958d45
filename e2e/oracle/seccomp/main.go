// The oracle makes of an OCI seccomp configuration the program that runc would load into the kernel.
//
// Each line of input is such a configuration in JSON; it is answered by one line of JSON on stdout, at
// once: {"version": the libseccomp in use, "program": [[code, jt, jf, k], ...]} or {"error": text}.
//
// The code is runc's own, down to what it puts before libseccomp's filter. It is not loaded, so that
// rules of any kind can be asked about: whoever asks runs the program itself.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	_ "unsafe" // For go:linkname.

	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	// Whose functions are called.
	_ "github.com/opencontainers/runc/libcontainer/seccomp"
	_ "github.com/opencontainers/runc/libcontainer/seccomp/patchbpf"
)

//go:linkname getAction github.com/opencontainers/runc/libcontainer/seccomp.getAction
func getAction(action configs.Action, errnoRet *uint) (libseccomp.ScmpAction, error)

//go:linkname matchCall github.com/opencontainers/runc/libcontainer/seccomp.matchCall
func matchCall(filter *libseccomp.ScmpFilter, call *configs.Syscall, defaultAction libseccomp.ScmpAction) error

//go:linkname enosysPatchFilter github.com/opencontainers/runc/libcontainer/seccomp/patchbpf.enosysPatchFilter
func enosysPatchFilter(config *configs.Seccomp, filter *libseccomp.ScmpFilter) ([]unix.SockFilter, error)

type answer struct {
	Version string      `json:"version"`
	Program [][4]uint32 `json:"program,omitempty"`
	Error   string      `json:"error,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run() error {
	major, minor, micro := libseccomp.GetLibraryVersion()
	version := fmt.Sprintf("%d.%d.%d", major, minor, micro)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	questions := json.NewDecoder(in)
	for questions.More() {
		var question specs.LinuxSeccomp
		if err := questions.Decode(&question); err != nil {
			return err
		}
		program, err := compile(&question)
		reply := answer{Version: version, Program: program}
		if err != nil {
			reply.Error = err.Error()
		}
		if err := out.Encode(reply); err != nil {
			return err
		}
	}
	return nil
}

// compile does what runc's InitSeccomp does before it loads the program.
func compile(question *specs.LinuxSeccomp) ([][4]uint32, error) {
	config, err := specconv.SetupSeccomp(question)
	if err != nil {
		return nil, err
	}
	defaultAction, err := getAction(config.DefaultAction, config.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	filter, err := libseccomp.NewFilter(defaultAction)
	if err != nil {
		return nil, err
	}
	defer filter.Release()
	for _, name := range config.Architectures {
		arch, err := libseccomp.GetArchFromString(name)
		if err != nil {
			return nil, err
		}
		if err := filter.AddArch(arch); err != nil {
			return nil, err
		}
	}
	if len(config.Syscalls) > 32 {
		// Not fatal in runc either.
		_ = filter.SetOptimize(2)
	}
	for _, call := range config.Syscalls {
		if err := matchCall(filter, call, defaultAction); err != nil {
			return nil, err
		}
	}
	instructions, err := enosysPatchFilter(config, filter)
	if err != nil {
		return nil, err
	}
	program := make([][4]uint32, 0, len(instructions))
	for _, instruction := range instructions {
		program = append(program, [4]uint32{
			uint32(instruction.Code), uint32(instruction.Jt), uint32(instruction.Jf), instruction.K,
		})
	}
	return program, nil
}
