package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/relayctl/relayctl/internal/secret"
)

const sudoPasswordVariable = "RELAYCTL_SUDO_PASSWORD"

var (
	errPasswordEmpty    = errors.New("there is no password in it: its first line is empty")
	errPasswordLong     = errors.New("its first line is too long for a password")
	errPasswordReadable = errors.New("others may read this file")
	errPasswordNoFile   = errors.New("a password is read from a file or a pipe only")
	errPasswordLines    = errors.New(sudoPasswordVariable + " holds more than one line")
)

// sudoPassword is the password for sudo that the user gave beside the stack: in
// a file, else in the environment; zero: none was given.
func (a *app) sudoPassword(path string) (password secret.Value, err error) {
	if path != "" {
		password, err = readPassword(path)
	} else if text := a.env(sudoPasswordVariable); strings.ContainsAny(text, "\r\n") {
		err = errPasswordLines
	} else if text != "" {
		password = secret.New(text)
	}
	a.view.secrets.add(password)
	return password, err
}

// readPassword reads the first line of a file that nobody else may read, or of
// a pipe.
func readPassword(path string) (secret.Value, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Value{}, fmt.Errorf("open the file with the password for sudo: %w", err)
	}
	defer f.Close()
	line, err := firstLine(f)
	if err != nil {
		return secret.Value{}, &privateFileError{path, err}
	}
	return secret.New(line), nil
}

// maxPassword is as much of a line as a terminal passes on, in bytes.
const maxPassword = 4 << 10

func firstLine(f *os.File) (string, error) {
	info, err := f.Stat()
	switch isPipe := err == nil && info.Mode()&os.ModeNamedPipe != 0; {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular() && !isPipe:
		return "", errPasswordNoFile
	case !isPipe && info.Mode().Perm()&0o077 != 0:
		return "", errPasswordReadable
	}
	line, err := bufio.NewReader(io.LimitReader(f, maxPassword+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	switch {
	case line == "":
		return "", errPasswordEmpty
	case len(line) > maxPassword:
		return "", errPasswordLong
	}
	return line, nil
}
