package sshconfig

// Read is for where there is no ssh to ask. Home is the operator's, and user
// the operator's name on this machine.
func Read(home, user string, q Query) (Config, error) {
	c := Config{values: map[string][]string{
		"userknownhostsfile":   {"~/.ssh/known_hosts ~/.ssh/known_hosts2"},
		"globalknownhostsfile": {"/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"},
	}}
	for _, name := range Identities {
		c.values["identityfile"] = append(c.values["identityfile"], "~/.ssh/"+name)
	}
	return c, nil
}

// NotFollowed names what is set, matters for which host is reached and how, and
// relayctl does not do; each a phrase for people.
func (c Config) NotFollowed() []string { return c.unread }
