package cli

import (
	"fmt"
	"net"
	"strings"

	"github.com/relayctl/relayctl/internal/engine"
)

// question is a question as the user reads it.
type question struct {
	before string // lines above the prompt
	prompt string // the answer is typed behind it
	hidden bool   // what is typed is not shown
}

// whole is all of it, for a program that asks it.
func (q question) whole() string { return q.before + q.prompt }

// worded words a question.
func (a *app) worded(q engine.Question) question {
	text, of := question{hidden: !q.Echo}, ""
	if q.User != "" {
		of = " of " + q.User
	}
	switch q.For {
	case engine.Passphrase:
		text.prompt = "Passphrase of " + a.homely(q.File)
	case engine.Password:
		text.prompt = "Password" + of + " at " + atLogin(q)
	case engine.SudoAnswers:
		text.prompt = "Password" + of + " for sudo on " + someOf(q.Hosts)
		if len(q.Hosts) > 1 {
			text.before = a.view.flow(0, 0, "This password is tried once on each host; Enter alone asks for each by itself.")
		}
	default:
		return a.said(q)
	}
	text.prompt = a.view.clean(text.prompt) + ": "
	return text
}

// atLogin names where a log-in is at: one host, or one that several are behind.
func atLogin(q engine.Question) string {
	if len(q.Hosts) > 1 {
		return fmt.Sprintf("%s (for %s)", q.Address, someOf(q.Hosts))
	}
	return fmt.Sprintf("%s (%s)", someOf(q.Hosts), q.Address)
}

// What a server asks is shown as far as it fits a terminal: its end, where the
// question is.
const maxSaidLines, maxSaid = 20, 4 << 10

// said words what a server asks, so that it can't pass for what relayctl asks:
// indented, below who asks it.
func (a *app) said(q engine.Question) question {
	text := question{hidden: !q.Echo, prompt: "  Answer: "}
	text.before = a.view.flow(0, 0, strings.TrimSuffix(atLogin(q)+" asks "+q.User, " ")+":")
	said := strings.TrimSpace(q.Said[max(0, len(q.Said)-maxSaid):])
	if said == "" {
		return text
	}
	lines := strings.Split(said, "\n")
	for i, line := range lines {
		lines[i] = "  " + a.view.fit(a.view.clean(strings.TrimRight(line, " \t\r")), max(1, a.view.width-4))
	}
	last := len(lines) - 1
	for _, line := range lines[max(0, last-maxSaidLines):last] {
		text.before += strings.TrimRight(line, " ") + "\n"
	}
	text.prompt = lines[last] + " "
	return text
}

// mayBeEmpty reports whether Enter alone is an answer: some servers ask for no
// more, and who is asked for one password of several hosts may decline.
func mayBeEmpty(q engine.Question) bool {
	return q.For == engine.Challenge || q.For == engine.SudoAnswers && len(q.Hosts) > 1
}

// wanted names what a question is about.
func (a *app) wanted(q engine.Question) string {
	switch q.For {
	case engine.Passphrase:
		return "the passphrase of " + a.homely(q.File)
	case engine.Password:
		return "the password"
	case engine.SudoAnswers:
		return "the password for sudo"
	}
	said := strings.TrimSpace(q.Said[max(0, len(q.Said)-maxSaid):])
	return fmt.Sprintf("an answer to %q", a.view.fit(said[strings.LastIndexByte(said, '\n')+1:], 60))
}

// adviceFor says how to do without a question.
func (a *app) adviceFor(q engine.Question) string {
	switch q.For {
	case engine.Passphrase:
		add := "ssh-add " + shellPath(q.File)
		if shellPath(q.File) == q.File { // else its quotes keep the shell from knowing "~/"
			add = "ssh-add " + a.homely(q.File)
		}
		if a.env("SSH_AUTH_SOCK") == "" {
			add = `eval "$(ssh-agent)" && ` + add
		}
		return "The ssh agent is asked first: hand it the key.\n  " + add
	case engine.Password:
		return "A key needs no password. This brings yours to the host:\n  " + copyKey(q)
	case engine.SudoAnswers:
		return "Name a file that holds it with --sudo-password-file, or set RELAYCTL_SUDO_PASSWORD."
	}
	return "Run this on a terminal, or have the host's sshd ask for nothing beside a key (AuthenticationMethods)."
}

// copyKey is the command that lets a key in where a password is asked for.
func copyKey(q engine.Question) string {
	host, port, err := net.SplitHostPort(q.Address)
	if err != nil {
		host, port = q.Address, "22"
	}
	words := []string{"ssh-copy-id"}
	if port != "22" {
		words = append(words, "-p", port)
	}
	if q.User != "" {
		host = q.User + "@" + host
	}
	return strings.Join(append(words, shellWord(host)), " ")
}

// homely shortens the path of a file in the user's home.
func (s System) homely(path string) string {
	if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(s.Home, "/")+"/"); ok && s.Home != "" {
		return "~/" + rest
	}
	return path
}
