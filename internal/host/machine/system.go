package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
)

// Describe says what the machine is. A file that is missing leaves its field
// empty: the greeting must go out on any system.
func (m *Machine) Describe() (plan.Machine, error) {
	release, err := ReadIfThere(m.Path("/etc/os-release"))
	if err != nil {
		return plan.Machine{}, fmt.Errorf("read os-release: %w", err)
	}
	fields := parseOSRelease(string(release))
	is := plan.Machine{
		System:  fields["ID"],
		Version: fields["VERSION_ID"],
		Pretty:  prettySystem(fields),
		Arch:    runtime.GOARCH,
		Clock:   time.Now().UTC().Format(time.RFC3339),
	}
	for path, field := range map[string]*string{
		"/etc/machine-id":                 &is.MachineID,
		"/proc/sys/kernel/random/boot_id": &is.BootID,
		"/proc/sys/kernel/hostname":       &is.Hostname,
	} {
		content, err := ReadIfThere(m.Path(path))
		if err != nil {
			return plan.Machine{}, fmt.Errorf("read %s: %w", path, err)
		}
		*field = strings.TrimSpace(string(content))
	}
	if is.Init, err = m.otherInit(); err != nil {
		return plan.Machine{}, err
	}
	if is.Hostname == "" {
		is.Hostname, _ = os.Hostname() // for people only: empty does no harm
	}
	return is, nil
}

// otherInit names what runs as pid 1 where systemd does not, as in most
// containers; the folder is what sd_booted(3) looks for.
func (m *Machine) otherInit() (string, error) {
	_, err := os.Stat(m.Path("/run/systemd/system"))
	if err == nil {
		return "", nil
	}
	if !Gone(err) {
		return "", fmt.Errorf("look for systemd: %w", err)
	}
	name, err := ReadIfThere(m.Path("/proc/1/comm"))
	if err != nil {
		return "", fmt.Errorf("look at pid 1: %w", err)
	}
	if text := strings.TrimSpace(string(name)); text != "" && text != "systemd" {
		return text, nil
	}
	return "something else", nil
}

// prettySystem names a system shortly: Debian 12, Ubuntu 24.04.
func prettySystem(fields map[string]string) string {
	switch {
	case fields["ID"] == "debian" && fields["VERSION_ID"] != "":
		return "Debian " + fields["VERSION_ID"]
	case fields["ID"] == "ubuntu" && fields["VERSION_ID"] != "":
		return "Ubuntu " + fields["VERSION_ID"]
	case fields["PRETTY_NAME"] != "":
		return fields["PRETTY_NAME"]
	case fields["ID"] != "":
		return strings.TrimSpace(fields["ID"] + " " + fields["VERSION_ID"])
	}
	return "a system without os-release"
}

// parseOSRelease reads os-release(5): NAME=value lines, the value in shell
// quotes where needed.
func parseOSRelease(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		fields[name] = unquoteShell(value)
	}
	return fields
}

// unquoteShell takes the shell quotes off one word. In double quotes and
// outside, a backslash takes the next character as it is.
func unquoteShell(word string) string {
	if len(word) >= 2 && word[0] == '\'' && word[len(word)-1] == '\'' {
		return word[1 : len(word)-1]
	}
	if len(word) >= 2 && word[0] == '"' && word[len(word)-1] == '"' {
		word = word[1 : len(word)-1]
	}
	var plain strings.Builder
	for i := 0; i < len(word); i++ {
		if word[i] == '\\' && i+1 < len(word) {
			i++
		}
		plain.WriteByte(word[i])
	}
	return plain.String()
}
