package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// isLogin reports whether it is a person's account.
func (a Account) isLogin() bool {
	name := filepath.Base(a.Shell)
	return a.UID >= firstPerson && name != "nologin" && name != "false"
}

// accounts are the users and groups of the machine's own files. Users of a
// directory service are not looked up: what relayctl sets up uses none.
type accounts struct {
	users  map[string]Account
	groups map[string]int
}

func (h *Host) accounts() (*accounts, error) {
	passwd, err := readIfThere(h.path("/etc/passwd"))
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	group, err := readIfThere(h.path("/etc/group"))
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	return parseAccounts(string(passwd), string(group)), nil
}

// parseAccounts reads passwd(5) and group(5); lines that make no sense are
// passed over, as the C library does.
func parseAccounts(passwd, group string) *accounts {
	a := &accounts{users: map[string]Account{}, groups: map[string]int{}}
	for line := range strings.Lines(passwd) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) != 7 {
			continue
		}
		uid, uidErr := strconv.ParseUint(fields[2], 10, 32)
		gid, gidErr := strconv.ParseUint(fields[3], 10, 32)
		if _, twice := a.users[fields[0]]; twice || uidErr != nil || gidErr != nil || fields[0] == "" {
			continue
		}
		a.users[fields[0]] = Account{Name: fields[0], UID: int(uid), GID: int(gid), Home: fields[5], Shell: fields[6]}
	}
	for line := range strings.Lines(group) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) != 4 {
			continue
		}
		gid, err := strconv.ParseUint(fields[2], 10, 32)
		if _, twice := a.groups[fields[0]]; twice || err != nil || fields[0] == "" {
			continue
		}
		a.groups[fields[0]] = int(gid)
	}
	return a
}

// userName is the name of a user, or its number where it has none.
func (a *accounts) userName(uid int) string {
	name := ""
	for _, user := range a.users {
		if user.UID == uid && (name == "" || user.Name < name) {
			name = user.Name
		}
	}
	if name == "" {
		return strconv.Itoa(uid)
	}
	return name
}

func (a *accounts) groupName(gid int) string {
	name := ""
	for group, id := range a.groups {
		if id == gid && (name == "" || group < name) {
			name = group
		}
	}
	if name == "" {
		return strconv.Itoa(gid)
	}
	return name
}

// owner finds the numbers of a user and a group.
func (a *accounts) owner(user, group string) (uid, gid int, err error) {
	account, ok := a.users[user]
	if !ok {
		return 0, 0, fmt.Errorf("no user %q", user)
	}
	gid, ok = a.groups[group]
	if !ok {
		return 0, 0, fmt.Errorf("no group %q", group)
	}
	return account.UID, gid, nil
}

// readIfThere reads a file; one that does not exist is empty.
func readIfThere(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}
