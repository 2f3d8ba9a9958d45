package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Profiles that are made by code ask the machine that they run on: for its architecture and kernel.
// A transplant is that code with the two questions answered by us, so that it can be run for every
// machine: runtime.GOARCH and the comparison of kernels are replaced, and nothing else.

// A question is one container on one machine, as the transplant is asked.
type question struct {
	Architecture string
	// Whether the kernel is newer than any that the code asks for; else it is older.
	NewKernel    bool
	Capabilities []string
}

type answer struct {
	Profile profile
	// The kernels that were asked for.
	Kernels []string
}

// A transplant is a running program that answers questions.
type transplant struct {
	command *exec.Cmd
	in      *json.Encoder
	out     *json.Decoder
	close   func() error
}

// containerdMain and crioMain answer questions; in both, machine is the stub of questions.
const containerdMain = `package main

import (
	"encoding/json"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

	"transplant/machine"
	"transplant/profile"
)

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var question struct {
			Architecture string
			NewKernel    bool
			Capabilities []string
		}
		if in.Decode(&question) != nil {
			return
		}
		machine.GOARCH, machine.NewKernel, machine.Kernels = question.Architecture, question.NewKernel, nil
		spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: question.Capabilities}}}
		answer := profile.DefaultProfile(spec)
		if out.Encode(map[string]any{"Profile": answer, "Kernels": machine.Kernels}) != nil {
			return
		}
	}
}
`

const crioMain = `package main

import (
	"encoding/json"
	"os"

	"transplant/machine"
	"transplant/profile"
)

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var question struct{ Architecture string }
	if in.Decode(&question) != nil {
		return
	}
	machine.GOARCH = question.Architecture
	_ = out.Encode(map[string]any{"Profile": profile.DefaultProfile()})
}
`

const machineStub = `// Package machine stands for the machine that a profile is made on.
package machine

import "fmt"

var (
	GOARCH    string
	NewKernel bool
	Kernels   []string
)

type KernelVersion struct {
	Kernel uint64
	Major  uint64
}

func GreaterEqualThan(version KernelVersion) (bool, error) {
	Kernels = append(Kernels, fmt.Sprintf("%d.%d", version.Kernel, version.Major))
	return NewKernel, nil
}
`

// transplantSource rewrites a file: the package's name, and whom it asks.
func transplantSource(path string, keep func(name string) bool, imports map[string]string) ([]byte, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	file.Name.Name = "profile"
	for _, spec := range file.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		for suffix, replacement := range imports {
			if name == suffix || strings.HasSuffix(name, "/"+suffix) {
				spec.Path.Value = strconv.Quote(replacement)
				if spec.Name == nil {
					spec.Name = ast.NewIdent(filepath.Base(name))
				}
			}
		}
	}
	file.Decls = slices.DeleteFunc(file.Decls, func(declaration ast.Decl) bool {
		function, is := declaration.(*ast.FuncDecl)
		return is && (function.Recv != nil || !keep(function.Name.Name))
	})
	var text strings.Builder
	// Comments would float where functions were taken out.
	file.Comments = nil
	if err := format.Node(&text, files, file); err != nil {
		return nil, err
	}
	return []byte(withoutUnusedImports(text.String())), nil
}

// withoutUnusedImports drops imports that nothing refers to any more.
func withoutUnusedImports(source string) string {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", source, parser.SkipObjectResolution)
	if err != nil {
		return source
	}
	used := map[string]bool{}
	ast.Inspect(file, func(node ast.Node) bool {
		if selector, is := node.(*ast.SelectorExpr); is {
			if name, is := selector.X.(*ast.Ident); is {
				used[name.Name] = true
			}
		}
		return true
	})
	lines := strings.Split(source, "\n")
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		name := filepath.Base(path)
		if name == "specs-go" {
			name = "specs"
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if !used[name] {
			lines[files.Position(spec.Pos()).Line-1] = ""
		}
	}
	return strings.Join(lines, "\n")
}

// start builds the transplant in its folder and runs it.
func start(folder, main string) (*transplant, error) {
	machine := filepath.Join(folder, "machine")
	if err := os.MkdirAll(machine, 0o755); err != nil {
		return nil, err
	}
	files := map[string]string{
		filepath.Join(machine, "machine.go"): machineStub,
		filepath.Join(folder, "main.go"):     main,
		filepath.Join(folder, "go.mod"): "module transplant\n\ngo 1.26\n\nrequire (\n" +
			"\tgithub.com/opencontainers/runtime-spec v1.2.1\n\tgolang.org/x/sys v0.30.0\n)\n",
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	build := exec.Command("go", "build", "-o", "transplant", ".")
	build.Dir = folder
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("failed to build %s: %w\n%s", folder, err, out)
	}
	command := exec.Command(filepath.Join(folder, "transplant"))
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	return &transplant{
		command, json.NewEncoder(in), json.NewDecoder(bufio.NewReaderSize(out, 1<<20)),
		func() error { in.Close(); return command.Wait() },
	}, nil
}

func (t *transplant) ask(q question) (answer, error) {
	var a answer
	if err := t.in.Encode(q); err != nil {
		return a, err
	}
	err := t.out.Decode(&a)
	return a, err
}

// allCapabilities are those that Linux knows.
var allCapabilities = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID
	SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER
	SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE
	SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
	WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// Rules of one call on one architecture, in order, each once.
type rulesByName map[string][]rule

func (r rulesByName) add(name string, new rule) {
	if !slices.ContainsFunc(r[name], func(known rule) bool { return known.line(name) == new.line(name) }) {
		r[name] = append(r[name], new)
	}
}

// containerdRules finds the conditions of one architecture by asking for every capability alone and
// for both kernels, and then holds them against answers for random sets.
func (t *transplant) containerdRules(architecture string) (rulesByName, profile, error) {
	ask := func(newKernel bool, capabilities ...string) (answer, error) {
		names := []string{}
		for _, name := range capabilities {
			names = append(names, "CAP_"+name)
		}
		return t.ask(question{architecture, newKernel, names})
	}
	oldKernel, err := ask(false)
	if err != nil {
		return nil, profile{}, err
	}
	newKernel, err := ask(true)
	if err != nil {
		return nil, profile{}, err
	}
	kernels := slices.Compact(slices.Sorted(slices.Values(newKernel.Kernels)))
	if len(kernels) > 1 {
		return nil, profile{}, fmt.Errorf("more than one kernel is asked for: %q", kernels)
	}
	onOld, onNew := plain(oldKernel.Profile), plain(newKernel.Profile)
	withOld, withNew := map[string]map[string]rule{}, map[string]map[string]rule{}
	for _, capability := range allCapabilities {
		a, err := ask(false, capability)
		if err != nil {
			return nil, profile{}, err
		}
		withOld[capability] = index(plain(a.Profile))
		if a, err = ask(true, capability); err != nil {
			return nil, profile{}, err
		}
		withNew[capability] = index(plain(a.Profile))
	}
	oldIndex, newIndex := index(onOld), index(onNew)
	rules := rulesByName{}
	for _, call := range onNew {
		r := call.rule
		key := r.line(call.name)
		if _, always := oldIndex[key]; !always {
			r.kernel = kernels[0]
		}
		for _, capability := range allCapabilities {
			if _, stays := withNew[capability][key]; !stays {
				r.without = append(slices.Clone(r.without), capability)
			}
		}
		rules.add(call.name, r)
	}
	for _, capability := range allCapabilities {
		for _, key := range sorted(withOld[capability]) {
			if _, always := oldIndex[key]; !always {
				r := withOld[capability][key]
				r.with = []string{capability}
				rules.add(strings.Fields(key)[1], r)
			}
		}
	}
	for key := range oldIndex {
		if _, stays := newIndex[key]; !stays {
			return nil, profile{}, fmt.Errorf("a rule for old kernels only: %q", key)
		}
	}
	return rules, newKernel.Profile, verify(rules, architecture, ask)
}

// verify compares what the rules say with what the code does, for random sets of capabilities.
func verify(rules rulesByName, architecture string, ask func(bool, ...string) (answer, error)) error {
	random := rand.New(rand.NewPCG(1, 2))
	sets := [][]string{{}, allCapabilities}
	for range 8 {
		set := []string{}
		share := random.IntN(4) + 1
		for _, capability := range allCapabilities {
			if random.IntN(5) < share {
				set = append(set, capability)
			}
		}
		sets = append(sets, set)
	}
	for _, set := range sets {
		for _, newKernel := range []bool{false, true} {
			a, err := ask(newKernel, set...)
			if err != nil {
				return err
			}
			got := map[string]bool{}
			for name, all := range rules {
				for _, r := range all {
					if r.holds(set, newKernel) {
						got[rule{action: r.action, args: r.args}.line(name)] = true
					}
				}
			}
			want := index(plain(a.Profile))
			for key := range want {
				if !got[key] {
					return fmt.Errorf("%s with %v: %q is missing", architecture, set, key)
				}
			}
			if len(got) != len(want) {
				return fmt.Errorf("%s with %v: %d rules instead of %d", architecture, set, len(got), len(want))
			}
		}
	}
	return nil
}

func (r rule) holds(capabilities []string, newKernel bool) bool {
	for _, capability := range r.with {
		if !slices.Contains(capabilities, capability) {
			return false
		}
	}
	for _, capability := range r.without {
		if slices.Contains(capabilities, capability) {
			return false
		}
	}
	return newKernel || r.kernel == ""
}

type namedRule struct {
	name string
	rule rule
}

// plain is a profile without conditions, a call at a time.
func plain(p profile) []namedRule {
	all := []namedRule{}
	for _, call := range p.Syscalls {
		r, err := call.rule()
		if err != nil {
			panic(err)
		}
		for _, name := range call.names() {
			all = append(all, namedRule{name, r})
		}
	}
	return all
}

func index(rules []namedRule) map[string]rule {
	byLine := map[string]rule{}
	for _, call := range rules {
		byLine[call.rule.line(call.name)] = call.rule
	}
	return byLine
}

// merge makes one set of what was found on each architecture.
func merge(defaultErrno string, found map[string]rulesByName, abis map[string][]string) (*ruleSet, error) {
	set := newRuleSet(defaultErrno)
	for architecture, names := range abis {
		set.setABIs(architecture, names)
	}
	everywhere := sorted(found)
	names := map[string]bool{}
	for _, rules := range found {
		for name := range rules {
			names[name] = true
		}
	}
	merged := rulesByName{}
	for name := range names {
		where := map[string][]string{}
		order := []namedRule{}
		for _, architecture := range everywhere {
			for _, r := range found[architecture][name] {
				key := r.line(name)
				if len(where[key]) == 0 {
					order = append(order, namedRule{key, r})
				}
				where[key] = append(where[key], architecture)
			}
		}
		for _, next := range order {
			r, on := next.rule, where[next.name]
			if len(on)*2 <= len(everywhere) {
				r.on = on
			} else if len(on) < len(everywhere) {
				for _, architecture := range everywhere {
					if !slices.Contains(on, architecture) {
						r.notOn = append(r.notOn, architecture)
					}
				}
			}
			merged.add(name, r)
		}
	}
	set.setAll(merged)
	return set, nil
}
