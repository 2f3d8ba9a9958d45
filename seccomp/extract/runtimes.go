package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A source is where the releases of a runtime come from.
type source struct {
	name string
	// The modules to ask for lists of versions.
	modules []string
	extract func(work, version string) (*ruleSet, error)
}

var sources = []source{
	{"containerd", []string{"github.com/containerd/containerd", "github.com/containerd/containerd/v2"}, containerd},
	{"cri-o", []string{"github.com/cri-o/cri-o"}, crio},
	{"docker", []string{"github.com/docker/docker"}, docker},
}

// containerd makes its profile by code, in contrib/seccomp.
func containerd(work, version string) (*ruleSet, error) {
	module := "github.com/containerd/containerd"
	if !strings.HasPrefix(version, "1.") {
		module += "/v2"
	}
	folder, err := download(work, module, "v"+version)
	if err != nil {
		return nil, err
	}
	text, err := transplantSource(
		filepath.Join(folder, "contrib/seccomp/seccomp_default.go"),
		func(string) bool { return true },
		map[string]string{"runtime": "transplant/machine", "kernelversion": "transplant/machine"},
	)
	if err != nil {
		return nil, err
	}
	return once(work, text, func(target string) (*ruleSet, error) {
		running, err := start(target, containerdMain)
		if err != nil {
			return nil, err
		}
		found, abis, defaultErrno := map[string]rulesByName{}, map[string][]string{}, ""
		for _, architecture := range sorted(nativeABI) {
			rules, base, err := running.containerdRules(architecture)
			if err != nil {
				return nil, err
			}
			found[architecture] = rules
			if len(base.Architectures) > 0 {
				abis[architecture] = base.Architectures
			}
			if defaultErrno, err = base.defaultErrno(); err != nil {
				return nil, err
			}
		}
		if err := running.close(); err != nil {
			return nil, err
		}
		return merge(defaultErrno, found, abis)
	})
}

var requiresCommon = regexp.MustCompile(`(github\.com/containers/common|go\.podman\.io/common) (v\S+)`)

// crio edits the profile of containers-common by code.
func crio(work, version string) (*ruleSet, error) {
	folder, err := download(work, "github.com/cri-o/cri-o", "v"+version)
	if err != nil {
		return nil, err
	}
	requirements, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return nil, err
	}
	required := requiresCommon.FindSubmatch(requirements)
	if required == nil {
		return nil, fmt.Errorf("cri-o %s does not say which containers-common it uses", version)
	}
	common, err := download(work, string(required[1]), string(required[2]))
	if err != nil {
		return nil, err
	}
	own := map[string]bool{"DefaultProfile": true, "validateSyscallIndex": true, "removeStringFromSlice": true}
	edits, err := transplantSource(
		filepath.Join(folder, "internal/config/seccomp/seccomp.go"),
		func(name string) bool { return own[name] },
		map[string]string{"runtime": "transplant/machine", "pkg/seccomp": "transplant/common"},
	)
	if err != nil {
		return nil, err
	}
	edits = withoutTypes(edits)
	if !bytes.Contains(edits, []byte("func DefaultProfile(")) {
		// Before 1.24 it took the profile as it is.
		edits = []byte("package profile\n\nimport \"transplant/common\"\n\n" +
			"func DefaultProfile() *seccomp.Seccomp { return seccomp.DefaultProfile() }\n")
	}
	base := map[string][]byte{}
	for _, file := range []string{"types.go", "default_linux.go"} {
		text, err := os.ReadFile(filepath.Join(common, "pkg/seccomp", file))
		if err != nil {
			return nil, err
		}
		base[file] = text
	}
	all := bytes.Join([][]byte{edits, base["types.go"], base["default_linux.go"]}, []byte("\x00"))
	return once(work, all, func(target string) (*ruleSet, error) {
		for path, text := range map[string][]byte{
			"profile/profile.go": edits, "common/types.go": base["types.go"], "common/default_linux.go": base["default_linux.go"],
		} {
			path = filepath.Join(target, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(path, text, 0o644); err != nil {
				return nil, err
			}
		}
		found, abis, defaultErrno := map[string]rulesByName{}, map[string][]string{}, ""
		for _, architecture := range sorted(nativeABI) {
			running, err := start(target, crioMain)
			if err != nil {
				return nil, err
			}
			a, err := running.ask(question{Architecture: architecture})
			if err != nil {
				return nil, err
			}
			if err := running.close(); err != nil {
				return nil, err
			}
			if defaultErrno, err = a.Profile.defaultErrno(); err != nil {
				return nil, err
			}
			rules := rulesByName{}
			for _, call := range plain(a.Profile) {
				rules.add(call.name, call.rule)
			}
			found[architecture] = rules
			for _, entry := range a.Profile.ArchMap {
				if architecture, exists := goArchitecture(nameOfABI(entry.Arch)); exists {
					abis[architecture] = append([]string{entry.Arch}, entry.SubArches...)
				}
			}
		}
		return merge(defaultErrno, found, abis)
	})
}

// docker keeps its profile as JSON; since 28.4 it lies in a module of its own, which the sources of
// the daemon that are served do not tell.
func docker(work, version string) (*ruleSet, error) {
	folder, err := download(work, "github.com/docker/docker", "v"+version+"+incompatible")
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(folder, "profiles/seccomp/default.json"))
	if os.IsNotExist(err) {
		return nil, errNotServed{"the profile of docker " + version}
	}
	if err != nil {
		return nil, err
	}
	var p profile
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, err
	}
	return p.set()
}
