package host

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unitPath is where systemd looks for unit files and drop-ins: what comes
// first wins. See systemd.unit(5).
var unitPath = []string{
	"/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/generator.early",
	unitsDir, "/etc/systemd/system.attached", "/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late",
}

// byHand are those of the folders that people write to.
var byHand = []string{
	"/etc/systemd/system.control", "/run/systemd/system.control", unitsDir, "/run/systemd/system", "/usr/local/lib/systemd/system",
}

// starting are the settings that decide what a unit starts, as whom, and which
// files that finds. A later value of those that are true takes the place of an
// earlier one; of the others an empty value takes away all before it. What
// limits a unit or shuts it in is its owner's business.
var starting = map[string]bool{
	"ExecCondition": false, "ExecStartPre": false, "ExecStart": false, "ExecStartPost": false, "ExecReload": false, "ExecSearchPath": false,
	"User": true, "Group": true, "DynamicUser": true, "SupplementaryGroups": false,
	"Environment": false, "EnvironmentFile": false, "PassEnvironment": false, "UnsetEnvironment": false,
	"WorkingDirectory": true, "RootDirectory": true, "RootImage": true, "MountImages": false, "ExtensionImages": false,
	"ExtensionDirectories": false, "BindPaths": false, "BindReadOnlyPaths": false, "TemporaryFileSystem": false,
	"LoadCredential": false, "LoadCredentialEncrypted": false, "SetCredential": false, "SetCredentialEncrypted": false, "ImportCredential": false,
}

// tuning are variables that change neither what a program reads nor what it does
// with it; those that name a proxy on the way out are of them, too.
var tuning = []string{"LOG_LEVEL", "LOG_FORMAT", "TZ", "LANG", "GOMAXPROCS", "GOMEMLIMIT", "GOGC"}

// isTuning reports whether an assignment is of such a variable.
func isTuning(assignment string) bool {
	name, _, _ := strings.Cut(strings.TrimLeft(assignment, `"'`), "=")
	return slices.Contains(tuning, name) || strings.HasSuffix(strings.ToUpper(name), "_PROXY")
}

// settings are what a unit's files say of starting it: values by name. A name
// without values was said and taken back.
type settings map[string][]string

// take adds what one more file says.
func (s settings) take(content string) {
	section := ""
	for line := range strings.Lines(unfolded(content)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.Join(strings.Fields(value), " ")
		replaces, counts := starting[name]
		told := value
		if name == "Environment" {
			told = strings.Join(slices.DeleteFunc(strings.Fields(value), isTuning), " ")
		}
		switch {
		case section != "[Service]" || !ok || !counts, told == "" && value != "":
		case value == "":
			s[name] = nil
		case replaces:
			s[name] = []string{value}
		default:
			s[name] = append(s[name], told)
		}
	}
}

// unfolded is a unit file with a line per setting and without comments, which
// may stand between the parts of a setting.
func unfolded(content string) string {
	var whole strings.Builder
	for line := range strings.Lines(content) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		if part, more := strings.CutSuffix(line, `\`); more {
			whole.WriteString(part + " ")
			continue
		}
		whole.WriteString(line + "\n")
	}
	return whole.String()
}

// differing lists the settings in which two units differ.
func (s settings) differing(other settings) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(starting)) {
		if !slices.Equal(s[name], other[name]) {
			names = append(names, name)
		}
	}
	return names
}

// unitFiles are the files that make up a unit, as they stand: systemd reads
// them when it is told to, and at the next boot.
type unitFiles struct {
	own     string   // the one that relayctl or the package brings
	main    string   // the one that counts; empty: there is none
	dropIns []string // in the order in which they count
}

// all are the files that count, in their order.
func (f unitFiles) all() []string {
	if f.main == "" {
		return f.dropIns
	}
	return append([]string{f.main}, f.dropIns...)
}

// findUnitFiles looks for the files of a unit. ours says that its file is one
// of relayctl's.
func (h *Host) findUnitFiles(name string, ours bool) unitFiles {
	var files unitFiles
	for _, dir := range unitPath {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(h.path(path)); err != nil {
			continue
		}
		files.main = cmp.Or(files.main, path)
		if ours && dir == unitsDir || !ours && strings.HasSuffix(dir, "/lib/systemd/system") && dir != "/usr/local/lib/systemd/system" {
			files.own = cmp.Or(files.own, path)
		}
	}
	if ours && files.own == "" {
		files.main = "" // ours is still to come, and hides it
	}
	named := map[string]string{} // drop-ins by their own name: the first hides the others
	for _, dir := range unitPath {
		for _, of := range dropInFolders(name) {
			entries, _ := os.ReadDir(h.path(filepath.Join(dir, of)))
			for _, entry := range entries {
				if strings.HasSuffix(entry.Name(), ".conf") && named[entry.Name()] == "" {
					named[entry.Name()] = filepath.Join(dir, of, entry.Name())
				}
			}
		}
	}
	for _, one := range slices.Sorted(maps.Keys(named)) {
		files.dropIns = append(files.dropIns, named[one])
	}
	return files
}

// dropInFolders are the names of the folders with drop-ins for a service, its
// own first: a-b.service.d, a-.service.d, service.d.
func dropInFolders(name string) []string {
	kind := filepath.Ext(name)
	stem, folders := strings.TrimSuffix(name, kind), []string{name + ".d"}
	for at := strings.LastIndex(stem, "-"); at > 0; at = strings.LastIndex(stem[:at], "-") {
		folders = append(folders, stem[:at+1]+kind+".d")
	}
	return append(folders, strings.TrimPrefix(kind, ".")+".d")
}

// maxUnitFile is the longest file of a unit, in bytes, that is read.
const maxUnitFile = 16 << 20

// say reads what files say together. One that can't be read says nothing, as
// to systemd.
func (h *Host) say(paths ...string) settings {
	all := settings{}
	for _, path := range paths {
		content, _ := readLinked(h.path(path), maxUnitFile)
		all.take(string(content))
	}
	return all
}
