package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A profile is the JSON in which moby and containers-common keep theirs; an OCI profile, which
// containerd makes, is one without conditions.
type profile struct {
	DefaultAction   string `json:"defaultAction"`
	DefaultErrnoRet *uint  `json:"defaultErrnoRet"`
	ArchMap         []struct {
		Arch      string   `json:"architecture"`
		SubArches []string `json:"subArchitectures"`
	} `json:"archMap"`
	Architectures []string  `json:"architectures"`
	Syscalls      []syscall `json:"syscalls"`
}

type syscall struct {
	Names    []string `json:"names"`
	Name     string   `json:"name"`
	Action   string   `json:"action"`
	ErrnoRet *uint    `json:"errnoRet"`
	Errno    string   `json:"errno"`
	Args     []struct {
		Index    uint   `json:"index"`
		Value    uint64 `json:"value"`
		ValueTwo uint64 `json:"valueTwo"`
		Op       string `json:"op"`
	} `json:"args"`
	Includes condition `json:"includes"`
	Excludes condition `json:"excludes"`
}

type condition struct {
	Caps      []string `json:"caps"`
	Arches    []string `json:"arches"`
	MinKernel string   `json:"minKernel"`
}

// set reads a profile whose conditions are part of it.
func (p profile) set() (*ruleSet, error) {
	defaultErrno, err := p.defaultErrno()
	if err != nil {
		return nil, err
	}
	set := newRuleSet(defaultErrno)
	for _, entry := range p.ArchMap {
		set.setABIsOf(entry.Arch, entry.SubArches)
	}
	rules := rulesByName{}
	for _, call := range p.Syscalls {
		r, err := call.rule()
		if err != nil {
			return nil, err
		}
		for _, name := range call.names() {
			rules.add(name, r)
		}
	}
	set.setAll(rules)
	return set, nil
}

func (p profile) defaultErrno() (string, error) {
	if p.DefaultAction != "SCMP_ACT_ERRNO" {
		return "", fmt.Errorf("the default action is %q", p.DefaultAction)
	}
	if p.DefaultErrnoRet == nil {
		// The runtimes' own default.
		return "EPERM", nil
	}
	return errnoName(*p.DefaultErrnoRet), nil
}

func (s syscall) names() []string {
	if s.Name != "" {
		return append([]string{s.Name}, s.Names...)
	}
	return s.Names
}

func (s syscall) rule() (rule, error) {
	r := rule{kernel: s.Includes.MinKernel}
	switch {
	case s.Action == "SCMP_ACT_ALLOW":
		r.action = "allow"
	case s.Action != "SCMP_ACT_ERRNO":
		return r, fmt.Errorf("unknown action %q", s.Action)
	case s.ErrnoRet != nil:
		r.action = errnoName(*s.ErrnoRet)
	case s.Errno != "":
		r.action = s.Errno
	default:
		// An ERRNO rule without a number gives EPERM, whatever the profile's default is.
		r.action = "EPERM"
	}
	for _, a := range s.Args {
		r.args = append(r.args, arg{a.Index, a.Op, a.Value, a.ValueTwo})
	}
	if s.Excludes.MinKernel != "" {
		return r, fmt.Errorf("a kernel that is excluded: %q", s.Excludes.MinKernel)
	}
	r.with = capabilities(s.Includes.Caps)
	r.without = capabilities(s.Excludes.Caps)
	r.on = architectures(s.Includes.Arches)
	r.notOn = architectures(s.Excludes.Arches)
	if len(s.Includes.Arches) > 0 && len(r.on) == 0 {
		return r, fmt.Errorf("a rule for nodes that do not exist: %q", s.Includes.Arches)
	}
	return r, nil
}

func capabilities(names []string) []string {
	short := []string{}
	for _, name := range names {
		short = append(short, strings.TrimPrefix(name, "CAP_"))
	}
	return short
}

func architectures(names []string) []string {
	known := []string{}
	for _, name := range names {
		// Others, such as x32 and s390, are no architectures of nodes.
		if architecture, exists := goArchitecture(name); exists {
			known = append(known, architecture)
		}
	}
	return known
}

// setABIsOf notes the ABIs of an architecture that is named by its own one.
func (s *ruleSet) setABIsOf(own string, others []string) {
	if architecture, exists := goArchitecture(nameOfABI(own)); exists {
		s.setABIs(architecture, append([]string{own}, others...))
	}
}

func (s *ruleSet) setAll(rules rulesByName) {
	for name, all := range rules {
		s.setRules(name, all)
	}
}

func nameOfABI(name string) string {
	return strings.ToLower(strings.TrimPrefix(name, "SCMP_ARCH_"))
}

// An earlier is a rule set that was extracted before, one JSON file each.
type earlier struct {
	Runtime       string              `json:"runtime"`
	AppliesTo     []string            `json:"applies_to"`
	DefaultErrno  uint                `json:"default_errno"`
	Architectures map[string][]string `json:"architectures"`
	Rules         []struct {
		Syscalls []string `json:"syscalls"`
		Action   string   `json:"action"`
		Errno    *uint    `json:"errno"`
		Args     []struct {
			Index    uint   `json:"index"`
			Op       string `json:"op"`
			Value    uint64 `json:"value"`
			ValueTwo uint64 `json:"value_two"`
		} `json:"args"`
		RequiresCaps   []string `json:"requires_caps"`
		ExcludesCaps   []string `json:"excludes_caps"`
		Arches         []string `json:"arches"`
		ExcludesArches []string `json:"excludes_arches"`
		MinKernel      string   `json:"min_kernel"`
	} `json:"rules"`
}

// readEarlier reads the rule sets of one runtime from a folder, by release.
func readEarlier(folder, runtime string) (map[string]*ruleSet, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "[a-z]*.json"))
	if err != nil {
		return nil, err
	}
	sets := map[string]*ruleSet{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var from earlier
		if err := json.Unmarshal(text, &from); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if from.Runtime != runtime {
			continue
		}
		set, err := from.set()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, tag := range from.AppliesTo {
			version := strings.TrimPrefix(strings.TrimPrefix(tag, "docker-"), "v")
			if version[0] >= '0' && version[0] <= '9' {
				sets[version] = set
			}
		}
	}
	return sets, nil
}

func (e earlier) set() (*ruleSet, error) {
	set := newRuleSet(errnoName(e.DefaultErrno))
	for name, abis := range e.Architectures {
		if strings.HasPrefix(name, "SCMP_ARCH_") {
			set.setABIsOf(name, abis)
		} else if _, exists := nativeABI[name]; exists {
			set.setABIs(name, abis)
		}
	}
	rules := rulesByName{}
	for _, from := range e.Rules {
		r := rule{
			action: "allow", kernel: from.MinKernel,
			with: capabilities(from.RequiresCaps), without: capabilities(from.ExcludesCaps),
			on: architectures(from.Arches), notOn: architectures(from.ExcludesArches),
		}
		if from.Action == "SCMP_ACT_ERRNO" {
			r.action = "EPERM"
			if from.Errno != nil {
				r.action = errnoName(*from.Errno)
			}
		}
		for _, a := range from.Args {
			r.args = append(r.args, arg{a.Index, a.Op, a.Value, a.ValueTwo})
		}
		for _, name := range slices.Sorted(slices.Values(from.Syscalls)) {
			rules.add(name, r)
		}
	}
	set.setAll(rules)
	return set, nil
}
