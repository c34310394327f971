package machine

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Account is a user of the machine.
type Account struct {
	Name     string
	UID, GID int
	Home     string
	Shell    string
}

// firstPerson is where the numbers of people's accounts begin, as login.defs(5)
// has it on all systems that are supported.
const firstPerson = 1000

// IsLogin reports whether it is a person's account.
func (a Account) IsLogin() bool {
	name := filepath.Base(a.Shell)
	return a.UID >= firstPerson && name != "nologin" && name != "false"
}

// Accounts are the users and groups of the machine's own files. Users of a
// directory service are not looked up: what relayctl sets up uses none.
type Accounts struct {
	Users  map[string]Account
	Groups map[string]int
}

// Accounts reads the machine's users and groups.
func (m *Machine) Accounts() (*Accounts, error) {
	passwd, err := ReadIfThere(m.Path("/etc/passwd"))
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	group, err := ReadIfThere(m.Path("/etc/group"))
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	return parseAccounts(string(passwd), string(group)), nil
}

// parseAccounts reads passwd(5) and group(5); lines that make no sense are
// passed over, as the C library does.
func parseAccounts(passwd, group string) *Accounts {
	a := &Accounts{Users: map[string]Account{}, Groups: map[string]int{}}
	for line := range strings.Lines(passwd) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) != 7 {
			continue
		}
		uid, uidErr := strconv.ParseUint(fields[2], 10, 32)
		gid, gidErr := strconv.ParseUint(fields[3], 10, 32)
		if _, twice := a.Users[fields[0]]; twice || uidErr != nil || gidErr != nil || fields[0] == "" {
			continue
		}
		a.Users[fields[0]] = Account{Name: fields[0], UID: int(uid), GID: int(gid), Home: fields[5], Shell: fields[6]}
	}
	for line := range strings.Lines(group) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) != 4 {
			continue
		}
		gid, err := strconv.ParseUint(fields[2], 10, 32)
		if _, twice := a.Groups[fields[0]]; twice || err != nil || fields[0] == "" {
			continue
		}
		a.Groups[fields[0]] = int(gid)
	}
	return a
}

// UserName is the name of a user, or its number where it has none.
func (a *Accounts) UserName(uid int) string {
	name := ""
	for _, user := range a.Users {
		if user.UID == uid && (name == "" || user.Name < name) {
			name = user.Name
		}
	}
	if name == "" {
		return strconv.Itoa(uid)
	}
	return name
}

// GroupName is the name of a group, or its number where it has none.
func (a *Accounts) GroupName(gid int) string {
	name := ""
	for group, id := range a.Groups {
		if id == gid && (name == "" || group < name) {
			name = group
		}
	}
	if name == "" {
		return strconv.Itoa(gid)
	}
	return name
}

// Owner finds the numbers of a user and a group.
func (a *Accounts) Owner(user, group string) (uid, gid int, err error) {
	account, ok := a.Users[user]
	if !ok {
		return 0, 0, fmt.Errorf("no user %q", user)
	}
	gid, ok = a.Groups[group]
	if !ok {
		return 0, 0, fmt.Errorf("no group %q", group)
	}
	return account.UID, gid, nil
}
