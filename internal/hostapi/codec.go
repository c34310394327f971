package hostapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// magic begins the greeting's line; whatever a login shell prints before it is
// noise.
const magic = "relay-host greets "

// Start is relayctl's first line. What comes before it is not for relay-host: a
// password for sudo, which sudo did not want.
const Start = "relayctl begins"

// Limits of the conversation, in bytes.
const (
	maxNoise = 64 << 10 // what may come before the greeting, or before the start
	maxLine  = 32 << 20 // a message: the facts of a host with many small files
)

// ErrNoGreeting means that the other end never greeted: it is not relay-host,
// or it ended first.
var ErrNoGreeting = errors.New("no greeting from relay-host")

// WriteGreeting begins the conversation on relay-host's side.
func WriteGreeting(w io.Writer, hello Hello) error {
	line, err := json.Marshal(hello)
	if err != nil {
		return fmt.Errorf("encode greeting: %w", err)
	}
	_, err = fmt.Fprintf(w, "\n%s%s\n", magic, line) // the first newline ends a line of noise
	return err
}

// ReadGreeting reads past the noise to the greeting. The error wraps
// ErrNoGreeting where none came.
func ReadGreeting(r *bufio.Reader) (Hello, error) {
	var hello Hello
	for read := 0; read < maxNoise; {
		line, err := readLine(r, maxNoise)
		if rest, ok := bytes.CutPrefix(line, []byte(magic)); ok && err == nil {
			if err := json.Unmarshal(rest, &hello); err != nil {
				return Hello{}, fmt.Errorf("decode greeting: %w", err)
			}
			return hello, nil
		}
		if err != nil {
			return Hello{}, fmt.Errorf("%w: %w", ErrNoGreeting, err)
		}
		read += len(line) + 1
	}
	return Hello{}, fmt.Errorf("%w within %d bytes", ErrNoGreeting, maxNoise)
}

// ErrNoStart means that the other end did not begin as relayctl does. It quotes
// nothing of what came.
var ErrNoStart = errors.New("no start from relayctl")

// ReadStart reads past what is not for relay-host to where relayctl begins. It
// returns io.EOF at an end before that.
func ReadStart(r *bufio.Reader) error {
	for read := 0; read < maxNoise; {
		line, err := readLine(r, maxNoise)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return io.EOF
		case err != nil:
			return fmt.Errorf("%w: %w", ErrNoStart, err)
		case string(line) == Start:
			return nil
		}
		read += len(line) + 1
	}
	return fmt.Errorf("%w within %d bytes", ErrNoStart, maxNoise)
}

// ReadMessage reads one line into v. It returns io.EOF at a clean end.
func ReadMessage(r *bufio.Reader, v any) error {
	_, err := readMessage(r, v)
	return err
}

// readMessage is ReadMessage that tells how many bytes the line had.
func readMessage(r *bufio.Reader, v any) (size int, err error) {
	line, err := readLine(r, maxLine)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(line, v); err != nil {
		return 0, fmt.Errorf("decode message: %w", err)
	}
	return len(line), nil
}

// EncodeMessage is v as one line.
func EncodeMessage(v any) ([]byte, error) {
	line, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return append(line, '\n'), nil
}

// readLine reads up to and without the next newline, at most limit bytes.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, fmt.Errorf("read line: longer than %d bytes", limit)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}
