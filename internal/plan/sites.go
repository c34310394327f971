package plan

import (
	"net/url"
	"slices"
	"strings"
)

// outOfService says what stops being served when a server's file of somebody
// else is replaced by one that serves a single site.
func outOfService(want Resource, fact Fact) []string {
	switch {
	case want.Site == "":
		return nil
	case fact.Content == nil: // nobody has read it
		return []string{"takes out of service whatever else it serves"}
	}
	notes := takesOut(fact.Serves, want.Site)
	if len(fact.Imports) > 0 {
		notes = append(notes, "and the sites of what it imports, which stays: "+Sentence(fact.Imports))
	}
	return notes
}

// takesOut says which sites stop being served where only one is from now on.
func takesOut(sites []string, but string) []string {
	sites = slices.DeleteFunc(slices.Clone(sites), func(address string) bool { return isSite(address, but) })
	if len(sites) == 0 {
		return nil
	}
	return []string{"takes out of service: " + Sentence(sites)}
}

// isSite reports whether an address of a site is the one that the stack
// serves, on the ports that it serves it on.
func isSite(address, site string) bool {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Path != "" {
		return false
	}
	return strings.EqualFold(parsed.Hostname(), strings.Trim(site, "[]")) &&
		slices.Contains([]string{"", "80", "443"}, parsed.Port())
}
