package kind

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// A unit that is enabled and runs may still run something else than its own
// file says: by a drop-in, or by a file of its name that comes before its own.

// overrides lists the files of others by which a unit starts or reads something
// else than its own file says.
func (u units) overrides(ctx context.Context, look *Look, resource plan.Resource, state machine.UnitState) []plan.Override {
	if resource.Unit == nil || state.Masked() {
		return nil
	}
	files := u.FindUnitFiles(resource.Name, bringsOwnFile(resource))
	own, whole := u.Say(files.Own), u.Say(files.All()...)
	var list []plan.Override
	for _, file := range files.All() {
		if does := u.differsBy(file, files, own, own.Differing(whole)); len(does) > 0 {
			list = append(list, plan.Override{
				Path: file, Says: overrideWords(resource.Name, does, whole), Instead: leavingOut(resource.Name, file),
			})
		}
	}
	beside := u.lifecycles.ofUnit(resource.Unit).overrides(ctx, look, started{resource.Name, state, files.Own, own, whole})
	return append(list, beside...)
}

// bringsOwnFile reports whether relayctl brings the file of a unit.
func bringsOwnFile(resource plan.Resource) bool {
	return slices.Contains(resource.Unit.Restart, plan.ID{Kind: plan.KindFile, Name: filepath.Join(plan.UnitsDir, resource.Name)})
}

// differsBy is which of the differences between a unit's own file and all its
// files come from one of these: what it sets or takes back, and, where it stands
// in the place of the own one, what it leaves out.
func (u units) differsBy(file string, files machine.UnitFiles, own machine.Settings, differ []string) []string {
	if file == files.Own {
		return nil
	}
	says := u.Say(file)
	return slices.DeleteFunc(slices.Clone(differ), func(name string) bool {
		_, said := says[name]
		return !said && !(file == files.Main && len(own[name]) > 0)
	})
}

// overrideWords says what a file does to a unit. Values may be secret: of a
// command, only flags and paths are told.
func overrideWords(unit string, differ []string, whole machine.Settings) string {
	unit = strings.TrimSuffix(unit, ".service")
	if !slices.Contains(differ, "ExecStart") {
		return fmt.Sprintf("it changes %s of unit %s", strings.Join(differ, ", "), unit)
	}
	says := fmt.Sprintf("by it unit %s starts %s", unit, commandWords(whole["ExecStart"]))
	rest := slices.DeleteFunc(slices.Clone(differ), func(name string) bool { return name == "ExecStart" || name == "ExecReload" })
	if len(rest) > 0 {
		says += ", and it changes " + strings.Join(rest, ", ")
	}
	return says
}

// commandWords tells the program of the last of some commands, its flags and
// the paths that it is given.
func commandWords(commands []string) string {
	if len(commands) == 0 {
		return "nothing"
	}
	words := strings.Fields(commands[len(commands)-1])
	told := []string{path.Base(words[0])}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch {
		case strings.HasPrefix(word, "-") && strings.HasPrefix(value, "/"), strings.HasPrefix(word, "/"):
			told = append(told, word)
		case strings.HasPrefix(word, "-"):
			told = append(told, name)
		}
	}
	return strings.Join(told, " ")
}

// leavingOut says how a unit is left out of a file that is not to be moved: it
// is for other units as well, or comes from a package or a generator. Empty: it
// can be moved.
func leavingOut(unit, file string) string {
	if machine.IsByHand(unit, file) {
		return ""
	}
	name := filepath.Base(file)
	if name == unit {
		return "a generator or a program makes it: it has to be taken out of that"
	}
	folder := filepath.Join(plan.UnitsDir, unit+".d")
	return fmt.Sprintf("not for %s alone, or of a package; to leave that out, on the host: "+
		"mkdir -p %s && ln -s /dev/null %s && systemctl daemon-reload", strings.TrimSuffix(unit, ".service"), folder, filepath.Join(folder, name))
}

// startedOtherwise is a unit's own file where the main process was started by
// another command or as another user than that says: by a drop-in, say, that is
// gone again. A start that relay-host saw through is believed, and commands that
// systemd rewrites are not compared.
func (u units) startedOtherwise(look *Look, resource plan.Resource, state machine.UnitState) ([]plan.ID, error) {
	if state.MainPID == 0 || look.Journal.LoadedBy(resource.Name).Invocation == state.Invocation {
		return nil, nil
	}
	own := u.FindUnitFiles(resource.Name, bringsOwnFile(resource)).Own
	says, process := u.Say(own), filepath.Join("/proc", strconv.Itoa(state.MainPID))
	command, err := os.ReadFile(u.Path(filepath.Join(process, "cmdline")))
	if err != nil || len(command) == 0 || len(says["ExecStart"]) != 1 {
		return nil, nil // it ended a moment ago, or nobody can say
	}
	present := says["ExecStart"][0]
	started := strings.Split(strings.TrimSuffix(string(command), "\x00"), "\x00")
	comparable := strings.HasPrefix(present, "/") && !strings.ContainsAny(present, `"'\$%;`)
	another, err := u.runsAsAnother(look, says["User"], process)
	if err != nil || !another && !(comparable && !slices.Equal(started, strings.Fields(present))) {
		return nil, err
	}
	return []plan.ID{{Kind: plan.KindFile, Name: own}}, nil
}

// runsAsAnother compares the user of a process with the one that a unit names.
func (u units) runsAsAnother(look *Look, names []string, process string) (bool, error) {
	status, err := os.ReadFile(u.Path(filepath.Join(process, "status")))
	if err != nil || len(names) != 1 {
		return false, nil
	}
	accounts, err := look.accounts()
	if err != nil {
		return false, err
	}
	account, known := accounts.Users[names[0]]
	_, ids, found := strings.Cut(string(status), "\nUid:")
	fields := strings.Fields(ids)
	if !known || !found || len(fields) == 0 {
		return false, nil
	}
	return fields[0] != strconv.Itoa(account.UID), nil
}
