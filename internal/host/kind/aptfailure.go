package kind

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
)

// Why apt failed is looked at where it can be: how full the file systems are,
// which packages dpkg has by half, what is held. Only what can't be seen then
// is taken from what apt said, in the functions at the end of this file.

// whyNotInstalled says why a package could not be installed, where another try
// would end in the same way. isThere reports that it is installed after all,
// and that apt failed at something else.
func (p packages) whyNotInstalled(ctx context.Context, step *Step, name string, failed *machine.CommandError) (isThere bool, why error) {
	status, err := p.Dpkg(ctx)
	if err != nil {
		return false, err
	}
	doing := "install package " + name
	if _, isThere := status.Versions[name]; isThere {
		step.tell(hostapi.Progress{What: name + " is installed, but apt failed at something else: " + p.aptFailure(status, failed).Message})
		return true, nil
	}
	if told := p.machineSays(status, failed); told != nil {
		told.Message = doing + ": " + told.Message
		return false, told
	}
	if p.IsHeld(ctx, name) {
		return false, &hostapi.Error{
			Code: hostapi.CodeStep, Message: doing + ": it is held, so that nobody installs it by mistake",
			Hint: "If it may be installed, on the host:\n  apt-mark unhold " + name,
		}
	}
	return false, nil
}

// aptError is the failure of a run of apt or dpkg as it travels.
func (p packages) aptError(ctx context.Context, doing string, failed *machine.CommandError) error {
	status, err := p.Dpkg(ctx)
	if err != nil {
		return err
	}
	told := p.aptFailure(status, failed)
	told.Message = doing + ": " + told.Message
	return told
}

func (p packages) aptFailure(status *machine.DpkgStatus, failed *machine.CommandError) *hostapi.Error {
	if told := p.machineSays(status, failed); told != nil {
		return told
	}
	return aptSays(failed, p.WebProxy())
}

// machineSays is why apt failed, as far as it shows on the machine; nil: it
// does not.
func (p packages) machineSays(status *machine.DpkgStatus, failed *machine.CommandError) *hostapi.Error {
	told := &hostapi.Error{Code: hostapi.CodeStep, Log: aptLog(failed)}
	if system, isFull := p.FullForPackages(); isFull {
		told.Message = fmt.Sprintf("no space left on the file system %s: %s", system.Mount, system.Room())
		told.Hint = "Make room there. What it holds, on the host:\n  du -xh --max-depth=2 " + system.Mount + " | sort -h | tail"
		return told
	}
	half := describeHalf(status)
	if len(half) == 0 {
		return nil
	}
	told.Message = "dpkg has " + strings.Join(half, ", ")
	told.Hint = "Mend what it says above. To try it on the host, the latter where packages are missing:\n" +
		"  dpkg --configure -a\n  apt-get --fix-broken install"
	return told
}

// describeHalf lists the packages that dpkg has by half.
func describeHalf(status *machine.DpkgStatus) []string {
	var list []string
	for _, name := range status.HalfNames() {
		list = append(list, name+" "+status.Half[name])
	}
	return list
}

// aptSays is why apt failed in its own words, with what it knew of a web proxy.
func aptSays(failed *machine.CommandError, proxy machine.WebProxy) *hostapi.Error {
	told := &hostapi.Error{Code: hostapi.CodeStep, Log: aptLog(failed)}
	if from, why := unfetched(failed); from != "" {
		told.Message = fmt.Sprintf("apt can't fetch from %s: %s", from, why)
		told.Log = nil
		told.Hint = unfetchedHint(from, proxy)
		return told
	}
	told.Message = fmt.Sprintf("%s ended with exit code %d", failed.Name, failed.ExitCode)
	for i, line := range failed.Stderr {
		if strings.HasPrefix(line, "dpkg: error processing ") && i+1 < len(failed.Stderr) {
			told.Message = failed.Stderr[i+1]
			break
		}
		if message, ok := strings.CutPrefix(line, "E: "); ok {
			told.Message = message
			if strings.Contains(message, "remove is disabled") {
				told.Hint = "Other packages would have to go for it, which no plan says. To see which, on the host:\n  apt-get --simulate install, with its name"
			}
			break
		}
	}
	return told
}

// unfetchedHint says how to see what apt saw. By hand it has the environment of
// a login, and may well do what it could not do here.
func unfetchedHint(from string, proxy machine.WebProxy) string {
	names := strings.Join(proxy.Names(), ", ")
	if proxy.LeadsApt() {
		return "It was asked through a web proxy, by " + names + " in " + machine.EnvironmentFile + ". To try the same on the host:\n" +
			"  env -i sh -ac '. " + machine.EnvironmentFile + "; apt-get update'"
	}
	hint := "A web proxy is known from apt's own settings and from " + machine.EnvironmentFile + " alone, not from a shell's profile, pam_env.conf or systemd. "
	if names != "" {
		hint += "Of it apt heeds http_proxy and https_proxy, not " + names + ". "
	}
	return hint + "Can the host find that name and reach it without one? To try the same on the host:\n" +
		"  getent hosts " + from + "\n  env -i apt-get update"
}

// unfetched is the first host that apt could not fetch from, and why. Its lines
// are "E: Failed to fetch URL  WHY", or, where it updates lists, "Err:1 URL …"
// and WHY.
func unfetched(failed *machine.CommandError) (from, why string) {
	lines := slices.Concat(failed.Stderr, failed.Stdout, []string{""})
	for i, line := range lines[:len(lines)-1] {
		rest, ok := strings.CutPrefix(line, "E: Failed to fetch ")
		address, why, _ := strings.Cut(rest, " ")
		if number, listed, isError := strings.Cut(line, " "); !ok && isError && strings.HasPrefix(number, "Err:") {
			address, _, ok = strings.Cut(listed, " ")
			why = lines[i+1]
		}
		if parsed, err := url.Parse(address); ok && err == nil && parsed.Hostname() != "" {
			return parsed.Hostname(), strings.Join(strings.Fields(why), " ")
		}
	}
	return "", ""
}

// chatter begins lines that say nothing of why apt failed.
var chatter = [...]string{
	"Reading ", "Building dependency tree", "(Reading database", "Need to get ", "After this operation,",
	"Preparing to unpack ", "Unpacking ", "Selecting previously ", "Get:", "Hit:", "Ign:", "Err:", "Fetched ",
	"Errors were encountered while processing:", "E: Sub-process /usr/bin/dpkg returned an error code",
	"The following NEW packages will be installed:", "The following additional packages will be installed:",
}

// aptLog is what is worth reading of what apt and dpkg said.
func aptLog(failed *machine.CommandError) []string {
	var log []string
	for _, line := range slices.Concat(failed.Stdout, failed.Stderr) {
		isChatter := slices.ContainsFunc(chatter[:], func(begin string) bool { return strings.HasPrefix(line, begin) })
		isName := !strings.Contains(line, " ") // of a package, in a list
		if !isChatter && !isName && !strings.Contains(line, " upgraded, ") {
			log = append(log, line)
		}
	}
	return machine.Tail(log)
}
