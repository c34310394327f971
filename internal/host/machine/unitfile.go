package machine

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/plan"
)

// unitPath is where systemd looks for unit files and drop-ins: what comes
// first wins. See systemd.unit(5).
var unitPath = []string{
	"/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/generator.early",
	plan.UnitsDir, "/etc/systemd/system.attached", "/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late",
}

// IsUnitFile reports whether systemd reads a path as a unit's file or drop-in.
func IsUnitFile(path string) bool {
	return slices.ContainsFunc(unitPath, func(dir string) bool { return strings.HasPrefix(path, dir+"/") })
}

// byHand are those of the folders that people write to.
var byHand = []string{
	"/etc/systemd/system.control", "/run/systemd/system.control", plan.UnitsDir, "/run/systemd/system", "/usr/local/lib/systemd/system",
}

// IsByHand reports whether a file stands where people put files of one unit, and
// is for that one alone.
func IsByHand(unit, file string) bool {
	return slices.ContainsFunc(byHand, func(folder string) bool {
		return file == filepath.Join(folder, unit) || filepath.Dir(file) == filepath.Join(folder, unit+".d")
	})
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

// Settings are what a unit's files say of starting it: values by name. A name
// without values was said and taken back.
type Settings map[string][]string

// take adds what one more file says.
func (s Settings) take(content string) {
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

// Differing lists the settings in which two units differ.
func (s Settings) Differing(other Settings) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(starting)) {
		if !slices.Equal(s[name], other[name]) {
			names = append(names, name)
		}
	}
	return names
}

// UnitFiles are the files that make up a unit, as they stand: systemd reads
// them when it is told to, and at the next boot.
type UnitFiles struct {
	Own     string   // the one that relayctl or the package brings
	Main    string   // the one that counts; empty: there is none
	DropIns []string // in the order in which they count
}

// All are the files that count, in their order.
func (f UnitFiles) All() []string {
	if f.Main == "" {
		return f.DropIns
	}
	return append([]string{f.Main}, f.DropIns...)
}

// FindUnitFiles looks for the files of a unit. ours says that its file is one
// of relayctl's.
func (m *Machine) FindUnitFiles(name string, ours bool) UnitFiles {
	var files UnitFiles
	for _, dir := range unitPath {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(m.Path(path)); err != nil {
			continue
		}
		files.Main = cmp.Or(files.Main, path)
		if ours && dir == plan.UnitsDir || !ours && strings.HasSuffix(dir, "/lib/systemd/system") && dir != "/usr/local/lib/systemd/system" {
			files.Own = cmp.Or(files.Own, path)
		}
	}
	if ours && files.Own == "" {
		files.Main = "" // ours is still to come, and hides it
	}
	named := map[string]string{} // drop-ins by their own name: the first hides the others
	for _, dir := range unitPath {
		for _, of := range DropInFolders(name) {
			entries, _ := os.ReadDir(m.Path(filepath.Join(dir, of)))
			for _, entry := range entries {
				if strings.HasSuffix(entry.Name(), ".conf") && named[entry.Name()] == "" {
					named[entry.Name()] = filepath.Join(dir, of, entry.Name())
				}
			}
		}
	}
	for _, one := range slices.Sorted(maps.Keys(named)) {
		files.DropIns = append(files.DropIns, named[one])
	}
	return files
}

// DropInFolders are the names of the folders with drop-ins for a service, its
// own first: a-b.service.d, a-.service.d, service.d.
func DropInFolders(name string) []string {
	kind := filepath.Ext(name)
	stem, folders := strings.TrimSuffix(name, kind), []string{name + ".d"}
	for at := strings.LastIndex(stem, "-"); at > 0; at = strings.LastIndex(stem[:at], "-") {
		folders = append(folders, stem[:at+1]+kind+".d")
	}
	return append(folders, strings.TrimPrefix(kind, ".")+".d")
}

// maxUnitFile is the longest file of a unit, in bytes, that is read.
const maxUnitFile = 16 << 20

// Say reads what files say together. One that can't be read says nothing, as
// to systemd.
func (m *Machine) Say(paths ...string) Settings {
	all := Settings{}
	for _, path := range paths {
		content, _ := ReadLinked(m.Path(path), maxUnitFile)
		all.take(string(content))
	}
	return all
}

// HasPackagedFile reports whether a unit has a file beneath what masks it: the
// removal of a package masks its units, and its next installation lets them go.
func (m *Machine) HasPackagedFile(name string) bool {
	return slices.ContainsFunc([]string{"/usr/lib/systemd/system", "/lib/systemd/system"}, func(dir string) bool {
		_, err := os.Stat(m.Path(filepath.Join(dir, name)))
		return err == nil
	})
}
