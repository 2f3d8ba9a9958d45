package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// errNotServed says that no proxy has this version.
type errNotServed struct{ version string }

func (e errNotServed) Error() string { return e.version + " is not served" }

// download gives the folder of a module at a version.
func download(work, module, version string) (string, error) {
	command := exec.Command("go", "mod", "download", "-json", module+"@"+version)
	command.Dir = work
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod -modcacherw", "GOMODCACHE="+work+"/modules", "GOWORK=off")
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	failed := command.Run()
	var answer struct{ Dir, Error string }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return "", fmt.Errorf("failed to download %s@%s: %w: %s", module, version, failed, complaints.String())
	}
	if answer.Error != "" {
		if strings.Contains(answer.Error, "403 Forbidden") || strings.Contains(answer.Error, "404 Not Found") ||
			strings.Contains(answer.Error, "unknown revision") || strings.Contains(answer.Error, "invalid version") {
			return "", errNotServed{module + "@" + version}
		}
		return "", fmt.Errorf("failed to download %s@%s: %s", module, version, answer.Error)
	}
	return answer.Dir, nil
}

// served lists the versions that the proxy lists.
func served(work, module string) []string {
	command := exec.Command("go", "list", "-m", "-versions", "-json", module)
	command.Dir = work
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := command.Output()
	if err != nil {
		// Some proxies do not list what they serve.
		return nil
	}
	var answer struct{ Versions []string }
	if json.Unmarshal(out, &answer) != nil {
		return nil
	}
	versions := []string{}
	for _, version := range answer.Versions {
		version = strings.TrimSuffix(strings.TrimPrefix(version, "v"), "+incompatible")
		if !strings.Contains(version, "-") {
			versions = append(versions, version)
		}
	}
	return versions
}
