// Package sshconfig knows what ssh's configuration says about one host: from
// "ssh -G" where that program is, else from the files.
package sshconfig

import "strings"

// Query is a host as on ssh's command line.
type Query struct {
	Address string // as the operator names it; an alias of the configuration too
	User    string // "" leaves it to the configuration
	Port    int    // 0 leaves it to the configuration
	Direct  bool   // by what hops it is reached does not matter
}

// Config is what the configuration says about one host, as "ssh -G" prints it:
// lower-case keywords, defaults filled in, times in seconds, files of a list in
// one value with spaces between. Tokens and "~/" are left in paths; in a few of
// them ssh has replaced both already. What is on or off is "yes" or "no", which
// some keywords are "true" and "false" to ssh.
type Config struct {
	values map[string][]string
	unread []string // what Read found and can't read
}

// All is every value of a lower-case keyword, in order.
func (c Config) All(keyword string) []string { return c.values[keyword] }

// First is the first value of a lower-case keyword, or otherwise where there is none.
func (c Config) First(keyword, otherwise string) string {
	if values := c.values[keyword]; len(values) > 0 && values[0] != "" {
		return values[0]
	}
	return otherwise
}

// List are the values that stand behind one lower-case keyword, separated by
// commas; empty where it is not set.
func (c Config) List(keyword string) []string {
	return strings.FieldsFunc(c.First(keyword, ""), func(r rune) bool { return r == ',' })
}
