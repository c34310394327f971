package sshconfig

import "strings"

// Matches reports whether a text is as one of some patterns says, and as none of
// those after a "!": as ssh's configuration and known_hosts name hosts.
func Matches(patterns []string, text string) bool {
	found := false
	for _, pattern := range patterns {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if matchesPattern(pattern, text) {
			if negated {
				return false
			}
			found = true
		}
	}
	return found
}

// matchesPattern reports whether text is as pattern says, where "?" stands for
// any character and "*" for any text. It goes back to the last "*" only, so a
// pattern can't make it slow.
func matchesPattern(pattern, text string) bool {
	p, t, star, resume := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
