package remote

import (
	"context"

	"github.com/relayctl/relayctl/internal/secret"
)

// Question is something that only the operator knows.
type Question struct {
	For     Purpose
	Hosts   []string // who needs it: the targets' names
	User    string   // of a password: whose it is
	Address string   // of what is asked at a log-in: host:port, which may be a hop's
	File    string   // of a passphrase: the key's
	Said    string   // of a challenge: what the server asks
	Echo    bool     // the answer may be seen
}

// Purpose is what an answer is good for.
type Purpose string

// The purposes of questions.
const (
	Passphrase  Purpose = "passphrase"    // opens an encrypted key
	Password    Purpose = "password"      // logs in
	Challenge   Purpose = "challenge"     // answers what a server asks at the log-in
	SudoAnswers Purpose = "sudo password" // makes root
)

// Ask asks the operator. It may be called from several goroutines, and asks
// one question at a time. The error says why there is no answer.
type Ask func(context.Context, Question) (secret.Value, error)
